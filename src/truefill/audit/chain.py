"""The system as a chain of functions that can be replaced, one for each stage.

The defaults are the real ones. A test that plants a leak replaces one of them, and the auditor,
which knows nothing of it, must find the leak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import polars as pl

from truefill.agents import train as training
from truefill.agents.bundle import most_likely
from truefill.agents.checkpoint import load_tree
from truefill.agents.networks import ActorCritic, make_network
from truefill.config.schema import Config
from truefill.core.files import read_json
from truefill.core.fingerprint import sha256_file
from truefill.data.inputs import Inputs
from truefill.data.resample import session_bars
from truefill.data.seasonality import with_seasons
from truefill.data.sessions import Session, session_of
from truefill.data.split import SplitArrays, to_arrays
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState, Observation, Transition
from truefill.env.seen import KEYS, agent_split, is_plain, seen_lineage
from truefill.env.setup import Environment, Stage, make_environment, make_spec
from truefill.evaluation.backtest import backtest
from truefill.evaluation.policy import Policy
from truefill.evaluation.trace import Trace
from truefill.features.base import Context, Floats
from truefill.features.blame import blamed
from truefill.features.build import (
    BuiltDataset,
    build,
    extra_columns,
    raw_features,
    read_for,
    specify_all,
)
from truefill.features.compute import RawFeatures, contexts_of
from truefill.features.contract import FeatureSpec
from truefill.features.registry import CALCULATORS
from truefill.forecast.assemble import forecast_all
from truefill.forecast.bench import Bench, lookbacks
from truefill.market.types import Array

Specs = tuple[FeatureSpec, ...]
Forecasts = Mapping[str, pl.DataFrame]
"""forecast/SPLIT.parquet by split."""


@dataclass(frozen=True)
class Trained:
    """What the short training of one seed comes to."""

    network: ActorCritic
    """The best one on validation."""
    score: float
    files: Mapping[str, str]
    """Name -> SHA-256 of what it wrote."""


def specify(config: Config) -> Specs:
    """Every configured feature, resolved."""
    return specify_all(config)


def read(config: Config, specs: Specs) -> Inputs:
    """All inputs, from their files."""
    return read_for(config, specs)


def in_session(config: Config, inputs: Inputs) -> pl.DataFrame:
    """The dataset's bars: inside the session, resampled where the config says so."""
    return session_bars(inputs.bars.table, config.data).bars


def contexts(config: Config, inputs: Inputs) -> list[Context]:
    """What calculators are given, a symbol each."""
    data = config.data
    return contexts_of(
        with_seasons(data.seasonality, in_session(config, inputs), extra_columns(specify(config))),
        session_of(data.session, data.bar_interval),
        data.bar_interval,
        inputs.series,
        releases=inputs.releases,
    )


def calculate(spec: FeatureSpec, context: Context) -> Floats:
    """f64[T] of one feature as its calculator gives it: nothing is refused here."""
    entry = CALCULATORS.get(spec.calculator)
    with blamed(entry, spec.name):
        return entry.make(entry.params(**spec.params), context)


def raw(config: Config, specs: Specs, inputs: Inputs) -> RawFeatures:
    """Every feature of every bar in the session, before anything is fitted."""
    return raw_features(config, specs, in_session(config, inputs), inputs)


def arrays(built: BuiltDataset, name: str) -> SplitArrays:
    """A split as forecasters take it, and agents where there are none."""
    return to_arrays(
        name,
        built.tables[name],
        symbols=built.lineage["symbols"],
        feature_names=built.contract.names,
        session=Session.from_dict(built.lineage["session"]),
        interval_s=built.lineage["interval_s"],
        market_columns=built.lineage["market_columns"],
        closed_by=built.lineage["no_trade"]["rules_sha256"],
    )


def bench(config: Config, built: BuiltDataset, chain: Chain) -> Bench:
    """The dataset as units of forecasting take it: materials, folds and labels."""
    assert config.forecast is not None
    return Bench(config.forecast, partial(chain.arrays, built), lookbacks(built.lineage))


def forecast(config: Config, built: BuiltDataset, chain: Chain) -> Forecasts | None:
    """Every unit fitted, its forecasts put together: train and validation; None without
    forecasters."""
    return None if config.forecast is None else forecast_all(chain.bench(config, built, chain))


def seen(config: Config, built: BuiltDataset, chain: Chain, name: str) -> SplitArrays:
    """A split as agents see it: forecasts beside features, of which ``env.features`` may choose."""
    tables = chain.forecast(config, built, chain)
    return agent_split(config, chain.arrays(built, name), None if tables is None else tables[name])


