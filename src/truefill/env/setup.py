"""From config and data to an environment. Training and backtest are built by the same function."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Literal

import jax.numpy as jnp
import numpy as np

from truefill.config.schema import Config, MarketConfig
from truefill.core.errors import ConfigError, DataError, TruefillError
from truefill.core.registry import Params
from truefill.data.split import SplitArrays
from truefill.env.decoders import DECODERS, Decoder
from truefill.env.episodes import EnvArrays, EnvSpec, EpisodeParams, RewardParams
from truefill.env.state_features import STATE_FEATURES
from truefill.market.bars import MarketBars, make_bars
from truefill.market.types import NEVER, BarState, MarketParams

Stage = Literal["train", "backtest"]
BPS = 1e-4
FOREVER = 2**30
SHAPED = ("drawdown", "turnover", "downside", "differential_sharpe")
"""Reward terms beside log_equity, in the order in which they are logged."""
PHASE_FEATURE = "decision_phase"
"""State feature that every observation has when the agent decides every n-th bar only."""
QUEUE_FEATURES = ("pending", "pending_kind")
"""State features that every observation has when orders wait longer than one bar."""


@dataclass(frozen=True)
class Environment:
    """A static spec and its traced arrays."""

    spec: EnvSpec
    arrays: EnvArrays


def make_environment(
    config: Config,
    split: SplitArrays,
    stage: Stage,
    *,
    cost_multiples: tuple[float, ...] = (1.0,),
    extra_slippage_bps: tuple[float, ...] = (0.0,),
) -> Environment:
    """The environment of ``config`` on ``split``.

    Training and backtest differ in three things only: the reward interval, the drawdown stop and
    the starting balance (:func:`check_parity` holds them to it).

    Args:
        cost_multiples: one a scenario account (or one for all): multiplies every cost.
        extra_slippage_bps: one a scenario account (or one for all): added to every slippage.

    Raises:
        ConfigError: decoder and market do not fit together.
        DataError: the split is shorter than one window and the decision lag.
    """
    spec = make_spec(config, split)
    training = stage == "train"
    reward, env = config.env.reward, config.env
    balance = env.initial_balance if training else config.evaluation.initial_balance
    weights = {"log_equity": 1.0, **{n: float(getattr(reward, n)) for n in spec.reward_terms[1:]}}
    last = split.timestamps_s.shape[0] - 1
    if last < spec.first_bar + spec.lag:
        raise DataError(
            "short_split",
            f"{split.name} holds {last + 1} bars; a window of {spec.window} and a decision lag of "
            f"{spec.lag} need at least {spec.first_bar + spec.lag + 1}",
            where=f"data.splits.{split.name}",
            do="widen the split or shorten env.window_bars",
        )
    limit = env.drawdown_limit if training and env.drawdown_limit < 1.0 else NEVER
    arrays = EnvArrays(
        bars=market_bars(config, split),
        features=jnp.asarray(split.features.reshape(last + 1, -1), jnp.float32),
        clock=jnp.asarray(split.clock, jnp.float32),
        market=market_params(config, split.symbols, balance, cost_multiples, extra_slippage_bps),
        reward=RewardParams(
            weights=jnp.asarray([weights[name] for name in spec.reward_terms]),
            scale=jnp.asarray(reward.scale),
            clip=jnp.asarray(np.inf if reward.clip is None else reward.clip),
            eta=jnp.asarray(reward.differential_sharpe_eta),
            gamma=jnp.asarray(config.agent.ppo.gamma),
            interval=jnp.asarray(reward.interval_bars if training else 1, jnp.int32),
        ),
        episode=EpisodeParams(
            max_steps=jnp.asarray([env.episode_bars if training else FOREVER], jnp.int32),
            drawdown_limit=jnp.asarray(limit),
            last_bar=jnp.asarray(last, jnp.int32),
        ),
    )
    return Environment(spec, arrays)


def make_spec(config: Config, split: SplitArrays) -> EnvSpec:
    """The static shape of the environment on ``split``."""
    return spec_for(config, split.symbols, split.features.shape[2])


def spec_for(config: Config, symbols: tuple[str, ...], features: int) -> EnvSpec:
    """The static shape for ``symbols`` with ``features`` market features each."""
    env, market, reward = config.env, config.market, config.env.reward
    decoder = make_decoder(config)
    state_features = list(env.state_features)
    for name in state_features:
        STATE_FEATURES.get(name, where="env.state_features")
    if market.decision_lag == 1 and set(QUEUE_FEATURES) & set(state_features):
        raise ConfigError(
            "'pending' needs market.decision_lag of 2 or more", where="env.state_features"
        )
    if market.decision_lag > 1:
        state_features += [name for name in QUEUE_FEATURES if name not in state_features]
    if market.decision_interval_bars > 1 and PHASE_FEATURE not in state_features:
        state_features.append(PHASE_FEATURE)
    return EnvSpec(
        num_symbols=len(symbols),
        num_features=features * len(symbols),
        window=env.window_bars,
        lag=market.decision_lag,
        state_features=tuple(state_features),
        reward_terms=("log_equity", *(name for name in SHAPED if getattr(reward, name) > 0.0)),
        decoder=decoder,
        mask_illegal=env.action.illegal == "mask",
    )


def make_decoder(config: Config) -> Decoder:
    """The config's action decoder, checked against the market."""
    action = config.env.action
    params = DECODERS.parse(action.kind, action.params, where="env.action")
    decoder = _decoder(action.kind, params)
    if decoder.needs_short and not config.market.allow_short:
        raise ConfigError(
            f"decoder {action.kind!r} goes short, but market.allow_short is false",
            where="env.action.kind",
            do="set market.allow_short: true, use long_only where the decoder has it, or flat_long",
        )
    if decoder.needs_band and config.market.no_trade_band == 0.0:
        raise ConfigError(
            f"decoder {action.kind!r} orders a weight at every decision, so drift alone would "
            "trade on every bar",
            where="market.no_trade_band",
            do="set market.no_trade_band, e.g. 0.05",
        )
    _check_limits(decoder, config)
    return decoder


