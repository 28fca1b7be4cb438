"""``runs``, ``ledger``, ``list`` and ``schema``: what was done, and what there is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truefill.cli.options import DEFAULT_RUNS, AsJson, RunsFolder
from truefill.cli.output import guarded, print_json, print_table
from truefill.core.errors import UsageError

if TYPE_CHECKING:
    from truefill.pipeline.catalog import Item

LEDGER_FILE = "ledger.sqlite"
CELL_WIDTH = 72
"""Longer text is cut in tables, never in JSON; of a hash the first 12 digits are shown."""


def _existing(runs: Path) -> Path:
    """``runs``; a folder named on purpose must be there, or a typo would read 'nothing was run'."""
    if runs != DEFAULT_RUNS and not runs.is_dir():
        raise UsageError("there is no such runs folder", where=str(runs))
    return runs


def runs_table(runs: RunsFolder = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """What was run."""

    def action() -> int:
        from truefill.pipeline.folder import list_runs

        found = list_runs(_existing(runs))
        if as_json:
            print_json(found)
        else:
            _print_dicts(found, empty=f"no runs in {runs}")
        return 0

    raise typer.Exit(guarded(action, as_json=as_json))


def ledger(runs: RunsFolder = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """What was looked at: trials scored on a split, openings of test."""

    def action() -> int:
        path = _existing(runs) / LEDGER_FILE
        looks: list[dict[str, Any]] = []
        openings: list[dict[str, Any]] = []
        if path.is_file():
            from truefill.pipeline.ledger import Ledger

            book = Ledger(path)
            looks, openings = book.looks(), book.openings()
        if as_json:
            print_json({"looks": looks, "openings": openings})
            return 0
        typer.echo("looks")
        _print_dicts(looks, empty="none")
        typer.echo("\nopenings of test")
        _print_dicts(openings, empty="none")
        return 0

    raise typer.Exit(guarded(action, as_json=as_json))


def _print_dicts(rows: Sequence[dict[str, Any]], *, empty: str) -> None:
    if not rows:
        typer.echo(empty)
        return
    header = tuple(rows[0])
    print_table(header, [[_cell(row.get(key)) for key in header] for row in rows])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return text[:12]
    return text if len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 1] + "…"


def list_kind(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="e.g. calculators, decoders, gates")],
    as_json: AsJson = False,
) -> None:
    """What is registered, with its parameters."""

    def action() -> int:
        from truefill.pipeline.catalog import catalog

        items = catalog(kind)
        if as_json:
            print_json([item.as_dict() for item in items])
        else:
            for item in items:
                _print_item(item)
        return 0

    raise typer.Exit(guarded(action, as_json=as_json))


def _print_item(item: Item) -> None:
    typer.echo(f"{item.name:<22}  {item.summary}".rstrip())
    if item.facts:
        typer.echo("    " + "; ".join(f"{name}: {value}" for name, value in item.facts))
    for parameter in item.parameters:
        text = f"    {parameter.name} = {parameter.default}"
        typer.echo(f"{text:<34}  {parameter.description}".rstrip())


def schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The reference for people instead.")
    ] = False,
) -> None:
    """JSON Schema of the config, for editors; --markdown for people."""

    def action() -> int:
        if markdown:
            from truefill.config.document import reference

            typer.echo(reference(), nl=False)
            return 0
        from truefill.config.schema import Config

        print_json(Config.model_json_schema())
        return 0

    raise typer.Exit(guarded(action))
