"""Bars: what reading, mending and resampling make of the past does not depend on what follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import polars as pl

from truefill.audit.case import Case
from truefill.audit.cuts import every_cut, some
from truefill.audit.evidence import Timed
from truefill.audit.mutations import FINITE, closes_s, mutate
from truefill.audit.registry import Tally, audit, sweep
from truefill.config.defects import RULES
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import TruefillError
from truefill.data.inputs import Inputs

READ_CUTS = 16
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
    sweep(tally, case.canary, produce, cuts, FINITE, case.interval_s)


@audit(
    "bars/read",
    stage="bars",
    proves="reading a file, with every repair that the config allows at work on planted defects, "
    "gives the same past whatever its later rows are",
)
def read(case: Case, tally: Tally) -> None:
    if case.config.data.synthetic is not None:
        tally.notes.append("a synthetic market: no file is read")
        return
    mended = [rule for rule, mode in case.config.data.defects.items() if mode == "repair"]
    plants = {rule: PLANTS[rule] for rule in mended if rule in PLANTS}
    unplanted = sorted(set(mended) - set(plants))
    if unplanted:
        tally.notes.append(f"repairs without a planted defect: {', '.join(unplanted)}")
    folder = Path(mkdtemp(dir=case.scratch))
    table = case.canary.bars.table
    closes = np.unique(closes_s(table, case.interval_s))[:-1]
    cuts = some(closes[len(closes) // 4 :], 4 if case.quick else READ_CUTS)
    tally.plan(len(cuts) * len(FINITE))
    before = _read_back(case, _planted(table, plants), folder)
    for cut in cuts:
        for how in FINITE:
            changed = mutate(case.canary, cut, how, case.interval_s).bars.table
            try:
                after = _read_back(case, _planted(changed, plants), folder)
            except TruefillError as error:
                tally.refuse(how, error)
                continue
            tally.compare(cut, how, before, after)


def _read_back(case: Case, table: pl.DataFrame, folder: Path) -> list[Timed]:
    """``table`` through a file and the chain's own reading."""
    path = folder / "bars.parquet"
    table.write_parquet(path)
    inputs = case.chain.read(_from_file(case.config, path), case.specs)
    return bars_of(inputs.bars.table, case.interval_s)


def _from_file(config: Config, path: Path) -> Config:
    """The config with this one file of bars and nothing beside it, refusing as little as can be."""
    tree = config.model_dump(mode="json")
    warned = {name: "warn" for name, rule in RULES.items() if "warn" in rule.modes}
    mended = {k: mode for k, mode in config.data.defects.items() if mode == "repair"}
    signs = any(entry["non_positive_prices"] for entry in tree["data"]["bars"])
    tree["data"].update(
        bars=[{"path": str(path), "non_positive_prices": signs}],
        series=[],
        releases=[],
        defects=warned | mended,
    )
    return parse_config(tree, where="audit")


def _planted(table: pl.DataFrame, plants: dict[str, Plant]) -> pl.DataFrame:
    """``table`` with one defect of each kind in its first quarter, where nothing is cut."""
    at = 5
    for plant in plants.values():
        table, at = plant(table, at), at + 3
    return table


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


PLANTS: dict[str, Plant] = {
    "not_a_number": _set("close", float("nan")),
    "non_positive_price": _set("low", 0.0),
    "high_below_low": _set("high", 1e-9),
    "open_outside_range": _set("open", 1e9),
    "close_outside_range": _set("close", 1e9),
    "negative_volume": _set("volume", -1.0),
    "duplicate_row": _twice,
    "unsorted": _swapped,
    "frozen_session": _frozen,
}
"""Rule -> how its defect is planted at a row."""
