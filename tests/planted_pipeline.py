"""Leaks further down the chain than features: each replaces a stage by one that knows too much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl

from truefill.audit import chain as real
from truefill.audit.chain import Chain, Trained
from truefill.config.schema import Config
from truefill.data.inputs import Inputs
from truefill.data.split import SplitArrays
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState, Observation, Transition
from truefill.env.setup import Environment, make_environment
from truefill.features.build import BuiltDataset, build
from truefill.market.types import Array

Stage = dict[str, Any]


@dataclass(frozen=True)
class Planted:
    """``stages``: what replaces the chain's; ``group``: the checks that look at such stages."""

    what: str
    where: str
    group: str
    stages: Stage
    config: dict[str, Any]
    """Sections of the config that the leak needs."""


LEAKS: dict[str, Planted] = {}
RECURRENT = {"kind": "recurrent_ppo", "memory": {"cell": "gru", "units": 8}}


def leak(
    what: str,
    where: str,
    group: str,
    *,
    stage: str = "",
    agent: dict[str, Any] | None = None,
    **market: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: a function that takes the place of chain stage ``stage``."""

    def decorate(make: Callable[..., Any]) -> Callable[..., Any]:
        config = {"market": market} | ({} if agent is None else {"agent": agent})
        LEAKS[make.__name__] = Planted(what, where, group, {stage or where: make}, config)
        return make

    return decorate


def _all(built: BuiltDataset) -> pl.DataFrame:
    return pl.concat(built.tables.values())


def _tables(built: BuiltDataset, change: Callable[[pl.DataFrame], pl.DataFrame]) -> BuiltDataset:
    return replace(built, tables={name: change(table) for name, table in built.tables.items()})


# --------------------------------------------------------------------------- inputs and dataset


@leak("bars without volume mended by interpolation", "mending", "bars", stage="prepare")
def mended_by_interpolation(config: Config, inputs: Inputs) -> Inputs:
    gone = pl.col("volume") == 0.0
    close = pl.when(gone).then(None).otherwise(pl.col("close")).interpolate().over("symbol")
    table = inputs.bars.table.with_columns(close=close.fill_null(pl.col("close")))
    return replace(inputs, bars=replace(inputs.bars, table=table))


@leak("bars before a jump left out", "mending", "bars", stage="prepare")
def dropped_by_the_future(config: Config, inputs: Inputs) -> Inputs:
    following = pl.col("close").shift(-1).over("symbol") / pl.col("close") - 1.0
    kept = inputs.bars.table.filter((following.abs() < 0.02).fill_null(True))
    return replace(inputs, bars=replace(inputs.bars, table=kept))


@leak("the higher bar joined before it has closed", "resampling", "bars", stage="prepare")
def unclosed_higher_bar(config: Config, inputs: Inputs) -> Inputs:
    bucket = pl.col("timestamp").dt.truncate("4h")
    table = inputs.bars.table.with_columns(close=pl.col("close").last().over("symbol", bucket))
    high = pl.max_horizontal("high", "close")
    table = table.with_columns(high=high, low=pl.min_horizontal("low", "close"))
    return replace(inputs, bars=replace(inputs.bars, table=table))


@leak("slow series available on their value date", "joining", "features", stage="read")
def published_at_once(config: Config, specs: Any) -> Inputs:
    from audit_cases import world

    inputs = world()
    series = inputs.series["a"]
    return replace(inputs, series={"a": replace(series, available_at_s=series.value_date_s.copy())})


@leak("scaler fitted on all rows", "dataset", "dataset")
def scaler_on_all_rows(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    every = _all(built)["ret"].to_numpy().astype(np.float64)
    scaled = (pl.col("ret") - every.mean()) / every.std()
    stats = {**built.norm_stats, "ret": {"mean": every.mean(), "std": every.std()}}
    built = replace(built, norm_stats=stats)
    return _tables(built, lambda t: t.with_columns(ret=scaled.cast(pl.Float32)))


@leak("clip threshold taken from all rows", "dataset", "dataset")
def threshold_on_all_rows(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    limit = float(np.quantile(np.abs(_all(built)["rsi"].to_numpy()), 0.9))
    return _tables(built, lambda t: t.with_columns(rsi=pl.col("rsi").clip(-limit, limit)))


@leak("guard threshold taken from all rows", "dataset", "dataset")
def guard_on_all_rows(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    limit = float(np.quantile(np.abs(_all(built)["raw_log_return"].to_numpy()), 0.9))
    wild = pl.col("raw_log_return").abs() > limit
    told = {**built.lineage, "no_trade": {**built.lineage["no_trade"], "threshold": limit}}
    return _tables(replace(built, lineage=told), lambda t: t.with_columns(closed=wild))


@leak("seasonality fitted on all rows", "dataset", "dataset")
def seasonality_on_all_rows(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    hour = pl.col("timestamp").dt.hour().alias("hour")
    mean = _all(built).group_by(hour).agg(pl.col("volume").mean()).sort("hour")
    return replace(built, seasonality={"liquidity": mean["volume"].to_list()})


@leak("labels that reach across the border of train: no purge", "dataset", "dataset")
def no_purge(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    following = pl.col("close").shift(-5).over("symbol") / pl.col("close") - 1.0
    labels = _all(built).select("timestamp", "symbol", label=following.fill_null(0.0))
    return _tables(built, lambda t: t.join(labels, on=["timestamp", "symbol"], how="left"))


@leak("splits drawn from shuffled rows", "dataset", "dataset")
def shuffled_splits(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    rows = _all(built).sample(fraction=1.0, shuffle=True, seed=1)
    out, at = {}, 0
    for name, table in built.tables.items():
        out[name] = rows[at : at + table.height].sort("timestamp", "symbol")
        at += table.height
    return replace(built, tables=out)


@leak("validation rows in the training tensors", "dataset", "dataset")
def validation_rows_in_train(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    more = pl.concat([built.tables["train"], built.tables["validation"][:20]])
    return replace(built, tables={**built.tables, "train": more})


@leak("features chosen by what they say about test", "dataset", "dataset")
def selected_on_test(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    test = built.tables["test"]
    following = test["raw_log_return"].shift(-1).fill_null(0.0).to_numpy()
    names = built.contract.names
    strength = {n: abs(np.corrcoef(test[n].to_numpy(), following)[0, 1]) for n in names}
    worst = min(names, key=lambda n: strength[n])
    contract = replace(built.contract, features=tuple(s for s in specs if s.name != worst))
    return replace(_tables(built, lambda t: t.drop(worst)), contract=contract)


@leak("lineage tells the volatility of test", "dataset", "dataset")
def told_of_test(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    spread = float(built.tables["test"]["raw_log_return"].std())  # type: ignore[arg-type]
    return replace(built, lineage={**built.lineage, "volatility": spread})


@leak("each split normalized by itself, to its end", "arrays", "dataset")
def normalized_by_split(built: BuiltDataset, name: str) -> SplitArrays:
    split = real.arrays(built, name)
    mean, spread = split.features.mean(axis=0), split.features.std(axis=0)
    return replace(split, features=((split.features - mean) / spread).astype(np.float32))


# --------------------------------------------------------------------------- market


def _ahead(values: np.ndarray, bars: int = 1) -> np.ndarray:
    """Each row holds what comes ``bars`` later."""
    return np.concatenate([values[bars:], np.repeat(values[-1:], bars, axis=0)])


@leak("orders filled at the close they were decided on", "environment", "market")
def filled_at_the_decided_close(config: Config, split: SplitArrays, stage: Any) -> Environment:
    opens = np.concatenate([split.open[:1], split.close[:-1]])
    wide = {"high": np.fmax(split.high, opens), "low": np.fmin(split.low, opens)}
    return make_environment(config, replace(split, open=opens, **wide), stage)


@leak("orders filled at the best price of the next two bars", "environment", "market")
def filled_too_well(config: Config, split: SplitArrays, stage: Any) -> Environment:
    opens = np.fmin(split.open, _ahead(split.open))
    better = replace(split, open=opens, low=np.fmin(split.low, opens))
    return make_environment(config, better, stage)


@leak("stops that see the next bar's range", "environment", "market")
def stops_see_the_next_bar(config: Config, split: SplitArrays, stage: Any) -> Environment:
    low, high = np.fmin(split.low, _ahead(split.low)), np.fmax(split.high, _ahead(split.high))
    return make_environment(config, replace(split, low=low, high=high), stage)


@leak("no-trade bars chosen by the next return", "environment", "market")
def closed_before_losses(config: Config, split: SplitArrays, stage: Any) -> Environment:
    falls = _ahead(split.close) < split.close * 0.995
    return make_environment(config, replace(split, no_trade=split.no_trade | falls), stage)


@leak("features of the next bar in the observation", "environment", "market")
def next_bar_observed(config: Config, split: SplitArrays, stage: Any) -> Environment:
    return make_environment(config, replace(split, features=_ahead(split.features)), stage)


@leak("a decision lag of two bars that is one", "environment", "market", decision_lag=2)
def lag_ignored(config: Config, split: SplitArrays, stage: Any) -> Environment:
    sooner = config.model_copy(
        update={"market": config.market.model_copy(update={"decision_lag": 1})}
    )
    return make_environment(sooner, split, stage)


def _next_move(env: EnvArrays, t: Array) -> Array:
    """[N]: log return of the first symbol from the close of bar ``t`` to the next one."""
    last = env.bars.num_bars - 1
    now, following = (env.bars.row(jnp.minimum(at, last)).close[:, 0] for at in (t, t + 1))
    return jnp.log(following / now)


@leak("equity marked at the next close", "advance", "market")
def marked_at_the_next_close(
    spec: EnvSpec, env: EnvArrays, state: EnvState, action: Array
) -> tuple[EnvState, Transition]:
    after, done = real.advance(spec, env, state, action)
    equity = after.account.equity * jnp.exp(_next_move(env, after.t))
    return after._replace(account=after.account._replace(equity=equity)), done


@leak("financing at the rate of the next bar", "advance", "market")
def financed_ahead(
    spec: EnvSpec, env: EnvArrays, state: EnvState, action: Array
) -> tuple[EnvState, Transition]:
    after, done = real.advance(spec, env, state, action)
    rate = jnp.abs(_next_move(env, after.t))
    cash = after.account.cash - rate * jnp.sum(jnp.abs(after.account.units), axis=1)
    return after._replace(account=after.account._replace(cash=cash)), done


@leak("rewards scaled by the whole path's volatility", "advance", "market")
def reward_scaled_by_the_path(
    spec: EnvSpec, env: EnvArrays, state: EnvState, action: Array
) -> tuple[EnvState, Transition]:
    after, done = real.advance(spec, env, state, action)
    scale = jnp.std(env.bars.row(jnp.arange(env.bars.num_bars)).close).astype(jnp.float32)
    return after, done._replace(reward=done.reward / scale)


@leak("the reward to come in the observation", "observe", "market")
def reward_observed(spec: EnvSpec, env: EnvArrays, state: EnvState) -> Observation:
    seen = real.observe(spec, env, state)
    peek = _next_move(env, state.t).astype(jnp.float32)
    return seen._replace(values=seen.values + peek)


@leak("actions decided with the next bar", "decide", "market")
def decided_with_the_next_bar(
    network: Any, memory: Any, seen: Observation, spec: EnvSpec, env: EnvArrays, state: EnvState
) -> Any:
    later = jnp.minimum(state.t + 1, env.bars.num_bars - 1)
    ahead = real.observe(spec, env, state._replace(t=later))
    return real.decide(network, memory, ahead, spec, env, state)


@leak("memory that has seen the next bar", "decide", "market", agent=RECURRENT)
def remembered_the_next_bar(
    network: Any, memory: Any, seen: Observation, spec: EnvSpec, env: EnvArrays, state: EnvState
) -> Any:
    """The action is honest on this bar: what is carried on is not."""
    action, _ = real.decide(network, memory, seen, spec, env, state)
    later = jnp.minimum(state.t + 1, env.bars.num_bars - 1)
    ahead = real.observe(spec, env, state._replace(t=later))
    return action, real.decide(network, memory, ahead, spec, env, state)[1]


# --------------------------------------------------------------------------- training


def _with(built: BuiltDataset, **tables: str) -> BuiltDataset:
    """The dataset with some splits replaced by others."""
    changed = {name: built.tables[other] for name, other in tables.items()}
    return replace(built, tables={**built.tables, **changed})


@leak("early stopping and the best network by test", "train", "training")
def stopped_on_test(
    config: Config, built: BuiltDataset, chain: Chain, seed: int, folder: Path
) -> Trained:
    return real.train(config, _with(built, validation="test"), chain, seed, folder)


@leak("trained on validation too", "train", "training")
def trained_on_validation(
    config: Config, built: BuiltDataset, chain: Chain, seed: int, folder: Path
) -> Trained:
    both = pl.concat([built.tables["train"], built.tables["validation"]])
    wider = replace(built, tables={**built.tables, "train": both})
    return real.train(config, wider, chain, seed, folder)


@leak("reward scale taken from all rows", "train", "training")
def scaled_rewards(
    config: Config, built: BuiltDataset, chain: Chain, seed: int, folder: Path
) -> Trained:
    spread = float(_all(built)["raw_log_return"].std())  # type: ignore[arg-type]
    reward = config.env.reward.model_copy(update={"scale": 0.1 / spread})
    env = config.env.model_copy(update={"reward": reward})
    return real.train(config.model_copy(update={"env": env}), built, chain, seed, folder)


@leak("the seed chosen by its result on test", "select", "training")
def chosen_on_test(built: BuiltDataset, trained: Mapping[int, Trained]) -> int:
    moves = built.tables["test"]["raw_log_return"].to_numpy()
    drift = [float(moves[k :: len(trained)].sum()) for k in range(len(trained))]
    return list(trained)[int(np.argmax(drift))]


@leak("validation results that are those of test", "validate", "training")
def validated_on_test(config: Config, built: BuiltDataset, chain: Chain, policy: Any) -> Any:
    return real.validate(config, _with(built, validation="test"), chain, policy)
