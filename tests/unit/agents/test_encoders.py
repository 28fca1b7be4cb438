"""Encoders against slow obvious loops in numpy, their gradients against finite differences."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from network_cases import (
    COUNT,
    FEATURES,
    STATE,
    WINDOW,
    encoder_of,
    market,
    network_config,
)
from truefill.agents.encoders import ENCODERS
from truefill.agents.encoders.base import Inputs, cost, make_encoders
from truefill.core.errors import ConfigError
from truefill.nn.attention import sinusoidal

CNNS: list[dict[str, Any]] = [
    {"channels": [4, 5], "kernel": 2, "stride": 1},
    {"channels": [4, 5], "kernel": 2, "stride": 2, "pooling": "mean"},
    {"channels": [4, 5], "kernel": 3, "stride": 1, "dilation": 2, "pooling": "last"},
    {"channels": [4], "kernel": 3, "stride": 2, "pooling": "max"},
]
ATTENTIONS: list[dict[str, Any]] = [
    {"layers": 1, "heads": 2, "width": 4},
    {"layers": 2, "heads": 1, "width": 4, "expansion": 1, "positions": "sinusoidal"},
]
EVERY = [("cnn", p) for p in CNNS] + [("attention", p) for p in ATTENTIONS]
FAST = (EVERY[2], EVERY[4])
SOME = [pytest.param(*one, marks=() if one in FAST else pytest.mark.slow) for one in EVERY]


def cnn_by_hand(encoder: Any, window: np.ndarray) -> np.ndarray:
    """Units of one account's window [bars, features], position by position."""
    p, rows = encoder.params, list(window)
    for k, layer in enumerate(encoder.layers):
        step, out = p.dilation**k, []
        newest = len(rows) - 1
        while newest - (p.kernel - 1) * step >= 0:
            taps = [rows[newest - j * step] for j in reversed(range(p.kernel))]
            out.append(np.tanh(np.concatenate(taps) @ np.asarray(layer.weight) + layer.bias))
            newest -= p.stride
        rows = out[::-1]
    if p.pooling == "flatten":
        return np.stack(rows, axis=1).ravel()
    if p.pooling == "last":
        return np.asarray(rows[-1])
    return np.mean(rows, axis=0) if p.pooling == "mean" else np.max(rows, axis=0)


def normal(norm: Any, x: np.ndarray) -> np.ndarray:
    scaled = (x - x.mean()) / math.sqrt(x.var() + 1e-5)
    return np.asarray(norm.gain) * scaled + np.asarray(norm.shift)


def dense(layer: Any, x: np.ndarray) -> np.ndarray:
    return x @ np.asarray(layer.weight) + np.asarray(layer.bias)


def block_by_hand(block: Any, rows: list[np.ndarray]) -> list[np.ndarray]:
    """Every bar after a block: it hears the bars up to its own."""
    width, out = len(rows[0]), []
    depth = width // block.heads
    normals = [normal(block.before, row) for row in rows]
    both = [dense(block.keys_values, row) for row in normals]
    for t, row in enumerate(rows):
        query, heard = dense(block.query, normals[t]), []
        for h in range(block.heads):
            mine = slice(h * depth, (h + 1) * depth)
            keys = [both[b][:width][mine] for b in range(t + 1)]
            values = [both[b][width:][mine] for b in range(t + 1)]
            scores = np.asarray([query[mine] @ key / math.sqrt(depth) for key in keys])
            shares = np.exp(scores) / np.exp(scores).sum()
            heard.append(sum(s * v for s, v in zip(shares, values, strict=True)))
        x = row + dense(block.out, np.concatenate(heard))
        wide = np.tanh(dense(block.wide, normal(block.between, x)))
        out.append(x + dense(block.narrow, wide))
    return out


def attention_by_hand(encoder: Any, window: np.ndarray) -> np.ndarray:
    width = encoder.embed.bias.shape[0]
    places = np.asarray(encoder.places)
    if not places.size:
        places = np.asarray(
            [
                [
                    (math.cos if i % 2 else math.sin)(t / 10_000 ** ((i - i % 2) / width))
                    for t in range(len(window))
                ]
                for i in range(width)
            ]
        )
    rows = [dense(encoder.embed, bar) + places[:, t] for t, bar in enumerate(window)]
    for block in encoder.blocks:
        rows = block_by_hand(block, rows)
    return normal(encoder.norm, rows[-1])


@pytest.mark.parametrize(("kind", "params"), SOME)
def test_an_encoder_is_what_the_loop_says(kind: str, params: dict[str, Any]) -> None:
    encoder = encoder_of(kind, **params)
    window, state = market()
    found = np.asarray(jax.jit(lambda e, w, s: e(w, s))(encoder, window, state))
    by_hand = {"cnn": cnn_by_hand, "attention": attention_by_hand}[kind]
    for n in range(COUNT):
        np.testing.assert_allclose(
            found[:, n], by_hand(encoder, window[:, :, n]), rtol=1e-4, atol=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "params"), [EVERY[2], EVERY[-1]])
