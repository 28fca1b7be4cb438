"""What the market benchmark measures of truefill itself. Each item runs in a child of its own.

Started by ``bench_market.py``; every item pins itself to one core and checks what it computed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import common
import numpy as np

ACCOUNTS, STEPS = 4_096, 128
SPREAD_RUNS = 8
"""Untimed runs first: they compile, and spread the episodes over their lengths."""
COSTS, CHUNK_SETS, REPLAY_BARS = 64, 8, 40_000
"""Grid of the backtest: cost cells x signal sets, ``CHUNK_SETS`` sets a replay (memory)."""


def _jax() -> Any:
    common.pin()
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def environment(repeats: int, every: bool, accounts: int = ACCOUNTS) -> dict[str, Any]:
    """Observe and step ``accounts`` accounts by prepared random actions; ``every`` rule, or those
    of one instrument.

    A random weighting of every observation enters the carry, so that none can be skipped.
    """
    jax = _jax()
    import jax.numpy as jnp

    from truefill.env import episodes

    env = common.full_rules(every)
    spec = env.spec
    keys = jax.random.split(jax.random.PRNGKey(common.SEED), 4)
    actions = jax.random.randint(keys[0], (STEPS, accounts, 1), 0, spec.decoder.num_actions)
    uniform = jax.random.uniform(keys[1], (STEPS, accounts), jnp.float32)
    starts = episodes.draw_starts(spec, env.arrays, uniform)
    weights = jax.random.normal(keys[2], (spec.observation_size,), jnp.float32)

    def one_bar(arrays: Any, carry: Any, xs: Any) -> tuple[Any, Any]:
        state, seen, reward, ended, filled = carry
        action, restart = xs
        values = episodes.observe(spec, arrays, state).values
        state, done = episodes.step(spec, arrays, state, action, restart)
        over = (done.terminated | done.truncated).astype(jnp.int32)
        traded = (done.result.order.units[:, 0] != 0.0).astype(jnp.int32)
        carry = (
            state,
            seen + weights @ values,
            reward + done.reward,
            ended + over,
            filled + traded,
        )
        return carry, None

    @jax.jit  # type: ignore[untyped-decorator]
    def run(arrays: Any, state: Any, xs: Any) -> Any:
        real, count = jnp.zeros(accounts, jnp.float32), jnp.zeros(accounts, jnp.int32)
        carry = (state, real, real, count, count)
        state, *sums = jax.lax.scan(partial(one_bar, arrays), carry, xs)[0]
        return state, sums

    state = episodes.reset(spec, env.arrays, starts[0])
    times, checks = [], []
    for _ in range(repeats + SPREAD_RUNS):
        began = common.clock()
        state, sums = jax.block_until_ready(run(env.arrays, state, (actions, starts)))
        times.append(common.clock() - began)
        checks.append([float(x.sum()) for x in sums])
    seen, reward, ended, filled = np.sum(checks[SPREAD_RUNS:], axis=0).tolist()
    if not (np.isfinite(state.account.equity).all() and np.isfinite([seen, reward]).all()):
        raise SystemExit("an equity, a reward or an observation is not finite")
    if ended == 0 or filled == 0 or seen == 0.0:
        raise SystemExit(f"{ended} episodes ended and {filled} orders filled; both must happen")
    return {
        "samples": accounts * STEPS,
        "seconds": times[SPREAD_RUNS:],
        "observations": spec.observation_size,
        "ended": int(ended),
        "fills": int(filled),
        "checksum": seen,
    }


def signals(sets: int, bars: int) -> Any:
    """Long (1) or flat (0) after each close, [T, sets]: positions of about 20 bars."""
    generator = np.random.default_rng(common.SEED + 1)
    flips = generator.random((bars, sets)) < 0.05
    return (np.cumsum(flips, axis=0) % 2).astype(np.int32)


def fee_multiples() -> Any:
    """The cost grid: multiples of 1 bp of fee."""
    return np.linspace(0.0, 6.3, COSTS)


def _backtest(rules: dict[str, Any], sets: int) -> tuple[Any, Any, Any]:
    """Bars, parameters and orders of ``COSTS`` cost cells x ``sets`` signal sets as accounts."""
    jax = _jax()
    import jax.numpy as jnp

    from truefill.env.setup import make_environment

    market = {"fee_bps": 1.0, "half_spread_bps": 0.0, "slippage_bps": 0.0, **rules}
    multiples = tuple(np.repeat(fee_multiples(), sets).tolist())
    found = common.config(market=market)
    env = make_environment(found, common.random_walk(), "backtest", cost_multiples=multiples)
    bars = jax.tree.map(lambda x: x[:REPLAY_BARS], env.arrays.bars)
    wanted = np.tile(signals(sets, REPLAY_BARS)[:-1], (1, COSTS))[..., None]
    orders = jax.jit(env.spec.decoder.orders)(jnp.asarray(wanted))
    return bars, env.arrays.market, jax.block_until_ready(orders)


def backtest(repeats: int, full: bool) -> dict[str, Any]:
    """Account-bars a second of ``market.replay``, equity of every bar brought to the host.

    ``full``: with stops, trailing stops and holding limits; else fees only, as vectorbt's
    benchmark has them.
    """
    rules = {k: v for k, v in common.STOPS.items() if k != "allow_short"} if full else {}
    bars, params, orders = _backtest(rules, CHUNK_SETS)
    from truefill.market.replay import equity_only, replay

    def work() -> Any:
        return np.asarray(replay(bars, params, orders, lag=1, record=equity_only))

    equity = work()
    if not (np.isfinite(equity).all() and (equity > 0.0).all() and np.ptp(equity[-1]) > 0.0):
        raise SystemExit("an equity curve is not finite, or no signal traded")
    return {
        "samples": equity.size,
        "seconds": common.timed(work, repeats),
        "accounts": equity.shape[1],
        "bars": REPLAY_BARS,
        "final": equity[-1].tolist(),
    }


def streaming(calls: int) -> dict[str, Any]:
    """Seconds of each call of ``Stream.step`` for one account and one new bar.

    A call starts from the new bar and the order, as arrays of the host, and ends with the equity
    and all that the bar did on the host.
    """
    jax = _jax()
    import jax.numpy as jnp

    from truefill.market.stream import Stream

    env = common.full_rules()
    bars = jax.tree.map(np.asarray, env.arrays.bars)
    stream = Stream(env.arrays.bars.at(0), env.arrays.market, lag=1)
    generator = np.random.default_rng(common.SEED)
    actions = generator.integers(0, 3, (common.BARS, 1, 1)).astype(np.int32)
    orders = jax.tree.map(np.asarray, jax.vmap(env.spec.decoder.orders)(jnp.asarray(actions)))
    times, fills = [], 0
    for t in range(1, calls + 100):
        bar, order = bars.at(t), jax.tree.map(lambda x, t=t: x[t - 1], orders)
        began = common.clock()
        done = stream.step(order, bar)
        equity = stream.equity
        times.append(common.clock() - began)
        fills += int(done.order.units[0, 0] != 0.0)
    if fills == 0 or not np.isfinite(equity).all():
        raise SystemExit("the streamed account did not trade, or its equity is not finite")
    return {"seconds": times[99:], "fills": fills}


def gym_step(calls: int) -> dict[str, Any]:
    """Seconds of each step of the single Gymnasium environment."""
    _jax()
    from truefill.env.gym_single import MarketEnv

    env = MarketEnv(common.full_rules())
    env.reset(seed=common.SEED)
    actions = np.random.default_rng(common.SEED).integers(0, 3, calls + 100)
    times = []
    for action in actions:
        began = common.clock()
        _, _, terminated, truncated, _ = env.step(action)
        times.append(common.clock() - began)
        if terminated or truncated:
            env.reset()
    return {"seconds": times[100:]}


if __name__ == "__main__":
    common.serve(
        {
            "environment": environment,
            "backtest": backtest,
            "streaming": streaming,
            "gym_step": gym_step,
        }
    )
