"""Options that several commands share, and the config they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from truefill.core.errors import UsageError

if TYPE_CHECKING:
    from truefill.config.schema import Config

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The config, a YAML file.")]
RunsFolder = Annotated[
    Path, typer.Option("--runs", metavar="DIR", help="Folder that holds runs and the ledger.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Train this seed only.")]
Seeds = Annotated[
    str | None, typer.Option("--seeds", metavar="N,N,...", help="Train these seeds instead.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="Training processes; default: the cores."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")]

DEFAULT_RUNS = Path("runs")


def parse_seeds(seed: int | None, seeds: str | None) -> tuple[int, ...] | None:
    """The seeds of ``--seed`` or ``--seeds``; None where neither is given.

    >>> parse_seeds(None, "1, 2")
    (1, 2)

    Raises:
        UsageError: both are given, or one is not a whole number.
    """
    if seed is not None and seeds is not None:
        raise UsageError("give --seed or --seeds, not both")
    if seed is not None:
        return (seed,)
    if seeds is None:
        return None
    parts = [part.strip() for part in seeds.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise UsageError(f"--seeds takes whole numbers, not {seeds!r}", do="e.g. --seeds 42,123")
    return tuple(int(part) for part in parts)


def load(path: Path, overrides: list[str] | None, seeds: tuple[int, ...] | None = None) -> Config:
    """The config at ``path`` with ``--set`` and ``--seed(s)`` applied.

    Fewer seeds than ``evaluation.min_positive_seeds`` lower that number to all of them.

    Raises:
        ConfigError: it is wrong; see :func:`truefill.config.load.load_config`.
    """
    from truefill.config.load import load_config, parse_config

    config = load_config(path, overrides or ())
    if seeds is None:
        return config
    tree = config.model_dump(mode="json")
    tree["training"]["seeds"] = list(seeds)
    needed = min(config.evaluation.min_positive_seeds, len(seeds))
    tree["evaluation"]["min_positive_seeds"] = needed
    return parse_config(tree, where=f"{path} with --seeds")
