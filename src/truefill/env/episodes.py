"""Episodes of N accounts: reset, observe, step, and automatic reset inside the compiled step.

``EnvSpec`` is what shapes the compiled program (static); ``EnvArrays`` is everything traced: bars,
features, limits. Bar t is the last *closed* bar; a step decides there and ends at the close of
bar t + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from truefill.env.decoders import Decoder
from truefill.env.rewards import REWARD_TERMS, Moments, Step, update_moments
from truefill.env.state_features import STATE_FEATURES, Context
from truefill.market import rules
from truefill.market.arithmetic import cut_gate
from truefill.market.bars import MarketBars
from truefill.market.types import Account, Array, BarResult, MarketParams, OrderKind, Orders

DECISION_PHASE = "decision_phase"
"""State feature that every observation has when the agent decides every n-th bar only."""


@dataclass(frozen=True)
class EnvSpec:
    """Static shape of an environment."""

    num_symbols: int
    num_features: int
    """Market features of one bar, all symbols together."""
    window: int
    lag: int
    state_features: tuple[str, ...]
    reward_terms: tuple[str, ...]
    decoder: Decoder
    mask_illegal: bool

    @property
    def action_size(self) -> int:
        """Values in one account's action: a discrete choice or a continuous value each."""
        of = self.decoder.action_size
        return self.num_symbols if of is None else of(self.num_symbols)

    @property
    def num_state(self) -> int:
        """Columns of account state in an observation."""
        return sum(self.width(name) for name in self.state_features)

    def width(self, name: str) -> int:
        """Columns of one of ``state_features``."""
        per_symbol = STATE_FEATURES.get(name).facts["per_symbol"]
        lags = self.lag - 1 if name.startswith("pending") else 1
        return lags * (self.num_symbols if per_symbol else 1)

    @property
    def observation_size(self) -> int:
        return self.window * self.num_features + self.num_state

    @property
    def first_bar(self) -> int:
        """Earliest bar at which a full window is known."""
        return self.window - 1


class RewardParams(NamedTuple):
    """Weights in the order of ``EnvSpec.reward_terms``, and how the reward is paid."""

    weights: Array
    scale: Array
    clip: Array
    """Per bar, after scaling; infinity = off."""
    eta: Array
    gamma: Array
    interval: Array
    """int32, bars between payments."""


class EpisodeParams(NamedTuple):
    """When an episode ends."""

    max_steps: Array
    """int32 [N] or [1]."""
    drawdown_limit: Array
    """Fraction; above 1 = never."""
    last_bar: Array
    """int32, last bar of the data."""


class Pool(NamedTuple):
    """Where each episode trades one of P symbols whose bars follow each other on one axis."""

    symbol: Array
    """int32 [T], the symbol of each bar."""
    last_bar: Array
    """int32 [T], the last bar of that symbol."""
    starts: Array
    """int32 [M], every bar at which an episode may begin."""
    first: Array
    """int32 [P], the first bar of each symbol with a full window."""


class EnvArrays(NamedTuple):
    """Everything traced."""

    bars: MarketBars
    features: Array
    """float32 [T, num_features], normalized."""
    clock: Array
    """float32 [T, 4]."""
    market: MarketParams
    reward: RewardParams
    episode: EpisodeParams
    pool: Pool | None = None
    """None: one account over all symbols. Else ``market`` has [P, 1] where symbols differ."""
    idle: Array | None = None
    """bool [T], for training: an order decided at this bar's close would meet no tradable bar;
    None: there is no such bar."""


class EnvState(NamedTuple):
    """N episodes at the close of bar ``t``."""

    account: Account
    t: Array
    """int32 [N]."""
    steps: Array
    """int32 [N], bars since the episode began."""
    owed: Array
    """[N], reward earned and not yet paid."""
    moments: Moments


