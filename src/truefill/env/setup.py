"""From config and data to an environment. Training and backtest are built by the same function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import jax.numpy as jnp
import numpy as np

from truefill.config.schema import Config, Window
from truefill.config.symbol_rules import Rules
from truefill.core.errors import ConfigError, DataError
from truefill.core.registry import Params
from truefill.data.split import SplitArrays
from truefill.env.decoders import DECODERS, Decoder
from truefill.env.episodes import EnvArrays, EnvSpec, EpisodeParams, RewardParams
from truefill.env.market_bars import market_bars
from truefill.env.market_setup import FOREVER as FOREVER
from truefill.env.market_setup import market_params
from truefill.env.parity import check_parity as check_parity
from truefill.env.pool import pool_symbols
from truefill.env.state_features import STATE_FEATURES
from truefill.market.types import NEVER

Stage = Literal["train", "backtest"]
SHAPED = ("drawdown", "turnover", "downside", "differential_sharpe")
"""Reward terms beside log_equity, in the order in which they are logged."""
PHASE_FEATURE = "decision_phase"
"""State feature that every observation has when the agent decides every n-th bar only."""
QUEUE_FEATURES = ("pending", "pending_kind")
"""State features that every observation has when orders wait longer than one bar."""


@dataclass(frozen=True)
class Environment:
    """A static spec, its traced arrays, and what the config says of the bars: two periods differ
    in their bars under the same rules."""

    spec: EnvSpec
    arrays: EnvArrays
    rules: tuple[Rules, ...]
    """By symbol."""
    no_trade: tuple[Window, ...]


def make_environment(
    config: Config,
    split: SplitArrays,
    stage: Stage,
    *,
    cost_multiples: tuple[float, ...] = (1.0,),
    extra_slippage_bps: tuple[float, ...] = (0.0,),
    routes: bool = False,
) -> Environment:
    """The environment of ``config`` on ``split``.

    Training and backtest differ in three things only: the reward interval, the drawdown stop and
    the starting balance (:func:`check_parity` holds them to it).

    Args:
        cost_multiples: one a scenario account (or one for all): multiplies every cost.
        extra_slippage_bps: one a scenario account (or one for all): added to every slippage.
        routes: limit and stop orders will come (plans); agents and baselines send none.

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
        bars=market_bars(config, split, routes=routes),
        features=jnp.asarray(split.features.reshape(last + 1, -1), jnp.float32),
        clock=jnp.asarray(split.clock, jnp.float32),
        market=market_params(
            config, split.symbols, balance, cost_multiples, extra_slippage_bps, routes=routes
        ),
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
    if pools(config, split.symbols):
        arrays = pool_symbols(arrays, spec, split, split.features)
    rules = tuple(config.market.rules_for(symbol) for symbol in split.symbols)
    return Environment(spec, arrays, rules, config.market.no_trade)


def pools(config: Config, symbols: tuple[str, ...]) -> bool:
    """Whether each episode trades one of several symbols."""
    return config.env.episode_symbols == "one" and len(symbols) > 1


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
    together = 1 if pools(config, symbols) else len(symbols)
    return EnvSpec(
        num_symbols=together,
        num_features=features * together,
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
