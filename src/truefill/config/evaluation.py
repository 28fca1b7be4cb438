"""Backtest, baselines, uncertainty and gates."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from truefill.config.fields import Count, Fraction, NonNegative, Positive, Section


class SmaCrossConfig(Section):
    """Long while the fast average is above the slow one, else short (or flat)."""

    fast_bars: Count = Field(50, description="fast average, bars")
    slow_bars: Count = Field(200, description="slow average, bars")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast_bars >= self.slow_bars:
            raise ValueError("fast_bars must be below slow_bars")
        return self


class ThresholdConfig(Section):
    """Two thresholds on a signal of about -1 to 1."""

    enter: Positive = Field(0.2, description="long from a signal of this on, short from its minus")
    exit: float = Field(
        0.0, description="out once the signal is below; above -enter, at most enter"
    )
    short: bool = Field(True, description="shorts where a symbol's rules let them; false: flat")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not -self.enter < self.exit <= self.enter:
            raise ValueError("exit must be above -enter and not above enter")
        return self


RULE = "rule"
"""The strategy's name where the judged policy is a rule (``agent.kind: rule``)."""
FORECAST_ONLY = "forecast_only"
"""The strategy that trades the first forecast's signal alone."""
RESERVED = (
    "flat", "buy_and_hold", "constant_exposure", "sma_cross", "random", "ensemble",
    RULE, FORECAST_ONLY,
)  # fmt: skip
"""Strategies that are scored beside policies of the user's own."""


class PolicyConfig(Section):
    """A policy of your own that is scored beside the agent (docs/networks.md)."""

    policy: str = Field(description="its name in the file under plugins: that registers it")
    label: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=40,
        description="what tables and curves call it; null = its name",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="of that policy")

    @property
    def name(self) -> str:
        """The strategy's name."""
        return self.label or self.policy


class EvaluationConfig(Section):
    """Backtest, baselines and uncertainty."""

    initial_balance: Positive = Field(10_000.0, description="starting cash, account currency")
    policies: tuple[PolicyConfig, ...] = Field(
        (), description="policies of your own, scored on validation and test like the agent"
    )
    sma_cross: SmaCrossConfig = Field(default_factory=lambda: SmaCrossConfig())
    forecast_threshold: ThresholdConfig = Field(
        default_factory=lambda: ThresholdConfig(),
        description="how forecasters' signals are traded alone, beside the agent",
    )
    random_draws: Count = Field(200, description="random agents with the agent's trade frequency")
    bootstrap_draws: Count = Field(2_000, description="draws of the stationary block bootstrap")
    confidence: Fraction = Field(0.95, description="level of intervals")
    seed: int = Field(0, ge=0, description="seed of bootstrap and random agents")
    cost_multiple: Positive = Field(
        2.0, description="the verdict needs a profit at this multiple of costs"
    )
    slippage_grid_bps: tuple[NonNegative, ...] = Field(
        (0.0, 5.0, 10.0, 20.0),
        description="slippage cells; the verdict needs a profit in the worst",
    )
    min_closed_trades: Count = Field(
        20, description="fewer: no Sharpe, no p-value, not enough evidence"
    )
    min_positive_seeds: Count = Field(3, description="seeds that must be positive on test (of 5)")
    min_deflated_sharpe: Fraction = Field(0.95, description="probability needed for 'deploy'")

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [own.name for own in self.policies]
        taken = sorted({n for n in names if names.count(n) > 1 or n in RESERVED})
        if taken:
            raise ValueError(
                f"strategy {taken[0]!r} is there twice; give evaluation.policies another label"
            )
        return self


class MinRows(Section):
    """Smallest number of rows per split."""

    train: Count = Field(1_000, description="rows")
    validation: Count = Field(200, description="rows")
    test: Count = Field(200, description="rows")


class GatesConfig(Section):
    """Gates on validation (before test is opened) and on test. null switches one off."""

    min_return: float | None = Field(0.0, description="net return, fraction")
    min_sharpe: float | None = Field(0.0, description="annualized Sharpe ratio")
    max_drawdown: Fraction | None = Field(0.20, description="largest drawdown, fraction")
    min_closed_trades: Count | None = Field(30, description="closed trades")
    min_win_rate: Fraction | None = Field(
        0.35, description="share of closed trades with a net profit"
    )
    min_profit_factor: NonNegative | None = Field(None, description="per trade, net")
    max_action_imbalance: Fraction | None = Field(
        0.85,
        description="|bars long - bars short| / bars in a position; off where no symbol may short",
    )
    min_rows: MinRows = Field(default_factory=lambda: MinRows())
