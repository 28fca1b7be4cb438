"""The engine and the independent ledger side by side: run either on a case, compare the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from market_cases import ACCOUNT_RULES, SYMBOL_RULES, Case, replay_case
from oracle import AccountRules, Bar, Ledger, Order, Quote, SymbolRules

LEGS = ("at_open", "order", "in_bar", "at_end")
LEG_FIELDS = ("units", "price", "fee", "spread", "reason", "profit", "closed_units")
PER_ACCOUNT = (
    "equity", "cash", "peak", "interest", "borrow", "log_return", "turnover", "drawdown",
    "liquidated", "ruined", "written_off",
)  # fmt: skip
PER_SYMBOL = ("units", "entry", "best", "flow", "mark", "held", "status", "ambiguous")
RELATIVE = 1e-9
OWN_SCALE = {"equity", "peak", "entry", "best", "mark"} | {f"{leg}.price" for leg in LEGS}
EXACT = {"held", "status", "liquidated", "ruined", "ambiguous"} | {f"{leg}.reason" for leg in LEGS}
PURE = {"log_return", "turnover", "drawdown"}
UNITS = {"units"} | {f"{leg}.{name}" for leg in LEGS for name in ("units", "closed_units")}
Chooser = Callable[[Ledger, int, int], list[Order]]


def ledger_rules(case: Case, account: int) -> AccountRules:
    symbols = tuple(
        SymbolRules(**{name: case.rules[name][account, s].item() for name in SYMBOL_RULES})
        for s in range(case.shape[2])
    )
    own = {name: case.rules[name][account].item() for name in ACCOUNT_RULES}
    return AccountRules(**own, lag=case.lag, symbols=symbols)


def ledger_bars(case: Case) -> list[Bar]:
    """Bars for the ledger; bar t carries the ATR known at the close of bar t - 1."""
    total, _, symbols = case.shape
    columns = {**case.prices, **case.costs}
    lists = {name: values.tolist() for name, values in columns.items()}
    bars = []
    for t in range(total):
        quotes = tuple(
            Quote(
                state=int(case.state[t, s]),
                atr=float(case.atr[max(t - 1, 0), s]),
                **{name: lists[name][t][s] for name in columns},
            )
            for s in range(symbols)
        )
        seconds = float(case.timestamps_s[t] - case.timestamps_s[t - 1]) if t else 0.0
        bars.append(Bar(quotes, seconds, float(case.interest[t])))
    return bars


def ledger_case(
    case: Case, choose: Chooser | None = None
) -> tuple[dict[str, np.ndarray], Counter[str], Case]:
    """Run the ledger over all accounts.

    ``choose(ledger, account, t)`` decides the orders at the close of bar t; without it they are
    those of the case. Returns the record (fields [T - 1, N] or [T - 1, N, S], legs as "leg.field"),
    how often each rule fired, and the case with the orders that were traded.
    """
    total, accounts, symbols = case.shape
    record = {name: np.zeros((total - 1, accounts)) for name in PER_ACCOUNT}
    wide = (total - 1, accounts, symbols)
    record |= {name: np.zeros(wide) for name in PER_SYMBOL}
    record |= {f"{leg}.{name}": np.zeros(wide) for leg in LEGS for name in LEG_FIELDS}
    fired: Counter[str] = Counter()
    kind, value = np.array(case.kind), np.array(case.value)
    bars = ledger_bars(case)
    for n in range(accounts):
        ledger = Ledger(ledger_rules(case, n), [q.close for q in bars[0].quotes])
        for t in range(1, total):
            if choose is None:
                due = [(int(kind[t - 1, n, s]), float(value[t - 1, n, s])) for s in range(symbols)]
            else:
                due = choose(ledger, n, t - 1)
                for s, order in enumerate(due):
                    kind[t - 1, n, s], value[t - 1, n, s] = order
            report = ledger.step(bars[t], due)
            fired.update(report.rules)
            for name in PER_ACCOUNT:
                source = ledger if name in ("equity", "cash", "peak") else report
                record[name][t - 1, n] = getattr(source, name)
            for s, position in enumerate(ledger.positions):
                at = (t - 1, n, s)
                for name in ("units", "entry", "best", "flow", "mark", "held"):
                    record[name][at] = getattr(position, name)
                record["status"][at] = report.status[s]
                record["ambiguous"][at] = s in report.ambiguous
            for (leg, s), fill in report.fills.items():
                for name in LEG_FIELDS:
                    record[f"{leg}.{name}"][t - 1, n, s] = getattr(fill, name)
    return record, fired, case.with_orders(kind, value)


def engine_record(case: Case) -> dict[str, np.ndarray]:
    account, result = replay_case(case)
    record = {
        name: np.asarray(getattr(account if hasattr(account, name) else result, name), np.float64)
        for name in (*PER_ACCOUNT, *PER_SYMBOL)
    }
    for leg in LEGS:
        for name in LEG_FIELDS:
            record[f"{leg}.{name}"] = np.asarray(getattr(getattr(result, leg), name), np.float64)
    return record


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """Equal to 1e-9 of the money at work; discrete fields equal. ``ours`` is the engine's."""
    wide = theirs["units"].shape
    traded = sum(np.abs(theirs[f"{leg}.units"]) * theirs[f"{leg}.price"] for leg in LEGS)
    held = np.abs(theirs["units"]) * theirs["mark"]
    before = np.concatenate([theirs["equity"][:1], theirs["equity"][:-1]])
    money = np.maximum(theirs["equity"], before) + (traded + held).sum(-1)
    for name, expected in theirs.items():
        got = ours[name]
        scale = money[..., None] if expected.shape == wide else money
        if name in EXACT:
            bad = got != expected
        elif name in OWN_SCALE:
            bad = ~(np.abs(got - expected) <= RELATIVE * np.abs(expected))
        elif name in PURE:
            bad = ~(np.abs(got - expected) <= RELATIVE * np.maximum(np.abs(expected), 1.0))
        elif name in UNITS:
            bad = ~(np.abs(got - expected) * theirs["mark"] <= RELATIVE * scale)
        else:
            bad = ~(np.abs(got - expected) <= RELATIVE * scale)
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            pytest.fail(
                f"{name} at (bar - 1, account, symbol) {where}: engine {got[where]!r}, "
                f"ledger {expected[where]!r}; {int(bad.sum())} places in all"
            )
