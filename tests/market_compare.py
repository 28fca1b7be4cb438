"""The engine and the independent ledger side by side: run either on a case, compare the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from market_cases import (
    ACCOUNT_RULES,
    OPTIONAL_ACCOUNT_RULES,
    OPTIONAL_SYMBOL_RULES,
    SYMBOL_RULES,
    Case,
    replay_case,
)
from oracle import Ledger
from oracle_types import AccountRules, Bar, Order, Quote, SymbolRules

LEGS = ("at_open", "order", "in_bar", "at_end")
ALL_LEGS = (*LEGS, "at_cap")
LEG_FIELDS = (
    "units", "price", "notional", "fee", "spread", "reason", "profit", "closed_units",
)  # fmt: skip
PER_ACCOUNT = (
    "equity", "cash", "peak", "interest", "borrow", "funding", "dividends", "log_return",
    "turnover", "drawdown", "liquidated", "ruined", "written_off",
)  # fmt: skip
PER_SYMBOL = ("units", "entry", "best", "flow", "mark", "held", "status", "ambiguous", "resolved")
WORKING = ("working.kind", "working.value", "working.type", "working.price", "working.gtc")
RELATIVE = 1e-9
PRICES = {f"{leg}.price" for leg in ALL_LEGS}
OWN_SCALE = {"equity", "peak", "entry", "best", "mark", "working.value", "working.price"} | PRICES
EXACT = {
    "held", "status", "liquidated", "ruined", "ambiguous", "resolved", "working.kind",
    "working.type", "working.gtc",
} | {f"{leg}.reason" for leg in ALL_LEGS}  # fmt: skip
PURE = {"log_return", "turnover", "drawdown"}
UNITS = {"units"} | {f"{leg}.{name}" for leg in ALL_LEGS for name in ("units", "closed_units")}
Chooser = Callable[[Ledger, int, int], list[Order]]


def recorded(case: Case) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What this case has: fields of the account, of a symbol, and legs."""
    absent = {"funding": "funding", "dividends": "dividend", "resolved": "finer_high"}
    caps = "session_end" in case.extra and not case.rules.keys().isdisjoint(
        ("leverage_at_close", "weight_at_close")
    )
    legs = tuple(leg for leg in ALL_LEGS if leg != "at_cap" or caps)
    symbol = PER_SYMBOL if case.route is None else (*PER_SYMBOL, *WORKING)

    def there(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(n for n in names if n not in absent or absent[n] in case.extra)

    return there(PER_ACCOUNT), there(symbol), legs


# ---- the ledger


def ledger_rules(case: Case, account: int) -> AccountRules:
    def named(*tables: dict[str, Any]) -> list[str]:
        return [name for table in tables for name in table if name in case.rules]

    symbols = tuple(
        SymbolRules(
            **{
                name: case.rules[name][account, s].item()
                for name in named(SYMBOL_RULES, OPTIONAL_SYMBOL_RULES)
            }
        )
        for s in range(case.shape[2])
    )
    own = {
        name: case.rules[name][account].item()
        for name in named(ACCOUNT_RULES, OPTIONAL_ACCOUNT_RULES)
    }
    return AccountRules(**own, lag=case.lag, symbols=symbols)


def ledger_bars(case: Case) -> list[Bar]:
    """Bars for the ledger; bar t carries the ATR known at the close of bar t - 1."""
    total, _, symbols = case.shape
    extra = {name: column for name, column in case.extra.items() if "finer" not in name}
    lists = {
        name: values.tolist() for name, values in {**case.prices, **case.costs, **extra}.items()
    }
    finer = None
    if "finer_high" in case.extra:
        finer = np.stack([case.extra["finer_high"], case.extra["finer_low"]], -1).tolist()
    bars = []
    for t in range(total):
        quotes = tuple(
            Quote(
                state=int(case.state[t, s]),
                atr=float(case.atr[max(t - 1, 0), s]),
                finer=None if finer is None else tuple((h, low) for h, low in finer[t][s]),
                **{name: rows[t][s] for name, rows in lists.items()},
            )
            for s in range(symbols)
        )
        seconds = float(case.timestamps_s[t] - case.timestamps_s[t - 1]) if t else 0.0
        bars.append(Bar(quotes, seconds, float(case.interest[t])))
    return bars


class Tape:
    """Orders of a case as the ledger reads them, and as a chooser writes them."""

    def __init__(self, case: Case) -> None:
        self.case = case
        given = {"kind": case.kind, "value": case.value, **(case.route or {})}
        self.columns = {name: np.array(column) for name, column in given.items()}

    def read(self, t: int, account: int) -> list[Order]:
        rows = [column[t, account].tolist() for column in self.columns.values()]
        return [Order(*fields) for fields in zip(*rows, strict=True)]

    def write(self, t: int, account: int, orders: list[Order]) -> None:
        for s, order in enumerate(orders):
            for name, column in self.columns.items():
                column[t, account, s] = getattr(order, name)

    def traded(self) -> Case:
        route = {name: self.columns[name] for name in self.case.route or ()}
        return self.case.with_orders(
            self.columns["kind"], self.columns["value"], route if self.case.route else None
        )


def ledger_case(
    case: Case, choose: Chooser | None = None
) -> tuple[dict[str, np.ndarray], Counter[str], Case]:
    """Run the ledger over all accounts.

    ``choose(ledger, account, t)`` decides the orders at the close of bar t; without it they are
    those of the case. Returns the record (fields [T - 1, N] or [T - 1, N, S], legs as "leg.field"),
    how often each rule fired, and the case with the orders that were traded.
    """
    total, accounts, symbols = case.shape
    per_account, per_symbol, legs = recorded(case)
    wide = (total - 1, accounts, symbols)
    record = {name: np.zeros(wide[:2]) for name in per_account}
    record |= {name: np.zeros(wide) for name in per_symbol}
    record |= {f"{leg}.{name}": np.zeros(wide) for leg in legs for name in LEG_FIELDS}
    fired: Counter[str] = Counter()
    tape, bars = Tape(case), ledger_bars(case)
    marks = [q.close * (q.rate_close or 1.0) for q in bars[0].quotes]
    for n in range(accounts):
        ledger = Ledger(ledger_rules(case, n), marks)
        for t in range(1, total):
            due = tape.read(t - 1, n) if choose is None else choose(ledger, n, t - 1)
            if choose is not None:
                tape.write(t - 1, n, due)
            report = ledger.step(bars[t], due)
            fired.update(report.rules)
            for name in per_account:
                source = ledger if name in ("equity", "cash", "peak") else report
                record[name][t - 1, n] = getattr(source, name)
            _record_symbols(record, per_symbol, ledger, (t - 1, n))
            for (leg, s), fill in report.fills.items():
                for name in LEG_FIELDS:
                    record[f"{leg}.{name}"][t - 1, n, s] = getattr(fill, name)
    return record, fired, tape.traded()


def _record_symbols(
    record: dict[str, np.ndarray], names: tuple[str, ...], ledger: Ledger, at: tuple[int, int]
) -> None:
    report = ledger.report
    for s, p in enumerate(ledger.positions):
        for name in ("units", "entry", "best", "flow", "mark", "held"):
            record[name][*at, s] = getattr(p, name)
        record["status"][*at, s] = report.status[s]
        record["ambiguous"][*at, s] = s in report.ambiguous
        if "resolved" in names:
            record["resolved"][*at, s] = s in report.resolved
        order = ledger.working[s]
        if order is not None and "working.kind" in names:
            for name in WORKING:
                record[name][*at, s] = getattr(order, name.removeprefix("working."))


# ---- the engine


def engine_record(case: Case) -> dict[str, np.ndarray]:
    account, result = replay_case(case)
    per_account, per_symbol, legs = recorded(case)

    def found(name: str) -> Any:
        head, _, tail = name.partition(".")
        if head == "working":
            orders = account.working
            return getattr(orders if tail in ("kind", "value") else orders.route, tail)
        if tail:
            return getattr(getattr(result, head), tail)
        return getattr(account if hasattr(account, name) else result, name)

    names = [*per_account, *per_symbol, *(f"{leg}.{name}" for leg in legs for name in LEG_FIELDS)]
    return {name: np.asarray(found(name), np.float64) for name in names}


# ---- both


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """Equal to 1e-9 of the money at work; discrete fields equal. ``ours`` is the engine's."""
    found = differences(ours, theirs)
    if found:
        pytest.fail("\n".join(found))


def differences(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> list[str]:
    """One line for each field that differs, the earliest bar first."""
    wide = theirs["units"].shape
    legs = [leg for leg in ALL_LEGS if f"{leg}.units" in theirs]
    traded = sum(theirs[f"{leg}.notional"] for leg in legs)
    held = np.abs(theirs["units"]) * theirs["mark"]
    before = np.concatenate([theirs["equity"][:1], theirs["equity"][:-1]])
    money = np.maximum(theirs["equity"], before) + (traded + held).sum(-1)
    found = []
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
        bad &= _meant(name, theirs, scale)
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            text = (
                f"{name} at (bar - 1, account, symbol) {where}: engine {got[where]!r}, "
                f"ledger {expected[where]!r}; {int(bad.sum())} places in all"
            )
            found.append((where[0], text))
    return [text for _, text in sorted(found)]


def _meant(name: str, theirs: dict[str, np.ndarray], scale: np.ndarray) -> Any:
    """Where a field means anything: no price without a working order, none of a trade that is
    rounding dust."""
    if name.startswith("working.") and name != "working.kind":
        return theirs["working.kind"] != 0.0
    if name in PRICES:
        units = theirs[name.replace("price", "units")]
        return (units == 0.0) | (np.abs(units) * theirs["mark"] > RELATIVE * scale)
    return True
