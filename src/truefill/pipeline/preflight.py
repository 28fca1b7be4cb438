"""Everything that can fail, checked before anything runs; every check comes with its figure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from truefill.config.schema import Config
from truefill.core.errors import DataError, TruefillError
from truefill.pipeline import host
from truefill.pipeline.estimate import Estimate, env_spec, estimate

if TYPE_CHECKING:
    from truefill.features.build import BuiltDataset

__all__ = ["Check", "Estimate", "check", "estimate", "require"]

SPLITS = ("train", "validation", "test")
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
    """

    name: str
    passed: bool
    figure: str
    do: str = ""
    exit_code: int = FAILED
    warning: bool = False


def check(config: Config, *, runs: Path, workers: int | None = None) -> list[Check]:
    """All checks, in the order in which a run would fail. Reads the data; writes nothing."""
    known = list(_registered(config))
    checks = [*known, *_files(config)]
    if all(c.passed for c in checks):
        checks += _dataset(config)
    checks += [_extras(config), _device(config), _runs_folder(runs)]
    if all(c.passed for c in known):
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
    from truefill.features.registry import CALCULATORS

    def calculators() -> str:
        for i, feature in enumerate(config.features):
            CALCULATORS.parse(
                feature.calculator, feature.params, where=f"features.{i} {feature.name}"
            )
        return f"{len(config.features)} features, all calculators and parameters known"

    def environment() -> str:
        names = env_spec(config).state_features
        return f"decoder {config.env.action.kind}, {len(names)} state features"

    yield _attempt("features", calculators)
    yield _attempt("environment", environment)


def _files(config: Config) -> Iterator[Check]:
    from truefill.data.read import resolve

    def files() -> str:
        size = 0
        paths = config.data.files().values()
        for path in map(resolve, paths):
            if not os.access(path, os.R_OK):
                raise DataError("unreadable_file", "may not be read", where=str(path))
            size += path.stat().st_size
        files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        return f"{files}, {size / 1e6:.1f} MB" if paths else "synthetic market, no files"

    yield _attempt("files", files)


def _dataset(config: Config) -> Iterator[Check]:
    """Columns, values, dates and features: the dataset itself is built, in memory."""
    from truefill.features.build import build_dataset

    try:
        built = build_dataset(config)
    except TruefillError as error:
        rule = f"data ({error.rule})" if isinstance(error, DataError) else "data"
        where = f"{error.where}: " if error.where else ""
        yield Check(rule, False, f"{where}{error.what}", error.do, error.exit_code)
        return
    yield Check("data", True, "columns, order, prices and stamps keep every rule")
    yield Check("dead features", True, f"none of {len(config.features)} is constant or a copy")
    for name in SPLITS:
        yield _rows(config, built, name)
    yield _symbols(config, built.lineage["symbols"])
    for text in built.lineage["warnings"]:
        yield Check("data warning", True, text, warning=True)


def _symbols(config: Config, symbols: list[str]) -> Check:
    known = ", ".join(symbols)
    unknown = sorted(set(config.market.symbols) - set(symbols))
    figure = f"rules given for {', '.join(unknown)}; the data hold {known}" if unknown else known
    do = "correct market.symbols" if unknown else ""
    return Check("symbols", not unknown, figure, do, BAD_CONFIG)


def _rows(config: Config, built: BuiltDataset, name: str) -> Check:
    """Rows that can be traded: those closed to trading are no evidence, and teach nothing."""
    table = built.tables[name]
    needed: int = getattr(config.gates.min_rows, name)
    dates = table["timestamp"].dt.date()
    closed = int(table["no_trade"].sum())
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
