"""``fetch``: bars and side series from elsewhere into a hashed snapshot."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from truefill.cli.options import AsJson
from truefill.cli.output import guarded, print_json
from truefill.core.errors import UsageError

if TYPE_CHECKING:
    from truefill.fetch.run import Fetched


def fetch(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="see `truefill list sources`")],
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", help="The source's parameters."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="The snapshot's folder.")
    ] = None,
    accept_revisions: Annotated[
        bool,
        typer.Option("--accept-revisions", help="Take stored rows again as they now are."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring bars and side series into a snapshot; again, it adds what is newer."""

    def action() -> int:
        if to is None:
            raise UsageError("where to?", do="name the snapshot's folder, e.g. --to data/btc_1h")
        from truefill.fetch.run import fetch as bring

        given = parse_parameters(parameters or [])
        tell = _tell if sys.stderr.isatty() and not as_json else _say_nothing
        try:
            done = bring(
                source,
                given,
                to,
                now=datetime.now(UTC),
                accept_revisions=accept_revisions,
                tell=tell,
            )
        finally:
            tell("")
        if as_json:
            print_json(asdict(done))
        else:
            _print(done)
        return 0

    raise typer.Exit(guarded(action, as_json=as_json))


def parse_parameters(texts: list[str]) -> dict[str, str]:
    """``key=value`` texts as a mapping.

    >>> parse_parameters(["symbol=BTC/USDT", "interval=1h"])
    {'symbol': 'BTC/USDT', 'interval': '1h'}

    Raises:
        UsageError: one has no ``=``, or a key comes twice.
    """
    given: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UsageError(f"{text!r} is no KEY=VALUE", do="e.g. symbol=BTC/USDT")
        if key in given:
            raise UsageError(f"{key} is given twice")
        given[key] = value
    return given


def _tell(text: str) -> None:
    """The latest line in the place of the one before, for people who wait."""
    sys.stderr.write(f"{text:<60}\r")
    sys.stderr.flush()


def _say_nothing(text: str) -> None:
    pass


def _print(done: Fetched) -> None:
    what = f"{done.added:,} rows added" if done.added else "nothing new"
    if done.revised:
        what += f", {done.revised:,} revised"
    typer.echo(f"{what}; {done.rows:,} rows, {done.first} to {done.last}")
    for warning in done.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"snapshot: {done.folder} ({done.parts} parts, sha256 {done.sha256[:12]})")