def test_its_gradient_is_the_slope(kind: str, params: dict[str, Any]) -> None:
    """Along a random direction of all weights and of the window."""
    encoder = encoder_of(kind, **params)
    window, state = market()
    noise = np.random.default_rng(5)

    def total(step: Any, way: Any) -> Any:
        moved, seen = jax.tree.map(lambda x, d: x + step * d, (encoder, jnp.asarray(window)), way)
        return jnp.sum(jnp.sin(moved(seen, state)))

    way = jax.tree.map(lambda x: noise.normal(size=x.shape).astype("f4"), (encoder, window))
    slope = jax.jit(jax.grad(total))(0.0, way)
    h = 1e-3
    measured = (total(h, way) - total(-h, way)) / (2 * h)
    assert float(slope) == pytest.approx(float(measured), rel=5e-3, abs=1e-3)


@pytest.mark.slow
def test_a_cnn_moves_with_its_pattern() -> None:
    """Positions shift with the bars, the mean over positions does not care where a pattern lies,
    the last position sees its own bars alone."""
    encoder = encoder_of("cnn", channels=[4, 5], kernel=2, stride=1)
    window, _ = market(WINDOW + 1)
    one = np.asarray(encoder.positions(jnp.asarray(window[:-1])))
    two = np.asarray(encoder.positions(jnp.asarray(window[1:])))
    np.testing.assert_allclose(one[:, 1:], two[:, :-1], rtol=1e-5, atol=1e-6)
    calm = np.zeros((WINDOW, FEATURES, 2), "f4")
    calm[2, :, 0] = calm[3, :, 1] = 1.0
    mean = encoder_of("cnn", channels=[4, 5], kernel=2, stride=1, pooling="mean")
    pooled = np.asarray(mean(jnp.asarray(calm), None))
    np.testing.assert_allclose(pooled[:, 0], pooled[:, 1], rtol=1e-5, atol=1e-6)
    last = encoder_of("cnn", channels=[4], kernel=2, stride=2, pooling="last")
    seen = np.asarray(jax.jacobian(lambda w: last(w, None).sum())(jnp.asarray(window[1:])))
    assert np.abs(seen).sum(axis=(1, 2)).nonzero()[0].tolist() == [WINDOW - 2, WINDOW - 1]


@pytest.mark.slow
def test_attention_is_causal_and_knows_the_order() -> None:
    encoder = encoder_of("attention", layers=2, width=4)
    window, state = market()
    before = np.asarray(encoder.bars(jnp.asarray(window)))
    changed = window.copy()
    changed[4:] += 1.0
    after = np.asarray(encoder.bars(jnp.asarray(changed)))
    assert after[:, :4].tobytes() == before[:, :4].tobytes()
    assert (after[:, 4:] != before[:, 4:]).any(axis=0).all()
    swapped = window.copy()
    swapped[[1, 3]] = swapped[[3, 1]]
    one = encoder_of("attention", layers=1, width=4)  # two know the order without any places
    out = np.asarray(one(jnp.asarray(window), state))
    assert np.abs(out - np.asarray(one(jnp.asarray(swapped), state))).max() > 1e-3
    where = sinusoidal(6, 5)
    assert where.shape == (6, 5) and where[0, 0] == 0.0 and where[1, 0] == 1.0


@pytest.mark.parametrize(
    ("kind", "params", "window", "words"),
    [
        ("cnn", {}, 1, "env.window_bars is 1"),
        ("attention", {}, 1, "env.window_bars is 1"),
        ("cnn", {"kernel": 9}, 7, "layer 1 of the cnn spans 9 positions, and 7 are left"),
        ("cnn", {"chanels": [4]}, 7, "Extra inputs"),
        ("attention", {"heads": 3, "width": 4}, 7, "heads 3 do not divide width 4"),
        ("atention", {}, 7, "no encoder is called 'atention'"),
    ],
)
def test_what_cannot_be_made_is_refused(
    kind: str, params: dict[str, Any], window: int, words: str
) -> None:
    inputs = Inputs(window, FEATURES, STATE, network_config(kind, **params))
    with pytest.raises(ConfigError, match=words) as caught:
        make_encoders(jax.random.PRNGKey(0), inputs, 1)
    assert caught.value.where.startswith("agent.network.encoder")
    if words.startswith("no encoder"):
        assert caught.value.do == "Did you mean 'attention'?"


@pytest.mark.slow
@pytest.mark.parametrize("entry", list(ENCODERS), ids=lambda entry: entry.name)
def test_every_registered_encoder_says_what_it_costs(entry: Any) -> None:
    """Its count of multiply-adds is near XLA's count of its program."""
    inputs = Inputs(16, 5, STATE, network_config(entry.name))
    adds, units = cost(inputs)
    assert (adds, units) == (0, 0) or adds > 0 < units
    assert entry.summary
    if entry.name == "none":
        return
    (made,), _ = make_encoders(jax.random.PRNGKey(0), inputs, 1)
    window, state = np.zeros((16, 5, 64), "f4"), np.zeros((STATE, 64), "f4")
    program: Any = jax.jit(lambda e, w, s: e(w, s)).lower(made, window, state)
    assert adds == pytest.approx(program.cost_analysis()["flops"] / 128, rel=0.35)
