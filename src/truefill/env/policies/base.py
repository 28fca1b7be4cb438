"""Policies that are rules: written, not learned, behind the policy protocol.

A file of the user's own under ``plugins:`` registers a class with ``@policy``;
``evaluation.policies`` names it, and it is scored through the same market, bars and costs as the
agent (docs/networks.md); ``agent.rule`` makes one the judged policy (docs/policies.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from truefill.core.errors import ConfigError, PolicyError
from truefill.core.fingerprint import fingerprint
from truefill.core.plugins import blamed, sha256_of
from truefill.core.registry import Params, Registry
from truefill.env.episodes import EnvSpec
from truefill.env.policies.given import Given
from truefill.market.types import Array

NO_ACTION = "an action "
"""How what is said of an action begins that does not exist."""
_BATCH = 13
"""Accounts in the trial that tells whether a policy can be played."""


class Seen(NamedTuple):
    """What a policy sees of N accounts at a close."""

    values: Array
    """float32 [observation_size, N]: the market window, oldest bar first, then account state."""
    legal: Array | None
    """bool [N, S, actions], where actions can be illegal."""
    given: Given

    def raw(self, feature: str, back: int = 0) -> Array:
        """A feature in its own unit, [symbols, N], ``back`` bars before the last."""
        value: Array = self.given.raw(feature, self.normalized(feature, back))
        return value

    def normalized(self, feature: str, back: int = 0) -> Array:
        """A feature as the agent sees it, [symbols, N]."""
        return self.values[self.given.rows(feature, back)]

    def state(self, name: str) -> Array:
        """A column of account state, [symbols or 1, N]."""
        return self.values[self.given.state_rows(name)]


class OwnPolicy(eqx.Module):
    """Base of policies of the user's own: ``__init__(self, params, given)``, :meth:`decide`, and
    :meth:`initial` where it remembers. Numbers and arrays in it are fine; anything else is marked
    ``eqx.field(static=True)``."""

    def initial(self, count: int) -> Any:
        """What it remembers of ``count`` accounts before their first bar: arrays [..., count]."""
        return ()

    def decide(self, memory: Any, seen: Seen) -> tuple[Array, Any]:
        """Actions [action_size, N] at a close (docs/actions.md), and what is remembered."""
        raise NotImplementedError


MakePolicy = Callable[[Any, Given], OwnPolicy]
POLICIES: Registry[MakePolicy] = Registry("policy", plugged=True)
P = TypeVar("P", bound=type[OwnPolicy])


def policy(name: str, params: type[Params]) -> Callable[[P], P]:
    """Decorator: register a policy class under ``name``."""
    register = POLICIES.register(name, params)

    def decorate(made: P) -> P:
        register(made)
        return made

    return decorate


class Played(eqx.Module):
    """A policy with what it was made from, as a ``jit`` argument."""

    own: OwnPolicy
    given: Given = eqx.field(static=True)

    def initial(self, count: int) -> Any:
        return self.own.initial(count)

    def decide(self, memory: Any, values: Array, legal: Array | None) -> tuple[Array, Any]:
        action, memory = self.own.decide(memory, Seen(values, legal, self.given))
        return _checked(self.given.spec, action), memory


@dataclass(frozen=True)
class UserPolicy:
    """A policy of the user's own behind the policy protocol."""

    name: str
    parameters: Played
    sha256: str
    """Of its name, parameters and file."""

    @property
    def contract_sha256(self) -> str:
        return self.parameters.given.contract_sha256

    def initial(self, count: int) -> Any:
        return self.parameters.initial(count)

    @staticmethod
    def decide(
        parameters: Played, memory: Any, values: Array, legal: Array | None
    ) -> tuple[Array, Any]:
        return parameters.decide(memory, values, legal)


def make_policy(name: str, params: Mapping[str, Any], given: Given, where: str) -> UserPolicy:
    """A policy as ``evaluation.policies`` configures it.

    Raises:
        ConfigError: no such policy or parameter; or it fails, or does not give actions: with file
            and line.
    """
    entry = POLICIES.get(name, where=where)
    parsed = POLICIES.parse(name, params, where=where)
    try:
        with blamed(entry, where):
            played = Played(entry.make(parsed, given), given)
            _try(played, given.spec, name, where)
    except ConfigError as error:
        if error.where:
            raise
        raise ConfigError(error.what, where=where, do=error.do) from error
    plugin = sha256_of(POLICIES, name)
    told = {"policy": name, "params": parsed.model_dump(mode="json"), "plugin": plugin}
    return UserPolicy(name, played, fingerprint(told))


@contextmanager
def played_as(name: str, where: str = "evaluation.policies") -> Iterator[None]:
    """Within it, an action that does not exist is a ``PolicyError`` that names the policy; from a
    compiled program it comes as an error of JAX's."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        told = next((x for x in str(error).splitlines() if NO_ACTION in x), None)
        if told is None:
            raise
        raise PolicyError(
            f"{name} gave {told[told.index(NO_ACTION) :]}",
            where=where,
            do="give what the decoder takes (docs/actions.md)",
        ) from error


def _try(played: Played, spec: EnvSpec, name: str, where: str) -> None:
    """Refuse what cannot be played, from a trial without values."""
    odd = [x for x in jax.tree.leaves(played) if not eqx.is_array_like(x)]
    if odd:
        raise ConfigError(
            f"{name} holds {type(odd[0]).__name__}, which is no number and no array",
            where=where,
            do="mark it as eqx.field(static=True)",
        )
    values = jax.ShapeDtypeStruct((spec.observation_size, _BATCH), jnp.float32)
    legal = None
    if spec.mask_illegal and spec.decoder.legal is not None:
        shape = (_BATCH, spec.num_symbols, spec.decoder.num_actions)
        legal = jax.ShapeDtypeStruct(shape, jnp.bool_)
    memory = jax.eval_shape(lambda: played.initial(_BATCH))
    _, after = jax.eval_shape(UserPolicy.decide, played, memory, values, legal)
    forms = [jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (memory, after)]
    if forms[0] != forms[1]:
        raise ConfigError(
            f"{name} begins with {forms[0]} in memory and goes on with {forms[1]}",
            where=where,
            do="return what `initial` gives, anew",
        )


def _checked(spec: EnvSpec, action: Array) -> Array:
    """Actions as the decoder takes them; refuses another shape or type, and, as it plays, actions
    that there are not."""
    expected = (spec.action_size, action.shape[-1] if action.ndim else 0)
    discrete = spec.decoder.discrete
    kind = jnp.integer if discrete else jnp.floating
    if action.shape != expected or not jnp.issubdtype(action.dtype, kind):
        raise ConfigError(
            f"the policy gave {action.dtype}{list(action.shape)}",
            do=f"return {'integers' if discrete else 'floats'} [{spec.action_size}, accounts]",
        )
    if discrete:
        action = action.astype(jnp.int32)
        wrong = (action < 0) | (action >= spec.decoder.num_actions)
        what = f"{NO_ACTION}outside 0..{spec.decoder.num_actions - 1}"
    else:
        action = action.astype(jnp.float32)
        wrong, what = ~jnp.isfinite(action), f"{NO_ACTION}that is not finite"
    played: Array = eqx.error_if(action, wrong, what)
    return played
