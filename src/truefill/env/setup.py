"""From config and data to an environment. Training and backtest are built by the same function."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from typing import Literal

import jax.numpy as jnp
import numpy as np

from truefill.config.schema import Config, NoTrade
from truefill.config.symbol_rules import Rules
from truefill.core.errors import ConfigError, DataError
from truefill.data.split import SplitArrays
from truefill.env.decoder_check import make_decoder as make_decoder
from truefill.env.episodes import (
    DECISION_PHASE,
    EnvArrays,
    EnvSpec,
    EpisodeParams,
    RewardParams,
)
from truefill.env.market_bars import market_bars
from truefill.env.market_setup import FOREVER as FOREVER
from truefill.env.market_setup import market_params
from truefill.env.parity import check_parity as check_parity
from truefill.env.pool import pool_symbols
from truefill.env.state_features import STATE_FEATURES
from truefill.market.types import NEVER, Array, BarState

Stage = Literal["train", "backtest"]
SHAPED = ("drawdown", "turnover", "downside", "differential_sharpe")
"""Reward terms beside log_equity, in the order in which they are logged."""
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
    no_trade: tuple[NoTrade, ...]


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
        ConfigError: decoder and market do not fit together, or one symbol's account would be of
            another size in the backtest than in training where size decides what can be traded.
        DataError: the split is shorter than one window and the decision lag.
    """
    spec = make_spec(config, split)
    training = stage == "train"
    if not training and pools(config, split.symbols):
        _check_shares(config, split.symbols)
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
    if training:
        arrays = arrays._replace(idle=_idle(arrays, spec.lag))
    rules = tuple(config.market.rules_for(symbol) for symbol in split.symbols)
    return Environment(spec, arrays, rules, config.market.no_trade)


def _idle(arrays: EnvArrays, lag: int) -> Array | None:
    """``EnvArrays.idle``; orders that come too late for the data's end, or for that of their one
    symbol, do not count."""
    tradable = np.any(np.asarray(arrays.bars.column("state")) >= BarState.TRADABLE, axis=1)
    due = np.arange(len(tradable)) + lag
    last = arrays.episode.last_bar if arrays.pool is None else arrays.pool.last_bar
    idle = ~tradable[np.minimum(due, len(tradable) - 1)] & (due <= np.asarray(last))
    return jnp.asarray(idle) if idle.any() else None


def pools(config: Config, symbols: tuple[str, ...]) -> bool:
    """Whether each episode trades one of several symbols."""
    return config.env.episode_symbols == "one" and len(symbols) > 1


def _check_shares(config: Config, symbols: tuple[str, ...]) -> None:
    """Refuse accounts of another size than in training under rules that count in units or money."""
    market, count = config.market, len(symbols)
    trained, given = config.env.initial_balance, config.evaluation.initial_balance
    rules = [market.rules_for(symbol) for symbol in symbols]
    found = {
        "lot_size": any(r.lot_size > 0.0 for r in rules),
        "min_notional": any(r.min_notional > 0.0 for r in rules),
        "participation": market.participation is not None,
    }
    by_size = ", ".join(name for name, is_set in found.items() if is_set)
    if by_size and not isclose(given, count * trained):
        raise ConfigError(
            f"with env.episode_symbols 'one' each of {count} symbols trained with "
            f"env.initial_balance {trained:g}, but evaluation.initial_balance {given:g} gives each "
            f"{given / count:g}; under {by_size} the two do not trade alike",
            where="evaluation.initial_balance",
            do=f"set evaluation.initial_balance: {count * trained:g} "
            f"({count} x env.initial_balance)",
        )


def make_spec(config: Config, split: SplitArrays) -> EnvSpec:
    """The static shape of the environment on ``split``."""
    return spec_for(config, split.symbols, split.features.shape[2])


def spec_for(config: Config, symbols: tuple[str, ...], features: int) -> EnvSpec:
    """The static shape for ``symbols`` with ``features`` market features each."""
    env, market, reward = config.env, config.market, config.env.reward
    decoder = make_decoder(config, symbols)
    state_features = list(env.state_features)
    for name in state_features:
        STATE_FEATURES.get(name, where="env.state_features")
    if market.decision_lag == 1 and set(QUEUE_FEATURES) & set(state_features):
        raise ConfigError(
            "'pending' needs market.decision_lag of 2 or more", where="env.state_features"
        )
    if market.decision_lag > 1:
        state_features += [name for name in QUEUE_FEATURES if name not in state_features]
    if market.decision_interval_bars > 1 and DECISION_PHASE not in state_features:
        state_features.append(DECISION_PHASE)
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
