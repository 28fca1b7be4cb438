"""A tiny network, and bars whose next move their features give away, for tests of fitting."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from forecast_cases import bars_from
from truefill.config.forecast import FitConfig, LossConfig
from truefill.forecast.baselines import History
from truefill.forecast.fit import FittedNetwork, NetworkTask, fit_network
from truefill.forecast.labels import LABELS, FittedLabel, fit_label

WINDOW = 4


class Tiny(eqx.Module):
    """A linear map of the whole window; ``noise`` is added to it while it is fitted."""

    weight: Any
    bias: Any
    shape: tuple[int, int] = eqx.field(static=True)
    noise: float = eqx.field(static=True)

    def __init__(self, key, params, inputs):
        self.noise = params.get("noise", 0.0)
        self.shape = (inputs.heads, inputs.outputs)
        size = inputs.window * inputs.features
        drawn = jax.random.normal(key, (size, inputs.heads * inputs.outputs), jnp.float32)
        self.weight = params.get("spread", 0.01) * drawn
        self.bias = jnp.zeros(inputs.heads * inputs.outputs, jnp.float32)

    def __call__(self, x, key):
        flat = x.reshape(-1, x.shape[2])
        if key is not None and self.noise:
            flat = flat + self.noise * jax.random.normal(key, flat.shape, jnp.float32)
        out = self.weight.T @ flat + self.bias[:, None]
        return out.T.reshape(x.shape[2], *self.shape)


def planted(n: int = 300, seed: int = 0, symbol: str = "X", noise: float = 0.5) -> History:
    """Bars whose return is 1 % of a lead that was known a bar before, and some noise; features: the
    lead, and what says nothing."""
    rng = np.random.default_rng(seed)
    lead = rng.standard_normal(n)
    move = np.concatenate([[0.0], lead[:-1]]) + noise * rng.standard_normal(n)
    bars = bars_from(100.0 * np.exp(0.01 * np.cumsum(move)))
    features = np.column_stack([lead, rng.standard_normal(n) + 3.0])
    return History(symbol, bars, features, np.arange(WINDOW - 1, n))


def returns(*horizons: int) -> tuple[FittedLabel, ...]:
    """Labels of the log return over so many bars."""
    parsed = [LABELS.parse("future_return", {"horizon": h}) for h in horizons]
    return tuple(FittedLabel("future_return", params) for params in parsed)


def classes(*horizons: int, histories: tuple[History, ...]) -> tuple[FittedLabel, ...]:
    """Smoothed labels, with thresholds of all these bars."""
    bars = {own.symbol: own.bars for own in histories}
    return tuple(
        fit_label("smoothed", LABELS.parse("smoothed", {"horizon": h}), bars) for h in horizons
    )


def task(labels: tuple[FittedLabel, ...], loss: Any = "mse", **fit: Any) -> NetworkTask:
    """Of the tiny network."""
    asked = LossConfig(loss=loss) if isinstance(loss, str) else loss
    given = {"epochs": 3, "batch_size": 64, "learning_rate": 0.05, **fit}
    params = given.pop("params", {})
    return NetworkTask(Tiny, params, WINDOW, asked, FitConfig(**given), labels)


def fitted(histories: tuple[History, ...], *given: Any, seed: int = 1, **fit: Any) -> FittedNetwork:
    """The tiny network fitted to returns of the next bar."""
    return fit_network(task(returns(1), *given, **fit), histories, seed)
