"""The best possible net profit on a synthetic market: the yardstick of a learning agent.

The trader knows the market's rule and sees the signal of the bar that just closed, never the noise.
At every close it chooses short, flat or long for the next bar, all of its equity or none, and pays
fee, half spread and slippage on what it trades. It maximizes expected log equity, marked at the
last close without closing. What is exact: the distribution of returns, the costs of entering and
leaving. What is simplified: the base costs hold for every symbol, a short is held at -1 x equity on
each bar (a real one drifts until it is traded), and no stops, margins or lots bind.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from truefill.config.schema import MarketConfig, SyntheticConfig
from truefill.data.synthetic import strength_of

Floats = npt.NDArray[np.float64]

_GRID = 1_001
_SETTLED = 1e-12
_MAX_ITERATIONS = 10_000


@dataclass(frozen=True)
class PlantedRule:
    """The market's rule and the costs of trading it. Rates in bps; ``volatility`` per bar."""

    volatility: float
    strength: float
    fee_bps: float = 0.0
    half_spread_bps: float = 0.0
    slippage_bps: float = 0.0
    allow_short: bool = True
    borrow_per_bar: float = 0.0
    """Share of equity that a short pays on each bar."""

    @staticmethod
    def of(market: SyntheticConfig, costs: MarketConfig) -> PlantedRule:
        """The rule of a configured synthetic market under a configured market's base costs."""
        return PlantedRule(
            volatility=market.volatility,
            strength=strength_of(market),
            fee_bps=costs.fee_bps,
            half_spread_bps=costs.half_spread_bps,
            slippage_bps=costs.slippage_bps,
            allow_short=costs.allow_short,
        )

    @property
    def positions(self) -> tuple[int, ...]:
        return (-1, 0, 1) if self.allow_short else (0, 1)

    def gains(self, signal: Floats) -> Floats:
        """f64[n, positions]: expected log growth over the next bar, given ``signal`` f64[n].

        Long: the expected log return m. Short: E ln(2 - e^r) over r ~ N(m, (1 - strength)
        volatility^2).
        """
        m = self.volatility * np.sqrt(self.strength) * signal - self.volatility**2 / 2.0
        sd = self.volatility * np.sqrt(1.0 - self.strength)
        nodes, weights = np.polynomial.hermite.hermgauss(16)
        returns = m[:, None] + np.sqrt(2.0) * sd * nodes
        short = np.log(2.0 - np.exp(returns)) @ (weights / np.sqrt(np.pi)) - self.borrow_per_bar
        by_position = {-1: short, 0: np.zeros_like(m), 1: m}
        return np.stack([by_position[p] for p in self.positions], axis=1)

    def realized(self, log_return: Floats) -> Floats:
        """f64[n, positions]: what each position made of the bar's real log return f64[n]."""
        short = np.log(2.0 - np.exp(log_return)) - self.borrow_per_bar
        by_position = {-1: short, 0: np.zeros_like(short), 1: log_return}
        return np.stack([by_position[p] for p in self.positions], axis=1)

    def costs(self) -> Floats:
        """f64[positions, positions]: log equity lost by moving from one position (row) to another.

        Bought: price x (1 + k), fee on top; sold: price x (1 - k), fee off; k = half spread +
        slippage. A reversal leaves one position and enters the other.
        """
        k = (self.half_spread_bps + self.slippage_bps) * 1e-4
        fee = self.fee_bps * 1e-4
        buy, sell = (1.0 + k) * (1.0 + fee), (1.0 - k) * (1.0 - fee)
        enter = {-1: log(sell), 0: 0.0, 1: -log(buy)}
        leave = {-1: log(2.0 - buy), 0: 0.0, 1: log(sell)}
        return np.array(
            [
                [0.0 if p == q else leave[p] + enter[q] for q in self.positions]
                for p in self.positions
            ]
        )


@dataclass(frozen=True)
class BestProfit:
    """``expected_log``: expected log growth, net of costs, of the best policy on these signals;
    ``realized_log``: what the same positions made; ``positions`` i8[T]: held during each bar (bar
    0: flat).
    """

    expected_log: float
    realized_log: float
    positions: npt.NDArray[np.int8]

    @property
    def realized_profit(self) -> float:
        """Net profit as a fraction of the starting balance."""
        return float(np.expm1(self.realized_log))


def best_net_log_profit(
    rule: PlantedRule, signal: Floats, close: Floats, *, sees_future_signals: bool = False
) -> BestProfit:
    """The best policy on bars with ``signal`` f64[T] and ``close`` f64[T] (one symbol, in order).

    At the close of bar t it knows signal[0..t]; the position chosen there is held during bar t+1,
    filled at its open (= close[t]). Future signals are independent draws to it; with
    ``sees_future_signals`` it knows them all, which no agent can, and the result is an upper bound
    of every policy.
    """
    gains = rule.gains(signal[:-1])
    costs = rule.costs()
    choice = _clairvoyant(gains, costs) if sees_future_signals else _causal(rule, gains, costs)
    flat = rule.positions.index(0)
    plan = _follow(choice, flat)
    before = np.concatenate([[flat], plan[:-1]]).astype(np.int64)
    bars = np.arange(len(plan))
    paid = costs[before, plan]
    earned = rule.realized(np.log(close[1:] / close[:-1]))[bars, plan]
    held = np.array([0, *(rule.positions[i] for i in plan)], np.int8)
    return BestProfit(float(np.sum(gains[bars, plan] + paid)), float(np.sum(earned + paid)), held)


def _clairvoyant(gains: Floats, costs: Floats) -> npt.NDArray[np.int64]:
    """Backward induction over the known signals: the best next position, i64[T-1, positions]."""
    steps, count = gains.shape
    choice = np.zeros((steps, count), np.int64)
    value = np.zeros(count)
    for t in range(steps - 1, -1, -1):
        options = costs + gains[t] + value
        choice[t] = np.argmax(options, axis=1)
        value = options[np.arange(count), choice[t]]
    return choice


def _causal(rule: PlantedRule, gains: Floats, costs: Floats) -> npt.NDArray[np.int64]:
    """The stationary optimum of long horizons, by relative value iteration over the signal's normal
    distribution (a grid of 1,001 equally likely values): i64[T-1, positions]."""
    quantile = NormalDist().inv_cdf
    grid = rule.gains(np.array([quantile((i + 0.5) / _GRID) for i in range(_GRID)]))
    flat = rule.positions.index(0)
    relative = np.zeros(len(rule.positions))
    for _ in range(_MAX_ITERATIONS):
        value = (costs[:, None, :] + grid + relative).max(axis=2).mean(axis=1)
        moved = value - value[flat]
        settled = bool(np.abs(moved - relative).max() < _SETTLED)
        relative = moved
        if settled:
            break
    return np.argmax(costs + gains[:, None, :] + relative, axis=2)


def _follow(choice: npt.NDArray[np.int64], at: int) -> npt.NDArray[np.int64]:
    """Walk the table of choices [steps, position] forward from position ``at``: indices [steps]."""
    plan = np.zeros(len(choice), np.int64)
    for t in range(len(choice)):
        at = choice[t, at]
        plan[t] = at
    return plan