def _check_limits(decoder: Decoder, config: Config) -> None:
    """Refuse weights that the market would cut, and steps that its band would swallow."""
    market, kind = config.market, config.env.action.kind
    for what, wanted, key in (
        ("weights", decoder.max_weight, "max_weight"),
        ("a gross exposure", decoder.max_gross, "max_leverage"),
    ):
        allowed = getattr(market, key)
        if wanted is not None and wanted > allowed:
            raise ConfigError(
                f"decoder {kind!r} orders {what} of up to {wanted:g} x equity, but "
                f"market.{key} allows {allowed:g}",
                where="env.action.params",
                do=f"lower it in env.action.params, or set market.{key}: {wanted:g}",
            )
    if decoder.min_step is not None and market.no_trade_band >= decoder.min_step:
        raise ConfigError(
            f"decoder {kind!r} has sizes {decoder.min_step:g} apart, and a no-trade band of "
            f"{market.no_trade_band:g} would keep the position from moving between them",
            where="market.no_trade_band",
            do=f"set it below {decoder.min_step:g}",
        )


@cache
def _decoder(kind: str, params: Params) -> Decoder:
    """One object per decoder and parameters: equal specs are equal, and compile once."""
    return DECODERS.get(kind).make(params)


def market_bars(config: Config, split: SplitArrays) -> MarketBars:
    """Bars of ``split`` with their costs as arrays per symbol and bar."""
    market = config.market

    def cost(name: str, unit: float) -> np.ndarray:
        return unit * np.asarray([_by_symbol(market, symbol, name) for symbol in split.symbols])

    return make_bars(
        timestamps_s=split.timestamps_s,
        prices={n: getattr(split, n) for n in ("open", "high", "low", "close")},
        costs={
            "fee": cost("fee_bps", BPS),
            "half_spread": cost("half_spread_bps", BPS),
            "slippage": cost("slippage_bps", BPS),
            "borrow": cost("borrow_rate_annual", 1.0),
        },
        interest=market.interest_rate_annual,
        state=np.where(split.present, float(BarState.TRADABLE), float(BarState.MASKED)),
        atr=split.atr,
    )


def _by_symbol(market: MarketConfig, symbol: str, name: str) -> float:
    own = market.symbols.get(symbol)
    value = getattr(own, name, None) if own is not None else None
    return float(getattr(market, name) if value is None else value)


