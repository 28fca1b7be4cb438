"""Bars: what reading, mending and resampling make of the past does not depend on what follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import polars as pl

from truefill.audit.case import Case
from truefill.audit.cuts import every_cut, some
from truefill.audit.evidence import Timed
from truefill.audit.files import series_of, write_series
from truefill.audit.mutations import FINITE, closes_s, differs
from truefill.audit.registry import Tally, audit, sweep
from truefill.config.defects import RULES
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import TruefillError
from truefill.data.inputs import Inputs

READ_CUTS = 100
"""Cuts, at most; rules that mend take turns at them."""
FLAT_BARS = 40
Plant = Callable[[pl.DataFrame, int], pl.DataFrame]


def bars_of(table: pl.DataFrame, interval_s: float) -> list[Timed]:
    """Every column of every symbol's bars, with the stamps that say which bars there are."""
    out = []
    for part in table.partition_by("symbol", maintain_order=True):
        closes = closes_s(part, interval_s)
        for name in part.columns:
            values = part[name]
            if name == "symbol":
                continue
            if name == "timestamp":
                values = values.dt.epoch("s")
            out.append(Timed(f"{name} ({part['symbol'][0]})", closes, values.to_numpy()))
    return out


@audit(
    "bars/prepared",
    stage="bars",
    proves="mended and resampled bars follow from what had closed: which there are, and every "
    "value in them",
)
def prepared(case: Case, tally: Tally) -> None:
    def produce(inputs: Inputs) -> list[Timed]:
        return bars_of(case.bars(case.config, inputs), case.bar_interval_s)

    cuts = every_cut(case, case.canary, case.warmup_bars, few=False)
    sweep(case, tally, case.canary, produce, cuts, FINITE)


@audit(
    "bars/read",
    stage="bars",
    proves="reading bars and slow series from their files gives the same past whatever their later "
    "rows are, with each repair of the config at work on a defect right before the cut",
)
def read(case: Case, tally: Tally) -> None:
    if case.config.data.synthetic is not None:
        tally.absent = "a synthetic market: no file is read"
        return
    mended = [rule for rule, mode in case.config.data.defects.items() if mode == "repair"]
    rules = [rule for rule in mended if rule in PLANTS]
    unplanted = sorted(set(mended) - set(rules))
    if unplanted:
        tally.notes.append(f"repairs without a planted defect: {', '.join(unplanted)}")
    folder = Path(mkdtemp(dir=case.scratch))
    closes = np.unique(closes_s(case.canary.bars.table, case.interval_s))
    closes = closes[len(closes) // 4 : -1]
    cuts = some(closes, 4 * max(len(rules), 1)) if case.quick else some(closes, READ_CUTS)
    tally.plan(len(cuts) * len(FINITE))
    for number, cut in enumerate(cuts):
        rule = rules[number % len(rules)] if rules else None
        before = _read_back(case, case.canary, cut, rule, folder)
        for how in FINITE:
            changed = case.changed(case.canary, cut, how)
            if not differs(case.canary, changed):
                tally.skip(how)
                continue
            try:
                after = _read_back(case, changed, cut, rule, folder)
            except TruefillError as error:
                tally.refuse(cut, how, error)
                continue
            tally.compare(cut, how, before, after)


def _read_back(
    case: Case, inputs: Inputs, cut_s: int, rule: str | None, folder: Path
) -> list[Timed]:
    """``inputs`` through files and the chain's own reading, with a defect of this rule in the last
    bars before the cut: there a repair that looks ahead is seen."""
    path = folder / "bars.parquet"
    table = inputs.bars.table
    if rule is not None:
        first = table.filter(pl.col("symbol") == table["symbol"][0])
        known = int((closes_s(first, case.interval_s) <= cut_s).sum())
        plant, rows = PLANTS[rule]
        table = pl.concat([plant(table[:known], max(known - rows, 0)), table[known:]])
    table.write_parquet(path)
    series = write_series(case.config, inputs, cut_s, folder)
    found = case.chain.read(_from_files(case.config, path, series), case.specs)
    return [*bars_of(found.bars.table, case.interval_s), *series_of(found)]


def _from_files(config: Config, path: Path, series: list[dict[str, Any]]) -> Config:
    """The config with this one file of bars and these of slow series, refusing as little as can
    be."""
    tree = config.model_dump(mode="json")
    warned = {name: "warn" for name, rule in RULES.items() if "warn" in rule.modes}
    mended = {k: mode for k, mode in config.data.defects.items() if mode == "repair"}
    signs = any(entry["non_positive_prices"] for entry in tree["data"]["bars"])
    tree["data"].update(
        bars=[{"path": str(path), "non_positive_prices": signs}],
        series=series,
        releases=[],
        defects=warned | mended,
    )
    return parse_config(tree, where="audit")


def _set(column: str, value: float) -> Plant:
    def plant(table: pl.DataFrame, row: int) -> pl.DataFrame:
        here = pl.int_range(pl.len()) == row
        return table.with_columns(
            pl.when(here).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
        )

    return plant


def _twice(table: pl.DataFrame, row: int) -> pl.DataFrame:
    return pl.concat([table[: row + 1], table[row : row + 1], table[row + 1 :]])


def _swapped(table: pl.DataFrame, row: int) -> pl.DataFrame:
    one, other = table[row : row + 1], table[row + 1 : row + 2]
    return pl.concat([table[:row], other, one, table[row + 2 :]])


def _frozen(table: pl.DataFrame, row: int) -> pl.DataFrame:
    """A stretch of flat bars without volume."""
    here = pl.int_range(pl.len()).is_between(row, row + FLAT_BARS)
    price = table["close"][row]
    flat = {name: price for name in ("open", "high", "low", "close")} | {"volume": 0.0}
    return table.with_columns(
        pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in flat.items()
    )


PLANTS: dict[str, tuple[Plant, int]] = {
    "not_a_number": (_set("close", float("nan")), 1),
    "non_positive_price": (_set("low", 0.0), 1),
    "high_below_low": (_set("high", 1e-9), 1),
    "open_outside_range": (_set("open", 1e9), 1),
    "close_outside_range": (_set("close", 1e9), 1),
    "negative_volume": (_set("volume", -1.0), 1),
    "duplicate_row": (_twice, 1),
    "unsorted": (_swapped, 2),
    "frozen_session": (_frozen, FLAT_BARS + 1),
}
"""Rule -> how its defect is planted at a row, and over how many rows it goes."""
