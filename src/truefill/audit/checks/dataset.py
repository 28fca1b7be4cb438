"""The dataset: which rows there are, what they hold, and what is fitted of them.

A column that depends on something fitted on train is known once train has ended; every other one
at its bar's close. A split as a whole is known at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from truefill.audit.case import Case, ends_s
from truefill.audit.cuts import dataset_cuts
from truefill.audit.evidence import Timed, fact, facts
from truefill.audit.mutations import FINITE, MUTATIONS, closes_s, differs
from truefill.audit.registry import Tally, audit
from truefill.config.schema import Config
from truefill.core.errors import TruefillError
from truefill.features.build import BuiltDataset

LAST = "last"
"""The last bar of a symbol: where the config says that one is delisted, it is declared ahead."""
TELLS_OF_TEST = (
    "test_sha256", "inputs", "rows", "stale_or_unjoined", "close_only_bars", "periods_per_year",
    "resample",
)  # fmt: skip
"""Lineage that counts all rows on purpose: hashes, row counts, and bars a year by split."""


def fitted_columns(config: Config, built: BuiltDataset) -> set[str]:
    """Columns whose values depend on what was fitted on train."""
    names = {f.name for f in config.features if f.normalizer == "zscore"}
    if built.seasonality is not None:
        names |= {"spread_multiplier", "liquidity_multiplier"} | set(built.contract.names)
    if any(getattr(window, "percentile", None) for window in config.market.no_trade):
        names.add("closed")
    return names


def declared(case: Case) -> set[str]:
    """Columns that are known ahead because the config declares them."""
    return {LAST} if case.inputs.bars.delisted else set()


def rows(case: Case, config: Config, built: BuiltDataset, ends: dict[str, int]) -> list[Timed]:
    """Every column of every split and symbol, with the timestamps that say which rows there are."""
    ahead = {"symbol", *declared(case)}
    fitted = fitted_columns(config, built)
    out = []
    for split, table in built.tables.items():
        for symbol in sorted(table["symbol"].unique().to_list()):
            part = table.filter(pl.col("symbol") == symbol).sort("timestamp")
            closes = np.minimum(closes_s(part, case.bar_interval_s), ends[split])
            for name in part.columns:
                if name in ahead:
                    continue
                known = np.maximum(closes, ends["train"]) if name in fitted else closes
                values = part[name].dt.epoch("s") if name == "timestamp" else part[name]
                out.append(Timed(f"{split} {name} ({symbol})", known, values.to_numpy()))
    return out


def fitted(built: BuiltDataset, ends: dict[str, int]) -> list[Timed]:
    """Normalizer statistics, thresholds, multipliers, and which features there are."""
    end = ends["train"]
    return [
        *facts("normalizer of ", end, built.norm_stats),
        fact("features", end, list(built.contract.names)),
        fact("feature contract", end, built.contract.sha256),
        fact("seasonality", end, built.seasonality),
        fact("guard thresholds", end, _thresholds(built.lineage.get("no_trade"))),
        fact("folds", ends["validation"], built.folds),
    ]


def _thresholds(found: Any) -> Any:
    """Whatever of the lineage of no-trade times is called a threshold, wherever it stands."""
    if isinstance(found, dict):
        parts = {k: v if "threshold" in k else _thresholds(v) for k, v in found.items()}
        return {k: v for k, v in parts.items() if v not in (None, {}, [])}
    if isinstance(found, list):
        return [part for part in map(_thresholds, found) if part not in (None, {}, [])]
    return None


def told_of_the_open(built: BuiltDataset, ends: dict[str, int]) -> list[Timed]:
    """What lineage and descriptive statistics tell while test is sealed."""
    told = {key: value for key, value in built.lineage.items() if key not in TELLS_OF_TEST}
    described = {name: built.descriptive[name] for name in ("train", "validation")}
    end = ends["validation"]
    return [*facts("lineage ", end, told), *facts("statistics of ", end, described)]


def tensors(case: Case, built: BuiltDataset, ends: dict[str, int]) -> list[Timed]:
    """Every split as arrays. Train is known as a whole once it has ended; a row of the others at
    its bar's close; what is told of a split as a whole (and its sessions' ends) at its end."""
    out = []
    for split in built.tables:
        arrays = case.chain.arrays(built, split)
        closes = arrays.timestamps_s + round(case.bar_interval_s)
        rows = np.clip(closes, ends["train"], ends[split])
        begun = np.maximum.accumulate(arrays.present, axis=0)
        values = {name: value for name, value in vars(arrays).items() if name not in declared(case)}
        values |= {f"extra.{name}": array for name, array in values.pop("extra").items()}
        for name, value in values.items():
            whole = np.full(1, ends[split], np.int64)
            if not isinstance(value, np.ndarray):
                out.append(Timed(f"{split}.{name}", whole, np.asarray([str(value)], object)))
                continue
            if value.shape[:2] == begun.shape:  # before a symbol begins nothing can happen
                there = begun.reshape(begun.shape + (1,) * (value.ndim - 2))
                value = np.where(there, value, np.zeros((), value.dtype))
            known = np.repeat(whole, len(value)) if name == "session_end" else rows
            out.append(Timed(f"{split}.{name}", known, value))
    return out


Produce = Callable[[BuiltDataset], Sequence[Timed]]


def variants(
    case: Case, tally: Tally, plan: Iterable[tuple[int, str]], *, seen: bool = False
) -> Iterator[tuple[int, str, BuiltDataset]]:
    """The small dataset with each change (cut, mutation) that is one and that is not refused;
    ``seen``: nor by forecasters, where there are any."""
    plan = list(plan)
    tally.plan(len(plan))
    for cut, how in plan:
        built = case.variant(cut, how)
        if seen and isinstance(built, BuiltDataset):
            try:
                case.chain.forecast(case.small.config, built, case.chain)
            except TruefillError as error:
                built = error
        if built is None:
            tally.skip(how)
        elif isinstance(built, TruefillError):
            tally.refuse(cut, how, built)
        else:
            yield cut, how, built


def compare_variants(case: Case, tally: Tally, produce: Produce, cuts: Sequence[int]) -> None:
    """Every mutation of the small dataset at every cut."""
    hows = FINITE[:3] if case.quick else MUTATIONS
    before = produce(case.small.built)
    for cut, how, built in variants(case, tally, product(cuts, hows)):
        tally.compare(cut, how, before, produce(built), reacted=case.reaches(built))


@audit(
    "dataset/rows",
    stage="dataset",
    proves="which rows exist, in which split, and every raw value in them follow from what was "
    "known at their bar's close; normalized values from that and from train",
)
def check_rows(case: Case, tally: Tally) -> None:
    config = case.small.config

    def produce(built: BuiltDataset) -> list[Timed]:
        return rows(case, config, built, case.small_ends)

    compare_variants(case, tally, produce, dataset_cuts(case))


@audit(
    "dataset/fitted",
    stage="fitted statistics",
    proves="nothing at or after the end of train moves a normalizer, a threshold, a multiplier, or "
    "which features there are",
)
def check_fitted(case: Case, tally: Tally) -> None:
    ends = case.small_ends
    cuts = [cut for cut in dataset_cuts(case) if cut >= ends["train"]]
    compare_variants(case, tally, lambda built: fitted(built, ends), cuts)


@audit(
    "dataset/tensors",
    stage="training tensors",
    proves="the arrays that agents train on and are selected on keep every byte when the rows "
    "after their split change",
)
def check_tensors(case: Case, tally: Tally) -> None:
    ends = case.small_ends
    cuts = [cut for cut in dataset_cuts(case) if cut >= ends["train"]]
    compare_variants(case, tally, lambda built: tensors(case, built, ends), cuts)


@audit(
    "dataset/sealed test",
    stage="test",
    proves="what is told of the data while test is sealed does not move with the rows of test",
)
def check_sealed(case: Case, tally: Tally) -> None:
    ends = case.small_ends
    cuts = [cut for cut in dataset_cuts(case) if cut >= ends["validation"]]
    compare_variants(case, tally, lambda built: told_of_the_open(built, ends), cuts)


@audit(
    "dataset/whole history",
    stage="dataset",
    proves="rows and fitted statistics of the config's own splits keep their bytes when all that "
    "follows the end of train, and of validation, changes",
)
def check_whole(case: Case, tally: Tally) -> None:
    ends = ends_s(case, case.config, case.inputs)

    def produce(built: BuiltDataset) -> list[Timed]:
        return [*rows(case, case.config, built, ends), *fitted(built, ends)]

    hows = ("random",) if case.quick else ("random", "extra")
    cuts = [ends["train"], ends["validation"]]
    tally.plan(len(cuts) * len(hows))
    before = produce(case.build(case.config, case.inputs))
    for cut in cuts:
        for how in hows:
            changed = case.changed(case.inputs, cut, how)
            if not differs(case.inputs, changed):
                tally.skip(how)
                continue
            try:
                built = case.build(case.config, changed)
            except TruefillError as error:
                tally.refuse(cut, how, error)
                continue
            tally.compare(cut, how, before, produce(built))
