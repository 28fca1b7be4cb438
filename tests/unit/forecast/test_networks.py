"""Networks: against plain formulas, row by row, and what every registered one must keep."""

from __future__ import annotations

from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from truefill.core.errors import ConfigError
from truefill.forecast.networks import NETWORKS, Inputs, multiply_adds, parameters
from truefill.forecast.networks.decomposed import averaging, decompose
from truefill.forecast.networks.parts import dropout

INPUTS = Inputs(window=6, features=3, heads=2, outputs=3)
SYSTEM_003 = Inputs(window=30, features=40, heads=1, outputs=1)
N = 4
SMALL: dict[str, dict[str, Any]] = {
    "lstm": {"units": 4},
    "gru": {"units": 4},
    "bilstm": {"units": 4, "hidden": (5,)},
    "dlstm": {"units": 4, "layers": 1, "average_bars": 4},
    "dlinear": {"average_bars": 4, "individual": True},
    "cnn": {"channels": (4, 5), "kernels": (3, 2), "hidden": (5,)},
    "attention": {"width": 4, "heads": 2, "positions": "sinusoidal"},
}
SMALL["gated"] = {name: SMALL[name] for name in ("bilstm", "cnn", "attention")} | {"gate": 3}
NAMES = sorted(entry.name for entry in NETWORKS)
LONG = ("gated", "dlstm")
"""Made of others, and slow to compile."""
EACH = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in NAMES]
)


def windows() -> Any:
    return jnp.asarray(np.random.default_rng(0).normal(size=(6, 3, N)).astype("f4"))


def form(name: str, inputs: Inputs, **params: Any) -> Any:
    """A network whose arrays are but shapes."""
    entry, parsed = NETWORKS.get(name), NETWORKS.parse(name, params)
    return eqx.filter_eval_shape(lambda: entry.make(jax.random.PRNGKey(0), parsed, inputs))


def make(name: str, inputs: Inputs = INPUTS, **params: Any) -> Any:
    """A small network with drawn numbers everywhere, biases and gains too."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0.0, 0.5, leaf.shape).astype(leaf.dtype)),
        form(name, inputs, **SMALL[name] | params),
    )


def run(net: Any, x: Any, key: Any = None) -> Any:
    return eqx.filter_jit(net)(x, key)


@cache
def compiled(name: str) -> tuple[Any, Any]:
    """A small network, and its outputs with the gradient of their weighted sum, as one program."""
    net = make(name)

    @eqx.filter_jit
    def both(net: Any, x: Any) -> Any:
        def total(net: Any, x: Any) -> Any:
            out = net(x, None)
            return (out * jnp.arange(1.0, 1.0 + out.size).reshape(out.shape)).sum(), out

        (_, out), gradient = jax.value_and_grad(total, has_aux=True)(net, x)
        return out, gradient

    return net, both


def test_every_registered_network_is_held_to_this() -> None:
    assert set(SMALL) == set(NAMES)


@EACH
def test_outputs_are_a_rows_own_and_come_again_bit_by_bit(name: str) -> None:
    net, both = compiled(name)
    x = windows()
    out, gradient = both(net, x)
    assert out.shape == (N, 2, 3) and out.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(net)} == {jnp.dtype("float32")}
    again = both(net, x)
    for a, b in zip(jax.tree.leaves((out, gradient)), jax.tree.leaves(again), strict=True):
        assert a.tobytes() == b.tobytes()
    changed = np.asarray(both(net, x.at[:, :, 1].set(7.0))[0])
    np.testing.assert_array_equal(np.delete(changed, 1, 0), np.delete(np.asarray(out), 1, 0))
    assert not np.isclose(changed[1], out[1], rtol=1e-5).any()


@EACH
def test_every_weight_learns_and_the_oldest_and_newest_bars_count(name: str) -> None:
    net, both = compiled(name)
    out, gradient = both(net, windows())
    paths = jax.tree_util.tree_leaves_with_path(gradient)
    flat = [jax.tree_util.keystr(path) for path, leaf in paths if leaf.size and not leaf.any()]
    assert not flat
    for bar in (0, -1):
        moved, _ = both(net, windows().at[bar].add(0.5))
        assert not np.isclose(moved, out, rtol=1e-6, atol=0.0).all()


@EACH
@pytest.mark.parametrize("value", [0.0, 1.0, -50.0])
def test_constant_and_wild_windows_give_finite_outputs_and_gradients(
    name: str, value: float
) -> None:
    net, both = compiled(name)
    for leaf in jax.tree.leaves(both(net, jnp.full_like(windows(), value))):
        assert np.isfinite(leaf).all()


def numpy_of(net: Any) -> Any:
    return jax.tree.map(lambda x: np.asarray(x, np.float64), net)


def test_averages_stay_inside_the_window_and_repeat_its_ends() -> None:
    x = np.asarray(windows(), np.float64)
    trend, rest = decompose(jnp.asarray(x), 4)
    for t in range(6):
        seen = [min(max(s, 0), 5) for s in (t - 2, t - 1, t, t + 1)]
        np.testing.assert_allclose(trend[t], x[seen].mean(axis=0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(trend + rest, x, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(averaging(3, 10).sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("individual", [False, True])
def test_dlinear_is_two_linear_maps_over_time_and_a_head(individual: bool) -> None:
    net = make("dlinear", individual=individual)
    w, x = numpy_of(net), np.asarray(windows(), np.float64)
    trend = np.einsum("st,tfn->sfn", averaging(6, 4), x)
    expected = np.empty((N, 6))
    for n in range(N):
        seen = []
        for f in range(3):
            maps = [(p[f] if individual else p) for p in (w.trend, w.remainder)]
            part = trend[:, f, n]
            seen.append(part @ maps[0] + (x[:, f, n] - part) @ maps[1])
        expected[n] = np.concatenate(seen) @ w.head.out.weight + w.head.out.bias
    np.testing.assert_allclose(run(net, windows()).reshape(N, 6), expected, rtol=1e-4, atol=1e-6)


def read(layer: Any, x: Any) -> Any:
    """Outputs of a layer as agents run it, bar by bar from an empty memory."""
    start = jnp.zeros((6, N), bool)
    return eqx.filter_jit(layer.sequence)(layer.initial(N), x, start)


def test_dlstm_adds_the_last_states_of_its_parts() -> None:
    net = make("dlstm")
    trend, rest = decompose(windows(), 4)
    ends = read(net.trend.layers[0][0], trend)[-1] + read(net.remainder.layers[0][0], rest)[-1]
    np.testing.assert_allclose(run(net, windows()), run(net.head, ends), rtol=1e-4, atol=1e-6)


def test_bilstm_stacks_both_directions_and_ends_on_both_last_states() -> None:
    """As in PyTorch: each layer reads both outputs of the one below; the backward end is the oldest
    bar's."""
    (net, both), x = compiled("bilstm"), windows()
    for forward, backward in net.stack.layers:
        there, back = read(forward, x), read(backward, x[::-1])[::-1]
        x = jnp.concatenate([there, back], axis=1)
    expected = run(net.head, jnp.concatenate([there[-1], back[0]]))
    np.testing.assert_allclose(both(net, windows())[0], expected, rtol=1e-4, atol=1e-6)


