"""The end of a bar: margin, orders at the close, the session's caps, delisting, ruin, the mark."""

from __future__ import annotations

import jax.numpy as jnp

from truefill.market import gates
from truefill.market.arithmetic import cut, total
from truefill.market.exits import Late
from truefill.market.fills import Costs, close, exit_spread, trade, worth
from truefill.market.gates import LOT_TOLERANCE
from truefill.market.margin import adverse_price
from truefill.market.orders import Plan
from truefill.market.types import (
    EQUITY_FLOOR,
    Account,
    Array,
    BarRow,
    BarState,
    ExitReason,
    Leg,
    MarketParams,
)

SALE_DUST = 1e-12
"""A cap's sale of less than this share of the position is none; one that leaves less takes all."""


def close_marks(account: Account, row: BarRow) -> Array:
    """Worth of a unit at this close; masked symbols keep their last mark."""
    present = row.state > BarState.MASKED
    return jnp.where(present, worth(row.close, row.rate_close), account.mark)


def equity_floor(params: MarketParams) -> Array:
    """Equity is never below this, [N]."""
    return EQUITY_FLOOR * params.initial_balance


def has_caps(params: MarketParams) -> bool:
    """Whether a cap at the session's end is set (static)."""
    return params.leverage_at_close is not None or params.weight_at_close is not None


def sell_excess(
    account: Account, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg]:
    """Step 9: at the session's last close, sell what exceeds the caps that hold then."""
    assert row.session_end is not None
    side = jnp.sign(account.units)
    size = jnp.abs(account.units)
    marks = close_marks(account, row)
    unit = worth(row.close, row.rate_close)
    ends = (row.session_end > 0.0) & (row.state >= BarState.TRADABLE) & (side != 0.0)
    spread = exit_spread(account.units, row, costs, params)
    cost = jnp.where(
        side > 0.0,
        1.0 - (1.0 - spread) * (1.0 - costs.fee),
        (1.0 + spread) * (1.0 + costs.fee) - 1.0,
    )
    equity = account.cash + total(account.units * marks, params)
    notional = jnp.where(ends, size * unit, 0.0)
    sold = jnp.zeros(size.shape)
    if params.weight_at_close is not None:
        cap = params.weight_at_close
        per_sale = 1.0 - cap * cost
        excess = (notional - cap * equity[:, None]) / jnp.where(per_sale > 0.0, per_sale, 1.0)
        sold = jnp.where(per_sale > 0.0, jnp.clip(excess, 0.0, notional), 0.0)
    if params.leverage_at_close is not None:
        cap = params.leverage_at_close
        left = equity - total(sold * cost, params)
        gross = total(size * marks, params) - total(sold, params)
        rest = notional - sold
        yields = total(rest, params) - cap * total(rest * cost, params)
        share = (gross - cap * left) / jnp.where(yields > 0.0, yields, 1.0)
        share = jnp.where(yields > 0.0, jnp.clip(share, 0.0, 1.0), 0.0)
        sold = sold + share[:, None] * rest
    units = jnp.minimum(_lots_up(sold / unit, params), size)
    dust = jnp.maximum(LOT_TOLERANCE * params.lot, SALE_DUST * size)
    units = jnp.where(size - units <= dust, size, units)
    units = jnp.where(ends & (sold / unit > dust), units, 0.0)
    plan = Plan(-side * units, jnp.zeros(size.shape), spread, jnp.zeros(size.shape), ends)
    account, leg, _ = trade(
        account, plan, row.close, None, row.rate_close, costs.fee, row, params,
        ExitReason.SESSION_CAP,
    )  # fmt: skip
    return account, leg


def _lots_up(units: Array, params: MarketParams) -> Array:
    size = jnp.where(params.lot > 0.0, params.lot, 1.0)
    lots = jnp.ceil(units / size - LOT_TOLERANCE) * size
    return jnp.where(params.lot > 0.0, lots, units)


def forced_exit(
    account: Account,
    called: Array | None,
    row: BarRow,
    costs: Costs,
    params: MarketParams,
    *,
    at_close: bool,
) -> tuple[Account, Leg]:
    """Steps 7 and 10: a margin call (gate [N]; None = settled before) closes everything that has a
    bar at its adverse extreme, and, where ``at_close``, ruin everything that has one at the close,
    and delisting what trades for the last time."""
    live = (row.state > BarState.MASKED) & (account.units != 0.0)
    ends = jnp.zeros(live.shape, bool)
    reason = jnp.full(live.shape, ExitReason.LIQUIDATION)
    if at_close:
        equity = account.cash + total(account.units * close_marks(account, row), params)
        limit = params.ruin_fraction * params.initial_balance
        low = gates.at_least(limit, equity, params.initial_balance, params.temperature)
        ends = gates.either(low[:, None], row.state >= BarState.LAST)
        reason = jnp.where(gates.is_open(low)[:, None], ExitReason.RUIN, ExitReason.DELISTED)
    reference = row.close
    if called is not None:
        ends = gates.either(ends, called[:, None])
        hard = gates.is_open(called)[:, None]
        reason = jnp.where(hard, ExitReason.LIQUIDATION, reason)
        reference = jnp.where(hard, adverse_price(account, row), row.close)
    spread = exit_spread(account.units, row, costs, params)
    price = reference * (1.0 - jnp.sign(account.units) * spread)
    paid = jnp.abs(reference - price)
    out = gates.both(ends, live)
    return close(account, out, reason, price, paid, row.rate_close, costs, params)


def settle(account: Account, row: BarRow, params: MarketParams) -> tuple[Account, Array, Array]:
    """Equity at the close with its floor. Returns account, ruined (bool [N]), written off [N]."""
    equity = cut(account.cash + total(account.units * close_marks(account, row), params), params)
    ruined = equity <= params.ruin_fraction * params.initial_balance
    written_off = jnp.maximum(equity_floor(params) - equity, 0.0)
    account = account._replace(cash=account.cash + written_off, equity=equity + written_off)
    return account, ruined, written_off


def mark(account: Account, row: BarRow, late: Late | None) -> Account:
    """Step 11; best price and holding time move on completed bars of the symbol only."""
    present = row.state > BarState.MASKED
    side = jnp.sign(account.units)
    high, low = row.high, row.low
    if late is not None:
        high = jnp.where(late.opened, row.close, high)
        low = jnp.where(late.opened, row.close, low)
    seen = jnp.where(side > 0.0, jnp.maximum(account.best, high), jnp.minimum(account.best, low))
    in_market = present & (side != 0.0)
    return account._replace(
        mark=close_marks(account, row),
        best=jnp.where(in_market, seen, account.best),
        held=account.held + in_market.astype(jnp.int32),
        peak=jnp.maximum(account.peak, account.equity),
    )
