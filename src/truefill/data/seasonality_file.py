"""A JSON file of multipliers by hour of the week, read and checked.

``{"spread": [168 numbers], "liquidity": {"BTCUSDT": [168], ...}, "overrides": {...}}``: a kind
holds one list for all symbols or one a symbol, Monday 00:00 UTC first; null where an hour never has
bars. ``overrides`` holds kinds in the same form, and multiplies. ``latency`` is checked and not
used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.core.errors import did_you_mean
from truefill.core.fingerprint import sha256_bytes
from truefill.data.defects import refuse
from truefill.data.read import InputFile
from truefill.data.table import resolve

Floats = npt.NDArray[np.float64]
Lists = Mapping[str | None, Floats]
"""f64[168] by symbol, or for all of them under None; NaN: an hour without bars."""

HOURS = 168
USED = ("liquidity", "spread")
UNUSED = ("latency",)
OVERRIDES = "overrides"
SMALLEST, LARGEST = 0.1, 10.0
"""What a multiplier may be; what lies beyond is drawn in."""
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class SeasonFile:
    """``kinds``: what the market uses, drawn into 0.1 to 10; ``clamped``: how many numbers were
    outside; ``unused``: kinds that were checked only."""

    kinds: dict[str, Lists]
    clamped: int
    unused: list[str]
    file: InputFile


def hour_name(hour: int) -> str:
    """``Monday 00:00 UTC`` of 0."""
    return f"{_DAYS[hour // 24]} {hour % 24:02d}:00 UTC"


def clamp(lists: Lists) -> tuple[Lists, int]:
    """The lists drawn into ``SMALLEST`` to ``LARGEST``, and how many numbers were outside."""
    outside = sum(int(((v < SMALLEST) | (v > LARGEST)).sum()) for v in lists.values())
    return {key: np.clip(v, SMALLEST, LARGEST) for key, v in lists.items()}, outside


def read_seasons(path: Path, sha256: str) -> SeasonFile:
    """The file's multipliers, overrides applied.

    Raises ``DataError``: ``missing_file``, ``wrong_hash``, ``not_seasonality`` (neither form),
    ``not_168``, ``not_positive``.
    """
    path = resolve(path)
    name, data = path.name, path.read_bytes()
    found = sha256_bytes(data)
    if found != sha256:
        refuse(
            "wrong_hash",
            f"its SHA-256 is {found}, the config's is {sha256}",
            file=name,
            do="give the file that was meant, or its new hash in data.seasonality.sha256",
        )
    try:
        tree = json.loads(data)
    except ValueError as error:
        refuse("not_seasonality", f"not valid JSON: {error}", file=name)
    tree = _kinds(tree, name, (*USED, *UNUSED, OVERRIDES))
    overrides = _kinds(tree.pop(OVERRIDES, {}), name, tuple(tree), OVERRIDES)
    kinds: dict[str, Lists] = {}
    clamped = 0
    for kind, given in tree.items():
        lists = _lists(given, name, kind, nulls=True)
        if kind in overrides:
            extra = _lists(overrides[kind], name, f"{OVERRIDES}.{kind}", nulls=False)
            lists = _multiplied(lists, extra, name, kind)
        if kind in USED:
            kinds[kind], outside = clamp(lists)
            clamped += outside
    if not kinds:
        refuse("not_seasonality", f"it holds none of {', '.join(USED)}", file=name)
    rows = HOURS * sum(len(lists) for lists in kinds.values())
    unused = [kind for kind in tree if kind in UNUSED]
    return SeasonFile(kinds, clamped, unused, InputFile(name, found, rows))


def _kinds(tree: Any, file: str, known: tuple[str, ...], where: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        refuse("not_seasonality", f"{where or 'the file'} is no object of kinds", file=file,
               do='e.g. {"spread": [168 numbers]}')  # fmt: skip
    for key in tree:
        if key not in known:
            refuse("not_seasonality", f"{where or 'the file'} holds {key!r}", file=file,
                   do=did_you_mean(key, known))  # fmt: skip
    return dict(tree)


def _lists(given: Any, file: str, where: str, *, nulls: bool) -> Lists:
    if isinstance(given, dict):
        return {s: _list(values, file, f"{where}.{s}", nulls) for s, values in given.items()}
    return {None: _list(given, file, where, nulls)}


def _list(given: Any, file: str, where: str, nulls: bool) -> Floats:
    if not isinstance(given, list) or len(given) != HOURS:
        size = f"{len(given)} numbers" if isinstance(given, list) else repr(given)
        refuse("not_168", f"{where} is {size}, not {HOURS} numbers", file=file,
               do="give one an hour of the week, Monday 00:00 UTC first")  # fmt: skip
    for hour, value in enumerate(given):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and 0.0 < value < float("inf")) and not (nulls and value is None):
            refuse("not_positive", f"{where} is {value!r} at {hour_name(hour)}", file=file,
                   row=hour, do="a multiplier is a number above 0")  # fmt: skip
    return np.asarray([np.nan if value is None else value for value in given], np.float64)


def _multiplied(lists: Lists, extra: Lists, file: str, kind: str) -> Lists:
    """Each list times the override of its symbol, or the one for all."""
    if None in extra:
        return {key: values * extra[None] for key, values in lists.items()}
    if None in lists:
        refuse("not_seasonality", f"{kind} is one list, its override one a symbol", file=file,
               do=f"give {kind} a list a symbol too")  # fmt: skip
    unknown = sorted(str(key) for key in extra if key not in lists)
    if unknown:
        refuse("not_seasonality", f"{OVERRIDES}.{kind} names {unknown[0]!r}", file=file,
               do=did_you_mean(unknown[0], [str(key) for key in lists]))  # fmt: skip
    return {key: values * extra.get(key, 1.0) for key, values in lists.items()}