def test_cnn_is_convolution_pooling_relu_and_layers_over_all_positions() -> None:
    net, both = compiled("cnn")
    w, x = numpy_of(net), np.moveaxis(np.asarray(windows(), np.float64), 2, 0)
    for layer, kernel in zip(w.layers, (3, 2), strict=True):
        bars = x.shape[1]
        before = kernel // 2
        padded = np.pad(x, ((0, 0), (before, kernel - 1 - before), (0, 0)))
        out = [padded[:, t : t + kernel].reshape(N, -1) @ layer.weight for t in range(bars)]
        y = np.maximum(np.stack(out, axis=1) + layer.bias, 0.0)[:, bars % 2 :]
        x = np.maximum(y[:, ::2], y[:, 1::2])
    flat = np.moveaxis(x, 2, 1).reshape(N, -1)
    (hidden,), last = w.head.layers, w.head.out
    expected = np.maximum(flat @ hidden.weight + hidden.bias, 0.0) @ last.weight + last.bias
    out = both(net, windows())[0].reshape(N, 6)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-6)


def attention(w: Any, x: np.ndarray, pooling: str) -> np.ndarray:
    """One row's outputs, as the papers write it; x [bars, features]."""

    def norm(own: Any, x: np.ndarray) -> np.ndarray:
        spread = np.sqrt(x.var(1)[:, None] + 1e-5)
        return np.asarray((x - x.mean(1)[:, None]) / spread * own.gain + own.shift)

    x = x @ w.embed.weight + w.embed.bias + w.places.T
    for b in w.blocks:
        y, depth = norm(b.before, x), 2
        q = y @ b.query.weight + b.query.bias
        k, v = np.split(y @ b.keys_values.weight + b.keys_values.bias, 2, axis=1)
        heard = []
        for at in range(0, 4, depth):
            own = slice(at, at + depth)
            score = np.exp(q[:, own] @ k[:, own].T / np.sqrt(depth))
            heard.append(score / score.sum(1)[:, None] @ v[:, own])
        x = x + np.concatenate(heard, 1) @ b.out.weight + b.out.bias
        wide = np.maximum(norm(b.between, x) @ b.wide.weight + b.wide.bias, 0.0)
        x = x + wide @ b.narrow.weight + b.narrow.bias
    x = norm(w.norm, x)
    pooled = x[-1] if pooling == "last" else x.mean(0)
    return np.asarray(pooled @ w.head.out.weight + w.head.out.bias)


