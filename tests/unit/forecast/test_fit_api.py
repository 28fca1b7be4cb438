"""Fitting from Python: a dataset in, forecasts of its open splits out."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import truefill
from fit_cases import Tiny
from truefill.core.errors import ConfigError, SealedTestError, UsageError
from truefill.pipeline.fit_api import CHECKPOINT, FittedForecaster

QUICKSTART = "examples/quickstart.yaml"


@pytest.fixture(scope="module")
def config(repository):
    return truefill.load_config(repository / QUICKSTART)


def test_a_forecaster_of_ones_own_is_fitted_saved_and_loaded(config, tmp_path):
    def squared(prediction, target):
        return jnp.mean(jnp.square(prediction - target))

    told = []
    found = truefill.fit_forecaster(
        config, network=Tiny, params={"spread": 0.02}, label="future_return", loss=squared,
        window_bars=12, fit={"epochs": 2}, features=["log_ret_1h", "rsi_14"], folder=tmp_path,
        progress=lambda *all: told.append(all[:2]),
    )  # fmt: skip
    assert told == [(1, 2), (2, 2)] and [row["epoch"] for row in found.history] == [1, 2]
    assert found.network.inputs.features == 2 and not (tmp_path / CHECKPOINT).exists()
    table = found.predict("validation")
    assert table.columns == ["timestamp", "symbol", "h1_value", "h1_signal"]
    split = found.splits["validation"]
    assert table["timestamp"].dt.epoch("s").to_list() == split.timestamps_s[11:].tolist()
    again = truefill.load_forecaster(tmp_path, network=Tiny)
    assert again.predict(split).equals(table) and again.history == found.history
    with pytest.raises(UsageError, match="a loaded one has none"):
        again.predict("validation")
    with pytest.raises(SealedTestError):
        found.predict("test")


def test_what_is_asked_wrongly_is_refused_before_anything_is_fitted(config):
    def ask(**given):
        truefill.fit_forecaster(config, **{"network": Tiny, "window_bars": 12, **given})

    with pytest.raises(ConfigError, match=r"no loss or preset is called 'mze'[\s\S]*'mse'"):
        ask(loss="mze")
    with pytest.raises(ConfigError, match="fit: epochs"):
        ask(fit={"epochs": 0})
    with pytest.raises(ConfigError, match="no feature is called 'rsi'"):
        ask(features=["rsi"])
    with pytest.raises(ConfigError, match="no network is called 'lstn'"):
        ask(network="lstn")
    with pytest.raises(UsageError, match="takes a Config"):
        truefill.fit_forecaster(3)


@pytest.mark.slow
def test_the_example_of_the_documentation(repository, monkeypatch):
    """docs/forecast-networks.md, section Fitting, runs as it stands."""
    page = (repository / "docs/forecast-networks.md").read_text()
    section = page[page.index("## Fitting") :]
    code = section[section.index("```python") + len("```python") : section.index("```\n\n")]
    monkeypatch.chdir(repository)
    names: dict[str, object] = {}
    exec(code, names)
    found = names["forecaster"]
    assert isinstance(found, FittedForecaster)
    assert np.isfinite(found.predict("validation")["h3_signal"].to_numpy()).all()
