"""The whole configuration of a run: one typed, frozen tree.

Every field carries its description, unit and default; ``truefill schema`` prints it as JSON Schema.
Cross-field rules are validated here, so that a wrong config fails before any work starts.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from truefill.core.duration import parse_duration_s

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _duration(value: Any) -> float:
    return parse_duration_s(value)


Duration = Annotated[
    float, BeforeValidator(_duration, json_schema_input_type=str | float), Field(ge=0)
]


def _timezone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is not an IANA timezone (e.g. America/Bogota, UTC)")
    return value


def _moment(value: Any) -> datetime:
    """A date or an ISO timestamp; a date is 00:00 UTC, a naive timestamp is refused."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no timezone; write e.g. +00:00")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError(f"{value!r} is not a date or timestamp")


Timezone = Annotated[str, AfterValidator(_timezone)]
Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str)]
ClockTime = Annotated[
    time,
    BeforeValidator(lambda v: time.fromisoformat(v) if isinstance(v, str) else v),
    PlainSerializer(lambda v: v.strftime("%H:%M"), return_type=str),
]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
FilePath = Annotated[Path, PlainSerializer(lambda p: p.as_posix(), return_type=str)]


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


# --------------------------------------------------------------------------- data


class BarsFile(Section):
    """One file of bars; timestamps mark the START of a bar."""

    path: FilePath = Field(
        description="CSV, Parquet or Feather file; relative to the config file, "
        "or 'sample:NAME' for data that ships with truefill"
    )
    symbol: str | None = Field(
        None, description="symbol of every row; null = the file has a symbol column"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="source column -> ours (timestamp, symbol, open, high, low, close, volume)",
    )
    timezone: Timezone = Field("UTC", description="timezone of naive timestamps in this file")
    timestamp_unit: Literal["auto", "iso", "s", "ms"] = Field(
        "auto", description="how numeric or text timestamps are read; auto decides by magnitude"
    )


class SessionConfig(Section):
    """Trading session: bars outside are dropped and counted."""

    timezone: Timezone = Field("UTC", description="timezone of days, start and end")
    days: tuple[Weekday, ...] = Field(
        ("mon", "tue", "wed", "thu", "fri"), description="trading days"
    )
    start: ClockTime = Field(time(0, 0), description="first bar start of a session, HH:MM")
    end: ClockTime | None = Field(
        None, description="session end (exclusive), HH:MM; null = midnight"
    )


class SeriesFile(Section):
    """Slow series (macro) joined as of the moment each value became available."""

    path: FilePath = Field(description="CSV, Parquet or Feather file with one row a value date")
    timestamp: str = Field("timestamp", description="column that holds the value date")
    columns: dict[str, str] = Field(
        description="source column -> series name used by features; only these are read"
    )
    publication_lag: Duration = Field(
        description="available_at = value date + this lag (e.g. 1d, 24h; seconds as a number)"
    )
    publication_lag_by_column: dict[str, Duration] = Field(
        default_factory=dict, description="series name -> its own publication lag"
    )
    max_staleness: Duration = Field(
        5 * 86_400.0,
        description="a value older than this after available_at is null, not carried forward",
    )
    timezone: Timezone = Field("UTC", description="timezone of naive value dates")


class SyntheticConfig(Section):
    """A market with a known answer instead of files."""

    kind: Literal["random_walk", "planted_signal"] = Field(
        description="random_walk: no edge exists; planted_signal: a signal predicts the next bar"
    )
    bars: Count = Field(12_000, description="bars per symbol")
    symbols: Count = Field(1, description="number of symbols")
    seed: int = Field(0, ge=0, description="random seed of the market")
    volatility: Positive = Field(0.002, description="standard deviation of a bar's log return")
    strength: Fraction = Field(
        0.7, description="planted_signal: share of the return's variance the signal explains"
    )
    start: Moment = Field(datetime(2020, 1, 1, tzinfo=UTC), description="first bar")


