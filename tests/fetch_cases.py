"""A server on this machine that answers like a vendor, and raw kline files of real bars."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import polars as pl

from truefill.fetch.run import Fetched, fetch

HOUR_MS = 3_600_000
START = datetime(2024, 1, 1, tzinfo=UTC)
START_MS = round(START.timestamp() * 1_000)
LATER = datetime(2024, 3, 1, tzinfo=UTC)

Answer = Callable[[str, dict[str, str]], tuple[int, Any]]
"""Path and query -> status and body: JSON-able, or text as it is."""


class Vendor:
    """``url``: where it answers; ``asked``: path and query of every request."""

    def __init__(self, url: str, answer: Answer) -> None:
        self.url = url
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []

    def paths(self, part: str) -> list[dict[str, str]]:
        """Queries of the requests whose path holds ``part``."""
        return [query for path, query in self.asked if part in path]


@contextmanager
def serving(answer: Answer) -> Iterator[Vendor]:
    """A vendor on 127.0.0.1 while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            split = urlsplit(self.path)
            query = dict(parse_qsl(split.query))
            vendor.asked.append((split.path, query))
            status, body = vendor.answer(split.path, query)
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vendor = Vendor(f"http://127.0.0.1:{server.server_address[1]}", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def nobody() -> str:
    """An address on this machine at which nobody answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_address[1]
    server.server_close()
    return f"http://127.0.0.1:{port}"


def prices(n: int) -> tuple[float, float, float, float]:
    """Open, high, low and close of the n-th invented bar."""
    base = 100.0 + n % 7
    return base, base + 2.0, base - 1.0, base + 0.5


def kline_rows(n: int, *, start_ms: int = START_MS, step_ms: int = HOUR_MS) -> list[list[str]]:
    """n rows of twelve cells, stamps in milliseconds."""
    return [
        [
            str(start_ms + i * step_ms),
            *(f"{price:.2f}" for price in prices(i)),
            "10.5",
            str(start_ms + (i + 1) * step_ms - 1),
            "1050.0",
            str(20 + i),
            "6.25",
            "625.0",
            "0",
        ]
        for i in range(n)
    ]


def in_micros(rows: list[list[str]]) -> list[list[str]]:
    """The same rows with stamps in microseconds."""
    return [[r[0] + "000", *r[1:6], str((int(r[6]) + 1) * 1_000 - 1), *r[7:]] for r in rows]


def write_klines(path: Path, rows: list[list[str]], header: str = "") -> None:
    """Rows as a CSV file, with ``header`` where one is given."""
    lines = [",".join(row) for row in rows]
    path.write_text("\n".join([header, *lines] if header else lines) + "\n")


def bring(
    source: str,
    to: Path,
    now: datetime = LATER,
    /,
    *,
    accept_revisions: bool = False,
    tell: Any = str,
    **given: Any,
) -> Fetched:
    """An import with these parameters."""
    texts = {name: str(value) for name, value in given.items()}
    return fetch(source, texts, to, now=now, accept_revisions=accept_revisions, tell=tell)


def hours(table: pl.DataFrame) -> list[float]:
    """Hours of the rows after :data:`START`."""
    return [(moment - START).total_seconds() / 3_600 for moment in table["timestamp"]]


def files(folder: Path) -> list[str]:
    """Names of the files in a folder; none where it does not exist."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
