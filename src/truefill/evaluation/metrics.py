"""Performance measures of one account on one split, each defined once.

Definitions: per-period returns are simple returns between closes; periods per year come from the
timestamps; the risk-free rate and the target are 0. What cannot be had is undefined with a reason.
Sums are exact (``math.fsum``), so that their order cannot matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.core.errors import DataError
from truefill.evaluation.figures import Figure, ratio

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

SECONDS_PER_YEAR = 365.25 * 86_400.0
TAIL = 0.05
"""Tail share of value at risk and its conditional mean."""
ROUNDING = 1e-13
"""A spread of returns below this is rounding of the equity, not variance."""

EvidenceRule = Literal["closed_trades", "turnover", "exempt"]
"""What an agent must show before it gets a Sharpe ratio or a p-value: closed trades; one-way
turnover (agents that set weights); nothing (baselines)."""


@dataclass(frozen=True)
class Metrics:
    """All measures of one equity curve. Fractions are fractions; money is quote currency."""

    bars: int
    closed_trades: int
    periods_per_year: Figure
    net_return: Figure
    cagr: Figure
    volatility: Figure
    sharpe: Figure
    sortino: Figure
    calmar: Figure
    max_drawdown: Figure
    max_drawdown_bars: Figure
    var_95: Figure
    cvar_95: Figure
    win_rate: Figure
    profit_factor: Figure
    average_trade: Figure
    average_trade_return: Figure
    average_bars_held: Figure
    turnover_per_bar: Figure
    turnover_per_year: Figure
    exposure_mean: Figure
    time_in_market: Figure
    share_long: Figure
    share_short: Figure
    action_imbalance: Figure
    total_cost: Figure
    total_financing: Figure
    sharpe_per_period: Figure
    skewness: Figure
    kurtosis: Figure

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: numbers, or ``{"value": null, "reason": ...}``."""
        out: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            out[field.name] = value.as_json() if isinstance(value, Figure) else value
        return out

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """What :meth:`to_dict` wrote."""
        counts = {"bars", "closed_trades"}
        values: dict[str, Any] = {
            field.name: data[field.name]
            if field.name in counts
            else Figure.from_json(data[field.name])
            for field in fields(cls)
        }
        return cls(**values)


def measure(
    equity: F64,
    timestamps_s: I64,
    trades: pl.DataFrame,
    *,
    weight: F64,
    gross: F64,
    turnover: F64,
    total_cost: float,
    total_financing: float,
    rule: EvidenceRule = "closed_trades",
    min_closed_trades: int = 20,
) -> Metrics:
    """Measure one equity curve.

    Args:
        equity: [T+1], at each close; row 0 is the close at which the account was opened.
        timestamps_s: [T+1], bar starts, unix seconds, ascending.
        trades: closed trades; columns ``net_profit``, ``return``, ``bars_held``.
        weight: [T+1], signed sum of units x close / equity at each close.
        gross: [T+1], the same with absolute values.
        turnover: [T+1], traded notional / equity of each bar; row 0 is not used, nor are its
            weight and gross exposure.
        total_cost: fees, spread and slippage paid.
        total_financing: interest and borrow fees paid.
        rule: what is needed before there is a Sharpe ratio.
        min_closed_trades: that many closed trades (or times the mean gross exposure in one-way
            turnover).

    Raises:
        DataError: equity is not positive and finite, or lengths and times do not fit.
    """
    _validate(equity, timestamps_s, weight, gross, turnover)
    bars = len(equity) - 1
    returns = equity[1:] / equity[:-1] - 1.0
    years = float(timestamps_s[-1] - timestamps_s[0]) / SECONDS_PER_YEAR
    per_year = bars / years
    shortfall = evidence_shortfall(
        rule, trades.height, turnover[1:], gross[1:], minimum=min_closed_trades
    )
    drawdown, drawdown_bars = deepest_drawdown(equity)
    growth = compound_growth(float(equity[-1] / equity[0]), years)
    return Metrics(
        bars=bars,
        closed_trades=trades.height,
        periods_per_year=Figure(per_year),
        net_return=Figure(float(equity[-1] / equity[0]) - 1.0),
        cagr=growth,
        max_drawdown=Figure(drawdown),
        max_drawdown_bars=Figure(float(drawdown_bars)),
        calmar=growth
        if growth.value is None
        else ratio(growth.value, drawdown, "no drawdown to divide by"),
        total_cost=Figure(total_cost),
        total_financing=Figure(total_financing),
        **_return_figures(returns, per_year, shortfall),
        **_trade_figures(trades),
        **_exposure_figures(weight[1:], gross[1:], turnover[1:], per_year),
    )


def _validate(equity: F64, timestamps_s: I64, *series: F64) -> None:
    if len(equity) < 2:
        raise DataError("equity", f"needs at least 2 marks, got {len(equity)}")
    if any(len(other) != len(equity) for other in (timestamps_s, *series)):
        raise DataError("equity", "equity, timestamps, weight, gross and turnover differ in length")
    if not (np.isfinite(equity).all() and (equity > 0.0).all()):
        raise DataError("equity", "equity must be finite and above 0 at every mark")
    if not (np.diff(timestamps_s) > 0).all():
        raise DataError("equity", "timestamps must ascend")


