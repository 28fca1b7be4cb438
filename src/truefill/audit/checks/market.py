"""Market: observations, actions, fills and equity up to a bar follow from the bars up to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.audit import play as playing
from truefill.audit.case import Case
from truefill.audit.cuts import some
from truefill.audit.evidence import Moved, Timed, moment
from truefill.audit.play import BARS, DECISIONS, Played, Probe
from truefill.audit.registry import Tally, audit
from truefill.audit.rows import ROW_MUTATIONS, changed_after, rows_differ, taken
from truefill.core.errors import TruefillError
from truefill.data.split import SplitArrays
from truefill.env.setup import Environment

SAME_ACTION = 0.1
"""Share of its range by which a continuous action differs from another, at least."""
OTHER_OPEN = 0.002
"""Share by which opens are moved to see whether fills follow them."""


@dataclass(frozen=True)
class Stage:
    """A short split, its environment, and a network that trades it."""

    split: SplitArrays
    env: Environment
    network: object
    closes_s: npt.NDArray[np.int64]
    played: Played

    @property
    def first(self) -> int:
        return self.env.spec.first_bar


@lru_cache(maxsize=1)
def stage_of(case: Case) -> Stage:
    """The last bars of the small dataset's train split, as the backtest would trade them."""
    config = case.small.config
    split = case.chain.seen(config, case.small.built, case.chain, "train")
    split = playing.played_split(config, split)
    least = config.env.window_bars + config.market.decision_lag
    bars = max(BARS, DECISIONS * config.market.decision_interval_bars)
    split = taken(split, max(len(split) - bars - least, 0), len(split))
    env = case.chain.environment(config, split, "backtest")
    network = playing.probe(case.chain, config, env, case.small.built)
    closes = split.timestamps_s + round(split.interval_s)
    return Stage(split, env, network, closes, playing.play(case.chain, env, network))


Evidence = Callable[[Played, npt.NDArray[np.int64], int], list[Timed]]


@lru_cache(maxsize=4_096)
def replayed(case: Case, t: int, how: str) -> Played | TruefillError | None:
    """The stage played again with all rows after ``t`` changed, or why that was refused; None where
    the change is none."""
    stage = stage_of(case)
    changed = changed_after(stage.split, t, how)
    if not rows_differ(stage.split, changed):
        return None
    try:
        env = case.chain.environment(case.small.config, changed, "backtest")
    except TruefillError as error:
        return error
    return playing.play(case.chain, env, stage.network)


def row_cuts(case: Case, stage: Stage) -> list[int]:
    """Every bar; of long ones ``BARS``, and those before and of each fill."""
    bars = range(stage.first, len(stage.split) - 1)
    if case.quick:
        return some(bars, 12)
    traded = np.flatnonzero(stage.played.fill_units.any(axis=-1)) + stage.first
    wanted = {*some(bars, BARS), *(int(t) for t in traded), *(int(t) + 1 for t in traded)}
    return sorted(wanted & set(bars))


def sweep_rows(case: Case, tally: Tally, evidence: Evidence) -> Stage:
    """Every mutation of the rows after every cut."""
    stage = stage_of(case)
    cuts = row_cuts(case, stage)
    tally.plan(len(cuts) * len(ROW_MUTATIONS))
    before = evidence(stage.played, stage.closes_s, stage.first)
    for t in cuts:
        for how in ROW_MUTATIONS:
            played = replayed(case, t, how)
            if played is None:
                tally.skip(how)
            elif isinstance(played, TruefillError):
                tally.refuse(int(stage.closes_s[t]), how, played)
            else:
                after = evidence(played, stage.closes_s, stage.first)
                tally.compare(int(stage.closes_s[t]), how, before, after)
    return stage


@audit(
    "market/observations",
    stage="observations",
    proves="what an agent sees at a close, legal actions included, does not move with later bars",
)
def observations(case: Case, tally: Tally) -> None:
    sweep_rows(case, tally, playing.seen)


@audit(
    "market/actions",
    stage="actions",
    proves="what a network of the config decides at a close does not move with later bars",
)
def actions(case: Case, tally: Tally) -> None:
    stage = sweep_rows(case, tally, playing.decided)
    kinds = len(np.unique(stage.played.action.reshape(len(stage.played.action), -1), axis=0))
    if kinds < 2:
        tally.doubts.append("the network decides the same on every bar")


@audit(
    "market/equity",
    stage="equity",
    proves="fills, rewards, the account and its equity at a close depend on the bars up to it, the "
    "bar of the fill among them, and on nothing later",
)
def equity(case: Case, tally: Tally) -> None:
    stage = sweep_rows(case, tally, playing.done)
    if not np.any(stage.played.fill_units):
        tally.doubts.append("the network never traded")


