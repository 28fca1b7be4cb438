"""Observations, actions, rewards and episodes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from truefill.config.fields import Count, Fraction, NonNegative, Positive, Section


class ActionConfig(Section):
    """How an action becomes an order."""

    kind: str = Field("flat_long", description="see `truefill list decoders`")
    params: dict[str, Any] = Field(default_factory=dict, description="the decoder's parameters")
    illegal: Literal["mask", "no_op"] = Field(
        "mask", description="illegal actions get probability 0, or count as 'hold'"
    )


class RewardConfig(Section):
    """Log equity change plus terms that are 0 for an account that never trades."""

    scale: Positive = Field(100.0, description="multiplies everything (log return 0.01 -> 1.0)")
    clip: Positive | None = Field(
        None, description="clip per bar after scaling; null = off (a clipped reward is not profit)"
    )
    drawdown: NonNegative = Field(0.0, description="weight of -(increase in drawdown)")
    turnover: NonNegative = Field(0.0, description="weight of -(traded notional / equity)")
    downside: NonNegative = Field(0.0, description="weight of -max(-log return, 0)")
    differential_sharpe: NonNegative = Field(
        0.0, description="weight of the change in the moving Sharpe ratio (potential-based)"
    )
    differential_sharpe_eta: Fraction = Field(
        0.01, description="adaptation rate of that ratio, per bar"
    )
    interval_bars: Count = Field(1, description="pay the reward out every n bars; training only")


class EnvConfig(Section):
    """Observations, actions, rewards and episodes."""

    window_bars: Count = Field(1, description="bars of features in one observation")
    features: tuple[str, ...] = Field(
        (),
        description="what the agent sees of the market, in this order: features and forecast "
        "columns (docs/forecasting.md); empty: all",
    )
    state_features: tuple[str, ...] = Field(
        ("position", "unrealized_pnl", "drawdown", "cash_share"),
        description="account state in the observation; see `truefill list state_features`",
    )
    action: ActionConfig = Field(default_factory=lambda: ActionConfig())
    reward: RewardConfig = Field(default_factory=lambda: RewardConfig())
    episode_symbols: Literal["all", "one"] = Field(
        "all",
        description="all: one account over all symbols; one: each episode trades one symbol on its "
        "own calendar, and a backtest gives each symbol an equal share of the balance",
    )
    episode_bars: Count = Field(2_400, description="longest training episode, bars")
    drawdown_limit: Fraction = Field(
        1.0, description="training episodes end at this drawdown; 1 = never"
    )
    initial_balance: Positive = Field(10_000.0, description="starting cash, account currency")