class Observation(NamedTuple):
    """What an agent sees."""

    values: Array
    """float32 [observation_size, N]: the market window (oldest bar first), then account state."""
    legal: Array | None
    """bool [N, S, num_actions] where the decoder forbids actions and the config masks them."""


class Transition(NamedTuple):
    """What a step did. ``final`` is the state before any reset: bootstrap from there."""

    reward: Array
    """float32 [N]."""
    terminated: Array
    truncated: Array
    final: EnvState
    terms: Array
    """float64 [reward terms]: mean of each weighted, scaled term."""
    result: BarResult
    illegal: Array
    """bool [N, S]: the action was illegal and became a hold."""


def rules_at(arrays: EnvArrays, t: Array) -> MarketParams:
    """The rules of the symbol that each account (at bar ``t``, int32 [N]) trades."""
    if arrays.pool is None:
        return arrays.market
    symbol = arrays.pool.symbol[t]

    def pick(leaf: Array) -> Array:
        return leaf[symbol] if leaf.ndim == 2 and leaf.shape[0] > 1 else leaf

    picked: MarketParams = jax.tree.map(pick, arrays.market)
    return picked


def decides(spec: EnvSpec, state: EnvState, market: MarketParams) -> Array | None:
    """bool [N]: is this bar's action an order, or is the account between two decisions? None where
    every bar decides."""
    if DECISION_PHASE not in spec.state_features:
        return None
    return state.account.age % market.decision_interval == 0


def reset(spec: EnvSpec, arrays: EnvArrays, start: Array) -> EnvState:
    """Fresh accounts at the close of bar ``start`` (int32 [N], >= ``spec.first_bar``)."""
    mark = arrays.bars.mark(start)
    count = start.shape[0]
    zeros = jnp.zeros(count)
    return EnvState(
        account=rules.open_account(arrays.market, count, spec.num_symbols, spec.lag, mark),
        t=start,
        steps=jnp.zeros(count, jnp.int32),
        owed=zeros,
        moments=Moments(zeros, zeros),
    )


def observe(spec: EnvSpec, arrays: EnvArrays, state: EnvState) -> Observation:
    """What the agent sees at the close of bar ``t``: bars up to and including t, nothing later."""
    if spec.window == 1:
        market = arrays.features[state.t]
    else:
        offsets = jnp.arange(1 - spec.window, 1, dtype=jnp.int32)
        rows = arrays.features[state.t[:, None] + offsets]
        market = rows.reshape(state.t.shape[0], -1)
    market_rules = rules_at(arrays, state.t)
    price = arrays.bars.price(state.t, state.account.mark)
    context = Context(state.account, market_rules, arrays.clock[state.t], price)
    columns = [
        STATE_FEATURES.get(name).make(context).astype(jnp.float32).T for name in spec.state_features
    ]
    legal = None
    if spec.mask_illegal and spec.decoder.legal is not None:
        legal = spec.decoder.legal(state.account, market_rules)
    return Observation(jnp.concatenate([market.T, *columns]), legal)


def _orders(
    spec: EnvSpec, market: MarketParams, account: Account, action: Array
) -> tuple[Orders, Array]:
    """Orders of an action; illegal actions hold."""
    orders = spec.decoder.orders(action)
    if spec.decoder.legal is None:
        return orders, jnp.zeros(orders.kind.shape, bool)
    legal = spec.decoder.legal(account, market)
    fine = jnp.take_along_axis(legal, action[..., None], axis=-1)[..., 0]
    return orders._replace(kind=jnp.where(fine, orders.kind, OrderKind.HOLD)), ~fine