@audit(
    "market/backtest",
    stage="equity",
    proves="the backtest's equity, weights, costs and closed trades up to a bar keep their bytes",
)
def backtest(case: Case, tally: Tally) -> None:
    stage = stage_of(case)
    policy = Probe(stage.network, case.small.built.contract.sha256)
    bars = range(stage.first, len(stage.split) - 1)
    cuts = some(bars, 4 if case.quick else 24)
    tally.plan(len(cuts) * len(ROW_MUTATIONS))
    before = _traced(case, policy, stage.env, stage.split)
    for t in cuts:
        for how in ROW_MUTATIONS:
            split = changed_after(stage.split, t, how)
            if not rows_differ(stage.split, split):
                tally.skip(how)
                continue
            try:
                env = case.chain.environment(case.small.config, split, "backtest")
            except TruefillError as error:
                tally.refuse(int(stage.closes_s[t]), how, error)
                continue
            after = _traced(
                case, policy, env, replace(split, timestamps_s=stage.split.timestamps_s)
            )
            tally.compare(int(stage.closes_s[t]), how, before, after)


def _traced(case: Case, policy: Probe, env: Environment, split: SplitArrays) -> list[Timed]:
    """The curves of a backtest, and its trades, each known at the close of its last bar."""
    trace = case.chain.trade(policy, env, split, policy.contract_sha256)[0]
    interval = round(split.interval_s)
    names = ("equity", "weights", "turnover", "cost", "financing", "dividends")
    out = [Timed(n, trace.timestamps_s + interval, getattr(trace, n)) for n in names]
    trades = trace.trades.sort("exit_time", "symbol", maintain_order=True)
    known = trades["exit_time"].dt.epoch("s").to_numpy().astype(np.int64) + interval
    rows = np.asarray([str(row) for row in trades.rows()], dtype=object)
    return [*out, Timed("closed trades", known, rows)]


@audit(
    "market/fills",
    stage="fills",
    proves="a fill happens decision_lag bars after its decision and not sooner, and at the open of "
    "its own bar: it moves with that open, and never sits at the close that was decided on",
)
def fills(case: Case, tally: Tally) -> None:
    stage = stage_of(case)
    forced = stage.played.action
    _follow_the_open(case, tally, stage, forced)
    lag = case.config.market.decision_lag
    steps = some(range(1, len(forced) - lag), 4 if case.quick else 24)
    tally.plan(len(steps))
    before = playing.done(stage.played, stage.closes_s, stage.first)
    for step in steps:  # other decisions from this step on
        other = forced.copy()
        other[step:] = other_actions(forced[step:], stage.env)
        played = playing.play(case.chain, stage.env, stage.network, other)
        after = playing.done(played, stage.closes_s, stage.first)
        cut = int(stage.closes_s[stage.first + step + lag - 1])
        tally.compare(cut, "other decisions", before, after)


def _follow_the_open(case: Case, tally: Tally, stage: Stage, forced: npt.NDArray[Any]) -> None:
    """Move every open inside its bar's range (widened for it); each order that still fills must
    then fill at another price."""
    split = stage.split
    opens = split.open * (1.0 + OTHER_OPEN)
    moved = replace(
        split, open=opens, high=np.fmax(split.high, opens), low=np.fmin(split.low, opens)
    )
    env = case.chain.environment(case.small.config, moved, "backtest")
    one = playing.play(case.chain, stage.env, stage.network, forced)
    other = playing.play(case.chain, env, stage.network, forced)
    both = (one.fill_units != 0.0) & (other.fill_units != 0.0)
    tally.plan(1)
    cut = int(stage.closes_s[-1])
    tally.compare(cut, "other opens", [], [], reacted=False)
    tally.values += int(both.sum())
    if not both.any():
        tally.doubts.append("no order was filled at its open")
    stuck = np.argwhere(both & (one.fill_price == other.fill_price))
    for bar, symbol in stuck[:1]:
        at = int(split.timestamps_s[stage.first + 1 + int(bar)])
        price = f"{one.fill_price[bar, symbol]}"
        found = Moved(f"fill price ({split.symbols[symbol]})", at, price, price)
        tally.add(at, "other opens: the fill did not follow", found)
        tally.notes.append(f"first fill that ignores its open: {moment(at)}")


def other_actions(actions: npt.NDArray[Any], env: Environment) -> npt.NDArray[Any]:
    """Actions every one of which differs from these: the next choice, or the value mirrored in its
    range (the end of the range, where it is the middle)."""
    decoder = env.spec.decoder
    if decoder.discrete:
        return ((actions + 1) % decoder.num_actions).astype(actions.dtype)
    low, high = decoder.low, decoder.high
    inside = np.clip(actions, low, high)
    mirrored = low + high - inside
    near = np.abs(mirrored - inside) < SAME_ACTION * (high - low)
    return np.where(near, high, mirrored).astype(actions.dtype)
