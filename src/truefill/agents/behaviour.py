"""What a policy does, in one word: it never trades, repeats one action, enters once and holds, or
trades; with the figures that say so, and the reward term that drove it there.

The policy's most likely actions are traded over the fixed validation episodes, and what it ordered,
held and paid is counted. The definitions are those of ``docs/policies.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.agents.drive import drive
from truefill.agents.ensemble import Actor, Ensemble, most_likely
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState
from truefill.env.setup import Environment
from truefill.market.types import Account, Array, BarResult, ExitReason, OrderKind, OrderStatus

NAMES = {
    "never_trades": "No trade in any episode.",
    "buy_and_hold": "One entry a symbol and episode (long or short), held to the end.",
    "constant_action": "The same order at (nearly) every decision.",
    "trades": "None of these.",
}
"""In the order in which they are asked."""
CONSTANT_SHARE = 0.99
"""Of decisions that give a symbol's commonest order, for every symbol: a constant action."""
SAME_VALUE = 0.02
"""Orders of one kind whose values lie within this span are the same order (fraction of equity)."""
HELD_SHARE = 0.9
"""Of a symbol's episodes that are one entry held to the end: buy and hold."""
RESIZED = 0.05
"""Traded after the entry, of what the entry traded, up to which a position counts as left alone."""

Bools = npt.NDArray[np.bool_]


class Bars(NamedTuple):
    """What was ordered, held and paid: [T, N, S] unless noted; N episodes of T bars."""

    kind: Any
    """OrderKind as decoded; the market may cancel or refuse it."""
    value: Any
    agrees: Any
    """bool [T, N, S, M]: what each member of an ensemble orders is what the ensemble does."""
    status: Any
    """OrderStatus of what was due at the next bar."""
    side: Any
    """Sign of the position at the next close."""
    entered: Any
    """bool: a position was opened, or turned round, on the next bar."""
    traded: Any
    """Notional of all its trades, fraction of equity before."""
    resized: Any
    """[T, N], sum over symbols of |weight at its close - weight before|."""
    log_return: Any
    """[T, N]."""
    cost: Any
    """[T, N], fees, spread and slippage, fraction of equity before."""


@partial(jax.jit, static_argnames=("spec", "length"))
def _play(network: Actor, arrays: EnvArrays, starts: Array, *, spec: EnvSpec, length: int) -> Bars:
    Going = tuple[EnvState, Any]

    def one_bar(going: Going, _: None) -> tuple[Going, Bars]:
        before, carry = going
        seen = episodes.observe(spec, arrays, before)
        action, remembered = most_likely(network, carry, seen.values, seen.legal)
        orders = spec.decoder.orders(action.T)
        agrees = jnp.zeros((*orders.kind.shape, 0), bool)
        if isinstance(network, Ensemble):
            alone = network.each(carry, seen.values, seen.legal)[0]
            own = [spec.decoder.orders(member.T) for member in alone]
            same = [
                (one.kind == orders.kind) & (jnp.abs(one.value - orders.value) <= SAME_VALUE)
                for one in own
            ]
            agrees = jnp.stack(same, axis=-1)
        state, done = episodes.advance(spec, arrays, before, action.T)
        was, result = before.account, done.result
        row = Bars(
            kind=orders.kind,
            value=orders.value,
            agrees=agrees,
            status=result.status,
            side=jnp.sign(state.account.units),
            entered=_entered(was, result),
            traded=sum(leg.notional for leg in result.legs) / was.equity[:, None],
            resized=jnp.sum(jnp.abs(_weights(state.account) - _weights(was)), axis=-1),
            log_return=result.log_return,
            cost=sum(jnp.sum(leg.fee + leg.spread, axis=-1) for leg in result.legs) / was.equity,
        )
        return (state, remembered), row

    state = episodes.reset(spec, arrays, starts)
    going = (state, network.initial(starts.shape[0]))
    rows: Bars = jax.lax.scan(one_bar, going, None, length=length)[1]
    return rows


def _weights(account: Account) -> Array:
    return account.units * account.mark / account.equity[:, None]


def _entered(was: Account, result: BarResult) -> Array:
    """Where the bar's order opened a position, bool [N, S]."""
    before = was.units + result.at_open.units
    after = before + result.order.units
    ended = result.order.reason != ExitReason.NONE
    return (after != 0.0) & ((jnp.sign(after) != jnp.sign(before)) | ended)


