"""Chronos-Bolt itself, with a tiny model of random weights: loading, and the bits of a row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from forecast_cases import asked, history, random_walk
from foundation_cases import CUTOFF, MISSING, has_chronos, save_tiny_bolt
from truefill.core.errors import ConfigError, UsageError
from truefill.forecast.baselines import FORECASTERS, Forecast, Train
from truefill.forecast.foundation.bolt_model import BoltModel, load_bolt
from truefill.forecast.foundation.chronos_bolt import ChronosBolt

pytestmark = pytest.mark.skipif(not has_chronos(), reason=MISSING)

N, CUT = 300, 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_bolt(tmp_path_factory.mktemp("bolt"))


def load(name: str | Path, revision: str | None = None) -> BoltModel:
    return load_bolt(str(name), revision=revision, device="cpu", where="here")


def fitted(folder: str, train: Train, **params: Any) -> ChronosBolt:
    entry = FORECASTERS.get("chronos_bolt")
    given = {"model": folder, "training_cutoff": CUTOFF, "context_bars": 64, "paths": 16, **params}
    model = entry.make(FORECASTERS.parse("chronos_bolt", given), train)
    assert isinstance(model, ChronosBolt)
    return model


def told(found: Forecast) -> bytes:
    share = b"" if found.probability is None else found.probability.tobytes()
    return found.value.tobytes() + share + b"".join(v.tobytes() for v in found.extra.values())


def test_what_is_told_is_what_the_library_tells(folder: str) -> None:
    """Its quantiles of the third step, asked row by row of log closes as they are."""
    import torch
    from chronos import BaseChronosPipeline

    bars = random_walk(N, 1)
    train, _ = asked("future_return", bars, CUT, horizon=3)
    rows = np.array([70, 150, 299])
    found = fitted(folder, train).predict([history(bars, rows)])
    pipeline = BaseChronosPipeline.from_pretrained(folder)
    for i, t in enumerate(rows):
        logs = torch.tensor(np.log(bars.close[t - 63 : t + 1]))
        quantiles, _ = pipeline.predict_quantiles(logs, prediction_length=3)
        expected = quantiles[0, 2].numpy() - np.log(bars.close[t])
        got = [found.extra[name][i] for name in ("q10", "q50", "q90")]
        assert got == pytest.approx(np.sort(expected)[[0, 4, 8]], abs=2e-5)
    assert len(set(found.extra["q50"])) == 3


@pytest.mark.parametrize("question", ["smoothed", "future_return"])
def test_a_row_has_the_same_bits_in_any_batch_and_any_company(folder: str, question: str) -> None:
    bars = random_walk(N, 2)
    train, (own,) = asked(question, bars, CUT, horizon=3)
    whole = fitted(folder, train, batch=256).predict([own])
    for batch in (8, 16, 64):
        assert told(fitted(folder, train, batch=batch).predict([own])) == told(whole)
    for i in (0, 3, 100):
        alone = fitted(folder, train).predict([history(bars, own.rows[i : i + 1])])
        assert alone.extra["q50"][0] == whole.extra["q50"][i]
        assert alone.value[0] == whole.value[i]
    some = fitted(folder, train).predict([history(bars, own.rows[::7])])
    assert some.extra["entropy"].tobytes() == whole.extra["entropy"][::7].tobytes()


@pytest.mark.slow
def test_a_row_has_the_same_bits_in_any_batch_of_a_wider_model(tmp_path: Path) -> None:
    """As wide, deep and long as Chronos-Bolt (tiny), where products are cut into blocks."""
    name = save_tiny_bolt(tmp_path / "wide", context=512, width=256, layers=4)
    bars = random_walk(500, 2)
    train, (own,) = asked("future_return", bars, 244, horizon=3)
    whole = fitted(name, train, context_bars=192).predict([own])
    assert len(own.rows) == 256
    for batch in (8, 32, 128):
        found = fitted(name, train, context_bars=192, batch=batch).predict([own])
        assert told(found) == told(whole)
    some = fitted(name, train, context_bars=192).predict([history(bars, own.rows[5:70:3])])
    assert some.extra["sigma"].tobytes() == whole.extra["sigma"][5:70:3].tobytes()


def test_halved_batches_give_the_same_bits(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    bars = random_walk(N, 3)
    train, test = asked("smoothed", bars, CUT, horizon=3)
    model = fitted(folder, train)
    whole = model.predict(test)
    plain, sizes = BoltModel.ask, []

    def ask(self: BoltModel, context: Any, steps: int) -> Any:
        sizes.append(len(context))
        if len(context) > 16:
            if len(sizes) == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return plain(self, context, steps)

    monkeypatch.setattr(BoltModel, "ask", ask)
    assert told(model.predict(test)) == told(whole)
    assert sizes[:5] == [256, 128, 64, 32, 16]


def test_on_a_cpu_one_thread_works_and_the_others_come_back(folder: str) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with load(folder).ready():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_origin_names_the_weights_that_answer(folder: str, tmp_path: Path) -> None:
    train, _ = asked("future_return", random_walk(N, 1), CUT)
    origin = fitted(folder, train).origin
    assert json.loads(json.dumps(origin)) == origin
    assert origin["training_cutoff"] == CUTOFF and origin["model"] == folder
    copied = shutil.copytree(folder, tmp_path / "copy")
    assert load(copied).weights_sha256 == origin["weights_sha256"]
    other = save_tiny_bolt(tmp_path / "other", seed=1)
    assert load(other).weights_sha256 != origin["weights_sha256"]


@pytest.mark.parametrize(
    "weight",
    ["input_patch_embedding.hidden_layer.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"],
)
def test_missing_weights_are_not_drawn_at_random(folder: str, tmp_path: Path, weight: str) -> None:
    """The library itself is silent about the first."""
    cut = shutil.copytree(folder, tmp_path / "cut")
    weights = load_file(cut / "model.safetensors")
    del weights[weight]
    save_file(weights, cut / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=f"not all there: {weight}"):
        load(cut)


def test_what_is_no_model_is_named(folder: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no model could be read from"):
        load(tmp_path / "empty")
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(UsageError, match="no model could be read from"):
        load(broken)
    other = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "architectures": ["Chronos2Model"]}))
    with pytest.raises(UsageError, match=r"its architecture is \['Chronos2Model'\]"):
        load(other)


def test_a_name_on_the_hub_needs_a_commit_and_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def offline(*given: Any, **options: Any) -> None:
        assert options == {"revision": "0a1b2c"}
        raise OSError("We couldn't connect to the hub")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)
    with pytest.raises(UsageError, match="needs a revision"):
        load("someone/some-model")
    with pytest.raises(UsageError, match=r"couldn't connect[\s\S]*needs the network"):
        load("someone/some-model", "0a1b2c")


def test_more_than_the_model_takes_or_tells_is_refused(folder: str) -> None:
    train, _ = asked("smoothed", random_walk(N, 1), CUT, horizon=3)
    with pytest.raises(ConfigError, match="context_bars: 65, but the model has at most 64"):
        fitted(folder, train, context_bars=65)
    far, _ = asked("smoothed", random_walk(N, 1), CUT, horizon=9)
    with pytest.raises(ConfigError, match="bars ahead: 9, but the model has at most 8"):
        fitted(folder, far)
