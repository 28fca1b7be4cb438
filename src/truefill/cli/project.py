"""``new``: a project folder to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from truefill.cli.output import guarded


def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new or empty.")],
) -> None:
    """A project folder with a commented config and real sample bars."""

    def action() -> int:
        from truefill.pipeline.project import create

        for path in create(folder):
            typer.echo(f"wrote {path}")
        typer.echo(f"\nnext:  cd {folder}  and  truefill check config.yaml")
        return 0

    raise typer.Exit(guarded(action))
