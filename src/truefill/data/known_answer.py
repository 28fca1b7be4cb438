"""The best that can be earned on a synthetic market under given costs, and how.

The trader knows the market's rule and, at each close, all that can be known of the next bar (its
chain's state: the signal, the last return, the hour of the week, the leader's last move), never the
noise. It chooses short, flat or long, all of its equity or none, and maximizes expected log equity
in the long run: relative value iteration over state and position. Costs and simplifications are
those of :class:`truefill.data.planted.PlantedRule`. Where no edge exists the best is flat, and 0.

Figures are of bars round the clock, marked at each close, per symbol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp, sqrt

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.market import MarketConfig
from truefill.config.synthetic import SyntheticConfig
from truefill.core.errors import ConfigError
from truefill.data.describe import SECONDS_PER_YEAR
from truefill.data.join import Series
from truefill.data.planted import PlantedRule
from truefill.data.synthetic import SOURCES, WHERE, strength_of
from truefill.data.synthetic.base import World
from truefill.data.synthetic.chain import Chain

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HORIZON_BARS = 10_000
"""The policy is the best of this many bars, then flat: what would take longer to pay for its costs
counts as not paying."""
_SETTLED = 1e-13
_NODES = 16


@dataclass(frozen=True)
class Realized:
    """What the best policy did on a path of T bars. ``positions`` i8[T]: held during each bar (bar
    0: flat); ``log_returns`` f64[T - 1]: net, of bars 1 on; ``net_sharpe``: mean / std (ddof 1) of
    its simple returns, per bar; 0 where it never traded."""

    positions: npt.NDArray[np.int8]
    log_returns: Floats
    net_sharpe: float


@dataclass(frozen=True)
class KnownAnswer:
    """The best policy and its long-run figures.

    ``expected_log_per_bar``: net log growth; ``net_sharpe``: mean / std of net simple returns, per
    bar; ``net_sharpe_annual``: times the root of the bars in a year; ``trades_per_bar``: changes of
    position; ``in_market``: share of bars held short or long. All are 0 where flat is best.
    ``choice`` i64[states, positions]: index of the next position, by state and by the one held.
    """

    rule: PlantedRule
    chain: Chain | None
    choice: Ints
    expected_log_per_bar: float = 0.0
    net_sharpe: float = 0.0
    net_sharpe_annual: float = 0.0
    trades_per_bar: float = 0.0
    in_market: float = 0.0

    def positions(self, bars: pl.DataFrame, series: Mapping[str, Series]) -> npt.NDArray[np.int8]:
        """The policy on one symbol's bars in order (T of them): what it holds during each bar.
        Row t + 1 is decided at the close of bar t, from what was known then; bar 0 is flat."""
        held = np.zeros(len(bars), np.int8)
        if self.chain is None:
            return held
        states = self.chain.place(bars, series)
        at = self.rule.positions.index(0)
        for t in range(len(bars) - 1):
            at = self.choice[states[t], at]
            held[t + 1] = self.rule.positions[at]
        return held

    def realize(self, bars: pl.DataFrame, series: Mapping[str, Series]) -> Realized:
        """What these positions made, filled at each open (= the last close) with all costs."""
        held = self.positions(bars, series)
        close = bars["close"].to_numpy()
        now = np.array([self.rule.positions.index(int(p)) for p in held], np.int64)
        earned = self.rule.realized(np.log(close[1:] / close[:-1]))
        net = earned[np.arange(len(now) - 1), now[1:]] + self.rule.costs()[now[:-1], now[1:]]
        simple = np.expm1(net)
        spread = float(np.std(simple, ddof=1)) if len(simple) > 1 else 0.0
        sharpe = float(np.mean(simple)) / spread if spread > 0.0 else 0.0
        return Realized(held, net, sharpe)


def known_answer(
    synthetic: SyntheticConfig, market: MarketConfig, interval_s: float
) -> KnownAnswer:
    """The answer to a configured market under the base costs of ``market``.

    Raises:
        ConfigError: a wrong parameter; or orders that wait longer than for the next open, to which
            no answer is known.
    """
    params = SOURCES.parse(synthetic.kind, synthetic.params, where=WHERE)
    predictor = SOURCES.get(synthetic.kind).facts["predictor"]
    borrow = 0.0
    if market.allow_short and not market.derivative:
        borrow = market.borrow_rate_annual * interval_s / SECONDS_PER_YEAR
    rule = replace(PlantedRule.of(synthetic, market), borrow_per_bar=borrow)
    flat = rule.positions.index(0)
    if predictor is None or strength_of(synthetic) == 0.0:
        return KnownAnswer(rule, None, np.full((1, len(rule.positions)), flat))
    if market.decision_lag != 1:
        raise ConfigError(
            f"the best policy is known for orders that fill at the next open, not after "
            f"{market.decision_lag} bars",
            where="market.decision_lag",
        )
    chain: Chain = predictor(params, World(synthetic, interval_s))
    return evaluate(rule, chain, best_choice(rule, chain), SECONDS_PER_YEAR / interval_s)


def best_choice(rule: PlantedRule, chain: Chain) -> Ints:
    """i64[states, positions]: the best next position.

    Iterates how much better each position is than flat, state by state: that recursion stands by
    itself, and settles also where the states go round in a cycle. It begins with what every
    position is worth at least: leaving it at once.
    """
    gains, costs = rule.gains(chain.z), rule.costs()
    flat = rule.positions.index(0)
    better = np.tile(costs[:, flat], (len(gains), 1))
    for _ in range(HORIZON_BARS):
        ahead = gains + chain.step @ better
        moved = np.stack([(ahead + paid).max(axis=1) for paid in costs], axis=1)
        moved -= moved[:, flat : flat + 1]
        settled = bool(np.abs(moved - better).max() < _SETTLED)
        better = moved
        if settled:
            break
    ahead = gains + chain.step @ better
    return np.stack([np.argmax(ahead + paid, axis=1) for paid in costs], axis=1)


def occupation(rule: PlantedRule, chain: Chain, choice: Ints) -> Floats:
    """f64[states, positions]: long-run share of bars that begin in a state with a position held
    until then."""
    count = len(rule.positions)
    share = np.zeros((len(chain.z), count))
    share[:, rule.positions.index(0)] = chain.weights
    back = chain.step.T.tocsr()
    goes = _goes(choice)
    for _ in range(HORIZON_BARS):
        moved = back @ (goes * share[:, :, None]).sum(axis=1)
        settled = bool(np.abs(moved - share).sum() < 1e-12)
        share = moved
        if settled:
            break
    return share


def _goes(choice: Ints) -> Floats:
    """f64[states, held, chosen]: 1 where the policy goes from one position to the other."""
    return (choice[:, :, None] == np.arange(choice.shape[1])).astype(np.float64)


def evaluate(rule: PlantedRule, chain: Chain, choice: Ints, bars_a_year: float) -> KnownAnswer:
    """Long-run figures of any policy (see ``KnownAnswer.choice``), state by state, exact on the
    chain's grid."""
    share = occupation(rule, chain, choice)
    gains, costs = rule.gains(chain.z), rule.costs()
    growth, square = _moments(rule, chain.z)
    states = np.arange(len(chain.z))
    log = first = second = traded = 0.0
    for held in range(share.shape[1]):
        new, weight = choice[:, held], share[:, held]
        paid = costs[held, new]
        factor = np.exp(paid)
        log += float(np.sum(weight * (paid + gains[states, new])))
        first += float(np.sum(weight * (factor * growth[states, new] - 1.0)))
        # E (factor g - 1)^2 from E g and E g^2
        squared = factor**2 * square[states, new] - 2.0 * factor * growth[states, new] + 1.0
        second += float(np.sum(weight * squared))
        traded += float(np.sum(weight[new != held]))
    flat = rule.positions.index(0)
    busy = 1.0 - float(np.sum(share * (choice == flat)))
    variance = second - first**2
    idle = traded < 1e-12 or variance <= 0.0
    sharpe = 0.0 if idle else first / sqrt(variance)
    return KnownAnswer(
        rule=rule,
        chain=chain,
        choice=choice,
        expected_log_per_bar=0.0 if idle else log,
        net_sharpe=sharpe,
        net_sharpe_annual=sharpe * sqrt(bars_a_year),
        trades_per_bar=0.0 if idle else traded,
        in_market=0.0 if idle else busy,
    )


def _moments(rule: PlantedRule, z: Floats) -> tuple[Floats, Floats]:
    """f64[states, positions]: mean and mean square of equity's growth factor over a bar, before the
    costs of trading."""
    mean = rule.volatility * sqrt(rule.strength) * z - rule.volatility**2 / 2.0
    sd = rule.volatility * sqrt(1.0 - rule.strength)
    nodes, weights = np.polynomial.hermite.hermgauss(_NODES)
    weights = weights / np.sqrt(np.pi)
    rise = np.exp(mean[:, None] + np.sqrt(2.0) * sd * nodes)
    by_position = {
        -1: (2.0 - rise) * exp(-rule.borrow_per_bar), 0: np.ones_like(rise), 1: rise
    }  # fmt: skip
    factors = [by_position[p] for p in rule.positions]
    first = np.stack([f @ weights for f in factors], axis=1)
    second = np.stack([f**2 @ weights for f in factors], axis=1)
    return first, second
