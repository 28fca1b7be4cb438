"""The forecasts of all units of a split, put together: rows in the order of folds, then symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from truefill.core.errors import ArtifactError, DataError
from truefill.data.split import SplitArrays
from truefill.forecast.baselines.base import Forecast, History
from truefill.forecast.bench import Bench
from truefill.forecast.columns import from_columns, to_columns
from truefill.forecast.compare import Outcomes, traded_label
from truefill.forecast.ensemble import Answers, mean_of
from truefill.forecast.labels.base import Floats, Ints
from truefill.forecast.material import closes_s
from truefill.forecast.protocol import WHOLE, FoldRows
from truefill.forecast.scores import Kind
from truefill.forecast.unit import CONTAMINATED, moments, spread_of
from truefill.forecast.units import BASELINES, Unit, kind_of, kinds_of, member_of, units_of

Read = Callable[[Unit], pl.DataFrame]
"""Gives a unit's table."""


@dataclass(frozen=True)
class Gathered:
    """One split, n rows. ``timestamps_s``, ``fold``: i64[n]; ``symbols``: [n]; ``as_of_s`` i64[n].
    ``forecasts[head][name]`` in units of the label, ``baselines[head][kind][name]``; ``spread``:
    by head f64[n], the label's standard deviation on the rows that the row's fold was fitted on."""

    bench: Bench
    split: str
    asked: tuple[tuple[FoldRows, tuple[History, ...]], ...]
    forecasts: Mapping[int, Mapping[str, Forecast]]
    baselines: Mapping[int, Mapping[Kind, Mapping[str, Forecast]]]
    spread: Mapping[int, Floats]
    contaminated: Mapping[str, int]
    """Rows that a pretrained member may have seen, by member."""

    @property
    def histories(self) -> list[History]:
        """Every fold's, in the order of rows."""
        return [own for _, histories in self.asked for own in histories]

    @property
    def timestamps_s(self) -> Ints:
        return np.concatenate([own.bars.timestamps_s[own.rows] for own in self.histories])

    @property
    def fold(self) -> Ints:
        sizes = [sum(len(own.rows) for own in histories) for _, histories in self.asked]
        return np.repeat([rows.number for rows, _ in self.asked], sizes)

    def index(self) -> pl.DataFrame:
        """timestamp, symbol, as_of, fold of every row."""
        sizes = [len(own.rows) for own in self.histories]
        material = self.bench.material("train")
        return pl.DataFrame(
            {
                "timestamp": moments(self.timestamps_s),
                "symbol": np.repeat([own.symbol for own in self.histories], sizes),
                "as_of": moments(closes_s(self.histories, material.interval_s)),
                "fold": self.fold,
            }
        )

    def table(self, head: int, forecast: Forecast, kind: Kind) -> dict[str, Floats]:
        """The columns of one head's forecast."""
        return to_columns(self.bench.horizons[head], forecast, kind, self.spread[head])

    def outcomes(self, head: int) -> Outcomes:
        """What came of every row, by the labels of its fold."""
        parts = [
            Outcomes.of(self.bench.labels(rows)[head], histories) for rows, histories in self.asked
        ]
        return Outcomes(
            np.concatenate([one.value for one in parts]),
            np.concatenate([one.traded for one in parts]),
            np.concatenate([one.at_s for one in parts]),
            parts[0].horizon,
        )

    def answers(self, head: int, kind: Kind, reach_bars: int) -> Answers:
        """The outcomes with what they looked at, for the ensemble."""
        starts, ends = [], []
        for rows, histories in self.asked:
            label = self.bench.labels(rows)[head]
            if kind == "position":  # held to the return that can be traded, which ends later
                label = traded_label(label.horizon)
            for own in histories:
                found, stamps = label.of(own.symbol, own.bars), own.bars.timestamps_s
                reach = stamps[np.maximum(own.rows - (reach_bars - 1), 0)]
                starts.append(np.minimum(reach, found.start_s[own.rows]))
                ends.append(found.end_s[own.rows])
        outcomes = self.outcomes(head)
        return Answers(
            value=outcomes.traded if kind == "position" else outcomes.value,
            at_s=outcomes.at_s,
            start_s=np.concatenate(starts),
            end_s=np.concatenate(ends),
            fold=self.fold,
        )

    def grid(self, split: SplitArrays, values: Floats) -> Floats:
        """f64[T, S] on the split's time axis; NaN where there is no forecast."""
        out = np.full(split.present.shape, np.nan)
        at = np.searchsorted(split.timestamps_s, self.timestamps_s)
        names = {name: s for s, name in enumerate(split.symbols)}
        sizes = [len(own.rows) for own in self.histories]
        out[at, np.repeat([names[own.symbol] for own in self.histories], sizes)] = values
        return out


