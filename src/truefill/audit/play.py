"""One account through the market with a fixed policy, everything it saw and did kept.

Observing, deciding and advancing are the chain's own functions; the scan around them is the only
thing the auditor adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.agents.bundle import most_likely
from truefill.agents.ensemble import Actor, Ensemble
from truefill.agents.networks import make_network
from truefill.audit.chain import Chain, lineage_of
from truefill.audit.evidence import Timed
from truefill.config.schema import Config
from truefill.data.split import SplitArrays
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState
from truefill.env.policies import Given, make_policy
from truefill.env.setup import Environment, pools
from truefill.features.build import BuiltDataset
from truefill.market.types import Array

BARS = 120
"""Bars of the split that are played, at least."""
DECISIONS = 10
"""Decisions that fall on them, at least."""
GAINS = (5.0, 100.0)
"""Weights of a fresh network are multiplied by one of these, or its actions would hardly differ."""
SEEDS = 3
ENOUGH_FILLS = 10
MEMBERS = 3
"""Of an ensemble."""


@dataclass(frozen=True)
class Probe:
    """A policy for audits: a network that was never trained, and decides all the same."""

    network: Any
    contract_sha256: str

    @staticmethod
    def decide(
        parameters: Any, memory: Any, values: Array, legal: Array | None
    ) -> tuple[Array, Any]:
        return most_likely(parameters, memory, values, legal)

    def initial(self, count: int) -> Any:
        return self.network.initial(count)

    @property
    def parameters(self) -> Any:
        return self.network


class Played(NamedTuple):
    """[T - 1 - first_bar, ...] records of one account, as numpy arrays."""

    observation: Any
    legal: Any
    action: Any
    memory: Any
    """What the network remembers after its decision, [.., values]; empty without memory."""
    equity: Any
    account: Any
    """What is held, owed and remembered, [.., columns]."""
    reward: Any
    fill_units: Any
    fill_price: Any
    legs: Any
    """Every trade of the bar, [.., columns]."""


@partial(jax.jit, static_argnames=("spec", "observe", "decide", "advance", "length"))
def _scan(
    network: Any,
    arrays: EnvArrays,
    forced: Array | None,
    *,
    spec: EnvSpec,
    observe: Callable[..., Any],
    decide: Callable[..., tuple[Array, Any]],
    advance: Callable[..., Any],
    length: int,
) -> Played:
    start = episodes.reset(spec, arrays, jnp.full(1, spec.first_bar, jnp.int32))
    Going = tuple[EnvState, Any]

    def one_bar(going: Going, given: Array | None) -> tuple[Going, Played]:
        state, memory = going
        seen = observe(spec, arrays, state)
        if given is None:
            action, memory = decide(network, memory, seen, spec, arrays, state)
        else:
            action = given
        state, done = advance(spec, arrays, state, action.T)
        held = state.account._asdict()
        del held["queue"], held["working"]
        row = Played(
            observation=seen.values[:, 0],
            legal=jnp.zeros(0, bool) if seen.legal is None else seen.legal[0],
            action=action,
            memory=_flat(memory),
            equity=state.account.equity[0],
            account=_flat(held),
            reward=done.reward[0],
            fill_units=done.result.order.units[0],
            fill_price=done.result.order.price[0],
            legs=_flat(done.result.legs),
        )
        return (state, memory), row

    return jax.lax.scan(one_bar, (start, network.initial(1)), forced, length=length)[1]


def _flat(tree: Any) -> Array:
    leaves = [jnp.ravel(leaf).astype(jnp.float64) for leaf in jax.tree.leaves(tree)]
    return jnp.concatenate([jnp.zeros(0), *leaves])


def play(
    chain: Chain, env: Environment, network: Any, forced: npt.NDArray[Any] | None = None
) -> Played:
    """Play the environment from its first full window to its end; ``forced``: actions instead of
    the network's."""
    length = env.arrays.bars.num_bars - 1 - env.spec.first_bar
    played = _scan(
        network,
        env.arrays,
        None if forced is None else jnp.asarray(forced),
        spec=env.spec,
        observe=chain.observe,
        decide=chain.decide,
        advance=chain.advance,
        length=length,
    )
    return jax.tree.map(np.asarray, played)  # type: ignore[no-any-return]


def played_split(config: Config, split: SplitArrays) -> SplitArrays:
    """The split that is played: one symbol where episodes trade one."""
    return split.only(split.symbols[0]) if pools(config, split.symbols) else split


def probe(chain: Chain, config: Config, env: Environment, built: BuiltDataset) -> Any:
    """The fresh network (or ensemble of networks), of a few, whose actions bring about the most
    fills; the rule, where a rule is judged."""
    if config.agent.rule is not None:
        return the_rule(chain, config, env.spec, built)
    best, most = None, -1
    for gain, seed in product(GAINS, range(SEEDS)):
        fresh = _fresh(config, env.spec, seed)
        network = jax.tree.map(lambda x, g=gain: g * x if eqx.is_array(x) else x, fresh)
        fills = int(np.count_nonzero(play(chain, env, network).fill_units))
        if fills > most:
            best, most = network, fills
        if most >= ENOUGH_FILLS:
            break
    return best


def the_rule(chain: Chain, config: Config, spec: EnvSpec, built: BuiltDataset) -> Actor:
    """The rule of a config, made for a dataset."""
    assert config.agent.rule is not None
    given = Given.of(spec, lineage_of(config, built, chain), built.norm_stats)
    return make_policy(
        config.agent.rule.policy, config.agent.rule.params, given, "agent.rule"
    ).parameters


def _fresh(config: Config, spec: EnvSpec, seed: int) -> Actor:
    """What acts in a run of ``config``, as it is before any training."""
    rule = config.training.ensemble
    if rule is None:
        return make_network(jax.random.PRNGKey(seed), spec, config.agent)
    keys = jax.random.split(jax.random.PRNGKey(seed), MEMBERS)
    members = tuple(make_network(key, spec, config.agent) for key in keys)
    return Ensemble(members, rule, spec.decoder.low, spec.decoder.high)


def seen(played: Played, closes_s: npt.NDArray[np.int64], first: int) -> list[Timed]:
    """What the agent saw at each close: known there."""
    known = closes_s[first : first + len(played.equity)]
    return [Timed("observation", known, played.observation), Timed("legal", known, played.legal)]


def decided(played: Played, closes_s: npt.NDArray[np.int64], first: int) -> list[Timed]:
    """What it decided at each close, and remembers from then on: known there."""
    known = closes_s[first : first + len(played.equity)]
    return [Timed("action", known, played.action), Timed("memory", known, played.memory)]


def done(played: Played, closes_s: npt.NDArray[np.int64], first: int) -> list[Timed]:
    """What the next bar then did: known at that bar's close."""
    known = closes_s[first + 1 : first + 1 + len(played.equity)]
    names = ("equity", "account", "reward", "fill_units", "fill_price", "legs")
    return [Timed(name.replace("_", " "), known, getattr(played, name)) for name in names]
