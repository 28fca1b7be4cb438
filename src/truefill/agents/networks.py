"""Policy and value network, float32: memory where the learner has one, a trunk (each shared or one
each), one head for policy and value.

Inside, batches run along the LAST axis ([units, batch]): on a CPU every product of the forward and
backward pass then runs near the machine's peak, where [batch, units] loses a third in the weight
gradients (``docs/decisions/0001-engine.md``).
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from truefill.agents.memory import Memory, State
from truefill.config.schema import AgentConfig, MemoryConfig, NetworkConfig
from truefill.env.episodes import EnvSpec
from truefill.market.types import Array

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}
GAINS = {"relu": math.sqrt(2.0), "tanh": 5.0 / 3.0}
POLICY_GAIN = 0.01
"""Small last layer of the policy: first actions are nearly uniform (Andrychowicz et al. 2021)."""
FORBIDDEN = -1e9
"""Logit of an illegal action."""


@jax.custom_vjp
def affine(weight: Array, bias: Array, x: Array) -> Array:
    """weight.T @ x + bias for weight [in, out], x [in, batch]; the gradient is written out so that
    each product has the operand order that runs fastest."""
    return _product(weight, x, 0, 0) + bias[:, None]


def _product(a: Array, b: Array, contract_a: int, contract_b: int) -> Array:
    return jax.lax.dot_general(a, b, (((contract_a,), (contract_b,)), ((), ())))


def _affine_forward(weight: Array, bias: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
    return affine(weight, bias, x), (weight, x)


def _affine_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array, Array]:
    weight, x = saved
    return _product(x, g, 1, 1), g @ jnp.ones(g.shape[1], g.dtype), weight @ g


affine.defvjp(_affine_forward, _affine_backward)


class Dense(eqx.Module):
    """weight.T @ x + bias over x [in, batch]."""

    weight: Array
    """[in, out]."""
    bias: Array

    def __init__(self, key: Array, size_in: int, size_out: int, gain: float) -> None:
        scale = gain / math.sqrt(size_in)
        self.weight = scale * jax.random.normal(key, (size_in, size_out), jnp.float32)
        self.bias = jnp.zeros(size_out, jnp.float32)

    def __call__(self, x: Array) -> Array:
        return affine(self.weight, self.bias, x)


Carry = tuple[State, ...]
"""What a network remembers of N accounts: the state of each of its recurrent layers; () without."""


class ActorCritic(eqx.Module):
    """Policy parameters and value of a batch of observations.

    Observations come as [observation_size, N]; the policy has H heads, each one discrete choice
    among A actions or one continuous value (H is ``EnvSpec.action_size``). Its output is logits
    [H, A, N] (categorical) or means [H, N] (Gaussian), the value [N].
    """

    memories: tuple[Memory, ...]
    """None, one that policy and value share, or one each."""
    policy_trunk: tuple[Dense, ...]
    value_trunk: tuple[Dense, ...]
    """Empty when the trunk is shared."""
    policy_head: Dense
    """With a shared trunk its last row is the value."""
    value_head: tuple[Dense, ...]
    """Empty when the trunk is shared."""
    log_std: Array
    """[H] of a Gaussian policy; empty for a categorical one."""
    activation: str = eqx.field(static=True)
    num_heads: int = eqx.field(static=True)
    num_actions: int = eqx.field(static=True)
    """Actions a head chooses from; 0 = heads are continuous values."""

    def __init__(
        self, key: Array, spec: EnvSpec, config: NetworkConfig, memory: MemoryConfig | None = None
    ) -> None:
        self.activation = config.activation
        self.num_heads = spec.action_size
        self.num_actions = spec.decoder.num_actions
        policy_key, value_key, head_key, last_key = jax.random.split(key, 4)
        inputs = spec.observation_size if memory is None else memory.units
        sizes = (inputs, *config.hidden)
        gain = GAINS[config.activation]

        self.memories = ()
        if memory is not None:
            keys = jax.random.split(jax.random.fold_in(key, 1), 1 if config.shared_trunk else 2)
            self.memories = tuple(
                Memory(k, memory.cell, spec.observation_size, memory.units) for k in keys
            )

        def trunk(key: Array) -> tuple[Dense, ...]:
            keys = jax.random.split(key, len(config.hidden))
            pairs = zip(keys, sizes[:-1], sizes[1:], strict=True)
            return tuple(Dense(k, a, b, gain) for k, a, b in pairs)

        self.policy_trunk = trunk(policy_key)
        policy = Dense(head_key, sizes[-1], self.num_outputs, POLICY_GAIN)
        value = Dense(last_key, sizes[-1], 1, 1.0)
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
        """Policy output and value of an episode's first bar; ``legal`` is bool [N, H, A] or None
        (all legal)."""
        return self.step(self.initial(observation.shape[-1]), observation, legal)[1:]

    def step(
        self, carry: Carry, observation: Array, legal: Array | None
    ) -> tuple[Carry, Array, Array]:
        """The next bar: what is remembered after it, policy output and value."""
        carry = self._remember(carry, observation)
        out, value = self._heads([state[0] for state in carry] or [observation], legal)
        return carry, out, value

    def sequence(
        self, carry: Carry, observation: Array, start: Array, legal: Array | None
    ) -> tuple[Array, Array]:
        """Policy outputs and values of T bars of N accounts, flattened to [..., T * N].

        Args:
            carry: what is remembered before the first bar.
            observation: [T, observation_size, N].
            start: bool [T, N], an episode begins with this bar.
            legal: bool [T * N, H, A] or None.
        """
        seen = [
            _flat(memory.sequence(state, observation, start))
            for memory, state in zip(self.memories, carry, strict=True)
        ]
        return self._heads(seen or [_flat(observation)], legal)

    def value(self, carry: Carry, observation: Array) -> Array:
        """The value alone, [N]; what is remembered stays as it was."""
        seen = [state[0] for state in self._remember(carry, observation)] or [observation]
        if self.value_head:
            return self.value_head[0](self._trunk(self.value_trunk, seen[-1]))[0]
        return self.policy_head(self._trunk(self.policy_trunk, seen[0]))[-1]

    def _remember(self, carry: Carry, observation: Array) -> Carry:
        pairs = zip(self.memories, carry, strict=True)
        return tuple(memory.step(state, observation) for memory, state in pairs)

    def _heads(self, seen: list[Array], legal: Array | None) -> tuple[Array, Array]:
        """``seen`` by the policy (first) and by the value (last), [units, N]."""
        out = self.policy_head(self._trunk(self.policy_trunk, seen[0]))
        if self.value_head:
            value = self.value_head[0](self._trunk(self.value_trunk, seen[-1]))[0]
        else:
            out, value = out[:-1], out[-1]
        return self._shape(out, legal), value

    def _shape(self, out: Array, legal: Array | None) -> Array:
        if self.num_actions == 0:
            return out
        logits = out.reshape(self.num_heads, self.num_actions, -1)
        if legal is not None:
            logits = jnp.where(jnp.transpose(legal, (1, 2, 0)), logits, jnp.float32(FORBIDDEN))
        return logits

    def _trunk(self, layers: tuple[Dense, ...], x: Array) -> Array:
        activate = ACTIVATIONS[self.activation]
        for layer in layers:
            x = activate(layer(x))
        return x


def make_network(key: Array, spec: EnvSpec, agent: AgentConfig) -> ActorCritic:
    """A fresh network of the learner that ``agent`` configures."""
    memory = agent.memory if agent.kind == "recurrent_ppo" else None
    return ActorCritic(key, spec, agent.network, memory)


def forget(carry: Carry, start: Array) -> Carry:
    """``carry`` with nothing remembered where ``start`` (bool [N]) holds."""
    return jax.tree.map(lambda x: jnp.where(start, jnp.zeros((), x.dtype), x), carry)


def _flat(x: Array) -> Array:
    """[T, rows, N] -> [rows, T * N]."""
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1)


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
