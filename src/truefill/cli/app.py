"""The ``truefill`` command: what exists, in the order a newcomer meets it."""

from __future__ import annotations

import typer

from truefill import __version__
from truefill.cli.audit import audit
from truefill.cli.fetch import fetch
from truefill.cli.inspect import ledger, list_kind, runs_table, schema
from truefill.cli.project import new
from truefill.cli.run import check, report, run
from truefill.cli.tune import tune

EPILOG = "Exit codes: 0 done, whatever the verdict; 1 the run failed; 2 bad usage or config."

app = typer.Typer(
    help="One config, one market, every agent, an honest verdict.",
    epilog=EPILOG,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"truefill {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    """One config, one market, every agent, an honest verdict."""


app.command()(new)
app.command()(fetch)
app.command()(check)
app.command()(audit)
app.command()(run)
app.command()(tune)
app.command()(report)
app.command("runs")(runs_table)
app.command()(ledger)
app.command("list")(list_kind)
app.command()(schema)