def advance(
    spec: EnvSpec, arrays: EnvArrays, state: EnvState, action: Array
) -> tuple[EnvState, Transition]:
    """One bar without a reset. ``action`` is [N, action_size]."""
    market = rules_at(arrays, state.t)
    orders, illegal = _orders(spec, market, state.account, action)
    row = arrays.bars.row(state.t + 1)
    before = state.account
    account, result = rules.step(before, orders, row, market)
    steps = state.steps + 1
    episode = arrays.episode
    terminated = result.ruined | (result.drawdown >= episode.drawdown_limit)
    last = episode.last_bar if arrays.pool is None else arrays.pool.last_bar[state.t]
    ended = (steps >= episode.max_steps) | (state.t + 1 >= last)
    truncated = ended & ~terminated
    active = jnp.any((before.units != 0.0) | (account.units != 0.0), axis=-1) | (
        result.turnover > 0.0
    )
    moments = update_moments(state.moments, result, active, arrays.reward.eta)
    seen = Step(before, result, state.moments, moments, arrays.reward.gamma, terminated)
    terms = jnp.stack([REWARD_TERMS.get(name).make(seen) for name in spec.reward_terms])
    terms = terms * arrays.reward.weights[:, None] * arrays.reward.scale
    earned = jnp.clip(jnp.sum(terms, axis=0), -arrays.reward.clip, arrays.reward.clip)
    owed = state.owed + earned
    pays = (steps % arrays.reward.interval == 0) | terminated | truncated
    after = EnvState(
        account=account,
        t=state.t + 1,
        steps=steps,
        owed=jnp.where(pays, 0.0, owed),
        moments=moments,
    )
    transition = Transition(
        reward=jnp.where(pays, owed, 0.0).astype(jnp.float32),
        terminated=terminated,
        truncated=truncated,
        final=after,
        terms=jnp.mean(terms, axis=1),
        result=result,
        illegal=illegal,
    )
    return after, transition


def step(
    spec: EnvSpec, arrays: EnvArrays, state: EnvState, action: Array, restart: Array
) -> tuple[EnvState, Transition]:
    """One bar; episodes that ended begin again at bar ``restart`` (int32 [N]).

    The returned state is the one after the reset; ``Transition.final`` is the one before it.
    """
    after, transition = advance(spec, arrays, state, action)
    done = cut_gate(transition.terminated | transition.truncated, arrays.market)
    fresh = reset(spec, arrays, restart)
    return choose(done, fresh, after), transition


def choose(done: Array, fresh: EnvState, after: EnvState) -> EnvState:
    """``fresh`` where ``done``, on the account axis of every leaf (queues carry it second)."""

    def pick(new: Array, old: Array, axis: int = 0) -> Array:
        shape = [1] * old.ndim
        shape[axis] = done.shape[0]
        return jnp.where(done.reshape(shape), new, old)

    new, old = fresh.account.queue, after.account.queue
    queue = Orders(pick(new.kind, old.kind, 1), pick(new.value, old.value, 1))
    merged: EnvState = jax.tree.map(pick, _without_queue(fresh), _without_queue(after))
    return merged._replace(account=merged.account._replace(queue=queue))


def _without_queue(state: EnvState) -> EnvState:
    """The state with an empty queue, so that every leaf has accounts on its first axis."""
    empty = Orders(state.steps[:, None], state.owed[:, None])
    return state._replace(account=state.account._replace(queue=empty))


def draw_starts(spec: EnvSpec, arrays: EnvArrays, uniform: Array) -> Array:
    """Random episode starts from ``uniform`` in [0, 1): any bar with a full window before it and a
    whole episode (or at least one step, in short data) after it, int32."""
    if arrays.pool is not None:
        count = arrays.pool.starts.shape[0]
        index = jnp.floor(uniform * count).astype(jnp.int32)
        return arrays.pool.starts[jnp.minimum(index, count - 1)]
    first = spec.first_bar
    longest = jnp.max(arrays.episode.max_steps)
    last = jnp.maximum(arrays.episode.last_bar - longest, first)
    span = (last - first + 1).astype(uniform.dtype)
    start = first + jnp.floor(uniform * span).astype(jnp.int32)
    return jnp.minimum(start, last).astype(jnp.int32)
