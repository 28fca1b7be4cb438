"""Slow series and economic calendars, and how old what the bars used of them was, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truefill.evaluation.gates import count, percent

DAY_H = 48.0
"""Hours from which ages are told in days."""


def joined_rows(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a series and calendar, of ``lineage["joined"]``: ``name``, ``file``, ``rule``,
    ``used`` (how many values or events), ``age`` and ``missing`` (share of bars without one)."""
    series = [
        {
            "name": one["series"],
            "file": one["file"],
            "rule": _rule(one["rule"]),
            "used": f"{count(one['values_used'])} values",
            "age": _age(one["age_hours"]),
            "missing": percent(one["unjoined"] + one["stale"]),
        }
        for one in facts["series"]
    ]
    calendars = [
        {
            "name": "economic calendar",
            "file": one["file"],
            "rule": f"{_time(one['rule']['known_ahead_s'] / 3_600.0)} ahead, figures "
            f"{_time(one['rule']['actual_lag_s'] / 3_600.0)} after",
            "used": f"{count(one['events'])} events",
            "age": _age(one["age_hours"]),
            "missing": percent(one["uncovered"]),
        }
        for one in facts["releases"]
    ]
    return series + calendars


def _rule(rule: Mapping[str, Any]) -> str:
    if "available_at" in rule:
        return f"column {rule['available_at']}"
    if "publication_lag_s" in rule:
        return f"{_time(rule['publication_lag_s'] / 3_600.0)} after the value date"
    release = rule["release"]
    at = f"{release['time']} {release['timezone']}"
    if "months" in release:
        return f"day {release['day']} of month +{release['months']}, {at}"
    if "days" in release:
        return f"{release['days']} days later, {at}"
    return f"{release['business_days']} business days later, {at}"


def _age(ages: Mapping[str, float] | None) -> str:
    if ages is None:
        return "never"
    return f"median {_time(ages['median'])}, 95 % {_time(ages['p95'])}, most {_time(ages['max'])}"


def _time(hours: float) -> str:
    """Hours as days, hours or minutes, whichever reads best."""
    if hours >= DAY_H:
        return f"{hours / 24.0:.3g} d"
    return f"{hours:.3g} h" if hours >= 1.0 or hours == 0.0 else f"{hours * 60.0:.3g} min"
