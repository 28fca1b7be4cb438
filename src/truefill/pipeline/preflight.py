"""Everything that can fail, checked before anything runs; every check comes with its figure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truefill.config.agent import RuleConfig
from truefill.config.schema import Config
from truefill.config.splits import SplitsConfig
from truefill.config.splits import dated as dated_splits
from truefill.core.errors import DataError, TruefillError
from truefill.data.defects import DefectError, Finding
from truefill.data.known_answer import known_answer
from truefill.data.resolve import resolve as resolve_splits
from truefill.data.splits import SPLITS, period_of
from truefill.data.synthetic import strength_of
from truefill.pipeline import host
from truefill.pipeline.estimate import Estimate, env_spec, estimate, multiply_adds

if TYPE_CHECKING:
    from truefill.evaluation.policies import Given
    from truefill.features.build import BuiltDataset

__all__ = ["Check", "Estimate", "check", "estimate", "require"]

BAD_CONFIG, FAILED = 2, 1


@dataclass(frozen=True)
class Check:
    """One line of the preflight.

    Attributes:
        name: what was checked.
        passed: whether it held.
        figure: what was found, with figures.
        do: what to do about a failure.
        exit_code: of a failure: 2 where the config is to blame, 1 where data or machine are.
        warning: it held, and should still be read.
        finding: of a defect in the data: rule, file, row, column, rows, what, do.
        facts: of a joined series or calendar, as lineage keeps them.
    """

    name: str
    passed: bool
    figure: str
    do: str = ""
    exit_code: int = FAILED
    warning: bool = False
    finding: dict[str, Any] | None = None
    facts: dict[str, Any] | None = None


def check(config: Config, *, runs: Path, workers: int | None = None) -> list[Check]:
    """All checks, in the order in which a run would fail. Reads the data; writes nothing."""
    known = list(_registered(config))
    checks = [*known, *_files(config)]
    readable = all(c.passed for c in checks)
    if readable:
        try:
            config = resolve_splits(config)
        except TruefillError as error:
            checks += _refused(config) or [_broken_data(error)]
    dated = isinstance(config.data.splits, SplitsConfig)
    if readable and dated:
        checks += [*_dates(config), *_dataset(config), *_known_answer(config)]
    checks += [_extras(config), _device(config), _runs_folder(runs)]
    if dated and all(c.passed for c in known):
        checks += _room(estimate(config, workers), runs)
    return checks


def require(checks: list[Check]) -> None:
    """Refuse a run whose preflight failed.

    Raises:
        TruefillError: with every failed check; exit code 2 where the config is to blame.
    """
    failed = [c for c in checks if not c.passed]
    if not failed:
        return
    what = "; ".join(f"{c.name}: {c.figure}" for c in failed)
    do = "; ".join(dict.fromkeys(c.do for c in failed if c.do))
    error = TruefillError(f"the preflight failed: {what}", do=do or "see `truefill check`")
    error.exit_code = max(c.exit_code for c in failed)
    raise error


def _attempt(name: str, action: Callable[[], str]) -> Check:
    """``action`` returns the figure; an error of ours is the failure."""
    try:
        return Check(name, True, action())
    except TruefillError as error:
        where = f"{error.where}: " if error.where else ""
        return Check(name, False, f"{where}{error.what}", error.do, error.exit_code)


def _registered(config: Config) -> Iterator[Check]:
    from truefill.agents.encoders import ENCODERS
    from truefill.agents.encoders.base import WHERE as ENCODER
    from truefill.agents.encoders.base import Inputs, require_independent
    from truefill.core.plugins import load_plugins, require_named
    from truefill.evaluation.policies import POLICIES, make_policy
    from truefill.features.registry import CALCULATORS

    def calculators() -> str:
        load_plugins(config.plugins)
        for i, feature in enumerate(config.features):
            CALCULATORS.parse(
                feature.calculator, feature.params, where=f"features.{i} {feature.name}"
            )
        return f"{len(config.features)} features, all calculators and parameters known"

    def network() -> str:
        kind = config.agent.network.encoder.kind
        require_named(config.plugins, ENCODERS, kind, ENCODER)
        spec = env_spec(config)
        multiply_adds(config)  # which makes the encoder
        inputs = Inputs(spec.window, spec.num_features, spec.num_state, config.agent.network)
        require_independent(inputs)
        return f"encoder {kind}, window {spec.window} x {spec.num_features}"

    def policies() -> str:
        for i, own in enumerate(config.evaluation.policies):
            where = f"evaluation.policies.{i}"
            require_named(config.plugins, POLICIES, own.policy, where)
            make_policy(own.policy, own.params, _given(config), where)
        return f"{len(config.evaluation.policies)} of your own"

    def judged(rule: RuleConfig) -> str:
        require_named(config.plugins, POLICIES, rule.policy, "agent.rule")
        made = make_policy(rule.policy, rule.params, _given(config), "agent.rule")
        return f"{rule.policy} {made.sha256[:12]}; nothing is trained"

    def environment() -> str:
        names = env_spec(config).state_features
        return f"decoder {config.env.action.kind}, {len(names)} state features"

    yield _attempt("features", calculators)
    if config.forecast is not None:
        from truefill.pipeline.forecast_check import forecasters

        yield _attempt("forecasters", partial(forecasters, config, config.forecast))
    shapes = _attempt("environment", environment)
    yield shapes
    if shapes.passed:
        if config.agent.rule is not None:
            yield _attempt("rule", partial(judged, config.agent.rule))
        else:
            yield _attempt("network", network)
        yield _attempt("policies", policies)


def _given(config: Config) -> Given:
    """What policies of the user's own are made from, before there are statistics of train: means
    of 0, standard deviations of 1."""
    from truefill.env.seen import seen_specs
    from truefill.evaluation.policies import Given
    from truefill.features.build import specify_all

    specs = seen_specs(config, specify_all(config))
    return Given(env_spec(config), specs, {s.name: {"mean": 0.0, "std": 1.0} for s in specs}, "")


def _files(config: Config) -> Iterator[Check]:
    from truefill.data.snapshots import size_bytes
    from truefill.data.table import resolve

    def files() -> str:
        size = 0
        paths = config.files().values()
        for path in map(resolve, paths):
            if not os.access(path, os.R_OK):
                raise DataError("unreadable_file", "may not be read", where=str(path))
            size += size_bytes(path)
        files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        return f"{files}, {size / 1e6:.1f} MB" if paths else "synthetic market, no files"

    yield _attempt("files", files)


def _dataset(config: Config) -> Iterator[Check]:
    """Columns, values, dates and features: the dataset itself is built, in memory."""
    from truefill.data.inputs import survey
    from truefill.features.build import build, columns_for, specify_all

    findings: tuple[Finding, ...] = ()
    try:
        specs = specify_all(config)
        inputs, findings = survey(config.data, columns_for(config, specs))
        yield from map(_found, findings)
        if inputs is None:
            return
        built = build(config, specs, inputs)
    except TruefillError as error:
        yield _broken_data(error)
        return
    yield Check("data", True, "columns, order, prices and stamps keep every rule")
    yield Check("dead features", True, f"none of {len(config.features)} is constant or a copy")
    for name in SPLITS:
        yield _rows(config, built, name)
    if config.forecast is not None:
        from truefill.pipeline.forecast_check import plan_check

        yield _attempt("forecast folds", partial(plan_check, config, built))
    yield _symbols(config, built.lineage["symbols"])
    yield from _joined(built.lineage["joined"])
    yield from _starts_from(config, built)
    said = {finding.text for finding in findings}
    for text in built.lineage["warnings"]:
        if text not in said:
            yield Check("data warning", True, text, warning=True)


def _joined(facts: dict[str, Any]) -> Iterator[Check]:
    """What was joined, and how old it was at the bars before test."""
    from truefill.report.joined import joined_rows

    for row, told in zip(joined_rows(facts), facts["series"] + facts["releases"], strict=True):
        figure = f"{row['used']}, known {row['rule']}; age {row['age']}; "
        figure += f"{row['missing']} of bars without"
        yield Check(f"joined {row['name']}", True, figure, facts=told)


def _found(finding: Finding) -> Check:
    facts = finding.as_dict()
    if finding.severity == "error":
        error = DefectError(finding)
        figure = f"{error.where}: {error.what}"
        return Check(f"data ({finding.rule})", False, figure, finding.do, finding=facts)
    name = "data warning" if finding.severity == "warn" else "data repair"
    return Check(name, True, finding.text, finding.do, warning=True, finding=facts)


def _refused(config: Config) -> list[Check]:
    """Every defect of files whose splits have no dates for that; warnings need the dates."""
    from truefill.data.inputs import survey

    return [_found(f) for f in survey(config.data)[1] if f.severity == "error"]


def _broken_data(error: TruefillError) -> Check:
    rule = f"data ({error.rule})" if isinstance(error, DataError) else "data"
    where = f"{error.where}: " if error.where else ""
    return Check(rule, False, f"{where}{error.what}", error.do, error.exit_code)


def _dates(config: Config) -> Iterator[Check]:
    """The dates of splits that were given as a rule."""
    splits = dated_splits(config.data.splits)
    if splits.resolved_from is not None:
        spans = (f"{name} from {period_of(splits, name).start}" for name in SPLITS)
        text = f"{splits.resolved_from}: {', '.join(spans)}, to {splits.test.end}"
        yield Check("splits", True, text)


def _known_answer(config: Config) -> Iterator[Check]:
    """What could be earned at best on a synthetic market, where that is known: round the clock, on
    bars as they are made; nothing, however it is traded, where no edge is planted."""
    data, market = config.data, config.market
    if data.synthetic is None:
        return
    otherwise = data.session is not None or data.resample is not None or market.decision_lag != 1
    if otherwise and strength_of(data.synthetic) > 0.0:
        text = "not known with a session, resampled bars or a longer decision_lag"
        yield Check("best possible", True, text)
        return
    best = known_answer(data.synthetic, market, data.interval)
    figure = f"net Sharpe {best.net_sharpe_annual:.2f} a year, "
    figure += f"net log growth {best.expected_log_per_bar * 1e4:.3f} bps a bar"
    yield Check("best possible", True, figure if best.in_market else "flat: no edge after costs")


def _starts_from(config: Config, built: BuiltDataset) -> Iterator[Check]:
    """Where every seed begins, and how many act together."""
    from truefill.agents.warm import other_statistics, require_alike, require_unseen
    from truefill.env.setup import spec_for

    def warm_start() -> str:
        symbols = tuple(built.lineage["symbols"])
        facts = require_alike(config, spec_for(config, symbols, len(config.features)))
        require_unseen(facts, config, built.lineage)
        others = other_statistics(facts, built.norm_stats)
        known = f"; other normalizer statistics of {', '.join(others)}" if others else ""
        return f"bundle {facts.sha256[:12]} of {facts.config.name}{known}"

    if config.training.warm_start is not None:
        yield _attempt("warm start", warm_start)
    if config.training.ensemble is not None and len(config.training.seeds) == 1:
        yield Check("ensemble", True, "of one seed: it is that seed", warning=True)


def _symbols(config: Config, symbols: list[str]) -> Check:
    known = ", ".join(symbols)
    unknown = sorted(set(config.market.symbols) - set(symbols))
    figure = f"rules given for {', '.join(unknown)}; the data hold {known}" if unknown else known
    do = "correct market.symbols" if unknown else ""
    return Check("symbols", not unknown, figure, do, BAD_CONFIG)


def _rows(config: Config, built: BuiltDataset, name: str) -> Check:
    """Rows that can be traded: those closed to trading are no evidence, and teach nothing. How
    often test was too wild to trade is not told: it is sealed."""
    table = built.tables[name]
    needed: int = getattr(config.gates.min_rows, name)
    dates = table["timestamp"].dt.date()
    quiet = table["no_trade"] if name == "test" else table["no_trade"] | table["closed"]
    closed = int(quiet.sum())
    found = table.height - closed
    figure = f"{found:,} rows (at least {needed:,}), {dates[0]} to {dates[-1]}"
    figure += f"; {closed:,} more without trading" if closed else ""
    do = f"widen data.splits.{name}, give more bars, or lower gates.min_rows.{name}"
    return Check(f"rows {name}", found >= needed, figure, do, BAD_CONFIG)


def _extras(config: Config) -> Check:
    def extras() -> str:
        from truefill.pipeline.tensorboard import require_extra

        require_extra(config)
        have = "installed" if find_spec("tensorboardX") else "not installed"
        needed = "tensorboard" if config.training.tensorboard else "none"
        return f"needed: {needed}; tensorboard {have}"

    return _attempt("extras", extras)


def _device(config: Config) -> Check:
    def device() -> str:
        found = host.probe_devices()
        chosen = host.resolve_device(config.device, found)
        kinds = ", ".join(sorted(set(found[chosen])))
        return f"{chosen} ({kinds}), asked for {config.device}; {host.cores()} cores"

    return _attempt("device", device)


def _runs_folder(runs: Path) -> Check:
    parent = host.existing_parent(runs)
    writable = parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
    figure = f"{runs} " + ("can be written" if writable else f"cannot be written ({parent})")
    return Check("runs folder", writable, figure, "choose another folder with --runs")


def _room(need: Estimate, runs: Path) -> Iterator[Check]:
    have = host.memory_available_bytes()
    figure = f"about {need.memory_bytes / 1e9:.1f} GB needed, {have / 1e9:.1f} GB available"
    do = "use fewer --workers, fewer num_envs, or a shorter window"
    yield Check("memory", need.memory_bytes <= have, figure, do)
    have = host.disk_available_bytes(runs)
    figure = f"about {need.disk_bytes / 1e6:,.0f} MB needed, {have / 1e6:,.0f} MB free"
    yield Check("disk", need.disk_bytes <= have, figure, "free some space, or use --runs")