def gather(bench: Bench, split: str, read: Read) -> Gathered:
    """The forecasts of a split, from the units' tables.

    Raises:
        ArtifactError: a unit's rows are not those of the plan.
        DataError: ``duplicate_forecast``: two members say exactly the same.
    """
    folds = [fold for fold in bench.folds if (fold.number == WHOLE) != (split == "train")]
    asked = tuple((fold, bench.asked(fold, split)) for fold in folds)
    numbers = [fold.number for fold in folds]
    known = (*bench.config.used, BASELINES) if split == "train" else None
    units = [
        unit
        for unit in units_of(bench.config)
        if unit.fold in numbers and (known is None or unit.member in known)
    ]
    heads = range(len(bench.horizons))
    forecasts: dict[int, dict[str, Forecast]] = {}
    for head in heads:
        for name in dict.fromkeys(unit.member for unit in units if unit.member != BASELINES):
            own = [unit for unit in units if unit.member == name and head in unit.heads]
            forecasts.setdefault(head, {})[name] = _joined(bench, own, asked, head, read)
    _require_different(forecasts, split)
    baselines = {
        head: _baselines(
            bench,
            [u for u in units if u.member == BASELINES and head in u.heads],
            asked,
            head,
            read,
        )
        for head in heads
    }
    spread = {head: _spreads(bench, asked, head) for head in heads}
    seen: dict[str, int] = {}
    for unit in units:
        table = read(unit)
        if CONTAMINATED in table.columns:
            seen[unit.member] = max(seen.get(unit.member, 0), int(table[CONTAMINATED].sum()))
    return Gathered(bench, split, asked, forecasts, baselines, spread, seen)


Asked = Sequence[tuple[FoldRows, tuple[History, ...]]]


def _spreads(bench: Bench, asked: Asked, head: int) -> Floats:
    """By row, the label's standard deviation on what its fold was fitted on."""
    sizes = [sum(len(own.rows) for own in histories) for _, histories in asked]
    return np.repeat([spread_of(bench, rows.number, head) for rows, _ in asked], sizes)


def _joined(bench: Bench, units: Sequence[Unit], asked: Asked, head: int, read: Read) -> Forecast:
    """One member's forecasts of one head: the mean of its seeds, fold after fold."""
    kind = kind_of(bench.config, member_of(bench.config, units[0].member))
    parts = []
    for rows, histories in asked:
        spread = spread_of(bench, rows.number, head)
        seeds = []
        for unit in units:
            if unit.fold == rows.number:
                table = read(unit)
                _require_rows(table, histories, unit.path(bench.horizons))
                columns = {name: table[name].to_numpy() for name in table.columns}
                seeds.append(from_columns(bench.horizons[head], columns, kind, spread))
        parts.append(mean_of(seeds, kind))
    return concatenated(parts)


def _baselines(
    bench: Bench, units: Sequence[Unit], asked: Asked, head: int, read: Read
) -> dict[Kind, dict[str, Forecast]]:
    """By kind and name."""
    out: dict[Kind, dict[str, list[Forecast]]] = {kind: {} for kind in kinds_of(bench.config)}
    for rows, histories in asked:
        unit = next(unit for unit in units if unit.fold == rows.number)
        table, spread = read(unit), spread_of(bench, rows.number, head)
        for kind, found in out.items():
            mine = table.filter(pl.col("kind") == kind)
            for name in mine["forecaster"].unique(maintain_order=True):
                part = mine.filter(pl.col("forecaster") == name)
                _require_rows(part, histories, unit.path(bench.horizons))
                told = [n for n in part.columns if not part[n].is_null().any()]
                columns = {n: part[n].to_numpy() for n in told}
                forecast = from_columns(bench.horizons[head], columns, kind, spread)
                found.setdefault(name, []).append(forecast)
    return {
        kind: {name: concatenated(parts) for name, parts in found.items()}
        for kind, found in out.items()
    }


def concatenated(parts: Sequence[Forecast]) -> Forecast:
    """Forecasts one after another."""
    shares = [one.probability for one in parts if one.probability is not None]
    extra = {
        name: np.concatenate([one.extra[name] for one in parts])
        for name in parts[0].extra
        if all(name in one.extra for one in parts)
    }
    value = np.concatenate([one.value for one in parts])
    return Forecast(value, np.concatenate(shares) if shares else None, extra)


def _require_rows(table: pl.DataFrame, histories: Sequence[History], where: str) -> None:
    """Refuse a table of other rows than were asked."""
    stamps = np.concatenate([own.bars.timestamps_s[own.rows] for own in histories])
    found = table["timestamp"].dt.epoch("s").to_numpy()
    if len(found) != len(stamps) or not np.array_equal(found, stamps):
        raise ArtifactError(
            f"holds {len(found):,} rows that are not the {len(stamps):,} of the plan",
            where=f"forecast/{where}",
            do="run with --fresh",
        )


def _require_different(forecasts: Mapping[int, Mapping[str, Forecast]], split: str) -> None:
    """Refuse two members that say exactly the same."""
    for by_name in forecasts.values():
        seen: dict[bytes, str] = {}
        for name, forecast in by_name.items():
            said = forecast.value if forecast.probability is None else forecast.probability
            other = seen.setdefault(said.tobytes(), name)
            if other != name:
                raise DataError(
                    "duplicate_forecast",
                    f"{other} and {name} forecast exactly the same of {split}",
                    where="forecast.members",
                    do="leave one of them out",
                )
