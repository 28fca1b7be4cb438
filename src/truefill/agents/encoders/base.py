"""What an encoder is, and where encoders are registered: one file each.

An encoder turns the market window of N accounts into units for the layers after it. It is made once
(twice for separate trunks) and learned with the rest of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from truefill.config.schema import NetworkConfig
from truefill.core.errors import ConfigError
from truefill.core.plugins import blamed
from truefill.core.registry import Params, Registry
from truefill.market.types import Array

WHERE = "agent.network.encoder"
NONE = "none"
_BATCH = 13
"""Accounts in the trial that tells what an encoder gives."""


@dataclass(frozen=True)
class Inputs:
    """What an encoder is made for.

    Attributes:
        window: bars in the window.
        features: market features of one bar (of all symbols that an account trades).
        state: columns of account state.
        network: the config's network: activation, initialization, layer_norm.
    """

    window: int
    features: int
    state: int
    network: NetworkConfig


class Encoder(eqx.Module):
    """Base of encoders. Every array in it is learned.

    ``__init__(self, key, params, inputs)`` makes it; ``__call__(self, market, state)`` takes the
    market window [window, features, N], oldest bar first, and the account state [state, N], and
    gives float32 [units, N]. Account n of the output may depend on account n alone.
    """

    def __call__(self, market: Array, state: Array) -> Array:
        raise NotImplementedError


MakeEncoder = Callable[[Array, Any, Inputs], Encoder]
ENCODERS: Registry[MakeEncoder] = Registry("encoder", plugged=True)


E = TypeVar("E", bound=type[Encoder])


def encoder(name: str, params: type[Params], **facts: Any) -> Callable[[E], E]:
    """Decorator: register an encoder class under ``name``.

    Facts: ``multiply_adds``, (params, inputs) -> multiply-adds of one account's bar, for estimates.
    """
    register = ENCODERS.register(name, params, **{"multiply_adds": None, **facts})

    def decorate(made: E) -> E:
        register(made)
        return made

    return decorate


def parse(network: NetworkConfig) -> Any:
    """The validated parameters of the config's encoder.

    Raises:
        ConfigError: no such encoder, or a parameter that it does not have or take.
    """
    return ENCODERS.parse(network.encoder.kind, network.encoder.params, where=WHERE)


def make_encoders(key: Array, inputs: Inputs, count: int) -> tuple[tuple[Encoder, ...], int]:
    """``count`` fresh encoders as the config wants them, and the units of each; none of kind none.

    Raises:
        ConfigError: see :func:`parse`; or the encoder cannot be made for this window, or a user's
            own fails, or gives anything but float32 [units, N].
    """
    kind = inputs.network.encoder.kind
    params = parse(inputs.network)
    if kind == NONE:
        return (), 0
    entry = ENCODERS.get(kind)
    with blamed(entry, WHERE):
        made = tuple(entry.make(k, params, inputs) for k in jax.random.split(key, count))
    return made, units_of(made[0], inputs)


def units_of(encoder: Encoder, inputs: Inputs) -> int:
    """Units that an encoder gives, from a trial without values; ``ConfigError`` as above."""
    kind = inputs.network.encoder.kind
    entry = ENCODERS.get(kind)
    leaves = jax.tree.leaves(encoder)
    other = [x for x in leaves if not eqx.is_array(x) or x.dtype != jnp.float32]
    if other:
        told = getattr(other[0], "dtype", type(other[0]).__name__)
        raise ConfigError(
            f"{kind} holds {told}, and only float32 arrays can be learned",
            where=WHERE,
            do="mark what is no weight as eqx.field(static=True), and give arrays dtype float32",
        )
    with blamed(entry, WHERE):
        out = jax.eval_shape(_apply, encoder, *_trial(inputs))
    fits = isinstance(out, jax.ShapeDtypeStruct) and len(out.shape) == 2
    if not fits or out.shape[1] != _BATCH or out.dtype != jnp.float32:
        told = f"{out.dtype}{list(out.shape)}" if hasattr(out, "shape") else type(out).__name__
        raise ConfigError(
            f"{kind} gave {told} for {_BATCH} accounts",
            where=WHERE,
            do=f"return float32 [units, {_BATCH}]; arrays made without a dtype are float64",
        )
    return int(out.shape[0])


def require_independent(inputs: Inputs) -> None:
    """Refuse an encoder whose output for one account depends on the others in its batch: trained
    among many it would act blindly when it is alone.

    Raises:
        ConfigError: with the encoder's name; or as :func:`make_encoders`.
    """
    made, _ = make_encoders(jax.random.PRNGKey(0), inputs, 1)
    if not made:
        return
    forms = _trial(inputs)
    keys = jax.random.split(jax.random.PRNGKey(1), len(forms))
    seen = [jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, forms, strict=True)]
    together = _apply(made[0], *seen)
    alone = [_apply(made[0], *(x[..., n : n + 1] for x in seen)) for n in range(3)]
    if not np.allclose(together[:, :3], jnp.concatenate(alone, axis=1), rtol=1e-3, atol=1e-4):
        raise ConfigError(
            f"{inputs.network.encoder.kind} gives an account something else when it is alone",
            where=WHERE,
            do="work along the window and the features only, never over the last axis (accounts)",
        )


def cost(inputs: Inputs) -> tuple[int, int]:
    """Multiply-adds of one account's bar, and units; (0, 0) of kind none. Of an encoder that does
    not tell them, XLA's own count.

    Raises:
        ConfigError: see :func:`make_encoders`.
    """
    made, units = make_encoders(jax.random.PRNGKey(0), inputs, 1)
    if not made:
        return 0, 0
    told = ENCODERS.get(inputs.network.encoder.kind).facts["multiply_adds"]
    if told is not None:
        return int(told(parse(inputs.network), inputs)), units
    analysis: Any = jax.jit(_apply).lower(made[0], *_trial(inputs)).cost_analysis()
    return round(analysis["flops"] / 2 / _BATCH), units


def _apply(encoder: Encoder, market: Array, state: Array) -> Array:
    return encoder(market, state)


def _trial(inputs: Inputs) -> tuple[Any, Any]:
    """Shapes of a window and an account state."""
    shapes = ((inputs.window, inputs.features, _BATCH), (inputs.state, _BATCH))
    market, state = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    return market, state


def require_window(kind: str, inputs: Inputs) -> None:
    """Refuse a window of one bar, in which there is no order of bars to see."""
    if inputs.window < 2:
        raise ConfigError(
            f"{kind} looks along the window, and env.window_bars is 1",
            where=WHERE,
            do="set env.window_bars, e.g. to 32, or encoder.kind: none",
        )
