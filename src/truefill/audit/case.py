"""What is audited: a config, the chain that runs it, and the short series cut out of its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.audit.chain import Chain, Specs
from truefill.audit.mutations import GOING, closes_s, differs, mutate
from truefill.audit.small_fit import Remembered, small_fit
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import TruefillError, UsageError
from truefill.data.inputs import Inputs
from truefill.data.splits import period_of
from truefill.features.base import Context
from truefill.features.build import BuiltDataset
from truefill.features.compute import RawFeatures

CANARY_BARS = 100
"""Bars after the warm-up on each of which the canary is cut."""
EARLY_BARS = 20_000
"""Where the first complete bar is looked for before the whole history is."""
SMALL_BARS = (400, 1_600, 6_400, 25_600)
"""Bars of the small dataset after its warm-up; the first on which no feature is dead is taken."""
SHARES = (0.6, 0.8)
"""Where validation and test begin among them."""


@dataclass(frozen=True)
class Small:
    """A small dataset of the config's own data, and the config that builds it."""

    config: Config
    inputs: Inputs
    built: BuiltDataset


class Case:
    """One audit. What checks share is made once.

    Args:
        scratch: an empty folder for short trainings.
        quick: fewer cuts.
    """

    def __init__(self, config: Config, chain: Chain, scratch: Path, *, quick: bool = False) -> None:
        self.config, self.scratch, self.quick = config, scratch, quick
        self.chain = replace(chain, forecast=Remembered(chain.forecast))
        self.interval_s = float(config.data.interval)
        """Of the bars that are read, and changed."""
        self.bar_interval_s = float(config.data.bar_interval)
        """Of the dataset's bars."""
        self._variants: dict[tuple[int, str], BuiltDataset | TruefillError | None] = {}

    @cached_property
    def specs(self) -> Specs:
        return self.chain.specify(self.config)

    @cached_property
    def inputs(self) -> Inputs:
        """All the data of the config, as they were read."""
        return self.chain.read(self.config, self.specs)

    def contexts(self, inputs: Inputs) -> Sequence[Context]:
        """What calculators are given of ``inputs``."""
        return self.chain.contexts(self.config, self.chain.prepare(self.config, inputs))

    def raw(self, inputs: Inputs) -> RawFeatures:
        """Every raw feature of ``inputs``."""
        return self.chain.raw(self.config, self.specs, self.chain.prepare(self.config, inputs))

    def build(self, config: Config, inputs: Inputs) -> BuiltDataset:
        """The dataset of ``inputs``."""
        return self.chain.dataset(config, self.specs, self.chain.prepare(config, inputs))

    def bars(self, config: Config, inputs: Inputs) -> pl.DataFrame:
        """The dataset's bars of ``inputs``: in the session, resampled."""
        return self.chain.bars(config, self.chain.prepare(config, inputs))

    @cached_property
    def warmup_bars(self) -> int:
        """Bars before the first that has every feature."""
        stops = self.config.market.atr_stops
        return max(*(s.warmup_bars for s in self.specs), 1, stops.period if stops else 0)

    @cached_property
    def complete_s(self) -> int:
        """Start of the first bar that has every feature."""
        table = self.inputs.bars.table
        first = table["symbol"][0]
        alone = table.filter(pl.col("symbol") == first)
        for bars in (EARLY_BARS + 2 * self.warmup_bars, alone.height):
            end = alone["timestamp"][min(bars, alone.height) - 1]
            early = self.only(pl.col("timestamp") <= end)
            raw = self.raw(early)
            whole = ~np.isnan(raw.values).any(axis=1) & ~raw.warming
            mine = (raw.table["symbol"] == first).to_numpy() & whole
            if mine.any():
                return int(_seconds(raw.table)[int(np.argmax(mine))])
        raise UsageError(f"no bar of {first} has every feature", where="features")

    @cached_property
    def canary(self) -> Inputs:
        """The warm-up and ``CANARY_BARS`` bars after it."""
        return self.window(self.complete_s, self.warmup_bars + 5, CANARY_BARS)

    def window(self, at_s: int, before: int, after: int) -> Inputs:
        """Inputs with the bars from ``before`` session bars before the one that starts at or after
        ``at_s`` to ``after`` bars after it (counted on the first symbol); series stay whole."""
        starts = self.session_starts
        at = int(np.searchsorted(starts, at_s))
        low, high = starts[max(at - before, 0)], starts[min(at + after, len(starts) - 1)]
        stamp = pl.col("timestamp").dt.epoch("s")
        return self.only((stamp >= int(low)) & (stamp <= int(high)))

    @cached_property
    def small_ends(self) -> dict[str, int]:
        """By split of the small dataset: the close of its last bar."""
        return ends_s(self, self.small.config, self.small.inputs)

    def only(self, rows: pl.Expr) -> Inputs:
        """Inputs with these bars alone."""
        bars = replace(self.inputs.bars, table=self.inputs.bars.table.filter(rows))
        return replace(self.inputs, bars=bars)

    @cached_property
    def session_starts(self) -> npt.NDArray[np.int64]:
        """Bar starts of the first symbol inside the session."""
        bars = self.contexts(self.only(self._first_symbol))
        return bars[0].timestamps_s

    @property
    def _first_symbol(self) -> pl.Expr:
        return pl.col("symbol").eq(self.inputs.bars.table["symbol"][0])

    @cached_property
    def small(self) -> Small:
        """The smallest dataset that can be built of the config's own data, and forecast.

        Raises the error of the largest one where none can.
        """
        sizes = [n for n in self._sizes if n < len(self.session_starts)]
        for bars in sizes:
            try:
                return self._small(bars)
            except TruefillError:  # too short: a feature is constant there, or a split is empty
                continue
        config = quickly_fitted(self.config)
        return Small(config, self.inputs, self.build(config, self.inputs))

    @property
    def _sizes(self) -> list[int]:
        """Bars of small datasets; a split's first window has no forecast."""
        asked = self.config.forecast
        more = 0 if asked is None else round(asked.window_bars / (1.0 - SHARES[-1]))
        return [bars + more for bars in SMALL_BARS]

    def changed(self, inputs: Inputs, cut_s: int, how: str) -> Inputs:
        """``inputs`` with all that follows the cut changed.

        Resampled bars are closed once a later bar shows that their time has passed; so where rows
        go, the last one stays, or the data would be those of a moment before the cut.
        """
        new = mutate(inputs, cut_s, how, self.interval_s)
        if self.config.data.resample is None or how not in GOING:
            return new
        table = inputs.bars.table
        late = pl.Series(closes_s(table, self.interval_s) > cut_s)
        last = table.filter(late).group_by("symbol", maintain_order=True).tail(1)
        rows = pl.concat([new.bars.table, last.select(new.bars.table.columns)])
        rows = rows.unique(["symbol", "timestamp"]).sort("symbol", "timestamp")
        return replace(new, bars=replace(new.bars, table=rows))

    def variant(self, cut_s: int, how: str) -> BuiltDataset | TruefillError | None:
        """The small dataset with all that follows the cut changed, or why that was refused; None
        where the change is none."""
        key = (cut_s, how)
        if key not in self._variants:
            changed = self.changed(self.small.inputs, cut_s, how)
            try:
                same = not differs(self.small.inputs, changed)
                self._variants[key] = None if same else self.build(self.small.config, changed)
            except TruefillError as error:
                self._variants[key] = error
        return self._variants[key]

    def reaches(self, built: BuiltDataset) -> bool:
        """Whether a changed small dataset holds any other rows than the real one."""
        mine = self.small.built.tables
        return any(not table.equals(mine[name]) for name, table in built.tables.items())

    def _small(self, bars: int) -> Small:
        inputs = self.window(self.complete_s, self.warmup_bars + 5, bars)
        table = self.bars(self.config, inputs)
        edges = _borders(table, self.complete_s, self.bar_interval_s)
        config = with_splits(quickly_fitted(self.config), edges)
        built = self.build(config, inputs)
        self.chain.forecast(config, built, self.chain)
        return Small(config, inputs, built)


