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
from truefill.pipeline.estimate import Estimate, estimate

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
    """

    name: str
    passed: bool
    figure: str
    do: str = ""
    exit_code: int = FAILED


def check(config: Config, *, runs: Path, workers: int | None = None) -> list[Check]:
    """All checks, in the order in which a run would fail. Reads the data; writes nothing."""
    checks = [*_registered(config), *_files(config)]
    if all(c.passed for c in checks):
        checks += _dataset(config)
    need = estimate(config, workers)
    return [*checks, _extras(config), _device(config), _memory(need), *_runs_folder(runs, need)]


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
    from truefill.env.setup import make_decoder
    from truefill.env.state_features import STATE_FEATURES
    from truefill.features.registry import CALCULATORS

    def calculators() -> str:
        for i, feature in enumerate(config.features):
            CALCULATORS.parse(
                feature.calculator, feature.params, where=f"features.{i} {feature.name}"
            )
        return f"{len(config.features)} features, all calculators and parameters known"

    def environment() -> str:
        make_decoder(config)
        for name in config.env.state_features:
            STATE_FEATURES.get(name, where="env.state_features")
        return f"decoder {config.env.action.kind}, {len(config.env.state_features)} state features"

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
    symbols = set(built.tables["train"]["symbol"].unique().to_list())
    unknown = sorted(set(config.market.symbols) - symbols)
    known = ", ".join(sorted(symbols))
    figure = f"costs given for {', '.join(unknown)}; the data hold {known}" if unknown else known
    yield Check(
        "symbols", not unknown, figure, "correct market.symbols" if unknown else "", BAD_CONFIG
    )


def _rows(config: Config, built: BuiltDataset, name: str) -> Check:
    table = built.tables[name]
    needed: int = getattr(config.gates.min_rows, name)
    stamps = table["timestamp"].dt.date().to_list()
    figure = f"{table.height:,} rows (at least {needed:,}), {stamps[0]} to {stamps[-1]}"
    do = f"widen data.splits.{name}, give more bars, or lower gates.min_rows.{name}"
    return Check(f"rows {name}", table.height >= needed, figure, do, BAD_CONFIG)


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


def _memory(need: Estimate) -> Check:
    have = host.memory_available_bytes()
    figure = f"about {need.memory_bytes / 1e9:.1f} GB needed, {have / 1e9:.1f} GB available"
    do = "use fewer --workers, fewer num_envs, or a shorter window"
    return Check("memory", need.memory_bytes <= have, figure, do)


def _runs_folder(runs: Path, need: Estimate) -> Iterator[Check]:
    parent = host.existing_parent(runs)
    writable = parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
    figure = f"{runs} " + ("can be written" if writable else f"cannot be written ({parent})")
    yield Check("runs folder", writable, figure, "choose another folder with --runs")
    have = host.disk_available_bytes(runs)
    figure = f"about {need.disk_bytes / 1e6:,.0f} MB needed, {have / 1e6:,.0f} MB free"
    yield Check("disk", need.disk_bytes <= have, figure, "free some space, or use --runs")
