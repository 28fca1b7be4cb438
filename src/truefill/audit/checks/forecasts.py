"""Forecasts: those of train rows come from models that never saw what follows, those of later rows
from models that saw train alone.

Out of fold, the rows that forecasters are given (bars and features of train) are changed after a
cut, and every fold is fitted again: what is fitted on the whole of train (normalizers, thresholds
of guards) stays as it is, and is audited as the dataset's. After train, the bars themselves are
changed and the dataset is built again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import polars as pl

from truefill.audit.case import Case
from truefill.audit.checks.dataset import variants
from truefill.audit.cuts import some
from truefill.audit.evidence import Moved, Timed, moment
from truefill.audit.mutations import FINITE, closes_s, mutate_bars
from truefill.audit.registry import Tally, audit
from truefill.audit.small_fit import told
from truefill.core.errors import TruefillError
from truefill.env.seen import KEYS
from truefill.features.build import BuiltDataset
from truefill.forecast.baselines import History
from truefill.forecast.bench import Bench
from truefill.forecast.labels.base import Ints
from truefill.forecast.protocol import WHOLE, FoldRows

SAME_ROWS = ("reversed", "random")
"""Mutations that leave every row in its place: folds are blocks of rows."""
PLANNED = "as planned"
ABSENT = "the config has no forecasters"


def timed(case: Case, split: str, table: pl.DataFrame) -> list[Timed]:
    """Every column of every symbol, known at its bar's close whatever ``as_of`` says."""
    out = []
    for (symbol,), part in table.group_by("symbol", maintain_order=True):
        own = part.sort("timestamp")
        closes = closes_s(own, case.bar_interval_s)
        names = ("fold", *(name for name in own.columns if name not in KEYS))
        out += [Timed(f"{split} {n} ({symbol})", closes, own[n].to_numpy()) for n in names]
    return out


def forecasts(case: Case, built: BuiltDataset) -> Mapping[str, pl.DataFrame]:
    """The forecasts of a small dataset."""
    found = case.chain.forecast(case.small.config, built, case.chain)
    assert found is not None
    return found


def _begin(case: Case, tally: Tally) -> bool:
    """Say what is audited; False where there is nothing."""
    if case.config.forecast is None:
        tally.absent = ABSENT
        return False
    tally.notes.append(told(case.config.forecast))
    return True


# --------------------------------------------------------------------------- train rows


