"""From config and data to the market's bars. A column that nothing asks for is absent."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from truefill.config.schema import Config, MarketConfig
from truefill.config.symbol_rules import Rules
from truefill.core.errors import ConfigError, DataError
from truefill.data.no_trade import rules_id
from truefill.data.split import SplitArrays
from truefill.market.bars import MarketBars, make_bars
from truefill.market.types import BarState

BPS = 1e-4
AS_GIVEN = ("funding", "dividend", "split", "finer_high", "finer_low")
"""Columns that go from the data to the market as they are."""

Floats = npt.NDArray[np.float64]
Extra = dict[str, npt.NDArray[np.float64]]


def market_bars(config: Config, split: SplitArrays, *, routes: bool = False) -> MarketBars:
    """Bars of ``split`` with their costs as arrays per symbol and bar.

    ``routes``: limit and stop orders will come, which need a maker fee and the sessions' ends.

    Raises:
        ConfigError: the no-trade windows leave no bar to trade, or the bars were closed by other
            windows than the config's.
        DataError: participation is on, and a bar that can trade has no volume.
    """
    market = config.market
    rules = [market.rules_for(symbol) for symbol in split.symbols]
    costs = {
        "fee": BPS * np.asarray([r.fee_bps for r in rules]),
        "half_spread": BPS * np.asarray([r.half_spread_bps for r in rules]),
        "slippage": BPS * np.asarray([r.slippage_bps for r in rules]),
        "borrow": np.asarray([r.borrow_rate_annual for r in rules]),
    }
    if "spread_multiplier" in split.extra:
        costs["half_spread"] = costs["half_spread"] * split.extra["spread_multiplier"]
    state = bar_states(market, split)
    extra: Extra = {name: split.extra[name] for name in AS_GIVEN if name in split.extra}
    extra |= _rates(rules, split)
    if market.participation is not None:
        extra["volume"] = _volume(rules, split, state)
    if routes:
        extra["maker_fee"] = BPS * np.asarray([r.maker_fee_bps for r in rules])
    weights = [r.max_weight_at_close for r in rules]
    if routes or market.max_leverage_at_close is not None or any(w is not None for w in weights):
        extra["session_end"] = split.session_end.astype(np.float64)
    return make_bars(
        timestamps_s=split.timestamps_s,
        prices={n: getattr(split, n) for n in ("open", "high", "low", "close")},
        costs=costs,
        interest=market.interest_rate_annual,
        state=state,
        atr=split.atr,
        extra=extra,
    )


def bar_states(market: MarketConfig, split: SplitArrays) -> Floats:
    """``BarState`` of each bar, [T, S]. A last bar is one even inside a no-trade window: what is
    held must be sold there."""
    if split.closed_by != rules_id(market.no_trade):
        raise ConfigError(
            f"no_trade differs from the windows that the bars of {split.name} were built with",
            where="market.no_trade",
            do="build the dataset with this config",
        )
    if split.present.any() and split.closed[split.present].all():
        raise ConfigError(
            f"every bar of {split.name} starts inside a no-trade window",
            where="market.no_trade",
            do="shorten the windows",
        )
    state = np.where(
        split.no_trade | split.closed, float(BarState.NO_TRADE), float(BarState.TRADABLE)
    )
    state = np.where(split.last, float(BarState.LAST), state)
    return np.where(split.present, state, float(BarState.MASKED))


def _rates(rules: list[Rules], split: SplitArrays) -> Extra:
    """Account currency for one price unit: contract multiplier x exchange rate."""
    names = ("rate_open", "rate_close")
    multiplier = np.asarray([r.contract_multiplier for r in rules])
    if names[0] in split.extra:
        return {name: multiplier * split.extra[name] for name in names}
    return {} if np.all(multiplier == 1.0) else {name: multiplier for name in names}


def _volume(rules: list[Rules], split: SplitArrays, state: Floats) -> Floats:
    """Units that each bar can take: volume (or the declared one, where it is zero) x liquidity
    multipliers of the config and the data, [T, S]."""
    declared = np.asarray([r.declared_volume or 0.0 for r in rules])
    units = np.where(split.volume > 0.0, split.volume, declared)
    units = units * np.asarray([r.liquidity_multiplier for r in rules])
    if "liquidity_multiplier" in split.extra:
        units = units * split.extra["liquidity_multiplier"]
    bare = (units <= 0.0) & (state > BarState.MASKED)
    if np.any(bare):
        t, s = np.argwhere(bare)[0]
        symbol, moment = split.symbols[s], datetime.fromtimestamp(int(split.timestamps_s[t]), UTC)
        raise DataError(
            "no_volume",
            f"{symbol} has no volume at {moment.isoformat()} (on {int(bare[:, s].sum())} of "
            f"{int((state[:, s] > BarState.MASKED).sum())} bars), and market.participation counts "
            "with it",
            where=f"data.splits.{split.name}",
            do=f"give bars with a volume, set market.symbols.{symbol}.declared_volume (units a "
            "bar), or remove market.participation",
        )
    return np.asarray(units, np.float64)