@pytest.mark.parametrize("pooling", ["last", pytest.param("mean", marks=pytest.mark.slow)])
def test_attention_reads_the_whole_window_from_every_bar(pooling: str) -> None:
    net = make("attention", positions="learned", pooling=pooling)
    x = np.asarray(windows(), np.float64)
    expected = np.stack([attention(numpy_of(net), x[:, :, n], pooling) for n in range(N)])
    got = run(net, windows()).reshape(N, 6)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)


def parts(net: Any) -> tuple[Any, ...]:
    return net.bilstm, net.cnn, net.attention


def test_gated_weighs_its_three_row_by_row() -> None:
    net = make("gated")
    out, share, *members = eqx.filter_jit(
        lambda x: (net(x, None), net.weights(x), *(m(x, None) for m in parts(net)))
    )(windows())
    share = np.asarray(share)
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-6)
    assert np.unique(share, axis=0).shape[0] == N
    expected = sum(share[:, i, None, None] * np.asarray(m) for i, m in enumerate(members))
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["lstm", "cnn", pytest.param("attention", marks=pytest.mark.slow)])
def test_dropout_needs_a_key_and_follows_it(name: str) -> None:
    net = make(name, dropout=0.5)
    plain = run(net, windows())
    one, two, again = (run(net, windows(), jax.random.PRNGKey(seed)) for seed in (1, 2, 1))
    assert again.tobytes() == one.tobytes()
    assert not np.allclose(one, plain) and not np.allclose(one, two)


def test_dropout_keeps_the_mean_and_silences_its_share() -> None:
    x = jnp.full((200, 300), 3.0, jnp.float32)
    out = np.asarray(dropout(x, 0.25, jax.random.PRNGKey(0)))
    assert (out == 0.0).mean() == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(np.unique(out), [0.0, 4.0], rtol=1e-6)
    assert dropout(x, 0.0, jax.random.PRNGKey(0)) is x and dropout(x, 0.5, None) is x


@pytest.mark.parametrize(
    ("name", "params", "count"),
    [
        ("bilstm", {"units": 128, "hidden": [128]}, 600_321),
        ("cnn", {}, 129_249),
        ("attention", {}, 406_017),
        ("gated", {}, 1_138_406),
    ],
)
def test_sizes_are_those_of_system_003(name: str, params: dict[str, Any], count: int) -> None:
    """Its own counts are 602,625 (with each bias twice and batch normalization), 130 k, 410 k and
    1.146 M."""
    assert parameters(form(name, SYSTEM_003, **params)) == count
    assert multiply_adds(name, NETWORKS.parse(name, params), SYSTEM_003) > count


def test_numbers_learned_and_products_are_counted() -> None:
    net = make("dlinear", individual=False)
    assert parameters(net) == 2 * 6 * 6 + 18 * 6 + 6
    params = NETWORKS.parse("lstm", {"layers": 1, "units": 5})
    assert multiply_adds("lstm", params, INPUTS) == 6 * 20 * (3 + 5) + 5 * 6


@pytest.mark.parametrize(
    ("name", "params", "told"),
    [
        ("cnn", {"channels": [4], "kernels": [3, 5]}, "differ in number"),
        ("attention", {"width": 10, "heads": 4}, "do not divide"),
        ("lstm", {"dropout": 1.0}, "dropout"),
        ("lstm", {"unit": 4}, "units"),
    ],
)
def test_wrong_parameters_are_named(name: str, params: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        NETWORKS.parse(name, params)


def test_a_window_of_one_bar_and_one_feature_is_enough() -> None:
    for name in NAMES:
        net = form(name, Inputs(1, 1, 1, 1), **SMALL[name])
        x = jax.ShapeDtypeStruct((1, 1, 2), jnp.float32)
        assert eqx.filter_eval_shape(net, x, None).shape == (2, 1, 1)


def test_initial_weights_come_from_the_key_and_keep_the_scale() -> None:
    entry = NETWORKS.get("cnn")
    params = NETWORKS.parse("cnn", {"channels": [64], "kernels": [9], "hidden": []})
    made = [entry.make(jax.random.PRNGKey(k), params, INPUTS) for k in (4, 4, 5)]
    one, two, other = ([x.tobytes() for x in jax.tree.leaves(net)] for net in made)
    assert one == two and one != other
    assert np.square(made[0].layers[0].weight).mean() * 27 == pytest.approx(2.0, rel=0.1)