@dataclass(frozen=True)
class Watched:
    """Episodes of a policy; ``columns`` are symbols, or the one symbol of pooled episodes."""

    bars: Bars
    decides: Bools
    """[T]: the market takes an order of this bar."""
    columns: list[tuple[str, npt.NDArray[np.int64], int]]
    """(symbol, its episodes, its place on the symbol axis)."""

    @property
    def score(self) -> float:
        """Mean net log return of the episodes: what selects between policies."""
        return float(np.mean(self.bars.log_return.sum(axis=0)))


def watch(
    network: Actor, env: Environment, starts: Array, length: int, symbols: Sequence[str]
) -> Watched:
    """Play ``length`` bars from each of ``starts``, the fixed validation episodes, in the backtest
    environment ``env`` of ``symbols``."""
    bars = _play(network, env.arrays, starts, spec=env.spec, length=length)
    every = np.arange(starts.shape[0])
    columns = [(name, every, s) for s, name in enumerate(symbols)]
    if env.arrays.pool is not None:
        of = np.asarray(env.arrays.pool.symbol)[np.asarray(starts)]
        columns = [(name, np.flatnonzero(of == s), 0) for s, name in enumerate(symbols)]
        columns = [column for column in columns if len(column[1])]
    interval = int(np.max(np.asarray(env.arrays.market.decision_interval)))
    return Watched(jax.tree.map(np.asarray, bars), np.arange(length) % interval == 0, columns)


def diagnose(
    seen: Watched,
    updates: Sequence[Mapping[str, float | None]] = (),
    terms: Sequence[str] = (),
    best_step: int | None = None,
) -> dict[str, Any]:
    """Name, figures, driving reward term and a sentence, JSON-able.

    Args:
        updates: rows of the training log; none where nothing was trained (an ensemble, or the
            policy that a training began with).
        terms: reward terms of the environment.
        best_step: the step of the policy that was watched, after which nothing could drive it; one
            that never trades is told of the whole training, which goes on to trade by chance.
    """
    bars = seen.bars
    commonest = [_commonest(seen, *column) for column in seen.columns]
    held = [_held(bars, *column[1:]) for column in seen.columns]
    name = _name(bars, commonest, held)
    length, count = bars.log_return.shape
    figures = {
        "episodes": count,
        "bars_per_episode": length,
        "commonest_order": commonest,
        "time_in_market": float(np.mean(np.any(bars.side != 0.0, axis=-1))),
        "entries_per_episode": float(bars.entered.sum() / count),
        "weight_change_per_bar": float(np.mean(bars.resized)),
        "turnover_per_bar": float(np.mean(bars.traded.sum(axis=-1))),
        "net_log_return_per_episode": seen.score,
        "costs_per_episode": float(np.mean(bars.cost.sum(axis=0))),
        "orders": _statuses(bars),
    }
    found: dict[str, Any] = {"name": name, "side": None, **figures}
    if name == "buy_and_hold":
        found["side"] = _side(bars, seen)
    escaped = name == "never_trades"
    if best_step is not None and (best_step == 0 or not escaped):
        updates = [row for row in updates if (row["step"] or 0) <= best_step]
    found["driven_by"] = drive(updates, terms, escaped=escaped)
    found["text"] = sentence(found)
    return found


def _name(bars: Bars, commonest: list[dict[str, Any]], held: list[Bools | None]) -> str:
    if not bars.traded.any():
        return "never_trades"
    if all(own is None or np.mean(own) >= HELD_SHARE for own in held):
        return "buy_and_hold"
    # An order to hold is no action: who mostly holds is judged by its entries.
    constant = all(own["share"] >= CONSTANT_SHARE and own["order"] != "hold" for own in commonest)
    return "constant_action" if constant else "trades"


