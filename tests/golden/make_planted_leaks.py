"""Writes planted_leaks.md: every planted leak, where it lies, and the checks that find it.

.venv/bin/python tests/golden/make_planted_leaks.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import planted_features
import planted_forecasts
import planted_pipeline
from audit_cases import CLEAN, chain_of, config_of, few, found_by

TABLE = Path(__file__).parent / "planted_leaks.md"
HEAD = """\
# Planted leaks, and what finds them

Written by `tests/golden/make_planted_leaks.py`, which plants each and audits; the tests compare.
"""


def feature_rows() -> list[tuple[str, str, str, str]]:
    """(leak, what, where, checks); the honest features, and leaks that a quick audit misses, with
    every cut."""
    leaky = {name: (name, {}) for name in planted_features.LEAKS}
    checks: dict[str, set[str]] = {name: set() for name in (*leaky, *CLEAN)}

    def look(features: dict[str, tuple[str, dict[str, Any]]], *, quick: bool) -> None:
        with planted_features.planted(set(features) & set(leaky)):
            found = found_by(config_of(features), chain_of(), ["features"], quick=quick)
        for check, items in found.items():
            for item in items:
                checks[item.split(" ")[0]].add(check)

    look(leaky, quick=True)
    look({**CLEAN, **{n: f for n, f in leaky.items() if not checks[n]}}, quick=False)
    whats = {name: what for name, (what, _) in planted_features.LEAKS.items()}
    return [
        (name, whats.get(name, "honest: " + CLEAN[name][0]) if name in CLEAN else whats[name],
         "feature", ", ".join(sorted(names)) or "nothing")
        for name, names in checks.items()
    ]  # fmt: skip


def pipeline_rows() -> list[tuple[str, str, str, str]]:
    rows = []
    for name, planted in planted_pipeline.LEAKS.items():
        chain = chain_of(**planted.stages)
        found = found_by(few(**planted.config), chain, [planted.group], quick=True)
        rows.append((name, planted.what, planted.where, ", ".join(sorted(found)) or "nothing"))
    for group in ("bars", "features", "dataset", "market", "training"):
        found = found_by(few(), chain_of(), [group], quick=True)
        rows.append((f"real {group}", "honest", group, ", ".join(sorted(found)) or "nothing"))
    return rows


def forecast_rows() -> list[tuple[str, str, str, str]]:
    """Leaks of forecasts, and honest ones of each protocol."""
    rows = []
    for name, planted in planted_forecasts.LEAKS.items():
        found = found_by(
            planted_forecasts.forecasting(), chain_of(forecast=planted.forecast), ["forecasts"],
            quick=True,
        )  # fmt: skip
        rows.append((name, planted.what, "forecast", ", ".join(sorted(found)) or "nothing"))
    for kind in ("walk_forward", "k_fold"):
        asked = planted_forecasts.forecasting(forecast={"out_of_fold": {"kind": kind, "folds": 2}})
        found = found_by(asked, chain_of(), ["forecasts"], quick=True)
        rows.append((f"real {kind}", "honest", "forecasts", ", ".join(sorted(found)) or "nothing"))
    return rows


def table() -> str:
    """The whole table."""
    lines = [HEAD]
    parts = {
        "Features": feature_rows(), "Pipeline": pipeline_rows(), "Forecasts": forecast_rows()
    }  # fmt: skip
    for title, rows in parts.items():
        leaks = sum(not what.startswith("honest") for _, what, _, _ in rows)
        lines += [f"## {title}: {leaks} leaks", ""]
        lines += ["| planted | what it does | where | found by |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    import jax

    jax.config.update("jax_enable_x64", True)
    TABLE.write_text(table())
