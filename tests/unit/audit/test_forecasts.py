"""The auditor finds forecasts that know too much, and calls honest ones honest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from audit_cases import chain_of, few, found_by
from planted_forecasts import LEAKS, LOGISTIC, WALK, InSample, Planted, Unpurged, forecasting
from truefill.audit import chain as real
from truefill.audit.case import Case
from truefill.audit.chain import Chain
from truefill.audit.checks import AUDITS
from truefill.audit.checks.market import stage_of
from truefill.audit.small_fit import small_fit, told
from truefill.config.forecast import EarlyStoppingConfig, FitConfig, ForecastConfig, ScheduleConfig
from truefill.config.schema import Config
from truefill.features.build import BuiltDataset

GROUP = ["forecasts"]
CHECKS = {"forecasts/out of fold", "forecasts/later rows"}
QUICK = ("in_sample", "unpurged")
"""``tests/golden/test_planted_leaks.py`` goes through all."""
K_FOLD = {"kind": "k_fold", "folds": 2}
DLINEAR = {"name": "dlinear", "network": "dlinear"}


def plan_of(kind: Any) -> Any:
    """A chain's bench of another kind."""

    def bench(config: Config, built: BuiltDataset, chain: Chain) -> Any:
        made = real.bench(config, built, chain)
        return kind(made.config, made.load, made.lookback_bars)

    return bench


def test_honest_forecasts_pass() -> None:
    assert found_by(forecasting(), chain_of(), GROUP, quick=True) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        {"out_of_fold": K_FOLD},
        {"members": [LOGISTIC, WALK], "ensemble": {"rule": "stacked"}},
        {"members": [LOGISTIC, WALK], "ensemble": {"rule": "weighted"}, "out_of_fold": K_FOLD},
        {
            "members": [DLINEAR],
            "window_bars": 4,
            "label": {"label": "smoothed", "horizons": [1, 3]},
        },
    ],
)
def test_honest_forecasts_of_every_protocol_pass(asked: dict[str, Any]) -> None:
    assert found_by(forecasting(forecast=asked), chain_of(), GROUP, quick=True) == {}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in LEAKS]
)
def test_planted_forecasts_are_found(name: str) -> None:
    """By what moves, not by what is said of the folds: that is honest here."""
    found = found_by(forecasting(), chain_of(forecast=LEAKS[name].forecast), GROUP, quick=True)
    assert set(found) <= CHECKS
    assert "forecasts/out of fold" in found


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"members": [DLINEAR]}, {"out_of_fold": K_FOLD}])
def test_in_sample_forecasts_of_networks_and_of_blocks_are_found(asked: dict[str, Any]) -> None:
    chain = chain_of(forecast=LEAKS["in_sample"].forecast)
    found = found_by(forecasting(forecast=asked), chain, GROUP, quick=True)
    assert "forecasts/out of fold" in found


@pytest.mark.slow
@pytest.mark.parametrize("kind", [InSample, Unpurged])
def test_a_plan_that_fits_answers_of_the_block_is_found_by_its_rows(kind: Any) -> None:
    """Who forecasts honestly by a dishonest plan is caught by the plan."""

    def forecast(config: Config, built: BuiltDataset, chain: Chain) -> Any:
        return real.forecast(config, built, replace(chain, bench=real.bench))

    chain = chain_of(bench=plan_of(kind), forecast=forecast)
    found = found_by(forecasting(), chain, GROUP, quick=True)
    assert set(found) == {"forecasts/provenance"}
    named = {item.split(" (")[0] for item in found["forecasts/provenance"]}
    assert named == {"fold 1 fitted", "fold 2 fitted"}


def late(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.col("as_of") - pl.duration(minutes=1))


