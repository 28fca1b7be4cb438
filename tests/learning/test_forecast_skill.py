"""Whole forecasters, from fit to verdict on skill: none on random walks, every one where a lead is
planted that only a window shows."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pytest

from forecast_cases import bars_from, history, random_walk
from truefill.config.forecast import FitConfig, LossConfig, SkillConfig
from truefill.forecast.baselines import History, Train
from truefill.forecast.compare import Outcomes, baselines_of, compare, forecasts_of
from truefill.forecast.fit import NetworkTask, fit_network
from truefill.forecast.labels import LABELS, FittedLabel, fit_label
from truefill.forecast.networks import NETWORKS

pytestmark = pytest.mark.slow

WINDOW, LEAD = 12, 4
RECURRENT: dict[str, Any] = {"layers": 1, "units": 8}
SMALL: dict[str, dict[str, Any]] = {
    "lstm": RECURRENT,
    "gru": RECURRENT,
    "bilstm": RECURRENT,
    "dlstm": {**RECURRENT, "average_bars": 3},
    "dlinear": {"average_bars": 3},
    "cnn": {"channels": [8, 8], "kernels": [3, 3], "hidden": [16]},
    "attention": {"layers": 1, "width": 16, "heads": 2},
    "gated": {
        "bilstm": RECURRENT,
        "cnn": {"channels": [8], "kernels": [3], "hidden": [8]},
        "attention": {"layers": 1, "width": 8, "heads": 2},
        "gate": 8,
    },
}
NAMES = [entry.name for entry in NETWORKS]


def label_of(name: str, own: History, horizon: int) -> FittedLabel:
    """The label, fitted on the rows of ``own``."""
    params = LABELS.parse(name, {"horizon": horizon})
    rows = np.isin(np.arange(len(own.bars)), own.rows)
    return fit_label(name, params, {"X": own.bars}, {"X": rows})


def declared(network: str, label: FittedLabel, train: History, later: History, **fit: Any) -> bool:
    """Is a small network of this kind reported with skill on the later rows?"""
    task = NetworkTask(
        network=network,
        params=SMALL.get(network, {}),
        window_bars=WINDOW,
        loss=LossConfig(loss="cross_entropy" if label.classes else "mse"),
        fit=FitConfig(**{"batch_size": 64, "early_stopping": None, **fit}),
        labels=(label,),
    )
    [own] = fit_network(task, (train,), 1).predict((later,))
    baselines = forecasts_of(baselines_of(label), Train.of(label, [train]), [later])
    kind = "class" if label.classes else "real"
    outcomes = Outcomes.of(label, [later])
    return compare(
        own, baselines, outcomes, kind=kind, config=SkillConfig(draws=300)
    ).skill.declared


def test_no_network_has_skill_on_a_random_walk() -> None:
    """200 short fits, every network in turn; 5 % are 10, and 15 of 200 are more than chance at that
    rate allows once in twenty."""
    false: list[str] = []
    networks = cycle(NAMES)
    for seed in range(200):
        network = next(networks)
        bars = random_walk(420, 5_000 + seed)
        train, later = (history(bars, np.arange(*rows)) for rows in ((20, 250), (256, 420)))
        label = label_of("smoothed" if seed % 2 else "future_return", train, 3)
        if declared(network, label, train, later, epochs=3, learning_rate=0.01):
            false.append(network)
    print(f"declared on {len(false)} of 200 random walks: {false}")
    assert len(false) <= 15, false


@pytest.mark.parametrize("network", NAMES)
def test_every_network_finds_a_planted_lead(network: str) -> None:
    """X follows Y by LEAD bars; of Y's steps the features of a row hold only the newest, so that
    no baseline, which sees one row, can know what comes."""
    generator = np.random.default_rng(8)
    steps = generator.standard_normal(2_400)
    follows = np.concatenate([np.zeros(LEAD), steps[:-LEAD]])
    moves = 0.01 * (0.8 * follows + 0.6 * generator.standard_normal(len(steps)))
    bars = bars_from(100.0 * np.exp(np.cumsum(moves)))
    seen = np.column_stack([steps, generator.standard_normal(len(steps))])
    train, later = (history(bars, np.arange(*rows), seen) for rows in ((20, 1_800), (1_802, 2_399)))
    label = label_of("future_return", train, 1)
    assert declared(network, label, train, later, epochs=15, learning_rate=0.01)
