"""The ledger counts every look and every opening once, whoever writes, and before it permits."""

from __future__ import annotations

import ast
import json
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import truefill
from truefill.core.errors import ArtifactError
from truefill.data.dataset import TestPermit
from truefill.pipeline import ledger as ledger_module
from truefill.pipeline.ledger import Ledger, Look, TestRows

ROWS = TestRows("aa" * 32, "2020-04-01T00:00:00+00:00", "2020-05-01T00:00:00+00:00", ("EUR",))
PROCESSES, ROUNDS = 5, 6


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "runs" / "ledger.sqlite")


def look(policy: str, sharpe: float | None = None, seed: int = 1) -> Look:
    return Look(policy, seed, sharpe, None if sharpe is None else sharpe / 10)


# ---- looks


def test_the_same_look_again_counts_once(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.book_looks("run", "validation", "v", [look("p", 0.1), look("q", 0.2, seed=2)])
    assert ledger.looks_on("v") == [0.1, 0.2]
    assert [(row["policy"], row["seed"], row["net_return"]) for row in ledger.looks()] == [
        ("p", 1, 0.01), ("q", 2, 0.02),
    ]  # fmt: skip


@pytest.mark.parametrize("other", ["run", "policy", "seed", "split"])
def test_each_part_of_the_key_makes_another_look(ledger: Ledger, other: str) -> None:
    ledger.book_looks("run", "validation", "v", [look("p", 0.1)])
    run, policy, seed, split = "run", "p", 1, "v"
    if other == "run":
        run = "run 2"
    elif other == "policy":
        policy = "p 2"
    elif other == "seed":
        seed = 2
    else:
        split = "v 2"
    ledger.book_looks(run, "validation", split, [look(policy, 0.3, seed)])
    assert len(ledger.looks()) == 2
    assert ledger.looks_on("v") == ([0.1] if other == "split" else [0.1, 0.3])


def test_a_look_without_a_sharpe_gets_it_later_and_keeps_its_place(ledger: Ledger) -> None:
    ledger.book_looks("run", "validation", "v", [look("p"), look("q")])
    assert ledger.looks_on("v") == [None, None]
    ledger.book_looks("run", "validation", "v", [look("q", 0.2)])
    ledger.book_looks("run", "validation", "v", [look("r", 0.3), look("p", 0.1)])
    assert ledger.looks_on("v") == [0.1, 0.2, 0.3]
    ledger.book_looks("run", "validation", "v", [look("p"), look("q")])  # a resumed selection
    assert ledger.looks_on("v") == [0.1, 0.2, 0.3]
    assert [row["net_return"] for row in ledger.looks()] == pytest.approx([0.01, 0.02, 0.03])


def test_reading_makes_no_ledger(ledger: Ledger) -> None:
    assert ledger.looks() == []
    assert ledger.openings() == []
    assert not ledger.path.exists()


# ---- openings


def test_the_opening_is_on_disk_before_the_permit_exists(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    booked: list[int] = []

    def permit(*, test_sha256: str, opening: int) -> TestPermit:
        booked.append(len(Ledger(ledger.path).openings()))
        return TestPermit(test_sha256, opening)

    monkeypatch.setattr(ledger_module, "TestPermit", permit)
    opening = ledger.open_test(ROWS, "run", "p")
    assert booked == [1]
    assert opening.permit == TestPermit(ROWS.sha256, 1)
    [row] = ledger.openings()
    assert (row["test_sha256"], row["run"], row["policy"]) == (ROWS.sha256, "run", "p")
    assert (row["first_bar"], row["end"]) == (ROWS.first_bar, ROWS.end)
    assert json.loads(row["symbols"]) == ["EUR"]


def test_a_ledger_that_cannot_be_written_gives_no_permit(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    monkeypatch.setattr(ledger_module, "TestPermit", lambda **facts: made.append(facts))
    ledger.path.mkdir(parents=True)
    with pytest.raises(ArtifactError, match="the ledger cannot be used"):
        ledger.open_test(ROWS, "run", "p")
    assert made == []


def test_the_identical_run_again_is_the_same_opening(ledger: Ledger) -> None:
    first = ledger.open_test(ROWS, "run", "p")
    second = ledger.open_test(ROWS, "run 2", "q")
    again = [ledger.open_test(ROWS, "run", "p"), ledger.open_test(ROWS, "run 2", "q")]
    assert [first.number, second.number] == [1, 2]
    assert again == [first, second]
    assert not first.contaminated
    assert second.contaminated
    assert len(ledger.openings()) == 2


@pytest.mark.parametrize(("run", "policy"), [("run", "q"), ("run 2", "p"), ("run 2", "q")])
def test_another_policy_or_config_is_contaminated(ledger: Ledger, run: str, policy: str) -> None:
    ledger.open_test(ROWS, "run", "p")
    opening = ledger.open_test(ROWS, run, policy)
    assert opening.number == 2
    assert opening.contaminated


OTHER = replace(ROWS, sha256="bb" * 32)
TOUCHING = {
    "the same period": OTHER,
    "one bar of overlap": replace(
        OTHER, first_bar="2020-04-30T23:00:00+00:00", end="2020-06-01T00:00:00+00:00"
    ),
    "inside": replace(
        OTHER, first_bar="2020-04-10T00:00:00+00:00", end="2020-04-11T00:00:00+00:00"
    ),
    "around": replace(
        OTHER, first_bar="2020-01-01T00:00:00+00:00", end="2021-01-01T00:00:00+00:00"
    ),
    "one of two symbols": replace(OTHER, symbols=("COP", "EUR")),
    "the same rows under another name": replace(ROWS, symbols=("EURUSD",)),
}
APART = {
    "the month after": replace(
        OTHER, first_bar="2020-05-01T00:00:00+00:00", end="2020-06-01T00:00:00+00:00"
    ),
    "the month before": replace(
        OTHER, first_bar="2020-03-01T00:00:00+00:00", end="2020-04-01T00:00:00+00:00"
    ),
    "another symbol": replace(OTHER, symbols=("COP",)),
}


@pytest.mark.parametrize("name", TOUCHING)
def test_rows_that_were_seen_are_contaminated(ledger: Ledger, name: str) -> None:
    ledger.open_test(ROWS, "run", "p")
    assert ledger.open_test(TOUCHING[name], "run 2", "q").number == 2
    assert TOUCHING[name].touches(ROWS)
    assert ROWS.touches(TOUCHING[name])


@pytest.mark.parametrize("name", APART)
def test_rows_that_nobody_saw_are_not(ledger: Ledger, name: str) -> None:
    ledger.open_test(ROWS, "run", "p")
    opening = ledger.open_test(APART[name], "run 2", "q")
    assert opening.number == 1
    assert not opening.contaminated
    assert not ROWS.touches(APART[name])


def test_only_the_ledger_makes_permits() -> None:
    root = Path(truefill.__file__).parent
    makers = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).split(".")[-1]
                named = "replace" in called and "permit" in ast.unparse(node).lower()
                if called == "TestPermit" or named:
                    makers.add(path.relative_to(root).as_posix())
    assert makers == {"pipeline/ledger.py"}


# ---- the file

CLIENT = """
import sys, time
from pathlib import Path
from truefill.pipeline.ledger import Ledger, Look, TestRows
folder, k, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rows = TestRows("aa", "2020-04-01", "2020-05-01", ("EUR",))
gate = folder / "gate"
(folder / f"ready.{k}").touch()
while not gate.exists():
    time.sleep(0.01)
start = float(gate.read_text())
for number in range(rounds):
    while time.time() < start + 0.15 * number:
        pass
    ledger = Ledger(folder / f"{number}.sqlite")
    ledger.book_looks(f"run {k}", "test", "t", [Look("p", 1, 0.5, 0.1)])
    print(ledger.open_test(rows, f"run {k}", "p").number)
"""


def test_processes_may_start_a_ledger_together(tmp_path: Path) -> None:
    """Round after round on a fresh ledger: every process gets a number of its own."""
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(tmp_path), str(k), str(ROUNDS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(PROCESSES)
    ]
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("ready.*"))) < PROCESSES and time.monotonic() < deadline:
        time.sleep(0.01)
    (tmp_path / "start").write_text(str(time.time() + 0.2))
    (tmp_path / "start").rename(tmp_path / "gate")
    said = [client.communicate(timeout=60) for client in clients]
    assert [client.returncode for client in clients] == [0] * PROCESSES, said
    numbers = np.asarray([[int(line) for line in out.split()] for out, _ in said])
    for number in range(ROUNDS):
        ledger = Ledger(tmp_path / f"{number}.sqlite")
        assert sorted(numbers[:, number]) == list(range(1, PROCESSES + 1))
        assert ledger.looks_on("t") == [0.5] * PROCESSES
        assert len(ledger.openings()) == PROCESSES


