"""The rule that trades a signal: in above a threshold, out once it has fallen below another."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
from pydantic import Field, model_validator

from truefill.core.errors import ConfigError
from truefill.core.registry import Params
from truefill.env.decoders import DECODERS, Wish
from truefill.env.episodes import EnvSpec
from truefill.env.policies.base import OwnPolicy, Seen, policy
from truefill.env.policies.given import Given
from truefill.market.types import Array

FORECAST, ENDING = "forecast", "_signal"
"""The calculator of forecasts' columns, and how those end that are to be traded on, about -1 to 1.
"""
SIDE_OF = "position"
"""The column of account state that tells the side."""


class ThresholdParams(Params):
    """Long from a signal of `enter` on, until it falls below `exit`; shorts mirrored."""

    signal: str | None = Field(
        None, description="a feature, in its own unit; null = the first forecast's signal"
    )
    enter: float = Field(0.2, gt=0.0, description="a signal from here on opens")
    exit: float = Field(
        0.0, description="a signal below closes; above -enter, at most enter; 0 = when it turns"
    )
    short: bool | None = Field(
        None, description="false: long or flat; null = shorts wherever decoder and rules let it"
    )
    scaled: bool = Field(
        False, description="size by the signal, cut to -1..1; false = the largest position"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not -self.enter < self.exit <= self.enter:
            raise ValueError("exit must be above -enter and not above enter")
        return self


def held_after(
    held: Any, signal: Any, *, enter: float, exit: float, allow_short: Any, xp: ModuleType
) -> Any:
    """Sides (-1, 0, 1) after a bar's signal, from those before it; a signal that is NaN changes
    nothing. ``xp`` is the module of the arrays, numpy or jax.numpy."""
    leaves = ((held > 0) & (signal < exit)) | ((held < 0) & (signal > -exit))
    kept = xp.where(leaves, 0, held)
    kept = xp.where(signal >= enter, 1, kept)
    return xp.where((signal <= -enter) & allow_short, -1, kept)


@policy("threshold", ThresholdParams)
class Threshold(OwnPolicy):
    """Trades a signal with two thresholds, through any decoder that knows what comes nearest."""

    params: ThresholdParams = eqx.field(static=True)
    signal: str = eqx.field(static=True)
    symbols: int = eqx.field(static=True)

    def __init__(self, params: ThresholdParams, given: Given) -> None:
        self.params = params
        self.signal = signal_of(given) if params.signal is None else params.signal
        self.symbols = given.spec.num_symbols
        given.rows(self.signal)
        _require_playable(params, given.spec)

    def initial(self, count: int) -> Array:
        """The side that was wanted last, int32 [symbols, count]."""
        return jnp.zeros((self.symbols, count), jnp.int32)

    def decide(self, memory: Array, seen: Seen) -> tuple[Array, Array]:
        """Toward the side that the signal holds."""
        own, spec = self.params, seen.given.spec
        signal = seen.given.raw(self.signal, seen.normalized(self.signal).astype(jnp.float64))
        held = held_after(
            memory, signal, enter=own.enter, exit=own.exit, allow_short=own.short is not False,
            xp=jnp,
        )  # fmt: skip
        size = jnp.clip(held * signal, 0.0, 1.0) if own.scaled else 1.0
        side = jnp.sign(seen.state(SIDE_OF)).T if spec.decoder.needs_side else None
        assert spec.decoder.toward is not None
        action = spec.decoder.toward(Wish((held * size).astype(jnp.float64).T, side, seen.legal)).T
        return action.astype(jnp.int32 if spec.decoder.discrete else jnp.float32), held


def signal_of(given: Given) -> str:
    """The first feature that is a forecast's signal (a MACD has one too, and is none).

    Raises:
        ConfigError: there is none.
    """
    own = [spec.name for spec in given.features if spec.calculator == FORECAST]
    found = next((name for name in own if name.endswith(ENDING)), None)
    if found is None:
        raise ConfigError(
            "no feature is the signal of a forecast",
            do="name the signal in the policy's params; or give the run forecasters, and their "
            "signals to env.features",
        )
    return found


def _playable() -> list[str]:
    return [e.name for e in DECODERS if e.make(e.params()).toward is not None]


def _require_playable(params: ThresholdParams, spec: EnvSpec) -> None:
    """Refuse decoders that cannot play the rule, and what it would have to guess."""
    decoder = spec.decoder
    if decoder.toward is None:
        raise ConfigError(
            "this decoder does not say which action comes nearest to a position",
            where="env.action.kind",
            do=f"use one of {', '.join(_playable())}",
        )
    if decoder.needs_side and SIDE_OF not in spec.state_features:
        raise ConfigError(
            f"with this decoder the rule must see the side of its position, {SIDE_OF!r}",
            where="env.state_features",
            do=f"add {SIDE_OF}",
        )
    if decoder.legal is not None and not spec.mask_illegal and params.short is None:
        raise ConfigError(
            "with env.action.illegal other than mask the rule does not see who may go short",
            where="env.action.illegal",
            do="say `short: true` or `short: false`",
        )
