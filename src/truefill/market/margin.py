"""Whether an account is called: its equity against its gross exposure at the bar's worst."""

from __future__ import annotations

import jax.numpy as jnp

from truefill.market import gates
from truefill.market.arithmetic import cut_gate, total
from truefill.market.fills import Costs, exit_spread, worth
from truefill.market.stops import Levels
from truefill.market.types import Account, Array, BarRow, BarState, MarketParams


def adverse_price(account: Account, row: BarRow) -> Array:
    """The low for longs, the high for shorts, [N, S]."""
    return jnp.where(account.units > 0.0, row.low, row.high)


def stop_fill(
    account: Account,
    level: Levels,
    inside: Array | None,
    row: BarRow,
    costs: Costs,
    params: MarketParams,
) -> tuple[Array, Array]:
    """The price at which a stop inside the bar fills, and the same before spread, [N, S].

    ``inside``: positions entered within the bar, bool; None = all were there at the open.
    """
    side = jnp.sign(account.units)
    # A position opened at this open may have its stop beyond the open already: never fill better.
    reference = side * jnp.minimum(side * level.stop, side * row.open)
    if inside is not None:
        reference = jnp.where(inside, level.stop, reference)
    spread = exit_spread(account.units, row, costs, params)
    return reference * (1.0 - side * spread), reference


def margin_call(
    account: Account,
    stop: Array,
    stopped: Array,
    row: BarRow,
    costs: Costs,
    params: MarketParams,
) -> Array:
    """Gate [N]: equity at the adverse extremes of all symbols at once is below maintenance, where
    positions whose stop is hit (gate [N, S]) are sold at ``stopped``."""
    marks = worth(adverse_price(account, row), row.rate_close)
    marks = jnp.where(row.state > BarState.MASKED, marks, account.mark)
    proceeds = worth(stopped, row.rate_close)
    sold = account.units * proceeds - jnp.abs(account.units) * proceeds * costs.fee
    left = gates.pick(stop, 0.0, account.units)
    gross = total(jnp.abs(left) * marks, params)
    worst = account.cash + total(gates.pick(stop, sold, account.units * marks), params)
    scale = jnp.where(gross > 0.0, gross, 1.0)
    enough = gates.at_least(worst, params.maintenance * gross, scale, params.temperature)
    return cut_gate(gates.both(gross > 0.0, gates.no(enough)), params)