class SplitPeriod(Section):
    """Half-open period [start, end)."""

    start: Moment = Field(description="first bar start, inclusive (date or ISO timestamp)")
    end: Moment = Field(description="end, exclusive")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start {self.start.date()} is not before end {self.end.date()}")
        return self


class SplitsConfig(Section):
    """Fixed-date splits in order; they may not overlap."""

    train: SplitPeriod
    validation: SplitPeriod
    test: SplitPeriod

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.train.end > self.validation.start:
            raise ValueError("train must end before validation starts")
        if self.validation.end > self.test.start:
            raise ValueError("validation must end before test starts")
        return self


class DataConfig(Section):
    """Where the market's history comes from."""

    bars: tuple[BarsFile, ...] = Field((), description="bar files; all symbols together")
    synthetic: SyntheticConfig | None = Field(
        None, description="a synthetic market instead of files"
    )
    interval: Duration = Field(description="bar interval (e.g. 5m, 1h, 1d)")
    session: SessionConfig | None = Field(None, description="null = round the clock")
    series: tuple[SeriesFile, ...] = Field((), description="macro and other slow series")
    splits: SplitsConfig

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.bars) == (self.synthetic is not None):
            raise ValueError("give either bars (files) or synthetic, not both or neither")
        if self.interval <= 0:
            raise ValueError("interval must be positive")
        names = [name for file in self.series for name in file.columns.values()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"series names are used twice: {', '.join(twice)}")
        return self


class FeatureConfig(Section):
    """One feature: a calculator, its parameters, and how the result is normalized."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="column name; the order is the contract"
    )
    calculator: str = Field(description="registered calculator; see `truefill list calculators`")
    params: dict[str, Any] = Field(default_factory=dict, description="the calculator's parameters")
    normalizer: Literal["none", "zscore", "minmax"] = Field(
        "zscore", description="zscore: mean and std of train rows; minmax: fixed low..high to 0..1"
    )
    low: float = Field(0.0, description="minmax: value that becomes 0")
    high: float = Field(1.0, description="minmax: value that becomes 1")
    pre_clip: Positive | None = Field(
        None, description="clip to +- this before normalizing, in raw units"
    )
    clip: Positive | None = Field(None, description="clip to +- this after normalizing")
    clip_low: float | None = Field(
        None, description="lower clip after normalizing, instead of -clip"
    )

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.normalizer == "minmax" and self.low >= self.high:
            raise ValueError(f"feature {self.name}: low must be below high")
        if self.clip_low is not None and self.clip is None:
            raise ValueError(f"feature {self.name}: clip_low needs clip")
        return self


# --------------------------------------------------------------------------- market


class TrailingStop(Section):
    """Trailing stop from the best price of EARLIER bars since entry."""

    distance: Positive | None = Field(
        None, description="stop at best price x (1 - distance) for a long; fraction"
    )
    activation: Positive | None = Field(
        None, description="keep-profit form: armed once the best profit reached this fraction"
    )
    keep: Fraction = Field(
        0.5, description="keep-profit form: share of the best profit that is kept"
    )
    floor: NonNegative = Field(0.0, description="keep-profit form: profit kept at least, fraction")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.distance is None and self.activation is None:
            raise ValueError("trailing_stop needs distance or activation")
        return self


class AtrStops(Section):
    """Stops at multiples of the ATR of the bar before the fill, as fractions of the entry price."""

    period: Count = Field(14, description="ATR period (Wilder), bars")
    stop_multiple: Positive = Field(2.5, description="stop distance in ATRs")
    target_multiple: Positive | None = Field(
        5.0, description="target distance in ATRs; null = none"
    )
    stop_min: Positive = Field(0.01, description="smallest stop distance, fraction")
    stop_max: Positive = Field(0.08, description="largest stop distance, fraction")
    target_min: Positive = Field(0.01, description="smallest target distance, fraction")
    target_max: Positive = Field(0.10, description="largest target distance, fraction")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.stop_min > self.stop_max or self.target_min > self.target_max:
            raise ValueError("atr_stops: min must not exceed max")
        return self


class CostOverride(Section):
    """Costs of one symbol, where they differ from the market's."""

    fee_bps: NonNegative | None = Field(None, description="fee, bps of notional")
    half_spread_bps: NonNegative | None = Field(None, description="half spread, bps of price")
    slippage_bps: NonNegative | None = Field(None, description="slippage, bps of price")
    lot_size: NonNegative | None = Field(None, description="units per lot")
    min_notional: NonNegative | None = Field(None, description="smallest order, quote currency")
    borrow_rate_annual: NonNegative | None = Field(
        None, description="fee on shorts, fraction a year"
    )