def of_fold_one(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(fold=pl.when(pl.col("fold") == 0).then(1).otherwise(pl.col("fold")))


def whole(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(fold=pl.lit(0, pl.Int64))


def doubled(table: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([table, table[:1]])


@pytest.mark.parametrize(
    ("change", "items"),
    [
        (late, {"train as_of", "validation as_of"}),
        (of_fold_one, {"validation fold"}),
        (whole, {"train fold"}),
        (doubled, {"train rows twice", "validation rows twice"}),
    ],
)
def test_rows_that_are_not_what_they_say_are_found(
    change: Any, items: set[str], tmp_path: Path
) -> None:
    chain = chain_of(forecast=Planted("", tables=change).forecast)
    tally = AUDITS["forecasts/provenance"](Case(forecasting(), chain, tmp_path, quick=True))
    assert set(tally.findings) == items


def test_forecasts_are_made_once_of_each_dataset(tmp_path: Path) -> None:
    """Of the small one, and of every change of it."""
    asked: list[BuiltDataset] = []

    def forecast(config: Config, built: BuiltDataset, chain: Chain) -> Any:
        asked.append(built)
        return real.forecast(config, built, chain)

    case = Case(forecasting(), chain_of(forecast=forecast), tmp_path, quick=True)
    names = ("forecasts/out of fold", "forecasts/later rows", "forecasts/provenance")
    tallies = {name: AUDITS[name](case) for name in names}
    assert {tally.result for tally in tallies.values()} == {"passed"}
    changes = sum(tallies[name].comparisons for name in names[:2])
    assert changes >= 2 * 2 + 3
    assert len(asked) == 1 + changes


def test_without_forecasters_there_is_nothing_to_audit(tmp_path: Path) -> None:
    case = Case(few(), chain_of(), tmp_path, quick=True)
    for name in AUDITS:
        if name.startswith("forecasts/"):
            tally = AUDITS[name](case)
            assert tally.result == "not applicable" and not tally.notes


@pytest.mark.slow
def test_an_agent_is_audited_on_the_forecasts_that_it_sees(tmp_path: Path) -> None:
    """Its observations and its training take forecasts; the honest ones pass."""
    asked: set[str] = set()

    def seen(config: Config, built: BuiltDataset, chain: Chain, name: str) -> Any:
        asked.add(name)
        return real.seen(config, built, chain, name)

    env = {"action": {"kind": "short_flat_long"}, "episode_bars": 40}
    config = forecasting(env={**env, "features": ["h3_signal", "rsi"]})
    case = Case(config, chain_of(seen=seen), tmp_path, quick=True)
    assert AUDITS["training/weights"](case).result == "passed"
    assert asked == {"train", "validation"}
    asked.clear()
    assert AUDITS["market/observations"](case).result == "passed"
    assert asked == {"train"} and stage_of(case).split.feature_names == ("h3_signal", "rsi")


@pytest.mark.slow
def test_a_rule_that_trades_a_forecast_is_audited(tmp_path: Path) -> None:
    rule = {"policy": "threshold", "params": {"signal": "h3_signal", "enter": 0.02, "exit": 0.01}}
    config = forecasting(agent={"kind": "rule", "rule": rule})
    case = Case(config, chain_of(), tmp_path, quick=True)
    for name in ("training/validation results", "market/actions"):
        assert AUDITS[name](case).result == "passed"


def test_the_small_fit_keeps_what_is_audited() -> None:
    fit = FitConfig(epochs=9, batch_size="auto", schedule=ScheduleConfig(kind="plateau"),
                    early_stopping=EarlyStoppingConfig(metric="accuracy", mode="max"))  # fmt: skip
    members = ({"name": "a", "network": "lstm"}, {"name": "b", "network": "cnn", "fit": {}})
    config = ForecastConfig.model_validate(
        {
            "label": {"horizons": [1, 2]}, "members": members, "fit": fit, "seeds": [3, 4],
            "out_of_fold": {"folds": 5}, "compare": ["b"], "ensemble": {"members": ["a"]},
        }
    )  # fmt: skip
    small = small_fit(config)
    assert ForecastConfig.model_validate(small.model_dump(mode="json")) == small
    assert small.fit.epochs == small.members[1].fit.epochs == 1  # type: ignore[union-attr]
    kept = ("label", "features", "window_bars", "heads", "loss", "used")
    assert all(getattr(small, name) == getattr(config, name) for name in kept)
    assert told(config) == "fitted small: a; 1 epoch without a holdout, 2 of 5 folds, 1 of 2 seeds"


def test_what_a_pretrained_model_saw_is_no_matter_of_the_small_dataset() -> None:
    """Its rows lie at the beginning of the data, where such a model would be refused."""
    chosen = {"model": "any", "training_cutoff": "2024-01-01"}
    config = ForecastConfig.model_validate(
        {
            "label": {"horizons": [1]},
            "members": [LOGISTIC, {"name": "bolt", "forecaster": "chronos_bolt", "params": chosen}],
        }
    )
    logistic, bolt = small_fit(config).members
    assert bolt.params == {**chosen, "overlap": "mark"} and logistic == config.members[0]
