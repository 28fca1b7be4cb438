"""The volatility guard: what closes it, what opens it again, and what it may know."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from truefill.config.no_trade import VolatilityGuard
from truefill.core.errors import DataError
from truefill.data.guard import Guarded, guard, rolling_sigma
from truefill.data.no_trade import closed_times, guard_columns
from unit.data.test_no_trade import RULES, two_symbols


def rule(**keys: Any) -> VolatilityGuard:
    return VolatilityGuard(kind="volatility", **keys)


def path(returns: list[float] | np.ndarray) -> np.ndarray:
    """Closes of these log returns; the first close is 100."""
    return 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))


def apply(close: np.ndarray, asks: np.ndarray | None = None, **keys: Any) -> Guarded:
    train = np.arange(len(close)) < len(close) // 2
    return guard(rule(**keys), "X", close, asks, train)


def test_sigma_is_of_the_returns_known_at_the_open() -> None:
    rng = np.random.default_rng(1)
    close = path(rng.normal(0.0, 0.01, 30))
    sigma = rolling_sigma(close, 5)
    assert np.isnan(sigma[:6]).all() and not np.isnan(sigma[6:]).any()
    returns = np.diff(np.log(close))
    assert sigma[6] == pytest.approx(np.std(returns[:5]))
    assert sigma[30] == pytest.approx(np.std(returns[24:29]))
    assert np.isnan(rolling_sigma(close[:6], 5)).all()
    assert (rolling_sigma(np.full(9, 7.0), 3)[4:] == 0.0).all()


def test_sigma_has_the_same_bits_in_a_longer_history() -> None:
    close = path(np.random.default_rng(2).normal(0.0, 0.01, 9_000))
    whole = rolling_sigma(close, 180)
    for cut in (182, 183, 4_278, 8_999):
        np.testing.assert_array_equal(rolling_sigma(close[:cut], 180), whole[:cut])


def test_it_closes_after_the_jump_and_opens_below_the_lower_threshold() -> None:
    """Window 2: sigma is half the difference of the last two returns. The jump of bar 4 is known
    when bar 5 opens; it is in the windows of bars 5 and 6."""
    returns = [0.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0]
    found = apply(path(returns), window_bars=2, absolute=0.02, cooldown_bars=0)
    assert np.flatnonzero(found.closed).tolist() == [5, 6]
    assert found.thresholds == {"absolute": 0.02}


def test_hysteresis_keeps_it_closed_between_the_two_thresholds() -> None:
    """Sigma: 0.05 at bars 3 and 4 (the jump of bar 2), then 0.018, 0.018, 0.015."""
    returns = [0.0, 0.1, 0.0, 0.036, 0.0, 0.03, 0.03, 0.03]
    close = path(returns)
    sigma = rolling_sigma(close, 2)
    np.testing.assert_allclose(sigma[3:], [0.05, 0.05, 0.018, 0.018, 0.015, 0.0], atol=1e-12)
    near = apply(close, window_bars=2, absolute=0.02, hysteresis=0.2, cooldown_bars=0)
    assert np.flatnonzero(near.closed).tolist() == [3, 4, 5, 6]
    none = apply(close, window_bars=2, absolute=0.02, hysteresis=0.0, cooldown_bars=0)
    assert np.flatnonzero(none.closed).tolist() == [3, 4]


def test_the_cooldown_counts_from_the_last_bar_above_the_threshold() -> None:
    returns = np.zeros(20)
    returns[[3, 6]] = 0.1
    found = apply(path(returns), window_bars=2, absolute=0.02, cooldown_bars=3)
    assert np.flatnonzero(found.closed).tolist() == list(range(5, 13))  # 5, 6, 8, 9 and three more
    alone = apply(path(returns), window_bars=2, absolute=0.02, cooldown_bars=0)
    assert np.flatnonzero(alone.closed).tolist() == [5, 6, 8, 9]


def test_the_percentile_is_of_train_alone() -> None:
    rng = np.random.default_rng(3)
    calm, wild = rng.normal(0.0, 0.01, 500), rng.normal(0.0, 0.03, 500)
    close = path(np.concatenate([calm, wild]))
    found = apply(close, window_bars=20, percentile=0.9, cooldown_bars=0)
    sigma = np.sort(rolling_sigma(close, 20)[21:500])
    assert found.thresholds["percentile"] == sigma[int(0.9 * len(sigma))]
    assert 0.05 < found.closed[21:500].mean() < 0.3 and found.closed[530:].all()
    both = apply(close, window_bars=20, percentile=0.9, absolute=1.0, cooldown_bars=0)
    np.testing.assert_array_equal(both.closed, found.closed)  # the lower one decides


def test_a_percentile_without_train_bars_is_refused() -> None:
    with pytest.raises(DataError, match=r"guard_not_fitted.*none of 30 train bars of X"):
        apply(path(np.zeros(59)), window_bars=40, percentile=0.9)


def test_a_wide_spread_closes_the_next_bar() -> None:
    close = np.full(12, 100.0)
    ask = np.full(12, 100.01)
    ask[4], ask[5], ask[6], ask[9] = 100.20, 100.14, np.nan, np.nan
    found = apply(close, asks=ask, spread_bps=15, ask="ask_close", cooldown_bars=0)
    assert np.flatnonzero(found.closed).tolist() == [5, 6]  # 20 bps, then 14 of 12 at most
    assert found.thresholds == {"spread_bps": 15}


def test_each_symbol_has_its_own_threshold_and_mask() -> None:
    bars = two_symbols(400)
    wild = bars["symbol"].eq("B").cast(pl.Float64) * 2.0 + 1.0
    bars = bars.with_columns(close=(pl.col("close") / 100.0).log().mul(wild).exp())
    number = np.tile(np.arange(400), 2)
    splits = {"train": number < 300, "validation": (number >= 300) & (number < 350)}
    keys = {"kind": "volatility", "window_bars": 20, "percentile": 0.9}
    found = closed_times(RULES.validate_python([keys]), (), bars, splits)
    [told] = found.facts["windows"]
    a, b = (told["thresholds"][symbol]["percentile"] for symbol in "AB")
    assert b == pytest.approx(3.0 * a, rel=0.5)
    assert not np.array_equal(found.closed[:400], found.closed[400:])
    for s, symbol in enumerate("AB"):
        own = found.closed[400 * s : 400 * s + 350].astype(int)
        assert told["activations"][symbol] == int((np.diff(own, prepend=0) == 1).sum()) > 0
        runs = "".join(map(str, own)).split("0")
        assert told["longest_bars"][symbol] == max(map(len, runs))
    assert told["bars"]["train"] == int(found.closed[splits["train"]].sum())


def test_the_ask_is_a_column_of_the_bars() -> None:
    keys = {"kind": "volatility", "spread_bps": 15, "ask": "ask_close"}
    rules = RULES.validate_python([keys])
    assert guard_columns(rules) == ["ask_close"]
    bars, every = two_symbols(), {"train": np.ones(96, bool)}
    with pytest.raises(DataError, match="no column 'ask_close'") as caught:
        closed_times(rules, (), bars, every)
    assert caught.value.where == "market.no_trade.0.ask"
    wide = bars.with_columns(ask_close=pl.col("close") * 1.002)
    assert np.flatnonzero(~closed_times(rules, (), wide, every).closed).tolist() == [0, 48]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "give absolute, percentile or spread_bps"),
        ({"absolute": 0.01, "hysteresis": 1.0}, "never open again"),
        ({"spread_bps": 15}, "spread_bps and ask come together"),
        ({"absolute": 0.01, "ask": "ask"}, "spread_bps and ask come together"),
        ({"percentile": 1.0}, "between 0 and 1"),
        ({"absolute": 0.01, "window_bars": 1}, "greater than or equal to 2"),
    ],
)
def test_a_guard_that_cannot_work_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        rule(**keys)
