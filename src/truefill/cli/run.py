"""``check``, ``run`` and ``report``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
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
from truefill.cli.output import guarded, human_bytes, human_time, print_json, print_table
from truefill.core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from truefill.config.schema import Config
    from truefill.pipeline.preflight import Check, Estimate
    from truefill.pipeline.run import RunResult

STAGES = ("dataset", "forecast", "train", "validate", "test", "verdict")
STAGE_HELP = "; one of " + ", ".join(STAGES)


def check(
    config: ConfigPath,
    overrides: Overrides = None,
    runs: RunsFolder = DEFAULT_RUNS,
    workers: Workers = None,
    interval: Annotated[
        str | None, typer.Option(metavar="LENGTH", help="Of the bars, where CONFIG is a data file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find now what would fail later: config, data, disk, memory, device.

    CONFIG may be a data file (CSV, Parquet, Feather): its defects are listed.
    """

    def action() -> int:
        from truefill.pipeline.file_check import SUFFIXES
        from truefill.pipeline.preflight import check as preflight

        if config.suffix.lower() in SUFFIXES:
            return _check_file(config, interval, as_json=as_json)
        checks = preflight(load(config, overrides), runs=runs, workers=workers)
        if as_json:
            print_json(
                {"checks": [vars(c) for c in checks], "passed": all(c.passed for c in checks)}
            )
        else:
            _print_checks(checks)
        return max((c.exit_code for c in checks if not c.passed), default=0)

    raise typer.Exit(guarded(action, as_json=as_json))


def _check_file(path: Path, interval: str | None, *, as_json: bool) -> int:
    from truefill.core.duration import parse_duration_s
    from truefill.pipeline.file_check import check_file

    try:
        interval_s = None if interval is None else parse_duration_s(interval)
    except ValueError as error:
        raise UsageError(str(error), where="--interval") from error
    findings = [f.as_dict() for f in check_file(path, interval_s)]
    errors = sum(f["severity"] == "error" for f in findings)
    if as_json:
        print_json({"findings": findings, "passed": not errors})
    else:
        _print_findings(findings)
        typer.echo(f"\n{path.name}: {len(findings)} findings, {errors} of them errors")
    return 1 if errors else 0


def _print_checks(checks: Sequence[Check]) -> None:
    rows = [
        ("FAIL" if not c.passed else "WARN" if c.warning else "pass", c.name, c.figure)
        for c in checks
    ]
    print_table(("result", "check", "figure"), rows)
    _print_findings([c.finding for c in checks if c.finding is not None])
    for failed in (c for c in checks if not c.passed):
        typer.echo(f"\n{failed.name} failed: {failed.figure}")
        if failed.do:
            typer.echo(f"  -> {failed.do}")
    bad = sum(not c.passed for c in checks)
    typer.echo(f"\n{len(checks) - bad} of {len(checks)} checks passed")


def _print_findings(findings: Sequence[dict[str, Any]]) -> None:
    """Every defect of the data, with its place and its mend."""
    if not findings:
        return
    columns = ("severity", "rule", "file", "row", "column", "rows")
    cells = [[str(f[c] or "") for c in columns] + [f"{f['what']} -> {f['do']}"] for f in findings]
    typer.echo("\nfindings in the data (see docs/defects.md):")
    print_table((*columns, "what -> mend"), cells)


def run(
    config: ConfigPath,
    only: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Do one stage" + STAGE_HELP + ".")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Stop after this stage" + STAGE_HELP + ".")
    ] = None,
    overrides: Overrides = None,
    seed: Seed = None,
    seeds: Seeds = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do every stage again.")] = False,
    workers: Workers = None,
    runs: RunsFolder = DEFAULT_RUNS,
    skip_checks: Annotated[
        bool, typer.Option("--skip-checks", help="No preflight; the run records that.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate time, memory and disk; write nothing.")
    ] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="The whole config, small: under a minute.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """From data to verdict and report; again, it goes on where it stopped."""

    def action() -> int:
        for stage in (only, until):
            if stage is not None and stage not in STAGES:
                raise UsageError(f"no stage is called {stage!r}", do=did_you_mean(stage, STAGES))
        chosen = load(config, overrides, parse_seeds(seed, seeds))
        if dry_run:
            from truefill.pipeline.preflight import estimate

            _print_estimate(estimate(chosen, workers), as_json=as_json)
            return 0
        result = _run(chosen, runs, only, until, workers, fresh, skip_checks, smoke, as_json)
        _print_result(result, as_json=as_json)
        return 0

    raise typer.Exit(guarded(action, as_json=as_json))


def _run(
    config: Config,
    runs: Path,
    only: str | None,
    until: str | None,
    workers: int | None,
    fresh: bool,
    skip_checks: bool,
    smoke: bool,
    as_json: bool,
) -> RunResult:
    from truefill.cli.view import make_view
    from truefill.pipeline.run import run as start

    with make_view(quiet=as_json) as view:
        return start(
            config,
            runs=runs,
            only=only,
            until=until,
            workers=workers,
            fresh=fresh,
            skip_checks=skip_checks,
            smoke=smoke,
            report=view,
        )


def _print_estimate(estimate: Estimate, *, as_json: bool) -> None:
    if as_json:
        print_json(vars(estimate))
        return
    typer.echo("An estimate from a rate table, not a measurement on this machine:")
    rows = [
        ("time", human_time(estimate.time_s)),
        ("memory", human_bytes(estimate.memory_bytes)),
        ("disk", human_bytes(estimate.disk_bytes)),
    ]
    print_table(("need", "about"), [*rows, *estimate.breakdown.items()])


def _print_result(result: RunResult, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "verdict": result.verdict,
                "headline": result.headline,
                "stages": result.stages,
                "report": None if result.report_path is None else str(result.report_path),
                "behaviour": result.behaviour,
            }
        )
        return
    if result.verdict is not None:
        typer.echo(f"\nverdict: {result.verdict}")
    if result.headline:
        typer.echo(result.headline)
    if result.behaviour is not None:
        typer.echo(f"policy:  {result.behaviour['text']}")
    typer.echo(f"run:     {result.folder}")
    if result.report_path is not None:
        typer.echo(f"report:  {result.report_path}")


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its name.")],
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Write the HTML report of a run again, from its artifacts."""

    def action() -> int:
        from truefill.pipeline.folder import write_report

        found = folder if folder.is_dir() else runs / folder
        if not (found / "manifest.json").is_file():
            raise UsageError(f"no run at {folder}", do="`truefill runs` lists them")
        path = write_report(found)
        if as_json:
            print_json({"report": str(path)})
        else:
            typer.echo(f"report: {path}")
        return 0

    raise typer.Exit(guarded(action, as_json=as_json))
