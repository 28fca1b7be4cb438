"""``audit``: the leak certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from truefill.cli.options import (
    DEFAULT_RUNS,
    AsJson,
    ConfigPath,
    Overrides,
    RunsFolder,
    Seed,
    Seeds,
    Workers,
    load,
    parse_seeds,
)
from truefill.cli.output import guarded, print_json, print_table

if TYPE_CHECKING:
    from truefill.pipeline.audit import AuditResult

LEAK = 1
MAX_LEAKS = 12
"""Leaks that are printed; the certificate has all of them."""


def audit(
    config: ConfigPath,
    overrides: Overrides = None,
    seed: Seed = None,
    seeds: Seeds = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer cuts; does not satisfy audit: required.")
    ] = False,
    workers: Workers = None,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Prove that no later data move anything earlier: the leak certificate."""

    def action() -> int:
        from truefill.cli.view import make_view
        from truefill.pipeline.audit import audit as start

        chosen = load(config, overrides, parse_seeds(seed, seeds))
        with make_view(quiet=as_json) as view:
            result = start(chosen, runs=runs, quick=quick, workers=workers, report=view)
        if as_json:
            print_json({"certificate": result.certificate, "path": str(result.path)})
        else:
            _print(result)
        return 0 if result.passed else LEAK

    raise typer.Exit(guarded(action, as_json=as_json))


def _print(result: AuditResult) -> None:
    made = result.certificate
    rows = [
        (c["result"], c["check"], f"{c['cuts']:,}", f"{c['comparisons']:,}", _remark(c))
        for c in made["checks"]
    ]
    typer.echo("")
    print_table(("result", "check", "cuts", "comparisons", "remarks"), rows)
    leaks = [finding for check in made["checks"] for finding in check["findings"]]
    for leak in leaks[:MAX_LEAKS]:
        typer.echo(
            f"\nleak in {leak['stage']}: {leak['item']}, known by {leak['known']}, moved when what "
            f"follows {leak['cut']} was changed ({leak['mutation']})\n"
            f"  {leak['before']} -> {leak['after']}"
        )
    if len(leaks) > MAX_LEAKS:
        typer.echo(f"\n{len(leaks) - MAX_LEAKS} more in the certificate")
    typer.echo(f"\n{_summary(made)}\ncertificate: {result.path}")


def _remark(check: dict[str, Any]) -> str:
    refused = ", ".join(f"{name} {n}" for name, n in check["refused"].items())
    parts = [*check["notes"], *([f"refused: {refused}"] if refused else [])]
    return "; ".join(parts)


def _summary(made: dict[str, Any]) -> str:
    if made["passed"]:
        kind = "no leak found (quick: fewer cuts)" if made["quick"] else "no leak found"
    elif made["leaks"]:
        kind = "1 leak found" if made["leaks"] == 1 else f"{made['leaks']} leaks found"
    else:
        kind = "not proven: a check came to no result"
    return (
        f"{kind}: {made['comparisons']:,} comparisons at {made['cuts']:,} cuts, "
        f"{made['values_compared']:,} values"
    )
