"""Errors say what, where and what to do; each has the exit code of the command line."""

from __future__ import annotations

import json

import pytest

from truefill.core import errors
from truefill.core.duration import parse_duration_s


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = errors.DataError(
        "duplicate", "two rows for 09:00", where="bars.csv row 7", do="drop one"
    )
    assert str(error) == "bars.csv row 7: [duplicate] two rows for 09:00\n  -> drop one"
    assert json.loads(json.dumps(error.as_dict())) == {
        "error": "DataError",
        "rule": "duplicate",
        "what": "[duplicate] two rows for 09:00",
        "where": "bars.csv row 7",
        "do": "drop one",
    }


def test_exit_codes() -> None:
    kinds = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)]
    codes = {kind.__name__: kind.exit_code for kind in kinds}
    assert {name for name, code in codes.items() if code == 2} == {"UsageError", "ConfigError"}
    assert set(codes.values()) == {1, 2}


def test_did_you_mean() -> None:
    assert (
        errors.did_you_mean("fee_pbs", ["fee_bps", "half_spread_bps"]) == "Did you mean 'fee_bps'?"
    )
    assert errors.did_you_mean("xyz", ["b", "a"]) == "Known: a, b"
    assert errors.did_you_mean("xyz", []) == "Nothing is known here."


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("4h", 14_400),
        ("1d", 86_400),
        ("1w", 604_800),
        ("1.5h", 5400),
        (7, 7),
    ],
)
def test_durations(text: str | int, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["5", "m", "5 minutes", "-5m", "", "1h30m", True])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration_s(text)  # type: ignore[arg-type]
