"""Forecast price paths, put to the label itself.

Every path is laid behind the row's past as if it had happened, and the label is asked of the row:
thresholds, means and barriers are the label's own, whichever label is registered. A path lies in
the row's session. Its timestamps are those of no bar: a label that asks the calendar cannot be
asked of paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from truefill.core.errors import DataError
from truefill.forecast.baselines.base import Forecast, History, Train
from truefill.forecast.labels.base import LABELS, FittedLabel, Floats, Ints, LabelBars

BARS_AT_ONCE = 1 << 19
"""Of all paths of a portion of rows; any number gives the same bits."""
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Paths:
    """Of n rows, S paths of A bars ahead: ``close`` f64[n, S, A], log of the close over the row's.
    ``others``: open, high or low in the same form; where one is not told, a bar opens at the close
    before it and reaches no farther than open and close."""

    close: Floats
    others: Mapping[str, Floats] = field(default_factory=dict)

    def told(self, name: str) -> Floats:
        """f64[n, S, A] of one of PRICES."""
        if name == "close" or name in self.others:
            return self.close if name == "close" else self.others[name]
        start = np.zeros((*self.close.shape[:2], 1))
        opened = self.others.get("open", np.concatenate([start, self.close[..., :-1]], axis=2))
        ends = (opened, self.close)
        return {"open": opened, "high": np.maximum(*ends), "low": np.minimum(*ends)}[name]


@dataclass(frozen=True)
class Asker:
    """A label, and how far it looks: ``back`` bars before a row's own, ``ahead`` bars behind it.
    ``needs``: which prices besides closes move it. ``usual``: the shares of the classes among the
    train rows, or [mean]: the forecast of a row whose past is too short for the label."""

    label: FittedLabel
    back: int
    ahead: int
    needs: frozenset[str]
    usual: Floats

    @staticmethod
    def of(train: Train) -> Asker:
        """As the label behaves on the train bars.

        Raises:
            DataError: ``no_label``: it looks at no bar ahead on any of them.
        """
        label = train.label
        back, ahead, needs = 0, 0, set()
        for own in train.histories:
            asked = LABELS.get(label.name).make(label.params, own.bars)
            found = label.of(own.symbol, own.bars).value
            at = np.flatnonzero(np.isfinite(found))
            settled = asked.last if asked.settled is None else asked.settled
            back = max(back, int((at - asked.first[at]).max(initial=0)))
            ahead = max(ahead, int((asked.last[at] - at).max(initial=0)))
            ahead = max(ahead, int((settled[at] - at).max(initial=0)))
            for name in PRICES[:-1]:
                without = replace(own.bars, **{name: np.full(len(own.bars), np.nan)})
                same = label.of(own.symbol, without).value
                if not np.array_equal(same, found, equal_nan=True):
                    needs.add(name)
        if not ahead:
            raise DataError("no_label", f"label {label.name} looks at no bar ahead of a train row")
        usual = train.frequencies() if label.classes else np.array([train.answers.mean()])
        return Asker(label, back, ahead, frozenset(needs), usual)

    @property
    def steps(self) -> int:
        """Bars that a path must have."""
        return max(self.ahead, self.label.horizon)

    def rows_at_once(self, paths: int) -> int:
        """Rows of so many paths each that are put to the label together."""
        return max(1, BARS_AT_ONCE // (paths * (self.back + 1 + self.steps)))

    def answers(self, symbol: str, bars: LabelBars, rows: Ints, paths: Paths) -> Floats:
        """f64[n, S]: the label of each row (at or after ``back``) on each of its paths."""
        n, count, steps = paths.close.shape
        width = self.back + 1 + steps
        past = rows[:, None] + np.arange(-self.back, 1)
        laid = {}
        for name in ("close", *sorted(self.needs)):
            price = np.empty((n, count, width))
            price[:, :, : self.back + 1] = getattr(bars, name)[past][:, None]
            ahead = price[:, :, self.back + 1 :]
            np.exp(paths.told(name), out=ahead)
            ahead *= bars.close[rows][:, None, None]
            laid[name] = price.ravel()
        laid = {name: laid.get(name, laid["close"]) for name in PRICES}
        bar = np.arange(n * count * width)
        laid_bars = LabelBars(timestamps_s=bar, session=bar // width, **laid)
        found = self.label.of(symbol, laid_bars).value
        return found.reshape(n, count, width)[:, :, self.back]

    def said(self, answers: Floats) -> Floats:
        """What S answers a row say: f64[n, classes], (count + 1) / (S + classes), or f64[n, 1], the
        mean; a path without an answer counts as none."""
        known = np.isfinite(answers)
        if not self.label.classes:
            count = known.sum(axis=1)
            total = np.where(known, answers, 0.0).sum(axis=1) / np.maximum(count, 1)
            return np.where(count > 0, total, self.usual[0])[:, None]
        counts = np.stack([(answers == c).sum(axis=1) for c in range(self.label.classes)], axis=1)
        shares = (counts + 1.0) / (counts.sum(axis=1, keepdims=True) + self.label.classes)
        return np.where(known.any(axis=1, keepdims=True), shares, self.usual)

    def forecast(self, said: Floats, extra: Mapping[str, Floats]) -> Forecast:
        """Of all rows, from what :meth:`said` of them."""
        if not self.label.classes:
            return Forecast(said[:, 0], None, extra)
        return Forecast(said.argmax(axis=1).astype(np.float64), said, extra)


def need_bars(own: History, least: int, *, where: str) -> None:
    """Raise unless all rows have so many bars before their own.

    Raises:
        DataError: ``short_history``.
    """
    if len(own.rows) and own.rows[0] < least:
        raise DataError(
            "short_history",
            f"row {int(own.rows[0])} of {own.symbol} has as many bars before it, not {least}",
            where=where,
            do="ask later rows (forecast.window_bars), or lower least_bars",
        )
