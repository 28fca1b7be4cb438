"""Forecasts that need no features: the last answer, the drift, the most frequent class, and the
label's own random walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from truefill.core.registry import Params
from truefill.forecast.baselines.base import Forecast, History, Train, forecaster
from truefill.forecast.labels.base import FittedLabel, Floats, Labels, Walk


class LastValueParams(Params):
    """The newest answer that is known by now; where there is none, what is most frequent (the
    mean)."""


@dataclass(frozen=True)
class LastValue:
    label: FittedLabel
    table: Floats
    """f64[classes, classes]: shares of the classes after each last one; of a quantity [1, 1]: its
    mean."""
    usual: Floats

    def predict(self, histories: Sequence[History]) -> Forecast:
        last = np.concatenate([last_known(self.label, own) for own in histories])
        there = np.isfinite(last)
        if not self.label.classes:
            return Forecast(np.where(there, last, self.usual[0]))
        usual = float(self.usual.argmax())
        klass = np.where(there, last, usual)
        probability = np.where(there[:, None], self.table[klass.astype(np.int64)], self.usual)
        return Forecast(klass, probability)


@forecaster("last_value", LastValueParams)
def last_value(p: LastValueParams, train: Train) -> LastValue:
    """Its probabilities are the train shares of the classes after each last one (add-one
    smoothed)."""
    if not train.label.classes:
        return LastValue(train.label, np.zeros((1, 1)), np.array([train.answers.mean()]))
    last = np.concatenate([last_known(train.label, own) for own in train.histories])
    there = np.isfinite(last)
    table = np.ones((train.label.classes, train.label.classes))
    np.add.at(table, (last[there].astype(np.int64), train.answers[there].astype(np.int64)), 1.0)
    return LastValue(train.label, table / table.sum(axis=1, keepdims=True), train.frequencies())


def last_known(label: FittedLabel, own: History) -> Floats:
    """f64[n]: at each row the newest label that is settled by the row's close; NaN where there is
    none yet."""
    found: Labels = label.of(own.symbol, own.bars)
    rows = np.flatnonzero(found.known)
    at = np.searchsorted(found.settled_s[rows], own.bars.timestamps_s[own.rows], side="right")
    out = np.full(len(own.rows), np.nan)
    out[at > 0] = found.value[rows[at[at > 0] - 1]]
    return out


class MajorityParams(Params):
    """The most frequent class of the train rows; its probabilities are their shares."""


@dataclass(frozen=True)
class Majority:
    shares: Floats

    def predict(self, histories: Sequence[History]) -> Forecast:
        count = sum(len(own.rows) for own in histories)
        return Forecast.of(np.tile(self.shares, (count, 1)))


@forecaster("majority", MajorityParams, targets=("class",))
def majority(p: MajorityParams, train: Train) -> Majority:
    return Majority(train.frequencies())


class RandomWalkParams(Params):
    """What the label is if prices walk at random without drift, with train's volatility."""


class DriftParams(Params):
    """What the label is if prices walk at random with train's drift and volatility."""


@dataclass(frozen=True)
class Walks:
    label: FittedLabel
    walks: dict[str, Walk]
    usual: Floats

    def predict(self, histories: Sequence[History]) -> Forecast:
        parts = [
            self.label.of_a_walk(own.symbol, own.bars, self.walks[own.symbol])[own.rows]
            for own in histories
        ]
        found = np.concatenate(parts)
        if not self.label.classes:
            return Forecast(found)
        known = np.isfinite(found).all(axis=1, keepdims=True)
        return Forecast.of(np.where(known, found, self.usual))


@forecaster("random_walk", RandomWalkParams)
def random_walk(p: RandomWalkParams, train: Train) -> Walks:
    walks = {own.symbol: Walk(0.0, train.walk(own.symbol).sigma) for own in train.histories}
    return _walks(train, walks)


@forecaster("drift", DriftParams)
def drift(p: DriftParams, train: Train) -> Walks:
    return _walks(train, {own.symbol: train.walk(own.symbol) for own in train.histories})


def _walks(train: Train, walks: dict[str, Walk]) -> Walks:
    usual = train.frequencies() if train.label.classes else np.zeros(1)
    return Walks(train.label, walks, usual)
