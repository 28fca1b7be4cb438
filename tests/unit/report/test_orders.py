"""What the report says of orders and exits, in words that cover every status the market has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from truefill.config.load import parse_config
from truefill.market.types import OrderStatus
from truefill.report.gather import Run, gather
from truefill.report.orders import orders_facts
from truefill.report.tables import costs_facts, rates_facts
from truefill.report.words import STATUSES, money


@pytest.fixture(scope="module")
def run(opened_run: Path) -> Run:
    return gather(opened_run)


def with_orders(run: Run, reasons: list[str], **orders: Any) -> Run:
    """``run`` whose chosen policy ended trades for ``reasons`` on test."""
    rows = run.trades.head(len(reasons)).with_columns(
        pl.lit("test").alias("split"),
        pl.lit(run.chosen).alias("strategy"),
        pl.Series("reason", reasons),
    )
    metrics = run.metrics | {"orders": {"test": orders}}
    return replace(run, trades=rows, metrics=metrics)


def test_every_status_has_its_words() -> None:
    assert set(STATUSES) == {int(status) for status in OrderStatus} - {0}
    assert len(set(STATUSES.values())) == len(STATUSES)


def test_statuses_are_counted_and_none_is_left_out(run: Run) -> None:
    statuses = {"0": 900, "1": 40, "9": 2, "10": 1, "11": 1_200}
    facts = dict(orders_facts(
        with_orders(run, [], statuses=statuses, ambiguous=0, resolved=0), "test"
    ))  # fmt: skip
    assert facts["Orders: filled"] == "40"
    assert facts["Orders: filled in part: room or volume ran out"] == "2"
    assert facts["Orders: no volume left"] == "1"
    assert facts["Orders: bars waited for the price"] == "1,200"
    assert len(facts) == 4 + 2


def test_shares_are_of_the_exits_that_the_order_of_high_and_low_decides(run: Run) -> None:
    reasons = ["stop_loss", "order", "take_profit", "trailing_stop", "liquidation", "stop_loss"]
    orders = {"statuses": {}, "ambiguous": 1, "resolved": 2}
    facts = dict(orders_facts(with_orders(run, reasons, **orders), "test"))
    assert facts == {
        "Stop and target in one bar":
            "1 of 4 exits by stop or target, 25.00 %: the worse was taken",
        "Decided by finer bars": "2 of 4 exits by stop or target, 50.00 %",
    }  # fmt: skip


def test_without_exits_there_is_no_share(run: Run) -> None:
    orders = {"statuses": {}, "ambiguous": 0, "resolved": 0}
    facts = dict(orders_facts(with_orders(run, ["order"], **orders), "test"))
    assert facts["Stop and target in one bar"] == "0 of 0 exits by stop or target"


def test_dividends_are_shown_where_the_data_hold_them(run: Run) -> None:
    name = "Dividends received, less those paid on shorts"
    assert name not in dict(costs_facts(run, "test"))
    tree = run.config.model_dump(mode="json")
    tree["data"]["events"] = [
        {"path": "paid.csv", "kind": "dividend", "symbol": "X", "column": "cash"}
    ]
    orders = {"statuses": {}, "ambiguous": 0, "resolved": 0, "dividends": -12.5}
    paid = replace(with_orders(run, [], **orders), config=parse_config(tree))
    assert dict(costs_facts(paid, "test"))[name] == money(-12.5)


def test_rates_are_those_of_the_symbols(run: Run) -> None:
    symbol = run.lineage["symbols"][0]
    tree = run.config.model_dump(mode="json")
    tree["market"] |= {"fee_bps": 10, "half_spread_bps": 2, "slippage_bps": 3}
    one = replace(run, config=parse_config(tree))
    assert rates_facts(one)[0] == ("Fee", "10 bps, 67% of a trade's cost")
    tree["market"]["symbols"] = {symbol: {"fee_bps": 5}, "OTHER": {}}
    lineage = run.lineage | {"symbols": [symbol, "OTHER"]}
    two = replace(run, config=parse_config(tree), lineage=lineage)
    assert rates_facts(two) == [
        ("Fee", "5 to 10 bps by symbol"), ("Half spread", "2 bps"), ("Slippage", "3 bps"),
    ]  # fmt: skip
