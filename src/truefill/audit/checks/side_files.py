"""Files beside the bars: payments, exchange rates and finer bars, which the market reads by itself.

The moments of payments are known ahead, so only their values are changed; finer bars must stay
inside their bars, so they are taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import polars as pl

from truefill.audit.case import Case
from truefill.audit.checks.dataset import rows
from truefill.audit.cuts import dataset_cuts, some
from truefill.audit.mutations import closes_s
from truefill.audit.registry import Tally, audit
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.config.sources import BarsFile, RateFile
from truefill.core.errors import TruefillError
from truefill.data.read import read_bars, read_event_rows

CUTS = 6
Later = tuple[str, int, pl.DataFrame, Any, dict[str, Any]]
"""Section of ``data``, number of the file in it, its rows, [n] i64 when each is known, and what its
entry in the config then says."""


@audit(
    "dataset/side files",
    stage="dataset",
    proves="payments, exchange rates and finer bars from after a cut move no row at or before it",
)
def side_files(case: Case, tally: Tally) -> None:
    found = list(_files(case.small.config))
    if not found:
        tally.absent = "there are no files of payments, exchange rates or finer bars"
        return
    folder, config = Path(mkdtemp(dir=case.scratch)), case.small.config
    cuts = some(dataset_cuts(case), 2 if case.quick else CUTS)
    tally.plan(len(cuts) * len(found))
    before = rows(case, config, case.small.built, case.small_ends)
    for cut in cuts:
        for section, number, table, known, entry in found:
            late = known > cut
            how = f"{section}.{number} changed"
            if not late.any():
                tally.skip(how)
                continue
            path = folder / "changed.parquet"
            _changed(section, table, late, cut).write_parquet(path)
            try:
                built = case.build(_with(config, section, number, path, entry), case.small.inputs)
            except TruefillError as error:
                tally.refuse(cut, how, error)
                continue
            after = rows(case, config, built, case.small_ends)
            tally.compare(cut, how, before, after, reacted=case.reaches(built))


def _files(config: Config) -> Iterator[Later]:
    data = config.data
    for i, source in enumerate(data.events):
        table, _ = read_event_rows(source)
        table = table.select("timestamp", "symbol", pl.col("value").alias(source.column))
        entry: dict[str, Any] = {"symbol": None, "timestamp": "timestamp", "timezone": "UTC"}
        yield "events", i, table, closes_s(table, 0.0), entry
    for i, rate in enumerate(data.exchange_rates):
        table, _ = read_bars(_as_bars(rate), interval_s=data.interval, needs_volume=False)
        known = closes_s(table, data.interval)
        entry = {"columns": {}, "timezone": "UTC"}
        yield "exchange_rates", i, table.drop("symbol"), known, entry
    for i, finer in enumerate(data.finer_bars):
        assert data.finer_interval is not None
        table, _ = read_bars(finer, interval_s=data.finer_interval, needs_volume=False)
        known = closes_s(table, data.finer_interval)
        entry = {"symbol": None, "columns": {}, "timezone": "UTC"}
        yield "finer_bars", i, table, known, entry


def _as_bars(rate: RateFile) -> BarsFile:
    return BarsFile(
        path=rate.path,
        symbol=rate.path.stem,
        columns=rate.columns,
        timezone=rate.timezone,
        timestamp_unit=rate.timestamp_unit,
    )


def _changed(section: str, table: pl.DataFrame, late: Any, cut_s: int) -> pl.DataFrame:
    """Later finer bars gone (every second of them); every later number of others another one."""
    rng = np.random.default_rng([abs(cut_s), len(section)])
    if section == "finer_bars":
        return table.filter(pl.Series(~(late & (np.cumsum(late) % 2 == 1))))
    scale = np.where(late, np.exp(0.2 * rng.standard_normal(len(late))), 1.0)
    numbers = [name for name, kind in table.schema.items() if kind.is_float()]
    return table.with_columns(pl.Series(n, table[n].to_numpy() * scale) for n in numbers)


def _with(config: Config, section: str, number: int, path: Path, entry: dict[str, Any]) -> Config:
    """The config with another file in the place of this one."""
    tree = config.model_dump(mode="json")
    old = tree["data"][section][number]
    entry = {key: value for key, value in entry.items() if key in old}
    tree["data"][section][number] = old | entry | {"path": str(path)}
    return parse_config(tree, where="audit")
