"""Policies of the user's own: rules that are written, not learned, behind the policy protocol.

A file under ``plugins:`` registers a class with ``@policy``; ``evaluation.policies`` names it, and
it is scored through the same market, bars and costs as the agent (docs/networks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from truefill.core.errors import ConfigError, PolicyError, did_you_mean
from truefill.core.fingerprint import fingerprint
from truefill.core.plugins import blamed, sha256_of
from truefill.core.registry import Params, Registry
from truefill.env.episodes import EnvSpec
from truefill.features.contract import FeatureSpec
from truefill.market.types import Array

NO_ACTION = "an action "
"""How what is said of an action begins that does not exist."""
_BATCH = 13
"""Accounts in the trial that tells whether a policy can be played."""


@dataclass(frozen=True, eq=False)
class Given:
    """What a policy is made from.

    Attributes:
        spec: shape of observation and actions, with the decoder.
        features: the market features of a bar, in order.
        norm_stats: statistics of train that they are normalized with, by name.
        contract_sha256: hash of the feature contract.
    """

    spec: EnvSpec
    features: tuple[FeatureSpec, ...]
    norm_stats: Mapping[str, Mapping[str, float]]
    contract_sha256: str

    @classmethod
    def of(
        cls,
        spec: EnvSpec,
        contract: Mapping[str, Any],
        norm_stats: Mapping[str, Mapping[str, float]],
    ) -> Given:
        """From a bundle's or a dataset's contract."""
        features = tuple(FeatureSpec(**feature) for feature in contract["features"])
        return cls(spec, features, norm_stats, str(contract["contract_sha256"]))

    def rows(self, feature: str, back: int = 0) -> Any:
        """Where a feature lies in an observation, ``back`` bars before the last: a slice with one
        row for each symbol that the account trades.

        Raises:
            ConfigError: no such feature, or the window does not reach that far.
        """
        if not 0 <= back < self.spec.window:
            raise ConfigError(
                f"{back} bars back is not in the window of {self.spec.window}",
                do="widen env.window_bars",
            )
        first = (self.spec.window - 1 - back) * self.spec.num_features
        step = len(self.features)
        return slice(first + self._index(feature), first + self.spec.num_features, step)

    def state_rows(self, name: str) -> slice:
        """Where a column of account state lies in an observation (``env.state_features``)."""
        names = self.spec.state_features
        if name not in names:
            raise ConfigError(
                f"the account state has no {name!r}",
                do=did_you_mean(name, names) or "name it in env.state_features",
            )
        at = names.index(name)
        first = self.spec.window * self.spec.num_features
        first += sum(self.spec.width(before) for before in names[:at])
        return slice(first, first + self.spec.width(name))

    def raw(self, feature: str, normalized: Any) -> Any:
        """Normalized values of a feature in its own unit again (where it was not clipped)."""
        shift, scale = self._affine(feature)
        return normalized * scale + shift

    def normalized(self, feature: str, raw: Any) -> Any:
        """A value in the feature's own unit as observations hold it, before any clip."""
        shift, scale = self._affine(feature)
        return (raw - shift) / scale

    def _affine(self, feature: str) -> tuple[float, float]:
        spec = self.features[self._index(feature)]
        if spec.normalizer == "zscore":
            stats = self.norm_stats[feature]
            return stats["mean"], stats["std"]
        if spec.normalizer == "minmax":
            return spec.low, spec.high - spec.low
        return 0.0, 1.0

    def _index(self, feature: str) -> int:
        names = [spec.name for spec in self.features]
        if feature not in names:
            raise ConfigError(f"no feature is called {feature!r}", do=did_you_mean(feature, names))
        return names.index(feature)


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
    with blamed(entry, where):
        played = Played(entry.make(parsed, given), given)
        _try(played, given.spec, name, where)
    plugin = sha256_of(POLICIES, name)
    told = {"policy": name, "params": parsed.model_dump(mode="json"), "plugin": plugin}
    return UserPolicy(name, played, fingerprint(told))


@contextmanager
def played_as(name: str) -> Iterator[None]:
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
            where="evaluation.policies",
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
