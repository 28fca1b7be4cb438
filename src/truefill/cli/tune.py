"""``tune``: a hyper-parameter search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truefill.cli.options import (
    DEFAULT_RUNS,
    AsJson,
    ConfigPath,
    Overrides,
    RunsFolder,
    Workers,
    load,
)
from truefill.cli.output import guarded, print_json, print_table
from truefill.core.errors import UsageError

if TYPE_CHECKING:
    from truefill.pipeline.tune import TuneResult

SHOWN = 5
"""Complete trials that are printed, best first; study.json has all."""


def tune(
    config: ConfigPath,
    space: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What to search; default: CONFIG's STEM.search.yaml."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Trials in all; more go on.")
    ] = None,
    workers: Workers = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the sampler.")] = 0,
    overrides: Overrides = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Optuna's storage; default: study.sqlite in the folder."),
    ] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Search hyper-parameters on validation; again, it goes on where it stopped.

    Keys that CONFIG (or --set) sets itself are never drawn. Test rows cannot be reached.
    """

    def action() -> int:
        from truefill.cli.tune_view import make_tune_view
        from truefill.config.search import space_file

        chosen = load(config, overrides)
        if space is not None and not space.is_file():
            raise UsageError("there is no such space file", where=str(space))
        beside = space_file(config)
        found = space or (beside if beside.is_file() else None)
        from truefill.pipeline.tune import tune as start

        with make_tune_view(quiet=as_json) as view:
            result = start(
                chosen,
                runs=runs,
                space=found,
                trials=trials,
                workers=workers,
                seed=seed,
                storage=storage,
                fresh=fresh,
                report=view,
            )
        if as_json:
            best = None if result.best_config is None else str(result.best_config)
            print_json({**result.facts, "folder": str(result.folder), "best_config": best})
        else:
            _print_result(result)
        return 0

    raise typer.Exit(guarded(action, as_json=as_json))


def _print_result(result: TuneResult) -> None:
    facts = result.facts
    complete = [row for row in facts["trials"] if row["state"] == "complete"]
    ranked = sorted(complete, key=lambda row: (-row["value"], row["trial"]))[:SHOWN]
    counts = ", ".join(f"{count} {state}" for state, count in facts["states"].items())
    typer.echo(f"\n{len(facts['trials'])} trials: {counts}")
    if not ranked:
        typer.echo("no trial is complete: there is no winner")
        return
    keys = [key for key in facts["best"]["values"]]
    names = [key.rsplit(".", 1)[-1] for key in keys]
    short = [n if names.count(n) == 1 else k for n, k in zip(names, keys, strict=True)]
    rows = [
        [
            str(row["trial"]),
            f"{row['value']:+.4g}",
            " ".join(f"{value:+.3g}" for value in row["seed_values"]),
            *(_text(row["values"][key]) for key in keys),
        ]
        for row in ranked
    ]
    print_table(["trial", facts["objective"], "seeds", *short], rows)
    if len(complete) > 1 and len({row["value"] for row in complete}) == 1:
        typer.echo(
            "\nAll complete trials are worth the same: there is nothing to choose between. "
            "At 0 their policies most likely never trade."
        )
    typer.echo(f"\nbest:    trial {facts['best']['trial']}")
    typer.echo(f"regret:  {regret_words(facts['regret'])}")
    if facts["importance"]["value"] is not None:
        shares = sorted(facts["importance"]["value"].items(), key=lambda item: -item[1])
        typer.echo("mattered: " + ", ".join(f"{key} {share:.0%}" for key, share in shares[:5]))
    if facts["fixed"]:
        fixed = ", ".join(f"{key} = {_text(value)}" for key, value in facts["fixed"].items())
        typer.echo(f"fixed by the config: {fixed}")
    looks = facts["looks"]
    typer.echo(
        f"looks:   {looks['study']:,} policies evaluated on validation by this study, "
        f"{looks['on_validation']:,} in all"
    )
    typer.echo(f"study:   {result.folder}")
    typer.echo(f"next:    truefill run {result.best_config}")


def regret_words(regret: dict[str, Any]) -> str:
    """The selection regret in a sentence."""
    if regret["value"] is None:
        return f"undefined: {regret['reason']}"
    return (
        f"{regret['value']:.4g} = {regret['winner_on_validation']:.4g} of the winner on validation "
        f"less {regret['out_of_fold']:.4g} out of fold"
    )


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
