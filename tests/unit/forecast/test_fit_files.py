"""What outputs mean, and networks that are saved and read back."""

from __future__ import annotations

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from fit_cases import Tiny, classes, planted, returns, task
from truefill.config.forecast import LossConfig
from truefill.core.errors import ArtifactError, DataError, PolicyError
from truefill.core.plugins import load_plugins
from truefill.forecast.fit import FittedNetwork, fit_network, load_network
from truefill.forecast.fit.fitted import forecasts
from truefill.forecast.fit.task import LossKey, make_network, task_facts, task_from
from truefill.forecast.fit.windows import Standard
from truefill.forecast.networks import NETWORKS, Inputs

TRAIN = (planted(300), planted(200, seed=5, symbol="Y"))
PINBALL = LossConfig(loss="pinball", params={"quantiles": [0.025, 0.4, 0.5, 0.9]})


def test_logits_become_probabilities():
    raw = np.log(np.array([[[0.2, 0.5, 0.3]], [[1.0, 1.0, 8.0]]], np.float32))
    found = forecasts(raw, LossKey.of(LossConfig(preset="classification"), 3), np.ones(1))[0]
    assert found.probability == pytest.approx(np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]))
    assert found.value.tolist() == [1.0, 2.0]


def test_a_quantity_is_told_in_the_labels_own_units():
    raw = np.array([[[2.0], [3.0]]], np.float32)
    found = forecasts(raw, LossKey.of(LossConfig(loss="huber"), 0), np.array([0.5, 0.1]))
    assert [one.value.tolist() for one in found] == [[1.0], [pytest.approx(0.3)]]


def test_quantiles_that_cross_are_sorted_and_the_value_is_the_median():
    raw = np.array([[[3.0, 1.0, 2.0, 4.0]]], np.float32)
    found = forecasts(raw, LossKey.of(PINBALL, 0), np.array([2.0]))[0]
    extra = {name: values.tolist() for name, values in found.extra.items()}
    assert extra == {"q2_5": [2.0], "q40": [4.0], "q50": [6.0], "q90": [8.0]}
    assert found.value.tolist() == [6.0]


def test_a_position_is_what_the_loss_says():
    raw = np.array([[[0.5]], [[-30.0]]], np.float32)
    key = LossKey.of(LossConfig(loss="sharpe", params={"squash": "softsign"}), 0)
    found = forecasts(raw, key, np.array([0.01]))[0]
    assert key.kind == "position"
    assert found.value == pytest.approx([1 / 3, -30 / 31])  # the label's spread is no matter


def unfitted(asked, features=2):
    """As it begins."""
    key = LossKey.of(asked.loss, asked.classes)
    inputs = Inputs(asked.window_bars, features, len(asked.labels), key.outputs)
    made = make_network(asked, inputs, jax.random.PRNGKey(1))
    standard = Standard(np.full(features, 0.1), np.full(features, 1.3))
    scale = np.full(len(asked.labels), 1.0 if asked.classes else 0.01)
    return FittedNetwork(asked, inputs, made, standard, scale, 1, (), {})


@pytest.mark.parametrize("kind", ["class", "quantile"])
def test_a_saved_network_predicts_the_same_bits(tmp_path, kind):
    if kind == "class":
        preset = LossConfig(preset="classification")
        asked = task(classes(1, 2, histories=TRAIN), preset, epochs=1)
        found = fit_network(asked, TRAIN, 1)
    else:
        found = unfitted(task(returns(1, 2), PINBALL))
    assert found.kind == kind
    names = found.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    again = load_network(tmp_path, network=Tiny)
    for one, other in zip(found.predict(TRAIN), again.predict(TRAIN), strict=True):
        assert one.value.tobytes() == other.value.tobytes()
        assert {k: v.tobytes() for k, v in one.extra.items()} == {
            k: v.tobytes() for k, v in other.extra.items()
        }
        if one.probability is not None:
            assert one.probability.tobytes() == other.probability.tobytes()
    assert (again.kind, again.history, dict(again.facts)) == (
        found.kind, found.history, dict(found.facts)
    )  # fmt: skip
    assert again.task.labels == found.task.labels
    (tmp_path / "again").mkdir()
    again.save(tmp_path / "again")
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_changed_file_is_refused(tmp_path):
    found = unfitted(task(returns(1)))
    found.save(tmp_path)
    with pytest.raises(PolicyError, match="of the user's own"):
        load_network(tmp_path)
    index = json.loads((tmp_path / "forecaster.json").read_text())
    (tmp_path / "forecaster.json").write_text(json.dumps({**index, "seed": 7}))
    with pytest.raises(ArtifactError, match="index does not match"):
        load_network(tmp_path, network=Tiny)
    found.save(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="does not match its hash"):
        load_network(tmp_path, network=Tiny)
    path.unlink()
    with pytest.raises(ArtifactError, match="file is missing"):
        load_network(tmp_path, network=Tiny)


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in NETWORKS])
def test_what_a_network_says_of_a_row_has_the_same_bits_whatever_is_asked_beside_it(name):
    rng = np.random.default_rng(0)
    own = replace(planted(700), features=rng.standard_normal((700, 7)))
    asked = replace(task(returns(1, 3)), network=name, window_bars=20)
    own = replace(own, rows=np.arange(19, 700))
    found = unfitted(asked, 7)
    whole = [one.value for one in found.predict((own,))]
    for count in (1, 3, 100, 255, 256, 257, 500):
        rows = np.sort(rng.choice(len(own.rows), count, replace=False))
        part = found.predict((replace(own, rows=own.rows[rows]),))
        for one, every in zip(part, whole, strict=True):
            assert one.value.tobytes() == every[rows].tobytes()


def test_other_features_are_refused():
    found = unfitted(task(returns(1)))
    wide = planted(60)
    with pytest.raises(DataError, match="3 features, the network was fitted to 2"):
        found.predict((type(wide)("X", wide.bars, np.zeros((60, 3)), wide.rows),))


PLUGIN = """
import jax.numpy as jnp
from truefill.core.registry import Params
from truefill.forecast.networks import Network, network

class P(Params):
    "A network for a test."

@network("of_a_file", P)
class Mine(Network):
    w: object
    heads: int
    def __init__(self, key, params, inputs):
        self.w = jnp.zeros(inputs.outputs, jnp.float32)
        self.heads = inputs.heads
    def __call__(self, x, key):
        return x[-1, 0][:, None, None] * SCALE + jnp.zeros((1, self.heads, 1), jnp.float32) + self.w
"""


def test_a_network_of_a_plug_in_is_that_of_the_very_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.replace("SCALE", "1.0"))
    load_plugins([path])
    unfitted(replace(task(returns(1)), network="of_a_file")).save(tmp_path / "saved")
    assert load_network(tmp_path / "saved").task.network == "of_a_file"
    path.write_text(PLUGIN.replace("SCALE", "2.0"))
    load_plugins([path])
    with pytest.raises(PolicyError, match=r"'of_a_file' is of mine\.py"):
        load_network(tmp_path / "saved")
    load_plugins([])


def test_a_task_is_told_and_read_back():
    asked = task(classes(1, 2, histories=TRAIN), LossConfig(preset="classification"), epochs=7)
    again = task_from(json.loads(json.dumps(task_facts(asked))), Tiny, None)
    assert again == asked
