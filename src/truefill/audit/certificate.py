"""The leak certificate: what was checked, by how many cuts, and for which config, data and code.

It holds no clock and no host: the same audit gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from truefill.core.fingerprint import fingerprint
from truefill.report.leaks import CERTIFICATE as FILE

__all__ = ["FILE", "certificate"]

VERSION = 1
FINE = ("passed", "not applicable")
TAKEN_AS_KNOWN = (
    "the calendar: sessions, their ends, and the borders of splits",
    "that a symbol is delisted, and on which bar, where the config declares it",
    "when funding, dividends and splits are paid (not how much)",
    "scheduled times of economic events, as far ahead as the config says",
    "files of closed intervals",
)
"""What the system may know ahead, because the world does."""
NOT_SEEN = (
    "whether a source was revised after it was published",
    "whether a column that the user gives was really known at its bar's close",
    "on what a file of seasonality multipliers was fitted",
    "what a calculator in a file of the user's own reads beside what it is given",
    "what a pretrained forecaster was trained on: its cutoff is declared",
    "what people chose after having looked at the data",
)


def certificate(
    *,
    name: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    code_sha256: str,
    quick: bool,
    checks: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """certificate.json.

    Args:
        name: of the config.
        config: its portable tree.
        inputs: SHA-256 of every input file.
        code_sha256: of the whole package.
        quick: fewer cuts were made.
        checks: what each check did, in the order of the chain.
    """
    total = {
        key: sum(int(check[key]) for check in checks)
        for key in ("cuts", "comparisons", "values_compared")
    }
    return {
        "certificate": VERSION,
        "name": name,
        "passed": all(check["result"] in FINE for check in checks),
        "quick": quick,
        "config_sha256": fingerprint(config),
        "data_sha256": fingerprint(dict(inputs)),
        "inputs": dict(inputs),
        "code_sha256": code_sha256,
        **total,
        "leaks": sum(len(check["findings"]) for check in checks),
        "taken_as_known": list(TAKEN_AS_KNOWN),
        "not_seen": list(NOT_SEEN),
        "checks": [dict(check) for check in checks],
    }
