"""How fast are the market, learning in it and backtests, and against other libraries?

    make bench            (or: .venv/bin/python benchmarks/bench_market.py [--repeats 9] [--json])

Everything runs one after the other on one core, in one run. ``docs/benchmarks.md`` says what each
item measures; ``make bench-rivals-setup`` installs the other libraries. ``--tune-sb3`` and
``--tune-vectorbt`` search the settings at which the others are fastest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from typing import Any

import common
from common import rate, result

BEST_SB3 = {"num_envs": 4096, "n_steps": 8, "batch": 8192, "shared": True}
"""Stable-Baselines3's fastest setting on our accounts; found by ``--tune-sb3``."""
SAME_BATCH_SB3 = {"num_envs": 4096, "n_steps": 8, "batch": 2048, "shared": True}
"""Its fastest setting with truefill's minibatch; found by ``--tune-sb3``."""
PLAIN_SB3 = {"num_envs": 16, "n_steps": 512, "batch": 8192, "shared": True}
"""Sixteen copies of the plain Python environment, the minibatch of ``BEST_SB3``."""
BEST_VECTORBT = ["from_signals", "numba"]
"""vectorbt's fastest way; found by ``--tune-vectorbt``."""
CALLS = 20_000
INSTALL = "not measured: the other libraries are not installed (make bench-rivals-setup)"


def ours(item: str, **options: Any) -> dict[str, Any]:
    """Measure an item of truefill."""
    return result(common.start("market_items.py", item, options))


def rival(item: str, **options: Any) -> dict[str, Any] | None:
    """Measure an item of another library; None where it is not installed."""
    if not common.RIVALS_PYTHON.exists():
        return None
    return result(common.start("rivals.py", item, options, python=str(common.RIVALS_PYTHON)))


