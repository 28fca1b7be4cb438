"""Policy and critic network, float32: an encoder of the market window where the config has one,
memory where the learner has one, a trunk (each shared or one each), heads for policy and critic.

Inside, batches run along the LAST axis ([units, batch]): on a CPU every product of the forward and
backward pass then runs near the machine's peak, where [batch, units] loses a third in the weight
gradients (``docs/decisions/0001-engine.md``).
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from truefill.agents.encoders import Encoder, Inputs, make_encoders
from truefill.agents.popart import Unit, rescaled
from truefill.config.schema import AgentConfig, NetworkConfig
from truefill.env.episodes import EnvSpec
from truefill.market.types import Array
from truefill.nn.layers import Dense, activate, hidden
from truefill.nn.memory import Memory, State

POLICY_GAIN = 0.01
"""Small last layer of the policy: first actions are nearly uniform (Andrychowicz et al. 2021)."""
QUANTILE_GAIN = 0.01
"""Small last layer of a critic of quantiles: at first no two of them differ by more than noise."""
ENCODERS_KEY, MEMORIES_KEY = 2**30, 2**30 + 1
"""Folded into a network's key, far from the small numbers that ``split`` uses for the layers."""
FORBIDDEN = -1e9
"""Logit of an illegal action."""


Carry = tuple[State, ...]
"""What a network remembers of N accounts: the state of each of its recurrent layers; () without."""


