"""The forecasts of all units of a split, put together: rows in the order of folds, then symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from truefill.core.errors import ArtifactError, DataError
from truefill.core.files import read_parquet
from truefill.data.split import SplitArrays
from truefill.forecast.baselines.base import Forecast, History
from truefill.forecast.columns import from_columns, to_columns
from truefill.forecast.compare import Outcomes
from truefill.forecast.ensemble import Answers, mean_of
from truefill.forecast.labels.base import Floats, Ints
from truefill.forecast.material import closes_s
from truefill.forecast.protocol import WHOLE, FoldRows
from truefill.forecast.scores import Kind
from truefill.forecast.units import BASELINES, Unit, kind_of, member_of, units_of
from truefill.pipeline.forecast_units import FOLDER, FORECAST, Bench, moments, read_facts, spread_of

Tables = Mapping[Unit, pl.DataFrame]


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
        """f64[T, S] on the split's time axis; 0 where there is no forecast."""
        out = np.zeros(split.present.shape)
        at = np.searchsorted(split.timestamps_s, self.timestamps_s)
        names = {name: s for s, name in enumerate(split.symbols)}
        sizes = [len(own.rows) for own in self.histories]
        out[at, np.repeat([names[own.symbol] for own in self.histories], sizes)] = values
        return out


def gather(bench: Bench, folder: Path, split: str, tables: Tables | None = None) -> Gathered:
    """The forecasts of a split, from the units' files, or from ``tables`` where these are given.

    Raises:
        ArtifactError: a unit's rows are not those of the plan.
        DataError: ``duplicate_forecast``: two members say exactly the same.
    """
    folds = [fold for fold in bench.folds if (fold.number == WHOLE) != (split == "train")]
    asked = tuple((fold, bench.asked(fold, split)) for fold in folds)
    config = bench.config
    forecasts: dict[int, dict[str, Forecast]] = {}
    baselines: dict[int, dict[Kind, dict[str, Forecast]]] = {}
    units = [unit for unit in units_of(config) if unit.fold in [fold.number for fold in folds]]
    if split == "train":
        units = [unit for unit in units if unit.member in (*config.used, BASELINES)]
    for head in range(len(bench.horizons)):
        mine = [unit for unit in units if head in unit.heads]
        for name in dict.fromkeys(u.member for u in mine if u.member != BASELINES):
            own = [unit for unit in mine if unit.member == name]
            found = _joined(bench, folder, own, asked, head, tables)
            forecasts.setdefault(head, {})[name] = found
        own = [unit for unit in mine if unit.member == BASELINES]
        baselines[head] = _baselines(bench, folder, own, asked, head, tables)
    _require_different(forecasts, split)
    spread = {
        head: np.concatenate(
            [
                np.full(
                    sum(len(own.rows) for own in histories),
                    spread_of(bench.labels(rows)[head], bench, rows),
                )
                for rows, histories in asked
            ]
        )
        for head in range(len(bench.horizons))
    }
    return Gathered(bench, split, asked, forecasts, baselines, spread)


def _joined(
    bench: Bench,
    folder: Path,
    units: Sequence[Unit],
    asked: Sequence[tuple[FoldRows, tuple[History, ...]]],
    head: int,
    tables: Tables | None,
) -> Forecast:
    """One member's forecasts of one head: the mean of its seeds, fold after fold."""
    kind = kind_of(bench.config, member_of(bench.config, units[0].member))
    parts = []
    for rows, histories in asked:
        seeds = []
        for unit in units:
            if unit.fold == rows.number:
                table = _table(bench, folder, unit, histories, tables)
                spread = _spread(bench, folder, unit, head)
                columns = {name: table[name].to_numpy() for name in table.columns}
                seeds.append(from_columns(bench.horizons[head], columns, kind, spread))
        parts.append(mean_of(seeds, kind))
    return concatenated(parts)


def _baselines(
    bench: Bench,
    folder: Path,
    units: Sequence[Unit],
    asked: Sequence[tuple[FoldRows, tuple[History, ...]]],
    head: int,
    tables: Tables | None,
) -> dict[Kind, dict[str, Forecast]]:
    """By kind and name."""
    found: dict[tuple[Kind, str], list[Forecast]] = {}
    for rows, histories in asked:
        unit = next(unit for unit in units if unit.fold == rows.number)
        table = _read(bench, folder, unit, tables)
        spread = _spread(bench, folder, unit, head)
        for key, part in table.group_by(["kind", "forecaster"], maintain_order=True):
            kind, name = key
            _require_rows(part, histories, unit.path(bench.horizons))
            columns = {n: part[n].to_numpy() for n in part.columns if not part[n].is_null().any()}
            forecast = from_columns(bench.horizons[head], columns, kind, spread)  # type: ignore[arg-type]
            found.setdefault((kind, str(name)), []).append(forecast)  # type: ignore[arg-type]
    out: dict[Kind, dict[str, Forecast]] = {}
    for (kind, name), parts in found.items():
        out.setdefault(kind, {})[name] = concatenated(parts)
    return out


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


def _read(bench: Bench, folder: Path, unit: Unit, tables: Tables | None) -> pl.DataFrame:
    if tables is not None:
        return tables[unit]
    return read_parquet(folder / FOLDER / unit.path(bench.horizons) / FORECAST)


def _table(
    bench: Bench, folder: Path, unit: Unit, histories: Sequence[History], tables: Tables | None
) -> pl.DataFrame:
    table = _read(bench, folder, unit, tables)
    _require_rows(table, histories, unit.path(bench.horizons))
    return table


def _spread(bench: Bench, folder: Path, unit: Unit, head: int) -> float:
    facts = read_facts(folder / FOLDER / unit.path(bench.horizons))
    return float(facts["spread"][str(bench.horizons[head])])


def _require_rows(table: pl.DataFrame, histories: Sequence[History], where: str) -> None:
    """Refuse a table of other rows than were asked."""
    stamps = np.concatenate([own.bars.timestamps_s[own.rows] for own in histories])
    found = table["timestamp"].dt.epoch("s").to_numpy()
    if len(found) != len(stamps) or not np.array_equal(found, stamps):
        raise ArtifactError(
            f"holds {len(found):,} rows that are not the {len(stamps):,} of the plan",
            where=f"{FOLDER}/{where}/{FORECAST}",
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
