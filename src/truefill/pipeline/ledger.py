"""The trial ledger: every policy ever scored on a split, and every opening of a test split.

SQLite in WAL mode, shared by all runs of a runs folder. Rows are keyed, so that a run that is
killed and resumed counts once. Only this module makes a ``TestPermit``, after booking the opening.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from truefill.core.errors import ArtifactError
from truefill.data.dataset import TestPermit

LEDGER = "ledger.sqlite"
WAIT_S = 60.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS looks (
    run TEXT NOT NULL, policy TEXT NOT NULL, seed INTEGER NOT NULL, split TEXT NOT NULL,
    split_sha256 TEXT NOT NULL, sharpe REAL, net_return REAL, looked_at TEXT NOT NULL,
    PRIMARY KEY (run, policy, seed, split_sha256)
);
CREATE TABLE IF NOT EXISTS openings (
    opening INTEGER PRIMARY KEY AUTOINCREMENT,
    test_sha256 TEXT NOT NULL, first_bar TEXT NOT NULL, end TEXT NOT NULL, symbols TEXT NOT NULL,
    run TEXT NOT NULL, policy TEXT NOT NULL, opened_at TEXT NOT NULL,
    UNIQUE (test_sha256, first_bar, end, run, policy)
);
"""


KEY = ("test_sha256", "first_bar", "end", "run", "policy")


@dataclass(frozen=True)
class Look:
    """One policy scored on one split. ``sharpe`` is per period; None where there is none (yet)."""

    policy: str
    seed: int
    sharpe: float | None
    net_return: float | None


@dataclass(frozen=True)
class TestRows:
    """Which rows a test split holds: their hash, the half-open period, and the symbols (synthetic
    ones with their market's hash: each is a market of its own)."""

    __test__ = False

    sha256: str
    first_bar: str
    end: str
    symbols: tuple[str, ...]

    def touches(self, other: TestRows) -> bool:
        """Do the two share rows? The same data, or one symbol in overlapping periods."""
        shared = set(self.symbols) & set(other.symbols)
        overlap = self.first_bar < other.end and other.first_bar < self.end
        return self.sha256 == other.sha256 or bool(shared and overlap)


@dataclass(frozen=True)
class Opening:
    """One opening of a test split: the permit, and how many others came before."""

    permit: TestPermit
    number: int
    """1 for the first opening of any of these rows."""

    @property
    def contaminated(self) -> bool:
        """Another policy or config has been tested on these rows before."""
        return self.number > 1


class Ledger:
    """The ledger in a runs folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as connection:
                connection.row_factory = sqlite3.Row
                _prepare(connection)
                with connection:
                    yield connection
        except sqlite3.DatabaseError as error:
            raise ArtifactError(
                f"the ledger cannot be used: {error}", where=str(self.path)
            ) from error

    def book_looks(self, run: str, split: str, split_sha256: str, looks: Sequence[Look]) -> None:
        """Count policies scored on a split; the same look again counts once."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            (run, look.policy, look.seed, split, split_sha256, look.sharpe, look.net_return, now)
            for look in looks
        ]
        with self._connect() as connection:
            connection.executemany(
                "INSERT INTO looks VALUES (?,?,?,?,?,?,?,?) "
                "ON CONFLICT (run, policy, seed, split_sha256) DO UPDATE SET "
                "sharpe = coalesce(excluded.sharpe, sharpe), "
                "net_return = coalesce(excluded.net_return, net_return)",
                rows,
            )

    def looks_on(self, split_sha256: str) -> list[float | None]:
        """Per-period Sharpe ratio of every look on this split, in the order they were booked."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT sharpe FROM looks WHERE split_sha256 = ? ORDER BY rowid", (split_sha256,)
            ).fetchall()
        return [row["sharpe"] for row in rows]

    def open_test(self, rows: TestRows, run: str, policy: str) -> Opening:
        """Count this opening before the rows are read. The identical run again is the same one."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        key = (rows.sha256, rows.first_bar, rows.end, run, policy)
        with self._connect() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO openings "
                "(test_sha256, first_bar, end, run, policy, symbols, opened_at) "
                "VALUES (?,?,?,?,?,?,?)",
                (*key, json.dumps(rows.symbols), now),
            )
            found = connection.execute("SELECT * FROM openings ORDER BY opening").fetchall()
        mine = next(row["opening"] for row in found if tuple(row[name] for name in KEY) == key)
        before = [row for row in found if row["opening"] < mine and rows.touches(_rows(row))]
        number = 1 + len(before)
        return Opening(TestPermit(test_sha256=rows.sha256, opening=number), number)

    def looks(self) -> list[dict[str, Any]]:
        """Every look, oldest first."""
        return self._all("SELECT * FROM looks ORDER BY rowid")

    def openings(self) -> list[dict[str, Any]]:
        """Every opening, oldest first."""
        return self._all("SELECT * FROM openings ORDER BY opening")

    def _all(self, query: str) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        with self._connect() as connection:
            return [dict(row) for row in connection.execute(query)]


def _prepare(connection: sqlite3.Connection) -> None:
    """WAL mode and tables; switching to WAL ignores SQLite's own wait, so it is tried again."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(SCHEMA)
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _rows(row: sqlite3.Row) -> TestRows:
    symbols = tuple(json.loads(row["symbols"]))
    return TestRows(row["test_sha256"], row["first_bar"], row["end"], symbols)
