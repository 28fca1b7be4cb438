"""What became of orders, and how many exits rest on an assumption."""

from __future__ import annotations

import polars as pl

from truefill.evaluation.gates import count, percent
from truefill.report.gather import Run
from truefill.report.words import STATUSES

EXITS_IN_A_BAR = ("stop_loss", "trailing_stop", "take_profit")
"""Reasons of exits for which the order of a bar's high and low matters."""


def orders_facts(run: Run, split: str) -> list[tuple[str, str]]:
    """What became of the chosen policy's orders, and how far its exits rest on an assumption.

    Reads ``orders`` of metrics.json: by split ``statuses`` (OrderStatus -> count), ``ambiguous``
    and ``resolved`` (bars on which stop and target both lay inside).
    """
    orders = run.metrics["orders"][split]
    counts = {int(status): number for status, number in orders["statuses"].items()}
    facts = [
        (f"Orders: {words}", count(counts[code]))
        for code, words in STATUSES.items()
        if counts.get(code)
    ]
    trades = run.trades.filter(
        (pl.col("split") == split)
        & (pl.col("strategy") == run.chosen)
        & pl.col("reason").is_in(EXITS_IN_A_BAR)
    )
    exits = trades.height
    for name, number, means in (
        ("Stop and target in one bar", orders["ambiguous"], ": the worse was taken"),
        ("Decided by finer bars", orders["resolved"], ""),
    ):
        share = f", {percent(number / exits)}" if number and exits else ""
        text = f"{count(number)} of {count(exits)} exits by stop or target{share}"
        facts.append((name, text + (means if number else "")))
    return facts