class ActorCritic(eqx.Module):
    """Policy parameters and value of a batch of observations.

    Observations come as [observation_size, N]; the policy has H heads, each one discrete choice
    among A actions or one continuous value (H is ``EnvSpec.action_size``). Its output is logits
    [H, A, N] (categorical) or means [H, N] (Gaussian); that of the critic is [V, N] in units of
    the return (``critic.py``).
    """

    encoders: tuple[Encoder, ...]
    """None, one that policy and critic share, or one each."""
    memories: tuple[Memory, ...]
    """None, one that policy and value share, or one each."""
    policy_trunk: tuple[Dense, ...]
    value_trunk: tuple[Dense, ...]
    """Empty when the trunk is shared."""
    policy_head: Dense
    """With a shared trunk its last V rows are the critic."""
    value_head: tuple[Dense, ...]
    """Empty when the trunk is shared."""
    unit: Unit | None
    """What the critic's layer is in units of; None = 1, around 0. Nothing learns it (PopArt)."""
    log_std: Array
    """[H] of a Gaussian policy; empty for a categorical one."""
    config: NetworkConfig = eqx.field(static=True)
    window: tuple[int, int] = eqx.field(static=True)
    """Bars, and market features a bar: the first part of an observation."""
    num_heads: int = eqx.field(static=True)
    num_actions: int = eqx.field(static=True)
    """Actions a head chooses from; 0 = heads are continuous values."""
    num_values: int = eqx.field(static=True)
    """V, outputs of the critic."""

    def __init__(self, key: Array, spec: EnvSpec, agent: AgentConfig) -> None:
        config = agent.network
        memory = agent.memory if agent.recurrent else None
        self.num_values = agent.quantiles
        self.unit = None
        if agent.popart is not None:
            self.unit = Unit(jnp.zeros((), jnp.float32), jnp.ones((), jnp.float32))
        self.config = config
        self.window = (spec.window, spec.num_features)
        self.num_heads = spec.action_size
        self.num_actions = spec.decoder.num_actions
        policy_key, value_key, head_key, last_key = jax.random.split(key, 4)
        given = Inputs(spec.window, spec.num_features, spec.num_state, config)
        count = 1 if config.shared_trunk else 2
        self.encoders, units = make_encoders(jax.random.fold_in(key, ENCODERS_KEY), given, count)
        seen = units + spec.num_state if self.encoders else spec.observation_size
        self.memories = ()
        if memory is not None:
            keys = jax.random.split(jax.random.fold_in(key, MEMORIES_KEY), count)
            self.memories = tuple(Memory(k, memory.cell, seen, memory.units) for k in keys)
        sizes = (seen if memory is None else memory.units, *config.hidden)

        def trunk(key: Array) -> tuple[Dense, ...]:
            keys = jax.random.split(key, len(config.hidden))
            pairs = zip(keys, sizes[:-1], sizes[1:], strict=True)
            return tuple(hidden(k, a, b, config) for k, a, b in pairs)

        kind = config.initialization
        self.policy_trunk = trunk(policy_key)
        policy = Dense(head_key, sizes[-1], self.num_outputs, POLICY_GAIN, kind)
        value_gain = 1.0 if self.num_values == 1 else QUANTILE_GAIN
        value = Dense(last_key, sizes[-1], self.num_values, value_gain, kind)
        if config.shared_trunk:
            both = jnp.concatenate([policy.weight, value.weight], axis=1)
            self.policy_head = eqx.tree_at(
                lambda d: (d.weight, d.bias), policy, (both, jnp.zeros(both.shape[1], jnp.float32))
            )
            self.value_trunk, self.value_head = (), ()
        else:
            self.policy_head = policy
            self.value_trunk, self.value_head = trunk(value_key), (value,)
        dims = 0 if self.num_actions else self.num_heads
        self.log_std = jnp.full(dims, config.log_std_init, jnp.float32)

    @property
    def num_outputs(self) -> int:
        """Rows of the policy's output."""
        return self.num_heads * max(self.num_actions, 1)

    def initial(self, count: int) -> Carry:
        """What ``count`` accounts remember at an episode's start."""
        return tuple(memory.initial(count) for memory in self.memories)

    def __call__(self, observation: Array, legal: Array | None) -> tuple[Array, Array]:
        """Policy output and critic of an episode's first bar; ``legal`` is bool [N, H, A] or None
        (all legal)."""
        return self.step(self.initial(observation.shape[-1]), observation, legal)[1:]

    def step(
        self, carry: Carry, observation: Array, legal: Array | None
    ) -> tuple[Carry, Array, Array]:
        """The next bar: what is remembered after it, policy output and critic."""
        seen = self._encoded(observation)
        carry = self._remember(carry, seen)
        out, critic = self._heads([state[0] for state in carry] or seen, legal)
        return carry, out, critic

    def sequence(
        self, carry: Carry, observation: Array, start: Array, legal: Array | None
    ) -> tuple[Array, Array]:
        """Policy outputs and critics of T bars of N accounts, flattened to [..., T * N].

        Args:
            carry: what is remembered before the first bar.
            observation: [T, observation_size, N].
            start: bool [T, N], an episode begins with this bar.
            legal: bool [T * N, H, A] or None.
        """
        rows = [observation]
        if self.encoders:
            bars = observation.shape[0]
            rows = [_bars(x, bars) for x in self._encoded(_flat(observation))]
        held = [
            memory.sequence(state, rows[min(i, len(rows) - 1)], start)
            for i, (memory, state) in enumerate(zip(self.memories, carry, strict=True))
        ]
        return self._heads([_flat(x) for x in held or rows], legal)

    def critic(self, carry: Carry, observation: Array) -> Array:
        """The critic alone, [V, N]; what is remembered stays as it was."""
        seen = self._encoded(observation)
        seen = [state[0] for state in self._remember(carry, seen)] or seen
        if self.value_head:
            return self._in_units(self.value_head[0](self._trunk(self.value_trunk, seen[-1])))
        out = self.policy_head(self._trunk(self.policy_trunk, seen[0]))
        return self._in_units(out[-self.num_values :])

    def with_unit(self, unit: Unit) -> ActorCritic:
        """The same network, the same outputs, whose critic's layer is in units of ``unit``."""
        assert self.unit is not None
        head = self.value_head[0] if self.value_head else self.policy_head
        rows = slice(-self.num_values, None)
        weight, bias = rescaled(head.weight[:, rows], head.bias[rows], self.unit, unit)
        weight = head.weight.at[:, rows].set(weight)
        changed = eqx.tree_at(
            lambda d: (d.weight, d.bias), head, (weight, head.bias.at[rows].set(bias))
        )
        if self.value_head:
            return eqx.tree_at(lambda n: (n.value_head, n.unit), self, ((changed,), unit))
        return eqx.tree_at(lambda n: (n.policy_head, n.unit), self, (changed, unit))

    def _in_units(self, critic: Array) -> Array:
        if self.unit is None:
            return critic
        mean, std = jax.lax.stop_gradient(self.unit)
        return mean + std * critic

    def _encoded(self, observation: Array) -> list[Array]:
        """What comes after the encoders, by policy (first) and critic (last): [units + state, N];
        without them the observation."""
        if not self.encoders:
            return [observation]
        bars, features = self.window
        market, state = observation[: bars * features], observation[bars * features :]
        market = market.reshape(bars, features, -1)
        return [jnp.concatenate([encode(market, state), state]) for encode in self.encoders]

    def _remember(self, carry: Carry, seen: list[Array]) -> Carry:
        pairs = enumerate(zip(self.memories, carry, strict=True))
        return tuple(memory.step(at, seen[min(i, len(seen) - 1)]) for i, (memory, at) in pairs)

    def _heads(self, seen: list[Array], legal: Array | None) -> tuple[Array, Array]:
        """``seen`` by the policy (first) and by the critic (last), [units, N]."""
        out = self.policy_head(self._trunk(self.policy_trunk, seen[0]))
        if self.value_head:
            critic = self.value_head[0](self._trunk(self.value_trunk, seen[-1]))
        else:
            out, critic = out[: -self.num_values], out[-self.num_values :]
        return self._shape(out, legal), self._in_units(critic)

    def _shape(self, out: Array, legal: Array | None) -> Array:
        if self.num_actions == 0:
            return out
        logits = out.reshape(self.num_heads, self.num_actions, -1)
        if legal is not None:
            logits = jnp.where(jnp.transpose(legal, (1, 2, 0)), logits, jnp.float32(FORBIDDEN))
        return logits

    def _trunk(self, layers: tuple[Dense, ...], x: Array) -> Array:
        for layer in layers:
            x = activate(self.config, layer(x))
        return x


