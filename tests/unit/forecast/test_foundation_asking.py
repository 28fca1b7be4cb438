"""What surrounds a pretrained model and needs none: contexts, batches, paths, the cutoff."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

from forecast_cases import HOUR, asked, history, random_walk
from foundation_cases import CUTOFF
from truefill.core.errors import ConfigError, DataError, UsageError
from truefill.forecast.baselines import FORECASTERS, Train
from truefill.forecast.foundation import contaminated_rows
from truefill.forecast.foundation.batches import LEAST, contexts, in_batches
from truefill.forecast.foundation.bolt_model import folder_sha256
from truefill.forecast.foundation.chronos_bolt import ChronosBolt, ChronosBoltParams
from truefill.forecast.foundation.dependence import paths_of, random_walk_levels
from truefill.forecast.foundation.paths import Asker

N, CUT = 400, 300
DECILES = np.arange(1, 10) / 10.0
SIGMA = 0.01


@dataclass
class Walker:
    """Stands for a model: it tells the deciles of a random walk with the volatility SIGMA, around
    the context's last value. ``most``: rows at which its memory ends."""

    levels: np.ndarray = field(default_factory=lambda: DECILES)
    most: int = 10**9
    asked: list[int] = field(default_factory=list)

    def ask(self, context: np.ndarray, steps: int) -> np.ndarray:
        self.asked.append(len(context))
        if len(context) > self.most:
            raise MemoryError
        spread = SIGMA * np.sqrt(np.arange(1, steps + 1))
        quantiles = context[:, -1, None, None] + ndtri(DECILES)[:, None] * spread
        return quantiles.astype(np.float32)

    @contextmanager
    def ready(self) -> Iterator[None]:
        yield

    def memory_ended(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)


def bolt(train: Train, model: Any = None, **params: Any) -> ChronosBolt:
    given = {"model": "any", "training_cutoff": CUTOFF, **params}
    asker = Asker.of(train)
    return ChronosBolt(ChronosBoltParams(**given), asker, model or Walker())


def test_a_context_is_what_came_before_over_the_last_close() -> None:
    close = np.array([1.0, 2.0, 4.0, 8.0])
    found = contexts(close, np.array([0, 2, 3]), 3)
    nan = np.nan
    expected = [[nan, nan, 0.0], [-2.0, -1.0, 0.0], [-2.0, -1.0, 0.0]]
    assert found.dtype == np.float32
    assert found / np.log(2.0) == pytest.approx(np.array(expected), nan_ok=True)


@pytest.mark.parametrize("rows", [1, 8, 9, 100])
@pytest.mark.parametrize("most", [8, 20, 1000])
def test_batches_that_shrink_when_memory_ends_give_the_same(rows: int, most: int) -> None:
    x = np.random.default_rng(0).standard_normal((rows, 4)).astype(np.float32)
    sizes: list[int] = []

    def ask(part: np.ndarray) -> np.ndarray:
        sizes.append(len(part))
        if len(part) > most:
            raise MemoryError
        return part * 2.0

    found = in_batches(ask, x, 64, lambda error: isinstance(error, MemoryError), where="here")
    assert np.array_equal(found, 2.0 * x)
    assert set(sizes) <= {8, 16, 32, 64} and min(sizes) >= LEAST
    fits = [size for size in sizes if size <= most]
    failed = [size for size in sizes if size > most]
    assert failed == sorted(set(failed), reverse=True) and sum(fits) >= rows
    if rows == 100 and most == 20:
        assert sizes == [64, 32, *[16] * 6, 8]


def test_memory_that_ends_at_the_smallest_batch_and_other_errors_are_told() -> None:
    x = np.zeros((20, 4), np.float32)

    def full(part: np.ndarray) -> np.ndarray:
        raise MemoryError

    def broken(part: np.ndarray) -> np.ndarray:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(UsageError, match="memory ends at a batch of 8 rows"):
        in_batches(full, x, 64, lambda error: isinstance(error, MemoryError), where="here")
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        in_batches(broken, x, 64, lambda error: isinstance(error, MemoryError), where="here")


def test_paths_have_the_quantiles_of_every_step_and_walk_at_random() -> None:
    at = random_walk_levels(4_000, 9, seed=1)
    assert np.array_equal(at, random_walk_levels(4_000, 9, seed=1))
    assert not np.array_equal(at, random_walk_levels(4_000, 9, seed=2))
    scores = ndtri(at)
    for i, j in ((0, 1), (0, 8), (3, 8)):
        found = np.corrcoef(scores[:, i], scores[:, j])[0, 1]
        assert found == pytest.approx(np.sqrt((i + 1) / (j + 1)), abs=0.03)
    values = np.random.default_rng(0).standard_normal((2, 9, 9))
    paths = paths_of(DECILES, values, at)
    for step in (0, 8):
        for row in (0, 1):
            share = (paths[row, :, step] <= np.sort(values[row, :, step])[:, None]).mean(axis=1)
            assert share == pytest.approx(DECILES, abs=1e-3)