def measure(repeats: int) -> dict[str, Any]:
    """All items, in turn."""
    few = max(3, repeats // 3)
    ppo = {"hidden": 64, "repeats": repeats, "full": True}
    return {
        "environment": ours("environment", repeats=repeats * 3, every=False),
        "environment_every": ours("environment", repeats=repeats * 3, every=True),
        "anytrading": rival("anytrading", repeats=repeats),
        "ppo": result(common.start("bench_ppo.py", "ppo", ppo)),
        "sb3_best": rival("sb3", repeats=repeats, plain=False, **BEST_SB3),
        "sb3_same_batch": rival("sb3", repeats=few, plain=False, **SAME_BATCH_SB3),
        "sb3_plain": rival("sb3", repeats=repeats, plain=True, **PLAIN_SB3),
        "backtest": ours("backtest", repeats=few, full=True),
        "backtest_fees": ours("backtest", repeats=few, full=False),
        "vectorbt": rival("vectorbt", repeats=few, ways=[BEST_VECTORBT]),
        "streaming": ours("streaming", calls=CALLS),
        "gym_step": ours("gym_step", calls=CALLS // 4),
    }


def spread(found: dict[str, Any], unit: str) -> str:
    """Median, lowest and highest of a rate."""
    scale, prefix = (1e6, "M") if rate(found)[0] >= 1e6 else (1e3, "k")
    median, low, high = (x / scale for x in rate(found))
    return f"{median:,.2f} {prefix} {unit} (lowest {low:,.2f}, highest {high:,.2f})"


def percentiles(found: dict[str, Any]) -> str:
    """p50 and p99 of the seconds of single calls."""
    cuts = statistics.quantiles(found["seconds"], n=100)
    count = len(found["seconds"])
    return f"p50 {cuts[49] * 1e6:.0f} us, p99 {cuts[98] * 1e6:.0f} us over {count:,} calls"


def against(mine: dict[str, Any], other: dict[str, Any] | None, unit: str) -> str:
    """Another library's rate, and ours as a multiple of it."""
    if other is None:
        return INSTALL
    versions = ", ".join(f"{name} {v}" for name, v in other["versions"].items())
    return f"{spread(other, unit)}; truefill {rate(mine)[0] / rate(other)[0]:.1f} x [{versions}]"


def setting(name: dict[str, Any]) -> str:
    """A setting of Stable-Baselines3 in words."""
    layers = "shared layers" if name["shared"] else "two networks"
    return f"{name['num_envs']} x {name['n_steps']} bars, batch {name['batch']:,}, {layers}"


def largest_gap(found: dict[str, Any]) -> float | None:
    """Largest relative difference of a final equity between truefill's and vectorbt's backtest."""
    if found["vectorbt"] is None:
        return None
    pairs = zip(found["backtest_fees"]["final"], found["vectorbt"]["final"], strict=True)
    return max(abs(float(a) / float(b) - 1.0) for a, b in pairs)


def show(report: dict[str, Any]) -> None:
    """Print what was measured."""
    found = report["items"]
    common.warn(report["machine"])
    machine = report["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    clock = "CPU time" if report["cpu_time"] else "wall clock"
    print(f"truefill market, one core of {machine['cpu']}, {clock}, load {machine['load']:.2f}")
    print(f"versions: {versions}")
    env, ppo, fees = found["environment"], found["ppo"], found["backtest_fees"]
    print(f"A environment, 4,096 accounts, {env['observations']} observations:")
    print("  both sides, leverage, margin, every stop, holding limits:")
    print(f"    {spread(env, 'steps/s')}; {env['ended']:,} episodes ended")
    every = found["environment_every"]
    print("  also lots, impact, volume limits, session caps, funding, dividends, splits, rates:")
    print(f"    {spread(every, 'steps/s')}; {every['ended']:,} episodes ended")
    print(f"B gym-anytrading, its fastest: {against(env, found['anytrading'], 'steps/s')}")
    print(f"C PPO 64x64, 4 epochs, 512 x 64 bars, batch 2,048: {spread(ppo, 'samples/s')}")
    for title, item, chosen in (
        ("its fastest", "sb3_best", BEST_SB3),
        ("same batch", "sb3_same_batch", SAME_BATCH_SB3),
    ):
        print(f"  Stable-Baselines3, {title} ({setting(chosen)}):")
        print(f"    {against(ppo, found[item], 'samples/s')}")
    print(f"D Stable-Baselines3 on the plain Python environment ({setting(PLAIN_SB3)}):")
    print(f"    {against(ppo, found['sb3_plain'], 'samples/s')}")
    print(f"E backtest, {fees['accounts']} accounts x {fees['bars']:,} bars, equity of every bar:")
    print(f"    with stops and limits: {spread(found['backtest'], 'account-bars/s')}")
    print(f"    fees only: {spread(fees, 'account-bars/s')}")
    print(f"  vectorbt, {', '.join(BEST_VECTORBT)}, same bars, signals and fees:")
    print(f"    {against(fees, found['vectorbt'], 'account-bars/s')}")
    if found["vectorbt"] is not None:
        alone = {**found["vectorbt"], "seconds": found["vectorbt"]["simulated"]}
        print(f"    without its equity curves: {against(fees, alone, 'account-bars/s')}")
        print(f"    final equities differ by {report['largest_gap']:.1e} at most (relative)")
    print(f"F one account, one new bar, results on the host: {percentiles(found['streaming'])}")
    print(f"  one step of the Gymnasium environment: {percentiles(found['gym_step'])}")


def tune_sb3(repeats: int) -> None:
    """Samples a second of Stable-Baselines3 over its settings, the fastest first."""
    grid = [
        {"num_envs": n, "n_steps": rollout // n, "batch": batch, "shared": shared}
        for n in (64, 256, 1_024, 4_096)
        for rollout in (8_192, 32_768)
        for batch in (2_048, 8_192, 32_768)
        for shared in (True, False)
        if batch <= rollout
    ]
    table = []
    for chosen in grid:
        found = rival("sb3", repeats=repeats, plain=False, **chosen)
        if found is None:
            raise SystemExit(INSTALL)
        table.append((rate(found)[0], setting(chosen)))
        print(f"{table[-1][0]:>12,.0f} samples/s  {table[-1][1]}", flush=True)
    print("\nthe fastest first")
    for samples, words in sorted(table, reverse=True):
        print(f"{samples:>12,.0f} samples/s  {words}")


def tune_vectorbt(repeats: int) -> None:
    """Account-bars a second of vectorbt's methods and engines."""
    ways = [[m, e] for m in ("from_signals", "from_orders") for e in ("numba", "rust")]
    found = rival("vectorbt", repeats=repeats, ways=ways)
    if found is None:
        raise SystemExit(INSTALL)
    for way, bars in found["ways"].items():
        print(f"{bars:>14,.0f} account-bars/s  {way}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cpu-time", action="store_true", help="for a busy machine")
    parser.add_argument("--tune-sb3", action="store_true")
    parser.add_argument("--tune-vectorbt", action="store_true")
    options = parser.parse_args()
    if options.cpu_time:
        os.environ["BENCH_CLOCK"] = "cpu"  # the children read it
    if options.tune_sb3:
        return tune_sb3(2)
    if options.tune_vectorbt:
        return tune_vectorbt(3)
    machine = common.machine(("truefill", "jax", "jaxlib", "equinox", "optax", "numpy"))
    found = measure(options.repeats)
    gap = largest_gap(found)
    report = {"machine": machine, "cpu_time": options.cpu_time, "items": found, "largest_gap": gap}
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    if gap is not None and gap > 1e-9:
        raise SystemExit(f"truefill and vectorbt do different work: equities differ by {gap:.1e}")


if __name__ == "__main__":
    main()