@dataclass(frozen=True)
class _Block:
    """What one fold forecasts; ``closes_s`` i64[n]: of its bars, ascending, each once."""

    fold: int
    closes_s: Ints

    @property
    def cuts(self) -> list[int]:
        """Its first bar, where a label that reaches into it is seen; one inside; one before its
        last, so that something is left to change."""
        inside = self.closes_s[:-1]
        return sorted({int(inside[0]), int(inside[len(inside) // 2]), int(inside[-1])})


def _blocks(case: Case, table: pl.DataFrame) -> list[_Block]:
    closes = closes_s(table, case.bar_interval_s)
    folds = table["fold"].to_numpy()
    found = [_Block(int(k), np.unique(closes[folds == k])) for k in np.unique(folds)]
    return [block for block in found if len(block.closes_s) > 1]


def _changed(case: Case, cut: int, how: str, until_s: int | None) -> BuiltDataset:
    """The small dataset with the train rows that close after ``cut`` changed, up to ``until_s``."""
    built = case.small.built
    table = built.tables["train"]
    rng = np.random.default_rng([SAME_ROWS.index(how), abs(cut)])
    rows = table.sort("symbol", "timestamp")
    if until_s is not None:
        kept = rows.filter(pl.Series(closes_s(rows, case.bar_interval_s) > until_s))
        rows = rows.filter(pl.Series(closes_s(rows, case.bar_interval_s) <= until_s))
    new = mutate_bars(rows, cut, how, case.bar_interval_s, rng)
    new = new.cast(dict(table.schema.items()))
    if until_s is not None:
        new = pl.concat([new, kept])
    new = new.sort("timestamp", "symbol")
    return replace(built, tables={**built.tables, "train": new})


@audit(
    "forecasts/out of fold",
    stage="forecasts",
    proves="the forecasts that an agent trains on, with everything that is fitted for them, do not "
    "move with the rows after them (k-fold: with the later rows of their own block)",
)
def out_of_fold(case: Case, tally: Tally) -> None:
    if not _begin(case, tally):
        return
    small = case.small
    assert small.config.forecast is not None
    causal = small.config.forecast.out_of_fold.kind == "walk_forward"
    table = forecasts(case, small.built)["train"]
    hows = SAME_ROWS[:1] if case.quick else SAME_ROWS
    plan = [(block, cut) for block in _blocks(case, table) for cut in block.cuts]
    tally.plan(len(plan) * len(hows))
    for (block, cut), how in product(plan, hows):
        changed = _changed(case, cut, how, None if causal else int(block.closes_s[-1]))
        if not case.reaches(changed):
            tally.skip(how)
            continue
        try:
            found = forecasts(case, changed)["train"]
        except TruefillError as error:
            tally.refuse(cut, how, error)
            continue
        mine = pl.lit(True) if causal else pl.col("fold") == block.fold
        before, after = (timed(case, "train", t.filter(mine)) for t in (table, found))
        tally.compare(cut, how, before, after)
    if not causal:
        tally.notes.append("k-fold: forecasts of train rows look both ways, by the config")


# --------------------------------------------------------------------------- later rows


def _later(case: Case, built: BuiltDataset) -> list[Timed]:
    """The forecasts of train and validation, and both splits as agents see them."""
    out = []
    for name, table in forecasts(case, built).items():
        out += timed(case, name, table)
        split = case.chain.seen(case.small.config, built, case.chain, name)
        closes = split.timestamps_s + round(split.interval_s)
        out += [
            Timed(f"{name}.features", closes, split.features),
            Timed(f"{name}.no_trade", closes, split.no_trade),
        ]
    return out


def _later_cuts(case: Case) -> Iterator[tuple[int, str]]:
    """The end of train, bars inside validation, and its end."""
    ends = case.small_ends
    closes = closes_s(case.small.built.tables["validation"], case.bar_interval_s)
    inside = some(np.unique(closes), 3 if case.quick else 4)[1:-1]
    for cut in (ends["train"], *inside):
        yield from ((cut, how) for how in (SAME_ROWS[:1] if case.quick else SAME_ROWS))
    yield from ((ends["validation"], how) for how in (FINITE[:1] if case.quick else FINITE))


@audit(
    "forecasts/later rows",
    stage="forecasts",
    proves="forecasters follow from train alone: no forecast moves with the bars after its own, "
    "nor what an agent sees of it; those of train with none after train",
)
def later_rows(case: Case, tally: Tally) -> None:
    if not _begin(case, tally):
        return
    before = _later(case, case.small.built)
    for cut, how, built in variants(case, tally, _later_cuts(case), seen=True):
        tally.compare(cut, how, before, _later(case, built), reacted=case.reaches(built))


# --------------------------------------------------------------------------- who forecast what


@audit(
    "forecasts/provenance",
    stage="forecasts",
    proves="each forecast is of one bar and as of its close; train rows are forecast by folds none "
    "of whose answers reaches their block, later rows by the one fitted on all of train",
)
def provenance(case: Case, tally: Tally) -> None:
    if not _begin(case, tally):
        return
    tables = forecasts(case, case.small.built)
    bench = case.chain.bench(case.small.config, case.small.built, case.chain)
    tally.plan(len(tables))
    for name, table in tables.items():
        tally.compare(case.small_ends[name], PLANNED, [], [], reacted=True)
        tally.values += table.height * (len(table.columns) - len(KEYS))
        wrong = [*_of_bars(case, name, table), *_of_folds(name, table)]
        if name == "train":
            wrong += [found for fold in bench.folds for found in _of_fits(bench, fold)]
        for found in wrong:
            tally.add(case.small_ends[name], PLANNED, found)


def _of_bars(case: Case, name: str, table: pl.DataFrame) -> Iterator[Moved]:
    """Rows that are no bar of the split, a bar twice, or as of another moment than its close."""
    closes = closes_s(table, case.bar_interval_s)
    as_of = table["as_of"].dt.epoch("s").to_numpy()
    for i in np.flatnonzero(as_of != closes)[:1]:
        yield Moved(f"{name} as_of", int(closes[i]), moment(closes[i]), moment(as_of[i]))
    on = ["timestamp", "symbol"]
    strange = table.join(case.small.built.tables[name], on=on, how="anti")
    twice = table.filter(pl.struct(on).is_duplicated())
    for what, rows in (("of no bar", strange), ("twice", twice)):
        for at in closes_s(rows[:1], case.bar_interval_s):
            yield Moved(f"{name} rows {what}", int(at), "none", f"{rows.height:,}")


def _of_folds(name: str, table: pl.DataFrame) -> Iterator[Moved]:
    """Rows of another fold than their split has; folds that overlap in time."""
    stamps = table["timestamp"].dt.epoch("s").to_numpy()
    folds = table["fold"].to_numpy()
    wrong = (folds == WHOLE) if name == "train" else (folds != WHOLE)
    for i in np.flatnonzero(wrong)[:1]:
        expected = "out of fold" if name == "train" else f"fold {WHOLE}"
        yield Moved(f"{name} fold", int(stamps[i]), expected, f"fold {folds[i]}")
    back = np.flatnonzero(np.diff(folds[np.argsort(stamps, kind="stable")]) < 0)
    for i in back[:1]:
        yield Moved(f"{name} folds", int(np.sort(stamps)[i]), "blocks in time", "overlapping")


def _of_fits(bench: Bench, fold: FoldRows) -> Iterator[Moved]:
    """Fitted rows whose answer reaches into the block, or (in a k-fold, behind it) whose window
    looks at an answer of the block, by the labels themselves."""
    material = bench.material("train")
    looked = [_looked(bench, fold, own) for own in material.histories]
    block = [one[rows] for one, rows in zip(looked, fold.asked, strict=True) if len(rows)]
    if fold.number == WHOLE or not block:
        return
    at, _, end, known = np.concatenate(block).T
    begin, over = int(at.min()), int(end[known > 0].max(initial=0))
    for own, one, rows in zip(material.histories, looked, fold.fitted, strict=True):
        at, start, end, _ = one[rows].T
        after = at >= begin
        wrong = np.where(after, bench.causal | (start <= over), end >= begin)
        for i in np.flatnonzero(wrong)[:1]:
            yield Moved(
                f"fold {fold.number} fitted ({own.symbol})", begin,
                f"answers known before {moment(begin)}",
                f"{int(wrong.sum())} rows, {moment(int(at[i]))} first: up to {moment(int(end[i]))}",
            )  # fmt: skip


def _looked(bench: Bench, fold: FoldRows, own: History) -> Ints:
    """i64[T, 4] by bar: its start, the first and the last bar start that its row looks at, window
    and labels together, and whether any horizon has an answer."""
    stamps = own.bars.timestamps_s
    found = [label.of(own.symbol, own.bars) for label in bench.labels(fold)]
    first = stamps[np.maximum(np.arange(len(stamps)) - (bench.reach_bars - 1), 0)]
    start = np.min([first, *(one.start_s for one in found)], axis=0)
    end = np.max([one.end_s for one in found], axis=0)
    known = np.any([one.known for one in found], axis=0)
    return np.stack([stamps, start, end, known.astype(np.int64)], axis=1)