class BusyError(sqlite3.OperationalError):
    """What SQLite says while another process switches the file to WAL."""


class BusyFile:
    """A connection to a file that others hold ``times`` times; SQLite does not wait by itself."""

    def __init__(self, times: int, message: str = "database is locked") -> None:
        self.times, self.message = times, message
        self.said: list[str] = []

    def execute(self, statement: str) -> BusyFile:
        self.said.append(statement)
        if "=" in statement and self.times > 0:
            self.times -= 1
            raise BusyError(self.message)
        return self

    def executescript(self, statements: str) -> None:
        self.said.append(statements)

    def fetchone(self) -> list[str]:
        return ["delete"]


def test_a_file_that_is_locked_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    busy: Any = BusyFile(3)
    ledger_module._prepare(busy)
    assert busy.said.count("PRAGMA journal_mode = WAL") == 4
    assert busy.said[-1] == ledger_module.SCHEMA
    broken: Any = BusyFile(1, "disk I/O error")
    with pytest.raises(BusyError, match="disk I/O error"):
        ledger_module._prepare(broken)
    monkeypatch.setattr(ledger_module, "WAIT_S", 0.1)
    held: Any = BusyFile(999)
    with pytest.raises(BusyError, match="database is locked"):
        ledger_module._prepare(held)


@pytest.mark.parametrize("damage", ["not a database", "a header cut off", "a page overwritten"])
def test_a_damaged_ledger_is_an_artifact_error(ledger: Ledger, damage: str) -> None:
    ledger.open_test(ROWS, "run", "p")
    data = ledger.path.read_bytes()
    if damage == "not a database":
        data = b"looks,openings\n" * 100
    elif damage == "a header cut off":
        data = data[:50]
    else:
        data = data[:100] + b"\xff" * 400 + data[500:]
    for path in ledger.path.parent.iterdir():
        path.unlink()
    ledger.path.write_bytes(data)
    with pytest.raises(ArtifactError, match="the ledger cannot be used") as caught:
        ledger.open_test(ROWS, "run 2", "q")
    assert caught.value.where == str(ledger.path)
    assert ledger.path.read_bytes() == data