def _commonest(seen: Watched, symbol: str, rows: npt.NDArray[np.int64], s: int) -> dict[str, Any]:
    """The order that a symbol was given most often, and its share of all decisions."""
    kinds = seen.bars.kind[seen.decides][:, rows, s].ravel()
    values = seen.bars.value[seen.decides][:, rows, s].ravel()
    best, order = 0, ""
    for kind in np.unique(kinds):
        own = np.sort(values[kinds == kind])
        if kind == OrderKind.HOLD:
            own = np.zeros_like(own)
        ends = np.searchsorted(own, own + SAME_VALUE, side="right")
        counts = ends - np.arange(len(own))
        at = int(np.argmax(counts))
        if counts[at] > best:
            best = int(counts[at])
            order = _words(OrderKind(kind), float(own[at + best // 2]))
    return {"symbol": symbol, "order": order, "share": best / len(kinds)}


def _words(kind: OrderKind, value: float) -> str:
    if kind == OrderKind.HOLD:
        return "hold"
    if kind in (OrderKind.WEIGHT, OrderKind.SIDE) and value == 0.0:
        return "flat"
    if kind == OrderKind.SIDE:
        return f"{'long' if value > 0.0 else 'short'} {abs(value):.3g}"
    return f"{kind.name.lower()} {value:+.3g}"


def _held(bars: Bars, rows: npt.NDArray[np.int64], s: int) -> Bools | None:
    """By episode: one entry, left alone to the end, and no order to leave was held back by the
    minimum holding time. None where the symbol was never traded."""
    entered, traded = bars.entered[:, rows, s], bars.traded[:, rows, s]
    if not traded.any():
        return None
    at = np.argmax(entered, axis=0)
    first = np.take_along_axis(traded, at[None], axis=0)[0]
    once = entered.sum(axis=0) == 1
    alone = traded.sum(axis=0) - first <= RESIZED * first
    meant = ~np.any(bars.status[:, rows, s] == OrderStatus.MIN_HOLD, axis=0)
    return np.asarray(once & alone & meant)


def _side(bars: Bars, seen: Watched) -> str:
    last = [bars.side[-1, rows, s] for _, rows, s in seen.columns]
    sides = np.unique(np.concatenate(last))
    if 1.0 in sides and -1.0 in sides:
        return "mixed"
    return "long" if 1.0 in sides else "short"


def _statuses(bars: Bars) -> dict[str, int]:
    """What became of the orders, by OrderStatus; bars without one do not count."""
    found, counts = np.unique(bars.status, return_counts=True)
    pairs = zip(found.tolist(), counts.tolist(), strict=True)
    return {OrderStatus(s).name.lower(): n for s, n in pairs if s != OrderStatus.NONE}


REFUSED = ("not_tradable", "below_minimum", "no_room", "masked", "no_volume")
"""Orders that asked for a trade and did not get it."""


def sentence(found: Mapping[str, Any]) -> str:
    """The diagnosis in words, to stand after the policy's name."""
    drive = found["driven_by"]
    text = _what(found)
    return text if drive is None else f"{text}; {drive['text']}"


def _what(found: Mapping[str, Any]) -> str:
    market = f"{_percent(found['time_in_market'])} of bars in the market"
    count = found["entries_per_episode"]
    entries = f"{count:.3g} {'entry' if count == 1.0 else 'entries'} an episode"
    if found["name"] == "never_trades":
        text = f"never trades: no position in {found['episodes']} validation episodes"
        refused = [
            f"{n:,} {s.replace('_', ' ')}" for s, n in found["orders"].items() if s in REFUSED
        ]
        return f"{text} (orders refused: {', '.join(refused)})" if refused else text
    if found["name"] == "buy_and_hold":
        verb = {"long": "buys and holds", "short": "sells short and holds"}
        text = verb.get(found["side"], "enters once and holds, long or short")
        return f"{text}: {entries}, held to the end, {market}"
    if found["name"] == "constant_action":
        own = min(found["commonest_order"], key=lambda one: one["share"])
        text = f"repeats one action: {own['order']!r} at {_percent(own['share'])} of decisions"
        if len(found["commonest_order"]) > 1:
            text += f" in {own['symbol']}, no less in the other symbols"
        return f"{text}, {entries}"
    return f"trades: {entries}, {market}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def agreement(seen: Watched, seeds: Sequence[int]) -> dict[str, Any]:
    """How often an ensemble's members order the same as each other, and as the ensemble: shares of
    all decisions, one a deciding bar and symbol."""
    agrees = seen.bars.agrees[seen.decides].reshape(-1, len(seeds))
    each = [math.fsum(column) / len(agrees) for column in agrees.T]
    return {
        "unanimous": float(np.mean(np.all(agrees, axis=1))),
        "with_ensemble": {str(seed): share for seed, share in zip(seeds, each, strict=True)},
    }
