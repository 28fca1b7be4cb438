"""What every registered forecaster keeps: nothing after a row moves its forecast, and the same fit
gives the same bits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

import truefill.forecast.foundation  # noqa: F401
from env_cases import random_split
from forecast_cases import BARS, asked, random_walk
from foundation_cases import CUTOFF, save_tiny_bolt
from truefill.audit.rows import changed_after
from truefill.config.forecast import FitConfig, ForecastConfig, LossConfig
from truefill.core.errors import UsageError
from truefill.data.split import SplitArrays
from truefill.forecast.assemble import forecast_all
from truefill.forecast.baselines import FORECASTERS, Fitted, Forecast, History
from truefill.forecast.bench import Bench
from truefill.forecast.fit import FittedNetwork, NetworkTask
from truefill.forecast.fit.task import make_network
from truefill.forecast.fit.windows import Standard
from truefill.forecast.networks import NETWORKS, Inputs

QUESTIONS = {
    "smoothed": {"horizon": 4},
    "future_return": {"horizon": 2},
    "triple_barrier": {"limit_bars": 5, "volatility_bars": 8},
}
N, CUT = 160, 110


LIBRARY = {"boosting": "lightgbm", "foundation": "chronos"}
EXEMPT = {("chronos_bolt", "triple_barrier")}
"""Refused: it forecasts closes, and barriers are touched by highs and lows."""


def installed(name: str) -> bool:
    extra = FORECASTERS.get(name).facts["extra"]
    return extra is None or importlib.util.find_spec(LIBRARY[extra]) is not None


CASES = [
    (entry.name, question)
    for entry in FORECASTERS
    for question in QUESTIONS
    if ("real" if question == "future_return" else "class") in entry.facts["targets"]
    and (entry.name, question) not in EXEMPT
]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Parameters of those that have no defaults, or slow ones."""
    out: dict[str, dict[str, Any]] = {"block_bootstrap": {"samples": 64, "block_bars": 2}}
    if installed("chronos_bolt"):
        name = save_tiny_bolt(tmp_path_factory.mktemp("bolt"))
        tiny = {"model": name, "training_cutoff": CUTOFF, "context_bars": 64, "paths": 32}
        out["chronos_bolt"] = tiny
    return out


def fitted(
    name: str, question: str, given: dict[str, dict[str, Any]]
) -> tuple[Fitted, list[History], int]:
    if not installed(name):
        extra = FORECASTERS.get(name).facts["extra"]
        pytest.skip(f"needs the extra {extra} ({LIBRARY[extra]}), which is not installed")
    train, test = asked(question, random_walk(N, 5), CUT, **QUESTIONS[question])
    entry = FORECASTERS.get(name)
    return entry.make(entry.params(**given.get(name, {})), train), test, train.label.classes


def told(found: Forecast, rows: slice) -> bytes:
    share = b"" if found.probability is None else found.probability[rows].tobytes()
    extra = b"".join(found.extra[name][rows].tobytes() for name in sorted(found.extra))
    return found.value[rows].tobytes() + share + extra


@pytest.mark.parametrize(("name", "question"), CASES)
def test_nothing_after_a_row_moves_its_forecast(
    name: str, question: str, given: dict[str, dict[str, Any]]
) -> None:
    """Neither what later bars say nor whether they are there: at once is as bar by bar."""
    model, (own,), _ = fitted(name, question, given)
    assert_nothing_later_matters(lambda history: model.predict([history]), own)


def assert_nothing_later_matters(predict: Callable[[History], Forecast], own: History) -> None:
    whole, first = predict(own), int(own.rows[0])
    for t in (first, first + 13, N - 2):
        upto = slice(0, t - first + 1)
        later = np.arange(N) > t
        bars = {key: np.where(later, 3.0, 1.0) * getattr(own.bars, key) for key in BARS}
        features = np.where(later[:, None], -own.features, own.features)
        shocked = History("X", replace(own.bars, **bars), features, own.rows)
        assert told(predict(shocked), upto) == told(whole, upto)
        fields = (*BARS, "timestamps_s", "session")
        bars = {key: getattr(own.bars, key)[: t + 1] for key in fields}
        rows = own.rows[own.rows <= t]
        stream = History("X", replace(own.bars, **bars), own.features[: t + 1], rows)
        assert told(predict(stream), upto) == told(whole, upto)


