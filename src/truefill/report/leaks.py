"""The leak certificate in the report: what was proven, by how many cuts, or that nothing was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truefill.evaluation.gates import count

CERTIFICATE = "certificate.json"
"""In the run's folder, where the config was audited."""
MARKS = {"passed": "pass", "leak": "fail", "inconclusive": "unknown", "not applicable": ""}
Row = dict[str, Any]


def leaks_facts(certificate: Mapping[str, Any] | None) -> Row | None:
    """The section's words and rows; None where the run was not audited."""
    if certificate is None:
        return None
    rows = [
        {
            "mark": MARKS[check["result"]],
            "result": check["result"],
            "check": check["check"],
            "proves": check["proves"],
            "cuts": count(check["cuts"]),
            "comparisons": count(check["comparisons"]),
            "notes": "; ".join([*check["notes"], *_refused(check)]),
        }
        for check in certificate["checks"]
    ]
    leaks = [
        f"{leak['stage']}: {leak['item']}, known by {leak['known']}, moved when what follows "
        f"{leak['cut']} was changed ({leak['mutation']})"
        for check in certificate["checks"]
        for leak in check["findings"]
    ]
    return {
        "headline": _headline(certificate),
        "passed": certificate["passed"],
        "rows": rows,
        "leaks": leaks,
        "hashes": [(name, certificate[f"{name}_sha256"]) for name in ("config", "data", "code")],
        "known": certificate["taken_as_known"],
        "unseen": certificate["not_seen"],
    }


def _refused(check: Mapping[str, Any]) -> list[str]:
    """How many changed data were refused, which is no proof, and of what kind."""
    kinds = check["refused"]
    total = sum(kinds.values())
    planned = total + check["comparisons"]
    if not total:
        return []
    return [f"{count(total)} of {count(planned)} changes refused ({', '.join(kinds)})"]


def _headline(certificate: Mapping[str, Any]) -> str:
    made = (
        f"{count(certificate['comparisons'])} comparisons at {count(certificate['cuts'])} cuts, "
        f"{count(certificate['values_compared'])} values"
    )
    if certificate["leaks"]:
        some = "leak was" if certificate["leaks"] == 1 else "leaks were"
        return f"{count(certificate['leaks'])} {some} found: {made}"
    words = "No leak found" if certificate["passed"] else "Not proven: a check came to no result"
    return f"{words}: {made}" + (" (quick: fewer cuts)" if certificate["quick"] else "")