@pytest.mark.parametrize("horizon", [3, 10])
def test_a_random_walk_s_quantiles_give_the_label_s_random_walk(horizon: int) -> None:
    """Against the label's own rule, with the same volatility: the dependence between steps is
    right. Comonotone paths are off by 0.05 and more."""
    bars = random_walk(N, 2, SIGMA)
    train, (own,) = asked("smoothed", bars, CUT + 50, horizon=horizon)
    found = bolt(train, paths=2_000).predict([own])
    assert found.probability is not None
    walk = FORECASTERS.get("random_walk").make(None, train)
    object.__setattr__(walk.walks["X"], "sigma", SIGMA)
    rule = walk.predict([own]).probability
    assert np.abs(found.probability - rule).max() < 0.02
    assert np.abs(found.probability - rule).mean() < 0.006


def test_a_quantity_and_the_facts_are_those_of_the_step() -> None:
    train, (own,) = asked("future_return", random_walk(N, 2), CUT, horizon=4)
    found = bolt(train).predict([own])
    assert found.value == pytest.approx(np.zeros(len(own.rows)), abs=1e-5)
    assert found.extra["q90"] == pytest.approx(ndtri(0.9) * SIGMA * 2.0, rel=1e-5)
    assert found.extra["sigma"] == pytest.approx(0.995 * SIGMA * 2.0, rel=1e-3)


def test_memory_that_ends_moves_no_forecast() -> None:
    train, (own,) = asked("smoothed", random_walk(N, 2), CUT, horizon=3)
    plain, tight = Walker(), Walker(most=16)
    one = bolt(train, plain, batch=64, paths=16).predict([own])
    other = bolt(train, tight, batch=64, paths=16).predict([own])
    assert plain.asked == [64, 64] and tight.asked[:3] == [64, 32, 16]
    assert one.value.tobytes() == other.value.tobytes()
    assert all(one.extra[k].tobytes() == other.extra[k].tobytes() for k in one.extra)


def test_rows_up_to_the_cutoff_are_refused_or_marked() -> None:
    """Bars begin at 1970-01-01; row 24 is the first of the second day."""
    bars = random_walk(120, 2)
    train, _ = asked("future_return", bars, 100)
    rows = np.array([22, 23, 24, 50])
    asks = [history(bars, rows), history(bars, rows[2:])]
    with pytest.raises(DataError) as refused:
        bolt(train, training_cutoff="1970-01-01").predict(asks)
    text = str(refused.value)
    assert "2 of 4 rows of X, 1970-01-01 22:00 to 1970-01-01 23:00" in text
    assert "training cutoff 1970-01-01" in text and "overlap: mark" in text
    bolt(train, training_cutoff="1970-01-01").predict(asks[1:])
    marked = bolt(train, training_cutoff="1970-01-01", overlap="mark")
    assert marked.training_cutoff == date(1970, 1, 1)
    seen = contaminated_rows(marked, asks)
    assert seen.tolist() == [True, True, False, False, False, False]
    assert len(marked.predict(asks).value) == 6
    own = FORECASTERS.get("block_bootstrap")
    assert not contaminated_rows(own.make(own.params(), train), asks).any()
    assert bars.timestamps_s[24] == 24 * HOUR


def test_the_cutoff_must_be_declared() -> None:
    with pytest.raises(ConfigError, match="'training_cutoff': Field required"):
        FORECASTERS.parse("chronos_bolt", {"model": "any"})
    with pytest.raises(ConfigError, match=r"'batch': .*a power of two, at least 8"):
        FORECASTERS.parse("chronos_bolt", {"model": "a", "training_cutoff": CUTOFF, "batch": 12})


def test_too_few_closes_are_an_error_that_names_the_row() -> None:
    bars = random_walk(120, 2)
    train, _ = asked("future_return", bars, 100)
    with pytest.raises(DataError, match="row 18 of X has as many bars before it, not 19"):
        bolt(train).predict([history(bars, np.array([18, 40]))])
    assert len(bolt(train).predict([history(bars, np.array([19, 40]))]).value) == 2


def test_a_folder_is_known_by_its_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    one, two = (folder_sha256(str(tmp_path / name)) for name in ("one", "two"))
    assert one == two and one is not None
    (tmp_path / "two" / "readme.md").write_text("no part of it")
    assert folder_sha256(str(tmp_path / "two")) == one
    (tmp_path / "two" / "model.safetensors").write_bytes(b"other weights")
    assert folder_sha256(str(tmp_path / "two")) != one
    assert folder_sha256("someone/some-model") is None


def test_a_label_of_highs_and_lows_is_refused() -> None:
    train, _ = asked("triple_barrier", random_walk(N, 2), CUT, limit_bars=5)
    entry = FORECASTERS.get("chronos_bolt")
    with pytest.raises(ConfigError, match="triple_barrier looks at highs or lows"):
        entry.make(entry.params(model="any", training_cutoff=CUTOFF), train)
