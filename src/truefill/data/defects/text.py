"""CSV files as text, before anything is parsed: encoding, header, last line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import polars as pl

from truefill.data.defects.finding import Findings, refuse

HEAD_BYTES = 65_536
SNIFFED_LINES = 20
_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff")


def read_csv(path: Path, encoding: str, separator: str, found: Findings) -> pl.DataFrame:
    """Every cell as text. Rules of scope ``file``; raises polars' errors for what it cannot read.

    Lines before the header and a last line that breaks off are left out, each noted.
    """
    head, tail = _ends(path)
    plain = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    if plain and (head.startswith(_WIDE) or b"\0" in head):
        refuse("wrong_encoding", "the text is UTF-16, not UTF-8", file=found.file)
    if plain and head.startswith(_BOM):
        found.add("byte_order_mark", "the file begins with a byte order mark")
        head = head.removeprefix(_BOM)
    source: Path | io.BytesIO = path
    if not plain:
        text = _decoded(path.read_bytes(), encoding, found.file).encode()
        source, head, tail = io.BytesIO(text), text[:HEAD_BYTES], text[-HEAD_BYTES:]
    lines = _rows(head, separator)
    skipped = _lines_before_header(lines)
    if skipped:
        shown = separator.join(lines[0])[:60]
        found.add("junk_first_line", f"{skipped} line{'s' if skipped > 1 else ''} before the "
                  f"header: {shown!r}")  # fmt: skip
    header = [name.strip() for name in lines[skipped]] if len(lines) > skipped else []
    if plain and any("\ufffd" in name for name in header):
        _decoded(path.read_bytes(), "utf-8", found.file)
    _check_header(header, lines[skipped + 1 :], separator, found.file)
    try:
        table = pl.read_csv(source, infer_schema=False, separator=separator, skip_lines=skipped)
    except pl.exceptions.ComputeError as error:
        if "utf-8" not in str(error).lower():
            raise
        _decoded(path.read_bytes(), "utf-8", found.file)
        raise
    return _without_broken_end(table, tail, len(header), separator, found)


def _ends(path: Path) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(path.stat().st_size - HEAD_BYTES, 0))
        return head, file.read()


def _decoded(content: bytes, encoding: str, file: str) -> str:
    """The text; rule ``wrong_encoding`` at the row of the first byte that does not fit."""
    try:
        return content.decode(encoding)
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        row = content[:at].count(b"\n") or None
        what = f"byte {at:,} is no {encoding}: {error.__class__.__name__}"
        refuse("wrong_encoding", what, file=file, row=row)


def _rows(head: bytes, separator: str) -> list[list[str]]:
    """The first lines as cells."""
    lines = head.decode("utf-8", errors="replace").splitlines()[:SNIFFED_LINES]
    return list(csv.reader(lines, delimiter=separator))


def _lines_before_header(lines: list[list[str]]) -> int:
    """How many lines come before the first one that has as many cells as most lines, more than one
    of them filled, and no number among them; 0 where that is the first line, or none."""
    usual = Counter(len(line) for line in lines[1:]).most_common(1)
    if not usual or usual[0][0] < 2:
        return 0
    for i, line in enumerate(lines):
        if len(line) == usual[0][0] and sum(bool(cell.strip()) for cell in line) > 1:
            return 0 if any(_is_number(cell) for cell in line) else i
    return 0


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_header(header: list[str], rows: list[list[str]], separator: str, file: str) -> None:
    """Rules ``wrong_separator``, ``missing_columns`` (no header at all), ``duplicate_columns``, and
    ``unreadable_file`` where the header has more cells than every line under it."""
    if len(header) == 1:
        others = [mark for mark in (",", ";", "\t", "|") if mark != separator and mark in header[0]]
        if others:
            refuse("wrong_separator", f"the header is one cell: {header[0][:60]!r}", file=file,
                   do=f"set separator: {others[0]!r} on this file")  # fmt: skip
    if sum(_is_number(name) for name in header) * 2 > len(header):
        refuse("missing_columns", f"the first line holds numbers, not names: {header[0]!r}, "
               f"{header[1]!r}, ...", file=file,
               do="write the names of the columns above it")  # fmt: skip
    longest = max(map(len, rows), default=len(header))
    if 1 < longest < len(header):
        refuse("unreadable_file", f"the header has {len(header)} cells, the lines {longest}",
               file=file)  # fmt: skip
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        refuse("duplicate_columns", f"{twice[0]!r} stands twice in the header", file=file,
               column=twice[0])  # fmt: skip


def _without_broken_end(
    table: pl.DataFrame, tail: bytes, width: int, separator: str, found: Findings
) -> pl.DataFrame:
    """Rules ``truncated_file`` and ``no_final_newline``."""
    ended = tail.endswith((b"\n", b"\r"))
    lines = tail.decode("utf-8", errors="replace").splitlines()
    if not lines or table.is_empty():
        return table
    last = next(csv.reader([lines[-1]], delimiter=separator), [])
    broken = 0 < len(last) < width or (not ended and len(last) == width and not last[-1].strip())
    if broken and lines[-1].strip():
        found.add("truncated_file", f"the last line has {len(last)} of {width} cells: "
                  f"{lines[-1][:60]!r}", row=table.height)  # fmt: skip
        return table.head(-1)
    if not ended:
        found.add("no_final_newline", f"the last line does not end: {lines[-1][:60]!r}",
                  row=table.height)  # fmt: skip
    return table


def check_binary_end(path: Path, file: str) -> None:
    """Rule ``truncated_file``: a Parquet or Feather file that begins as one and ends otherwise."""
    head, tail = _ends(path)
    for mark in (b"PAR1", b"ARROW1"):
        if head.startswith(mark) and not tail.endswith(mark):
            refuse("truncated_file", "the file ends before its footer", file=file,
                   do="fetch the file again")  # fmt: skip
