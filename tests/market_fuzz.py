"""Random cases in which every rule of the market fires.

``python tests/market_fuzz.py --account-bars 5000000 --seed 1`` plays that many account-bars through
engine and ledger and prints how often each rule fired.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import pytest

from market_bars import random_columns, random_prices, random_splits, random_states
from market_cases import FOREVER, LONG_AGO, Case, rule_arrays
from market_compare import differences, engine_record, ledger_case
from market_orders import blind_orders as blind_orders
from market_orders import lively_orders
from truefill.market.types import NEVER, BarState

GROUPS = frozenset(
    {
        "routes", "impact", "participation", "funding", "dividend", "split", "rates", "caps",
        "derivatives", "finer",
    }
)  # fmt: skip
"""What a market may be compiled without; each group brings its rules and its columns."""
NOTHING: frozenset[str] = frozenset()


class Shape(NamedTuple):
    """What is compiled once: sizes, lag and the optional groups."""

    symbols: int
    lag: int
    groups: frozenset[str]
    bars: int = 201
    accounts: int = 64

    @property
    def account_bars(self) -> int:
        return (self.bars - 1) * self.accounts


SHAPES = (
    Shape(symbols=1, lag=1, groups=NOTHING),
    Shape(symbols=2, lag=1, groups=GROUPS),
    Shape(symbols=1, lag=2, groups=GROUPS),
    Shape(symbols=3, lag=2, groups=GROUPS - {"routes", "impact", "participation", "finer"}),
    Shape(symbols=1, lag=3, groups=frozenset({"routes", "participation"})),
)
"""Few, as each is compiled: bare, full, full with a queue, no working orders, no extras."""


def random_case(
    seed: int,
    *,
    bars: int,
    accounts: int,
    symbols: int,
    lag: int,
    groups: frozenset[str] = NOTHING,
) -> Case:
    """Jumpy bars with masks, no-trade windows and pauses; accounts with all rules in random mixes.
    Rows of masked bars carry absurd numbers: nothing may look at them. No orders yet."""
    rng = np.random.default_rng(seed)
    full = (bars, symbols)
    state = random_states(rng, full)
    split = random_splits(rng, full) if "split" in groups else np.ones(full)
    prices, atr = random_prices(rng, full, split)
    garbage = np.where(state == BarState.MASKED, 10.0 ** rng.uniform(-6, 6, full), 1.0)
    extra = random_columns(rng, groups, prices, state, split)
    steps = np.where(rng.random(bars) < 0.05, 3 * 86_400.0, 3_600.0)
    top = {"fee": 1e-3, "half_spread": 4e-4, "slippage": 4e-4, "borrow": 0.5}
    first_worth = prices["close"][0] * extra.get("rate_close", np.ones(full))[0]
    rules = _random_rules(rng, accounts, symbols, first_worth)
    return Case(
        timestamps_s=LONG_AGO + np.cumsum(steps),
        prices={name: values * garbage for name, values in prices.items()},
        state=state,
        atr=atr,
        costs={name: rng.uniform(0.0, limit, full) for name, limit in top.items()},
        interest=rng.uniform(0.0, 0.3, bars),
        rules=rule_arrays(
            accounts, symbols, rules | _optional_rules(rng, groups, accounts, symbols)
        ),
        kind=np.zeros((bars - 1, accounts, symbols), np.int32),
        value=np.zeros((bars - 1, accounts, symbols)),
        lag=lag,
        route=_no_routes((bars - 1, accounts, symbols)) if "routes" in groups else None,
        extra=extra,
    )


def _no_routes(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"type": np.zeros(shape, np.int32), "price": np.ones(shape), "gtc": np.zeros(shape)}


def _random_rules(
    rng: np.random.Generator, accounts: int, symbols: int, worth: np.ndarray
) -> dict[str, np.ndarray]:
    one, wide = (accounts,), (accounts, symbols)
    balance = 10.0 ** rng.uniform(3, 5, accounts)
    share = balance[:, None] / worth
    leverage = rng.choice([1.0, 1.5, 3.0, 3.0], one)
    return {
        "initial_balance": balance,
        "cost_multiple": rng.choice([0.5, 1.0, 1.0, 2.0], one),
        "extra_slippage": rng.choice([0.0, 0.0, 3e-4], one),
        "decision_interval": rng.choice([1, 1, 1, 2, 3], one),
        "allow_short": rng.choice([0.0, 1.0, 1.0], wide),
        "max_leverage": leverage,
        "max_weight": rng.choice([0.5, 1.0, 3.0, 3.0], wide) * rng.uniform(0.9, 1.0, wide),
        "lot": share * rng.choice([0.0, 0.0, 1e-3, 0.01], wide),
        "min_notional": balance[:, None] * rng.choice([0.0, 1e-3, 0.01], wide),
        "band": rng.choice([0.0, 0.02, 0.1], wide),
        "min_hold": rng.choice([0, 0, 2, 6], wide),
        "max_hold": rng.choice([FOREVER, 8, 25], wide),
        "stop_loss": rng.choice([NEVER, NEVER, 0.008, 0.02, 0.06], wide),
        "take_profit": rng.choice([NEVER, NEVER, 0.008, 0.02, 0.06], wide),
        "use_atr": rng.choice([0.0, 0.0, 1.0], wide),
        "atr_stop": rng.uniform(1.0, 3.0, wide),
        "atr_target": rng.uniform(1.0, 4.0, wide),
        "atr_stop_min": rng.uniform(0.001, 0.006, wide),
        "atr_stop_max": rng.uniform(0.02, 0.05, wide),
        "atr_target_min": rng.uniform(0.001, 0.006, wide),
        "atr_target_max": rng.uniform(0.02, 0.05, wide),
        "trail_distance": rng.choice([NEVER, NEVER, NEVER, 0.01, 0.03], wide),
        "trail_activation": rng.choice([NEVER, NEVER, 0.004, 0.012], wide),
        "trail_keep": rng.uniform(0.2, 0.8, wide),
        "trail_floor": rng.choice([0.0, 0.002], wide),
        "maintenance": rng.choice([0.0, 0.5, 0.97], one) / leverage,
        "ruin_fraction": rng.choice([0.0, 0.05, 0.2, 0.9], one, p=[0.4, 0.2, 0.2, 0.2]),
    }


def _optional_rules(
    rng: np.random.Generator, groups: frozenset[str], accounts: int, symbols: int
) -> dict[str, np.ndarray]:
    wide = (accounts, symbols)
    found: dict[str, np.ndarray] = {}
    if "routes" in groups:
        found["fill_buffer"] = rng.choice([0.0, 5e-4, 2e-3], wide)
    if "impact" in groups:
        found["impact"] = rng.choice([0.0, 0.002, 0.01], wide)
        found["impact_exponent"] = rng.choice([0.5, 1.0, 0.3], wide)
    if "participation" in groups:
        found["max_participation"] = rng.choice([1e9, 0.2, 0.03], wide)
    if "caps" in groups:
        found["leverage_at_close"] = rng.choice(
            [1e9, 1.4, 1.0, 0.4, 0.0], accounts, p=[0.3, 0.2, 0.2, 0.2, 0.1]
        )
        found["weight_at_close"] = rng.choice([1e9, 1.2, 0.3, 0.0], wide, p=[0.4, 0.2, 0.3, 0.1])
    if "derivatives" in groups:
        found["derivative"] = rng.choice([0.0, 1.0], wide)
    return found


# ---- engine against ledger


def agree(seed: int, shape: Shape) -> tuple[Counter[str], float]:
    """Run both; return how often each rule fired and the share of account-bars with money left."""
    case = random_case(
        seed, bars=shape.bars, accounts=shape.accounts, symbols=shape.symbols, lag=shape.lag,
        groups=shape.groups,
    )  # fmt: skip
    theirs, fired, case = ledger_case(case, lively_orders(case, seed + 1))
    found = differences(engine_record(case), theirs)
    if found:
        pytest.fail("\n".join([f"seed {seed}, {shape}:", *found]))
    return fired, float(np.mean(theirs["equity"] > 0.01 * case.rules["initial_balance"]))


def _long_run(account_bars: int, seed: int) -> Counter[str]:
    """Seeds from ``seed`` on, all shapes in turn, until that many account-bars are played."""
    fired: Counter[str] = Counter()
    started, told = time.monotonic(), 0.0
    for number, shape in enumerate(_in_turn()):
        if fired["account-bars"] >= account_bars:
            break
        fired += agree(seed + 2 * number, shape)[0]
        fired["account-bars"] += shape.account_bars
        if time.monotonic() - told > 30.0:
            told = time.monotonic()
            print(f"{fired['account-bars']:,} account-bars, {told - started:.0f} s", flush=True)
    return fired


def _in_turn() -> Iterator[Shape]:
    while True:
        yield from SHAPES


def main() -> None:
    parser = argparse.ArgumentParser(description="engine against the independent ledger")
    parser.add_argument("--account-bars", type=int, default=5_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    share = -(-given.account_bars // given.processes)
    jobs = [(share, given.seed + 1_000_000 * worker) for worker in range(given.processes)]
    if given.processes == 1:
        parts = [_long_run(*jobs[0])]
    else:
        with get_context("spawn").Pool(given.processes) as pool:
            parts = pool.starmap(_long_run, jobs)
    fired = sum(parts, Counter[str]())
    for name, count in sorted(fired.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:>12,}  {name}")


if __name__ == "__main__":
    main()
