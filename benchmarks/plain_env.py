"""The benchmark's task as one writes it by hand: one account, plain Python, a ``gymnasium.Env``.

Decently written and no slower than it must be: rows are Python floats read from lists, there is no
numpy in a step but the observation. It knows the rules that such environments usually know (fee,
spread, slippage, leverage, stop, target, trailing stop, holding limits, drawdown limit, financing);
lots, margin calls, decision lags, cost scenarios and several symbols it does not know.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np

FEE, SPREAD = 10e-4, 5e-4
"""Fee on notional; half spread + slippage on the price."""
SIZE, STOP, TARGET = 1.5, 0.04, 0.04
ACTIVATION, KEEP, FLOOR = 0.015, 0.5, 0.007
MIN_HOLD, MAX_HOLD = 25, 864
DRAWDOWN, EPISODE_BARS, SCALE = 0.15, 2_400, 100.0
BALANCE = 10_000.0
INTEREST, BORROW = 0.065, 0.03
YEARS_PER_BAR = 300.0 / (365.25 * 86_400.0)


class PlainEnv(gymnasium.Env[Any, Any]):
    """Actions: 0 short, 1 flat, 2 long. Orders fill at the next open; reward is log equity."""

    def __init__(self, split: Any) -> None:
        self._features = np.ascontiguousarray(split.features[:, 0])
        prices = (split.open, split.high, split.low, split.close)
        self._open, self._high, self._low, self._close = (p[:, 0].tolist() for p in prices)
        self._last = len(self._close) - 1
        self._width = width = self._features.shape[1] + 4
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        drawn = self.np_random.integers(0, self._last - EPISODE_BARS)
        self._t = int(drawn if options is None else options["start"])
        self._steps = 0
        self._cash = self._equity = self._peak = BALANCE
        self._units, self._entry, self._best, self._held = 0.0, 1.0, 1.0, 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        before, mark = self._equity, self._close[self._t]
        self._t += 1
        self._steps += 1
        self._finance(mark)
        price = self._open[self._t]
        if not self._exit_at_open(price):
            self._order(int(action) - 1, price)
        if self._units:
            self._exit_in_bar(price)
        close = self._close[self._t]
        if self._units > 0.0:
            self._best, self._held = max(self._best, self._high[self._t]), self._held + 1
        elif self._units < 0.0:
            self._best, self._held = min(self._best, self._low[self._t]), self._held + 1
        self._equity = max(self._cash + self._units * close, BALANCE * 1e-6)
        self._peak = max(self._peak, self._equity)
        terminated = 1.0 - self._equity / self._peak >= DRAWDOWN
        truncated = not terminated and (self._steps >= EPISODE_BARS or self._t >= self._last)
        reward = SCALE * math.log(self._equity / before)
        info = {"equity": self._equity}
        return self._observe(), reward, terminated, truncated, info

    def _observe(self) -> Any:
        seen = np.empty(self._width, np.float32)
        seen[:-4] = self._features[self._t]
        value = self._units * self._close[self._t]
        gain = (self._close[self._t] / self._entry - 1.0) * _sign(self._units)
        seen[-4] = min(max(value / self._equity, -4.0), 4.0)
        seen[-3] = min(max(gain, -1.0), 1.0)
        seen[-2] = 1.0 - self._equity / self._peak
        seen[-1] = min(max(self._cash / self._equity, -4.0), 4.0)
        return seen

    def _finance(self, mark: float) -> None:
        if self._cash < 0.0:
            self._cash += self._cash * INTEREST * YEARS_PER_BAR
        if self._units < 0.0:
            self._cash += self._units * mark * BORROW * YEARS_PER_BAR

    def _levels(self, side: float) -> tuple[float, float]:
        stop = self._entry * (1.0 - side * STOP)
        profit = side * (self._best / self._entry - 1.0)
        if profit >= ACTIVATION:
            kept = self._entry * (1.0 + side * max(FLOOR, KEEP * profit))
            stop = side * max(side * stop, side * kept)
        return stop, self._entry * (1.0 + side * TARGET)

    def _exit_at_open(self, price: float) -> bool:
        """A stop or target that the gap jumped over, or the longest holding time."""
        if not self._units:
            return False
        side = _sign(self._units)
        stop, target = self._levels(side)
        if side * (price - stop) <= 0.0 or self._held >= MAX_HOLD:
            self._close_at(price * (1.0 - side * SPREAD))
        elif side * (price - target) >= 0.0:
            self._close_at(target)
        else:
            return False
        return True

    def _exit_in_bar(self, price: float) -> None:
        side = _sign(self._units)
        stop, target = self._levels(side)
        low, high = self._low[self._t], self._high[self._t]
        worst, best = (low, high) if side > 0.0 else (high, low)
        if side * (worst - stop) <= 0.0:
            reference = side * min(side * stop, side * price)
            self._close_at(reference * (1.0 - side * SPREAD))
        elif side * (best - target) >= 0.0:
            self._close_at(target)

    def _order(self, wanted: int, price: float) -> None:
        side = _sign(self._units)
        if wanted == side or (side and self._held < MIN_HOLD):
            return
        wealth = self._cash + self._units * price
        if side:
            self._close_at(price * (1.0 - side * SPREAD))
        if wanted:
            fill = price * (1.0 + wanted * SPREAD)
            self._units = wanted * SIZE * wealth / price
            self._cash -= self._units * fill + abs(self._units) * fill * FEE
            self._entry = self._best = fill
            self._held = 0

    def _close_at(self, fill: float) -> None:
        self._cash += self._units * fill - abs(self._units) * fill * FEE
        self._units, self._entry, self._best, self._held = 0.0, 1.0, 1.0, 0


def _sign(x: float) -> float:
    return (x > 0.0) - (x < 0.0)