def market_params(
    config: Config,
    symbols: tuple[str, ...],
    balance: float,
    cost_multiples: tuple[float, ...] = (1.0,),
    extra_slippage_bps: tuple[float, ...] = (0.0,),
) -> MarketParams:
    """The config's rules as traced arrays, [N] or [1] by account, [1, S] by symbol."""
    market = config.market
    unknown = sorted(set(market.symbols) - set(symbols))
    if unknown:
        raise ConfigError(
            f"costs are given for {', '.join(unknown)}, which the data do not hold",
            where="market.symbols",
            do=f"the data hold {', '.join(symbols)}",
        )
    trail, atr = market.trailing_stop, market.atr_stops

    def account(value: float) -> jnp.ndarray:
        return jnp.full((1,), value, jnp.float64)

    def symbol(value: float | None) -> jnp.ndarray:
        return jnp.full((1, len(symbols)), NEVER if value is None else value, jnp.float64)

    def bars(value: int | None) -> jnp.ndarray:
        return jnp.full((1, len(symbols)), FOREVER if value is None else value, jnp.int32)

    def own(name: str) -> jnp.ndarray:
        return jnp.asarray([[_by_symbol(market, s, name) for s in symbols]])

    return MarketParams(
        one=jnp.asarray(1.0),
        initial_balance=account(balance),
        cost_multiple=jnp.asarray(cost_multiples, jnp.float64),
        extra_slippage=jnp.asarray(extra_slippage_bps, jnp.float64) * BPS,
        decision_interval=jnp.full((1,), market.decision_interval_bars, jnp.int32),
        allow_short=symbol(float(market.allow_short)),
        max_leverage=account(market.max_leverage),
        max_weight=symbol(market.max_weight),
        lot=own("lot_size"),
        min_notional=own("min_notional"),
        band=symbol(market.no_trade_band),
        min_hold=bars(market.min_hold_bars),
        max_hold=bars(market.max_hold_bars),
        stop_loss=symbol(market.stop_loss),
        take_profit=symbol(market.take_profit),
        use_atr=symbol(0.0 if atr is None else 1.0),
        atr_stop=symbol(atr.stop_multiple if atr else 1.0),
        atr_target=symbol(atr.target_multiple if atr else 1.0),
        atr_stop_min=symbol(atr.stop_min if atr else None),
        atr_stop_max=symbol(atr.stop_max if atr else None),
        atr_target_min=symbol(atr.target_min if atr and atr.target_multiple else None),
        atr_target_max=symbol(atr.target_max if atr and atr.target_multiple else None),
        trail_distance=symbol(trail.distance if trail else None),
        trail_activation=symbol(trail.activation if trail else None),
        trail_keep=symbol(trail.keep if trail else 0.0),
        trail_floor=symbol(trail.floor if trail else 0.0),
        maintenance=account(market.maintenance_margin),
        ruin_fraction=account(market.ruin_fraction),
    )


def check_parity(train: Environment, backtest: Environment) -> None:
    """Refuse a backtest whose rules are not the training's.

    Raises:
        TruefillError: naming the field that differs, beyond reward interval, drawdown stop, episode
            length and starting balance.
    """
    for field in fields(EnvSpec):
        if getattr(train.spec, field.name) != getattr(backtest.spec, field.name):
            raise TruefillError(
                f"{field.name} differs between training and backtest", where="parity"
            )
    for group, allowed in (("market", {"initial_balance"}), ("reward", {"interval"})):
        a, b = getattr(train.arrays, group), getattr(backtest.arrays, group)
        for name in a._fields:
            same = np.array_equal(np.asarray(getattr(a, name)), np.asarray(getattr(b, name)))
            if name not in allowed and not same:
                raise TruefillError(
                    f"{group}.{name} differs between training and backtest", where="parity"
                )
    rates = [np.asarray(env.arrays.bars.per_bar[:, 0]) for env in (train, backtest)]
    if rates[0].size and rates[1].size and rates[0][0] != rates[1][0]:
        raise TruefillError("interest differs between training and backtest", where="parity")
    for name in ("fee", "half_spread", "slippage", "borrow"):
        costs = [np.asarray(env.arrays.bars.column(name)) for env in (train, backtest)]
        if not np.array_equal(costs[0][0], costs[1][0]):
            raise TruefillError(f"{name} differs between training and backtest", where="parity")