class MarketConfig(Section):
    """The rules of filling, costs, limits and stops: the same everywhere."""

    fee_bps: NonNegative = Field(10.0, description="fee, bps of traded notional")
    half_spread_bps: NonNegative = Field(2.0, description="half spread, bps of price")
    slippage_bps: NonNegative = Field(3.0, description="base slippage, bps of price")
    interest_rate_annual: NonNegative = Field(
        0.065, description="interest on borrowed cash, fraction a year"
    )
    borrow_rate_annual: NonNegative = Field(
        0.03, description="fee on the value of shorts, fraction a year"
    )
    symbols: dict[str, CostOverride] = Field(default_factory=dict, description="costs by symbol")
    decision_lag: Count = Field(
        1, description="bars from decision (close) to fill (open); at least 1"
    )
    decision_interval_bars: Count = Field(1, description="the agent decides every n-th bar")
    allow_short: bool = Field(False, description="negative positions are allowed")
    max_leverage: Positive = Field(1.0, description="gross exposure limit, multiple of equity")
    max_weight: Positive = Field(1.0, description="limit per symbol, multiple of equity")
    lot_size: NonNegative = Field(0.0, description="units per lot; 0 = any fraction")
    min_notional: NonNegative = Field(0.0, description="smallest order, quote currency")
    no_trade_band: NonNegative = Field(
        0.0, description="a weight order closer than this to the current weight is no trade"
    )
    min_hold_bars: int = Field(
        0, ge=0, description="bars before the agent may reduce, close or reverse"
    )
    max_hold_bars: Count | None = Field(None, description="bars after which a position is closed")
    stop_loss: Positive | None = Field(
        None, description="stop distance, fraction of the entry price"
    )
    take_profit: Positive | None = Field(
        None, description="target distance, fraction of entry price"
    )
    trailing_stop: TrailingStop | None = Field(None, description="trailing stop")
    atr_stops: AtrStops | None = Field(None, description="ATR stops instead of fixed fractions")
    maintenance_margin: Fraction = Field(
        0.25, description="liquidated when equity / gross exposure falls below this"
    )
    ruin_fraction: Fraction = Field(
        0.05, description="ruin when equity falls to this share of the starting balance"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.maintenance_margin * self.max_leverage >= 1.0:
            raise ValueError(
                f"maintenance_margin {self.maintenance_margin} would liquidate at once at "
                f"max_leverage {self.max_leverage}; it must be below {1 / self.max_leverage:.4g}"
            )
        if self.ruin_fraction <= 0.0:
            raise ValueError("ruin_fraction must be above 0 (log equity must stay finite)")
        if self.max_hold_bars is not None and self.max_hold_bars < self.min_hold_bars:
            raise ValueError("max_hold_bars is below min_hold_bars")
        if self.atr_stops is not None and (self.stop_loss or self.take_profit):
            raise ValueError("give either atr_stops or stop_loss / take_profit, not both")
        if self.stop_loss is not None and self.stop_loss >= 1.0 and not self.allow_short:
            raise ValueError("stop_loss of 100 % or more can never be hit by a long")
        if self.max_weight > self.max_leverage:
            raise ValueError("max_weight exceeds max_leverage; lower it or raise max_leverage")
        return self


# --------------------------------------------------------------------------- environment


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
    state_features: tuple[str, ...] = Field(
        ("position", "unrealized_pnl", "drawdown", "cash_share"),
        description="account state in the observation; see `truefill list state_features`",
    )
    action: ActionConfig = Field(default_factory=lambda: ActionConfig())
    reward: RewardConfig = Field(default_factory=lambda: RewardConfig())
    episode_bars: Count = Field(2_400, description="longest training episode, bars")
    drawdown_limit: Fraction = Field(
        1.0, description="training episodes end at this drawdown; 1 = never"
    )
    initial_balance: Positive = Field(10_000.0, description="starting cash, quote currency")


# --------------------------------------------------------------------------- agent and training


class NetworkConfig(Section):
    """Feed-forward policy and value network."""

    hidden: tuple[Count, ...] = Field((64, 64), min_length=1, description="units per hidden layer")
    activation: Literal["tanh", "relu"] = Field("relu", description="activation")
    shared_trunk: bool = Field(True, description="policy and value share the hidden layers")
    log_std_init: float = Field(-0.5, description="Gaussian head: initial log standard deviation")


class Schedule(Section):
    """A value over training progress 0..1 (environment steps / total_steps)."""

    start: NonNegative = Field(description="value at the start")
    end: NonNegative | None = Field(None, description="value at the end; null = constant")
    kind: Literal["linear", "cosine"] = Field("linear", description="how it moves")


def _schedule(value: Any) -> Any:
    return {"start": value} if isinstance(value, int | float) else value


ScheduleField = Annotated[
    Schedule, BeforeValidator(_schedule, json_schema_input_type=float | Schedule)
]


class PPOConfig(Section):
    """Proximal policy optimization (Schulman et al. 2017)."""

    learning_rate: ScheduleField = Field(3e-4, description="Adam step size; number or schedule")  # type: ignore[assignment]
    entropy: ScheduleField = Field(0.01, description="entropy coefficient; number or schedule")  # type: ignore[assignment]
    clip: ScheduleField = Field(0.2, description="ratio clip; number or schedule")  # type: ignore[assignment]
    num_envs: Count = Field(512, description="accounts stepped together")
    num_steps: Count = Field(64, description="bars per rollout and account")
    minibatch: Count = Field(2_048, description="samples per gradient step")
    block: Count = Field(64, description="samples are shuffled in blocks of this many accounts")
    epochs: Count = Field(4, description="passes over a rollout")
    gamma: Fraction = Field(0.99, description="discount per bar")
    gae_lambda: Fraction = Field(0.95, description="GAE lambda")
    value_coef: NonNegative = Field(0.5, description="weight of the value loss")
    max_grad_norm: Positive = Field(0.5, description="global gradient norm is clipped to this")
    target_kl: Positive | None = Field(
        None, description="no further epoch once the epoch's mean KL exceeds this; null = off"
    )

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        rollout = self.num_envs * self.num_steps
        if rollout % self.minibatch:
            raise ValueError(
                f"minibatch {self.minibatch} does not divide the rollout "
                f"{self.num_envs} x {self.num_steps} = {rollout}"
            )
        if self.minibatch % self.block:
            raise ValueError(f"block {self.block} does not divide minibatch {self.minibatch}")
        if self.num_envs % self.block:
            raise ValueError(f"block {self.block} does not divide num_envs {self.num_envs}")
        return self


class AgentConfig(Section):
    """The learner."""

    kind: Literal["ppo"] = Field("ppo", description="see `truefill list agents`")
    network: NetworkConfig = Field(default_factory=lambda: NetworkConfig())
    ppo: PPOConfig = Field(default_factory=lambda: PPOConfig())


class TrainingConfig(Section):
    """How long, how many seeds, when to stop."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (42, 123, 456, 789, 1337), min_length=1, description="one independent training each"
    )
    total_steps: Count = Field(
        2_000_000, description="environment steps (bars x accounts) per seed"
    )
    eval_every_steps: Count = Field(250_000, description="steps between evaluations on validation")
    eval_episodes: Count = Field(10, description="validation episodes per evaluation")
    eval_seed: int = Field(
        0, ge=0, description="seed of the evaluation episodes, same for all seeds"
    )
    patience: Count | None = Field(
        10, description="stop after this many evaluations without a better one; null = never"
    )
    checkpoint_every_steps: Count = Field(500_000, description="steps between checkpoints")
    tensorboard: bool = Field(
        False, description="also log updates to RUN/tensorboard (extra: tensorboard); not hashed"
    )
    worker_timeout_s: Positive = Field(
        300.0, description="a worker without progress for this long is killed and resumed, s"
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds are repeated")
        return self


# --------------------------------------------------------------------------- evaluation


class SmaCrossConfig(Section):
    """Long while the fast average is above the slow one, else short (or flat)."""

    fast_bars: Count = Field(50, description="fast average, bars")
    slow_bars: Count = Field(200, description="slow average, bars")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast_bars >= self.slow_bars:
            raise ValueError("fast_bars must be below slow_bars")
        return self


class EvaluationConfig(Section):
    """Backtest, baselines and uncertainty."""

    initial_balance: Positive = Field(10_000.0, description="starting cash, quote currency")
    sma_cross: SmaCrossConfig = Field(default_factory=lambda: SmaCrossConfig())
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
        description="|bars long - bars short| / bars in a position; left out without allow_short",
    )
    min_rows: MinRows = Field(default_factory=lambda: MinRows())


# --------------------------------------------------------------------------- the whole


class Config(Section):
    """One run of truefill."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$", description="first part of the run folder's name"
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="auto: a GPU when jax has one, else the CPU; the choice is recorded"
    )
    data: DataConfig
    features: tuple[FeatureConfig, ...] = Field(
        min_length=1, description="market features, in order"
    )
    market: MarketConfig = Field(default_factory=lambda: MarketConfig())
    env: EnvConfig = Field(default_factory=lambda: EnvConfig())
    agent: AgentConfig = Field(default_factory=lambda: AgentConfig())
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig())
    evaluation: EvaluationConfig = Field(default_factory=lambda: EvaluationConfig())
    gates: GatesConfig = Field(default_factory=lambda: GatesConfig())

    @model_validator(mode="after")
    def _cross_field(self) -> Self:
        names = [feature.name for feature in self.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"features are named twice: {', '.join(twice)}")
        rollout = self.agent.ppo.num_envs * self.agent.ppo.num_steps
        if self.training.total_steps < rollout:
            raise ValueError(
                f"training.total_steps {self.training.total_steps} is less than one "
                f"rollout ({rollout})"
            )
        if self.training.eval_every_steps > self.training.total_steps:
            raise ValueError("training.eval_every_steps exceeds training.total_steps")
        needed = len(self.training.seeds)
        if self.evaluation.min_positive_seeds > needed:
            raise ValueError(
                f"evaluation.min_positive_seeds {self.evaluation.min_positive_seeds} exceeds the "
                f"number of training.seeds ({needed})"
            )
        for name in ("train", "validation", "test"):
            period: SplitPeriod = getattr(self.data.splits, name)
            bars = (period.end - period.start).total_seconds() / self.data.interval
            if self.env.window_bars + self.market.decision_lag >= bars:
                raise ValueError(
                    f"env.window_bars {self.env.window_bars} does not fit data.splits.{name} "
                    f"(at most {int(bars)} bars)"
                )
        return self

    def timezone(self) -> ZoneInfo:
        """Timezone of the session, UTC without one."""
        session = self.data.session
        return ZoneInfo(session.timezone if session else "UTC")