def make_network(key: Array, spec: EnvSpec, agent: AgentConfig) -> ActorCritic:
    """A fresh network of the learner that ``agent`` configures."""
    return ActorCritic(key, spec, agent)


def forget(carry: Carry, start: Array) -> Carry:
    """``carry`` with nothing remembered where ``start`` (bool [N]) holds."""
    return jax.tree.map(lambda x: jnp.where(start, jnp.zeros((), x.dtype), x), carry)


def _flat(x: Array) -> Array:
    """[T, rows, N] -> [rows, T * N]."""
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1)


def _bars(x: Array, bars: int) -> Array:
    """[rows, T * N] -> [T, rows, N]; the inverse of :func:`_flat`."""
    return jnp.moveaxis(x.reshape(x.shape[0], bars, -1), 1, 0)


def sample(network: ActorCritic, out: Array, noise: Array) -> Array:
    """Actions [H, N] from the policy output; ``noise`` is uniform (categorical) or normal [H, N].

    Categorical by inverse cumulative probability: one random number an action.
    """
    if network.num_actions == 0:
        return out + jnp.exp(network.log_std)[:, None] * noise
    weights = jnp.exp(out - jnp.max(out, axis=1, keepdims=True))
    edges = jnp.cumsum(weights, axis=1)
    action = jnp.sum(noise[:, None] * edges[:, -1:] >= edges, axis=1).astype(jnp.int32)
    return jnp.minimum(action, network.num_actions - 1)


def best_action(network: ActorCritic, out: Array) -> Array:
    """The most likely action, [H, N]: int32 or float32."""
    if network.num_actions == 0:
        return out
    return jnp.argmax(out, axis=1).astype(jnp.int32)


def log_prob_entropy(network: ActorCritic, out: Array, action: Array) -> tuple[Array, Array]:
    """Log-probability of ``action`` [H, N] and entropy, each summed over heads, [N]."""
    if network.num_actions == 0:
        log_std = network.log_std[:, None]
        z = (action - out) / jnp.exp(log_std)
        log_prob = -0.5 * z * z - log_std - 0.5 * math.log(2.0 * math.pi)
        entropy = network.log_std + 0.5 * math.log(2.0 * math.pi * math.e)
        return log_prob.sum(axis=0), jnp.broadcast_to(entropy.sum(), out.shape[-1:])
    logs = out - jnp.max(out, axis=1, keepdims=True)
    logs = logs - jnp.log(jnp.sum(jnp.exp(logs), axis=1, keepdims=True))
    actions = jnp.arange(network.num_actions, dtype=jnp.int32)[None, :, None]
    log_prob = jnp.sum(jnp.where(actions == action[:, None], logs, 0.0), axis=1)
    entropy = -jnp.sum(jnp.exp(logs) * logs, axis=1)
    return log_prob.sum(axis=0), entropy.sum(axis=0)