def evidence_shortfall(
    rule: EvidenceRule, closed_trades: int, turnover: F64, gross: F64, *, minimum: int = 20
) -> str | None:
    """Why there is no Sharpe ratio and no p-value, or ``None`` where there may be one.

    One-way turnover is half of sum |delta weight|; weight agents need ``minimum`` x mean gross
    exposure of it. ``turnover`` and ``gross`` are [T].
    """
    if rule == "exempt":
        return None
    if rule == "closed_trades":
        return f"fewer than {minimum} closed trades" if closed_trades < minimum else None
    exposure = _mean(gross)
    one_way = 0.5 * math.fsum(turnover)
    if exposure == 0.0 or one_way < minimum * exposure:
        return f"one-way turnover below {minimum} x mean gross exposure"
    return None


def compound_growth(growth: float, years: float) -> Figure:
    """Compound annual growth rate; undefined where a short span makes it overflow."""
    exponent = math.log(growth) / years
    if exponent > 700.0:
        return Figure.undefined("the span is too short to annualize")
    return Figure(math.expm1(exponent))


def deepest_drawdown(equity: F64) -> tuple[float, int]:
    """Largest 1 - equity / peak, and the bars from that peak to the recovery (or to the end)."""
    peak = np.maximum.accumulate(equity)
    drawdown = 1.0 - equity / peak
    worst = int(np.argmax(drawdown))
    if drawdown[worst] == 0.0:
        return 0.0, 0
    top = int(np.argmax(equity == peak[worst]))
    recovered = np.flatnonzero(equity[worst:] >= peak[worst])
    end = worst + int(recovered[0]) if len(recovered) else len(equity) - 1
    return float(drawdown[worst]), end - top


def tail_losses(returns: F64, tail: float = TAIL) -> tuple[float, float]:
    """Historical value at risk and its conditional mean, as losses (a gain is negative).

    Of n returns the worst k = floor((n - 1) x tail) + 1 are the tail: the mildest of them is the
    value at risk, their mean the conditional one.
    """
    count = math.floor((len(returns) - 1) * tail) + 1
    worst = np.sort(returns)[:count]
    return 0.0 - float(worst[-1]), 0.0 - _mean(worst)


def _mean(values: F64) -> float:
    return math.fsum(values) / len(values)


def _return_figures(returns: F64, per_year: float, shortfall: str | None) -> dict[str, Figure]:
    """Volatility, Sharpe, Sortino, tail losses and shape of [T] returns."""
    var, cvar = tail_losses(returns)
    out = {"var_95": Figure(var), "cvar_95": Figure(cvar)}
    rest = ("sharpe", "sharpe_per_period", "sortino", "skewness", "kurtosis")
    if len(returns) < 2:
        reason = Figure.undefined("fewer than 2 returns")
        return out | dict.fromkeys(("volatility", *rest), reason)
    mean = _mean(returns)
    centred = returns - mean
    std = math.sqrt(math.fsum(centred**2) / (len(returns) - 1))
    if std <= ROUNDING + 1e-9 * abs(mean):
        reason = Figure.undefined("zero variance")
        return out | {"volatility": Figure(0.0)} | dict.fromkeys(rest, reason)
    root = math.sqrt(per_year)
    population = math.sqrt(_mean(centred**2))
    downside = math.sqrt(_mean(np.minimum(returns, 0.0) ** 2))
    sharpe = Figure(mean / std) if shortfall is None else Figure.undefined(shortfall)
    return out | {
        "volatility": Figure(std * root),
        "sharpe_per_period": sharpe,
        "sharpe": sharpe if sharpe.value is None else Figure(sharpe.value * root),
        "sortino": Figure(mean / downside * root)
        if downside > ROUNDING
        else Figure.undefined("no loss below the target"),
        "skewness": Figure(_mean((centred / population) ** 3)),
        "kurtosis": Figure(_mean((centred / population) ** 4)),
    }


def _trade_figures(trades: pl.DataFrame) -> dict[str, Figure]:
    """Win rate, profit factor and averages over closed trades, all net of costs."""
    names = (
        "win_rate",
        "profit_factor",
        "average_trade",
        "average_trade_return",
        "average_bars_held",
    )
    if trades.height == 0:
        return dict.fromkeys(names, Figure.undefined("no closed trades"))
    profit = trades["net_profit"].to_numpy().astype(np.float64)
    lost = -math.fsum(profit[profit < 0.0])
    return {
        "win_rate": Figure(int((profit > 0.0).sum()) / len(profit)),
        "profit_factor": ratio(math.fsum(profit[profit > 0.0]), lost, "no losing trade"),
        "average_trade": Figure(_mean(profit)),
        "average_trade_return": Figure(_mean(trades["return"].to_numpy().astype(np.float64))),
        "average_bars_held": Figure(_mean(trades["bars_held"].to_numpy().astype(np.float64))),
    }


def _exposure_figures(weight: F64, gross: F64, turnover: F64, per_year: float) -> dict[str, Figure]:
    """Turnover, exposure and the balance of long and short bars; all inputs [T]."""
    bars = len(weight)
    long, short = int((weight > 0.0).sum()), int((weight < 0.0).sum())
    held = int((gross > 0.0).sum())
    per_bar = _mean(turnover)
    return {
        "turnover_per_bar": Figure(per_bar),
        "turnover_per_year": Figure(per_bar * per_year),
        "exposure_mean": Figure(_mean(gross)),
        "time_in_market": Figure(held / bars),
        "share_long": Figure(long / bars),
        "share_short": Figure(short / bars),
        "action_imbalance": ratio(abs(long - short), held, "no position was ever held"),
    }
