"""``python -m truefill`` and the ``truefill`` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the process leaves with its exit code (0, 1, 2 or 130)."""
    from truefill.cli.app import app

    app(prog_name="truefill")


if __name__ == "__main__":
    main()
