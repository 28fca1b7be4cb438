"""Each loss by its formula, the sign of its gradient, and where it is lowest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from truefill.config.forecast import LossConfig, LossTerm
from truefill.core.errors import ConfigError, DataError
from truefill.forecast.losses import LOSSES, PRESETS, TargetFacts, build_loss
from truefill.forecast.losses.classes import CrossEntropyParams, class_weights

RNG = np.random.default_rng(0)
Y = np.exp(RNG.standard_normal(400)) - 1.2  # skewed: mean, median and quantiles lie apart
REAL = [entry.name for entry in LOSSES if entry.facts["target"] == "real"]
NAN = float("nan")


def of(name, facts=None, **params):
    return build_loss(LossConfig(loss=name, params=params), facts)


COMPILED = {}


def compiled(loss, what):
    """A loss, or its gradient, compiled once a shape."""
    if (id(loss), what) not in COMPILED:
        COMPILED[id(loss), what] = loss, jax.jit(what(lambda *a: loss(*a)))
    return COMPILED[id(loss), what][1]


def as_is(f):
    return f


def value(loss, prediction, target):
    return float(compiled(loss, as_is)(np.asarray(prediction, float), np.asarray(target, float)))


def gradient(loss, prediction, target):
    slope = compiled(loss, jax.grad)
    return np.asarray(slope(np.asarray(prediction, float), np.asarray(target, float)))


def lowest(loss, low=-3.0, high=6.0, outputs=()):
    """The constant prediction that is best for Y."""
    f = jax.jit(lambda c: loss(jnp.broadcast_to(c, (len(Y), *outputs)), jnp.asarray(Y)))
    return minimize_scalar(lambda c: float(f(c)), bounds=(low, high), method="bounded").x


P, T = np.array([0.5, -1.0, 2.0, 0.0]), np.array([1.0, 0.5, -1.0, 3.0])
POS = np.tanh(P)
FORMULAS = {
    "mse": (np.mean((T - P) ** 2), {}),
    "mae": (np.mean(np.abs(T - P)), {}),
    "huber": ((0.125 + (1.5 - 0.5) + (3.0 - 0.5) + (3.0 - 0.5)) / 4, {"delta": 1.0}),
    "directional": (
        np.mean(0.7 * (T - P) ** 2 + 0.3 * np.log1p(np.exp(-P * T))),
        {"margin": 0.3},
    ),
    "sharpe": (-np.mean(POS * T) / (np.std(POS * T) + 0.1), {"eps": 0.1}),
    "return_volatility": (-np.mean(POS * T) + 0.3 * np.std(POS * T), {"aversion": 0.3}),
    "position": (
        np.mean(0.2 * (np.sqrt(POS**2 + 1e-4) - 0.01) - POS * T),
        {"cost": 0.2},
    ),
    "pinball": (np.mean(np.maximum(0.3 * (T - P), -0.7 * (T - P))), {"quantiles": (0.3,)}),
}


@pytest.mark.parametrize("name", REAL)
def test_by_formula(name):
    expected, params = FORMULAS[name]
    assert value(of(name, **params), P, T) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", REAL)
def test_the_gradient_points_to_the_target(name):
    """At 0 a higher prediction lowers the loss where the target is above, a lower one below. Of a
    ratio: if gains vary, as positions of the right sign do."""
    target = np.array([1.0, -1.0, 2.0, -3.0])
    params = {"quantiles": (0.5,)} if name == "pinball" else {}
    at = 0.1 * np.sign(target) if name in ("sharpe", "return_volatility") else np.zeros(4)
    slopes = gradient(of(name, **params), at, target)
    small = np.argsort(np.abs(target))[:2]  # large gains raise the spread too
    rows = small if name == "sharpe" else slice(None)
    assert (np.sign(slopes) == -np.sign(target))[rows].all(), slopes


def test_the_minimiser_is_the_mean_the_median_and_between():
    mean, median = lowest(of("mse")), lowest(of("mae"))
    assert mean == pytest.approx(Y.mean(), abs=1e-3)
    assert median == pytest.approx(np.median(Y), abs=2e-2)
    assert median < lowest(of("huber", delta=0.5)) < mean
    assert lowest(of("huber", delta=100.0)) == pytest.approx(Y.mean(), abs=1e-3)


@pytest.mark.parametrize("q", [0.05, 0.5, 0.95])
def test_the_minimiser_of_pinball_is_the_quantile(q):
    found = lowest(of("pinball", quantiles=(q,)), outputs=(1,))
    assert (found > Y).mean() == pytest.approx(q, abs=0.006)


def test_every_quantile_has_its_own_output():
    loss = of("pinball", quantiles=(0.1, 0.9))
    assert loss.outputs == 2
    slopes = gradient(loss, np.zeros((1, 2)), np.array([1.0]))
    assert slopes[0].tolist() == pytest.approx([-0.05, -0.45])


def test_the_margin_asks_for_the_sign_and_no_more():
    """Alone it is lowered by any prediction of the target's sign, the larger the better; the
    squared error bounds it."""
    margin = of("directional", margin=1.0)
    assert value(margin, [2.0], [0.5]) < value(margin, [1.0], [0.5]) < value(margin, [-1.0], [0.5])
    loss = jax.jit(lambda c: of("directional")(jnp.full(1, c), jnp.asarray([0.5])))
    best = minimize_scalar(lambda c: float(loss(c)), bounds=(-5, 5), method="bounded").x
    assert 0.5 < best < 0.75


def test_the_minimiser_of_the_sharpe_loss_is_the_best_portfolio():
    """Two kinds of rows: positions are best in the ratio of mean over second moment."""
    kind = RNG.integers(0, 2, 300)
    r = np.where(kind == 0, 0.3, -0.2) + np.where(kind == 0, 1.0, 0.5) * RNG.standard_normal(300)
    loss = of("sharpe", eps=1e-9)
    both = jax.jit(jax.value_and_grad(lambda w: loss(w[kind], jnp.asarray(r))))
    found = minimize(lambda w: [np.asarray(x) for x in both(w)], [0.1, 0.1], jac=True).x
    weight = [r[kind == k].mean() / (r[kind == k] ** 2).mean() for k in (0, 1)]
    assert weight[0] > 0 > weight[1]
    assert np.tanh(found[0]) / np.tanh(found[1]) == pytest.approx(weight[0] / weight[1], rel=1e-3)


def test_aversion_to_volatility_takes_the_position_off():
    """A position w earns m w and costs aversion x s |w|: all or nothing, by m against it."""
    r = np.array([0.5, -0.1] * 20)
    m, s = r.mean(), r.std()
    for aversion, side in ((0.5 * m / s, -1), (2.0 * m / s, 1)):
        loss = of("return_volatility", aversion=aversion)
        assert np.sign(gradient(loss, np.full(40, 0.3), r).sum()) == side
        assert np.sign(gradient(loss, np.full(40, -0.3), r).sum()) == -1  # never short


def test_a_position_that_does_not_pay_its_cost_is_not_taken():
    def slope(at, cost):
        return gradient(of("position", cost=cost), [at], [0.1])[0]

    assert slope(0.5, 0.05) < 0.0 < slope(0.5, 0.2)
    assert slope(0.0, 0.2) < 0.0  # exactly flat costs nothing, and the cost is smooth there
    assert value(of("position", cost=0.2), [0.0], [0.1]) == 0.0


@pytest.mark.parametrize("entry", list(LOSSES), ids=lambda entry: entry.name)
def test_null_targets_take_no_part(entry):
    outputs = entry.facts["outputs"](entry.params())
    loss = of(entry.name)
    shape = (5,) if outputs == 1 else (5, outputs)
    p, t = RNG.standard_normal(shape), np.array([1.0, NAN, 0.0, 2.0, NAN])
    keep = np.isfinite(t)
    assert value(loss, p, t) == pytest.approx(value(loss, p[keep], t[keep]), rel=1e-12)
    slopes = gradient(loss, p, t)
    assert np.isfinite(slopes).all() and (slopes[~keep] == 0.0).all()
    assert np.abs(slopes[keep]).sum() > 0.0
    nothing = np.full(5, NAN)
    assert value(loss, p, nothing) == 0.0 and (gradient(loss, p, nothing) == 0.0).all()


@pytest.mark.parametrize("entry", list(LOSSES), ids=lambda entry: entry.name)
def test_rows_in_any_order_and_heads_on_their_own(entry):
    """A permuted batch has the same loss (nothing is broadcast over rows), and the loss of two
    heads is the mean of theirs."""
    outputs = entry.facts["outputs"](entry.params())
    last = () if outputs == 1 else (outputs,)
    p, t = RNG.standard_normal((6, 2, *last)), RNG.integers(0, 3, (6, 2)).astype(float)
    t[4, 1] = NAN
    loss, order = of(entry.name), RNG.permutation(6)
    both = value(loss, p, t)
    assert value(loss, p[order], t[order]) == pytest.approx(both, rel=1e-12)
    heads = [value(loss, p[:, h], t[:, h]) for h in (0, 1)]
    assert both == pytest.approx(np.mean(heads), rel=1e-12)
    t[:, 1] = NAN
    assert value(loss, p, t) == pytest.approx(heads[0], rel=1e-12)


@pytest.mark.parametrize("name", ["sharpe", "return_volatility"])
def test_no_variance_has_no_gradient_that_is_not_a_number(name):
    for prediction in (np.zeros(3), np.ones(3)):
        slopes = gradient(of(name), prediction, np.ones(3))
        assert np.isfinite(slopes).all() and (slopes < 0.0).all()


def test_real_targets_count_in_units_of_their_spread():
    """The same loss for returns in fractions and in bps, each with its own facts."""
    for name in ("huber", "directional", "sharpe"):
        small = of(name, TargetFacts(scale=1e-4))
        large = of(name, TargetFacts(scale=1.0))
        assert value(small, P * 1e-4, T * 1e-4) == pytest.approx(value(large, P, T), rel=1e-9)
    held = of("position", TargetFacts(scale=1e-4), cost=2e-5)
    assert value(held, P * 1e-4, T * 1e-4) == pytest.approx(FORMULAS["position"][0], rel=1e-9)
    assert held.position is not None
    assert np.asarray(held.position(jnp.asarray(P) * 1e-4)) == pytest.approx(POS)


def test_cross_entropy_by_formula_and_minimiser():
    counts = np.array([10, 30, 60])
    t = np.repeat([0.0, 1.0, 2.0], counts)
    logits = np.tile([0.2, -0.3, 0.5], (100, 1))
    log_p = logits[0] - np.log(np.exp(logits[0]).sum())
    assert value(of("cross_entropy"), logits, t) == pytest.approx(-(counts * log_p).sum() / 100)
    # lowest at the classes' frequencies, and balanced at equal ones
    even = of("cross_entropy", TargetFacts(class_counts=tuple(counts)), weights="balanced")
    at = np.tile(np.log(counts / 100), (100, 1))
    assert gradient(of("cross_entropy"), at, t).sum(axis=0) == pytest.approx(0.0, abs=1e-12)
    assert gradient(even, np.zeros((100, 3)), t).sum(axis=0) == pytest.approx(0.0, abs=1e-12)
    slopes = gradient(of("cross_entropy"), np.zeros((1, 3)), np.array([2.0]))[0]
    assert slopes[2] < 0.0 < min(slopes[:2])
    weighted = of("cross_entropy", weights=(1.0, 0.0, 3.0))
    expected = -(10 * log_p[0] + 180 * log_p[2]) / 190
    assert value(weighted, logits, t) == pytest.approx(expected)


def test_balanced_weights_need_every_class():
    p = CrossEntropyParams(weights="balanced")
    with pytest.raises(DataError, match="missing_class"):
        class_weights(p, TargetFacts(class_counts=(4, 0, 3)))
    with pytest.raises(ConfigError, match="need the counts"):
        class_weights(p, TargetFacts())
    with pytest.raises(ConfigError, match="2 weights for 3 classes"):
        class_weights(CrossEntropyParams(weights=(1.0, 2.0)), TargetFacts())


def test_a_sum_is_the_weighted_mean_of_its_terms():
    terms = (LossTerm(loss="mse", weight=3.0), LossTerm(loss="mae", weight=1.0))
    both = build_loss(LossConfig(sum=terms))
    expected = 0.75 * FORMULAS["mse"][0] + 0.25 * FORMULAS["mae"][0]
    assert value(both, P, T) == pytest.approx(expected)
    assert both.position is None
    financial = build_loss(LossConfig(preset="financial"))
    assert financial.position is not None and financial.target == "real"


def test_every_preset_can_be_built():
    facts = TargetFacts(class_counts=(1, 1, 1))
    built = {name: build_loss(LossConfig(preset=name), facts) for name in PRESETS}
    assert built["classification"].outputs == 3 and built["robust"].outputs == 1


def test_wrong_losses_are_refused():
    with pytest.raises(ConfigError, match="no loss is called 'mze'"):
        of("mze")
    with pytest.raises(ConfigError, match="no preset"):
        build_loss(LossConfig(preset="robustt"))
    with pytest.raises(ConfigError, match="ask for different predictions: mse real x 1, cross"):
        build_loss(LossConfig(sum=(LossTerm(loss="mse"), LossTerm(loss="cross_entropy"))))
    for given in (
        {},
        {"loss": "mse", "preset": "robust"},
        {"preset": "robust", "params": {"a": 1}},
    ):
        with pytest.raises(ValueError):
            LossConfig(**given)
    with pytest.raises(ConfigError, match="ascend"):
        of("pinball", quantiles=(0.5, 0.1))


def test_facts_come_from_the_labels_that_are_there():
    y = np.array([1.0, NAN, 3.0, 2.0])
    assert TargetFacts.of(y, 0).scale == pytest.approx(np.std([1, 3, 2]))
    assert TargetFacts.of(np.array([0.0, 2.0, NAN, 2.0]), 3).class_counts == (1, 0, 2)
    with pytest.raises(DataError, match="dead_label"):
        TargetFacts.of(np.array([1.0, 1.0, NAN]), 3)
    with pytest.raises(DataError, match="no_label"):
        TargetFacts.of(np.array([NAN]), 0)