def lineage_of(config: Config, built: BuiltDataset, chain: Chain) -> dict[str, Any]:
    """The dataset's lineage with the features that agents see."""
    if is_plain(config):
        return built.lineage
    tables, contract = chain.forecast(config, built, chain), None
    if tables is not None:
        assert config.forecast is not None
        columns = [name for name in tables["train"].columns if name not in KEYS]
        contract = {"columns": columns, "window_bars": config.forecast.window_bars}
    return seen_lineage(config, built.lineage, contract)


def train(config: Config, built: BuiltDataset, chain: Chain, seed: int, folder: Path) -> Trained:
    """Train one seed into an empty ``folder``."""
    train_split, validation = (
        chain.seen(config, built, chain, name) for name in ("train", "validation")
    )
    training.train(config, train_split, validation, seed, folder, lambda *_: None)
    template = make_network(jax.random.PRNGKey(0), make_spec(config, train_split), config.agent)
    best, _ = load_tree(folder / "best.safetensors", template)
    summary = read_json(folder / "training.json")
    names = ("best.safetensors", "final.safetensors", "evaluations.parquet", "updates.parquet")
    files = {name: sha256_file(folder / name) for name in names}
    return Trained(best, float(summary["best_score"]), files)


def select(built: BuiltDataset, trained: Mapping[int, Trained]) -> int:
    """The chosen seed."""
    return training.chosen_seed({seed: one.score for seed, one in trained.items()})


def validate(config: Config, built: BuiltDataset, chain: Chain, policy: Policy) -> Trace:
    """The policy's trades on validation, from which its figures and gates are made."""
    split = chain.seen(config, built, chain, "validation")
    environment = chain.environment(config, split, "backtest")
    return chain.trade(policy, environment, split, policy.contract_sha256)[0]


def advance(
    spec: EnvSpec, env: EnvArrays, state: EnvState, action: Array
) -> tuple[EnvState, Transition]:
    """One bar of the market."""
    return episodes.advance(spec, env, state, action)


def observe(spec: EnvSpec, env: EnvArrays, state: EnvState) -> Observation:
    """What the agent sees at the close of bar t."""
    return episodes.observe(spec, env, state)


def decide(
    network: Any, memory: Any, seen: Observation, spec: EnvSpec, env: EnvArrays, state: EnvState
) -> tuple[Array, Any]:
    """Actions [action_size, N], and what is remembered after them; ``spec``, ``env`` and ``state``
    are there for leaky ones only."""
    return most_likely(network, memory, seen.values, seen.legal)


@dataclass(frozen=True)
class Chain:
    """The stages. Every field is a function that a test may replace."""

    specify: Callable[[Config], Specs] = specify
    read: Callable[[Config, Specs], Inputs] = read
    prepare: Callable[[Config, Inputs], Inputs] = lambda config, inputs: inputs
    """What is done to the inputs between reading and features (mending, resampling)."""
    bars: Callable[[Config, Inputs], pl.DataFrame] = in_session
    """The dataset's bars: in the session, resampled."""
    contexts: Callable[[Config, Inputs], Sequence[Context]] = contexts
    calculate: Callable[[FeatureSpec, Context], Floats] = calculate
    raw: Callable[[Config, Specs, Inputs], RawFeatures] = raw
    dataset: Callable[[Config, Specs, Inputs], BuiltDataset] = build
    arrays: Callable[[BuiltDataset, str], SplitArrays] = arrays
    bench: Callable[[Config, BuiltDataset, Chain], Bench] = bench
    forecast: Callable[[Config, BuiltDataset, Chain], Forecasts | None] = forecast
    seen: Callable[[Config, BuiltDataset, Chain, str], SplitArrays] = seen
    """A split as agents see it."""
    environment: Callable[[Config, SplitArrays, Stage], Environment] = make_environment
    observe: Callable[[EnvSpec, EnvArrays, EnvState], Observation] = observe
    decide: Callable[[Any, Any, Observation, EnvSpec, EnvArrays, EnvState], tuple[Array, Any]] = (
        decide
    )
    advance: Callable[[EnvSpec, EnvArrays, EnvState, Array], tuple[EnvState, Transition]] = advance
    trade: Callable[[Policy, Environment, SplitArrays, str], list[Trace]] = backtest
    train: Callable[[Config, BuiltDataset, Chain, int, Path], Trained] = train
    select: Callable[[BuiltDataset, Mapping[int, Trained]], int] = select
    validate: Callable[[Config, BuiltDataset, Chain, Policy], Trace] = validate