@pytest.mark.parametrize(("name", "question"), CASES)
def test_the_same_fit_has_the_same_bits_and_is_a_forecast(
    name: str, question: str, given: dict[str, dict[str, Any]]
) -> None:
    first, test, classes = fitted(name, question, given)
    second, _, _ = fitted(name, question, given)
    found = first.predict(test)
    every = slice(None)
    assert told(found, every) == told(second.predict(test), every)
    assert np.isfinite(found.value).all() and len(found.value) == len(test[0].rows)
    if classes:
        assert found.probability is not None
        assert found.probability.sum(axis=1) == pytest.approx(1.0) and found.probability.min() >= 0
        assert set(found.value) <= {0.0, 1.0, 2.0}
    else:
        assert found.probability is None


@pytest.mark.parametrize(
    ("name", "given"),
    [("boosting", {}), ("chronos_bolt", {"model": "any", "training_cutoff": CUTOFF})],
)
def test_a_missing_extra_is_named(name: str, given: dict[str, Any]) -> None:
    entry = FORECASTERS.get(name)
    extra = entry.facts["extra"]
    if installed(name):
        pytest.skip(f"the extra {extra} is installed")
    train, _ = asked("smoothed", random_walk(60, 5), 50, horizon=2)
    with pytest.raises(UsageError, match=rf"pip install 'truefill\[{extra}\]'"):
        entry.make(entry.params(**given), train)


# --------------------------------------------------------------------------- networks

TINY: dict[str, dict[str, Any]] = {
    "lstm": {"units": 4, "layers": 1},
    "gru": {"units": 4, "layers": 1},
    "bilstm": {"units": 4, "layers": 1},
    "dlstm": {"units": 4, "layers": 1, "average_bars": 3},
    "dlinear": {"average_bars": 3},
    "cnn": {"channels": (4,), "kernels": (3,), "hidden": (5,)},
    "attention": {"width": 4, "heads": 2, "layers": 1},
}
TINY["gated"] = {name: TINY[name] for name in ("bilstm", "cnn", "attention")} | {"gate": 3}
"""Parameters; a network that is not among them has its own defaults."""
LONG = ("attention", "gated")
"""Slow to compile."""
WINDOW = 5


@pytest.mark.parametrize(
    "name",
    [pytest.param(e.name, marks=pytest.mark.slow if e.name in LONG else ()) for e in NETWORKS],
)
def test_nothing_after_a_row_moves_what_a_network_says(name: str) -> None:
    """Untrained: what it says follows from its window, whatever its weights are."""
    train, (own,) = asked("smoothed", random_walk(N, 5), CUT, horizon=2)
    features = own.features.shape[1]
    task = NetworkTask(
        network=name,
        params=TINY.get(name, {}),
        window_bars=WINDOW,
        loss=LossConfig(loss="cross_entropy"),
        fit=FitConfig(),
        labels=(train.label,),
    )
    inputs = Inputs(WINDOW, features, 1, 3)
    network = make_network(task, inputs, jax.random.PRNGKey(1))
    standard = Standard.of(own.features[own.rows])
    made = FittedNetwork(task, inputs, network, standard, np.ones(1), 1, (), {})
    assert_nothing_later_matters(lambda history: made.predict([history])[0], own)


MEMBERS = [
    *(
        pytest.param({"name": n, "network": n, "params": TINY[n]}, marks=pytest.mark.slow)
        for n in ("dlinear", "gru")
    ),
    {"name": "logistic", "forecaster": "logistic"},
    {"name": "last", "forecaster": "last_value"},
]


@pytest.mark.parametrize("member", MEMBERS)
def test_nothing_after_a_train_row_moves_its_forecast_fits_included(member: dict[str, Any]) -> None:
    """Walk-forward: labels, thresholds, statistics and weights of a fold are older than it."""
    config = ForecastConfig.model_validate(
        {
            "label": {"label": "smoothed", "horizons": [3]}, "window_bars": WINDOW,
            "fit": {"epochs": 1, "batch_size": 64}, "members": [member],
            "out_of_fold": {"folds": 2, "least_train": 0.4},
        }
    )  # fmt: skip
    splits = {
        name: replace(random_split(seed, bars=bars, symbols=1, masked=0.0), name=name)
        for seed, (name, bars) in enumerate({"train": N, "validation": 40}.items())
    }

    def forecasts(train: SplitArrays) -> Any:
        bench = Bench(config, {**splits, "train": train}.__getitem__, dict.fromkeys(names, 1))
        return forecast_all(bench)["train"]

    names = splits["train"].feature_names
    whole = forecasts(splits["train"])
    stamps = whole["timestamp"].dt.epoch("s").to_numpy()
    begin = int(stamps[whole["fold"].to_numpy() == 2][0])
    for t in (begin, int(stamps[-20])):
        at = int(np.searchsorted(splits["train"].timestamps_s, t))
        found = forecasts(changed_after(splits["train"], at, "reversed"))
        assert found.filter(stamps <= t).equals(whole.filter(stamps <= t))
        assert not found.equals(whole)