def quickly_fitted(config: Config) -> Config:
    """``config`` with forecasters that are fitted in seconds."""
    if config.forecast is None:
        return config
    return config.model_copy(update={"forecast": small_fit(config.forecast)})


def with_splits(config: Config, edges: Sequence[int]) -> Config:
    """``config`` with train, validation and test between these four moments (unix seconds), and a
    training that takes seconds."""
    stamps = [np.datetime_as_string(np.datetime64(edge, "s"), timezone="UTC") for edge in edges]
    tree = config.model_dump(mode="json")
    tree["data"]["splits"] = {
        name: {"start": start, "end": end}
        for name, start, end in zip(
            ("train", "validation", "test"), stamps[:-1], stamps[1:], strict=True
        )
    }
    tree["data"]["folds"] = None  # given in bars, of splits that are longer
    return parse_config(tree, where="audit")


def _borders(bars: pl.DataFrame, first_s: int, interval_s: float) -> list[int]:
    """First bar, where validation and test begin, and the end."""
    starts = np.unique(_seconds(bars))
    starts = starts[starts >= first_s]
    inner = [int(starts[int(share * len(starts))]) for share in SHARES]
    return [int(starts[0]), *inner, int(starts[-1] + interval_s)]


def ends_s(case: Case, config: Config, inputs: Inputs) -> dict[str, int]:
    """By split: its end, or the close of its last bar where that is later: all of it is known."""
    starts = _seconds(case.bars(config, inputs))
    out = {}
    for name in ("train", "validation", "test"):
        period = period_of(config.data.splits, name)
        own = (starts >= period.start.timestamp()) & (starts < period.end.timestamp())
        last = int(starts[own].max() + round(case.bar_interval_s))
        out[name] = max(last, round(period.end.timestamp()))  # more rows could come until then
    return out


def _seconds(table: pl.DataFrame) -> npt.NDArray[np.int64]:
    return table["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
