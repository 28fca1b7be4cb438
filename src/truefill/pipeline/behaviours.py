"""What the policies of a run do, as the end of training wrote it down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from truefill.core.files import read_json

SUMMARY = "train/summary.json"


def judged_behaviour(summary: dict[str, Any]) -> str:
    """What the judged policy does, as a sentence."""
    if summary.get("rule") is not None:
        return f"The rule {summary['rule']['policy']} {summary['rule']['behaviour']['text']}."
    if summary["ensemble"] is not None:
        return f"The ensemble {summary['ensemble']['behaviour']['text']}."
    seed = summary["chosen_seed"]
    return f"Seed {seed} {summary['seeds'][str(seed)]['behaviour']['text']}."


def behaviours(folder: Path) -> dict[str, Any] | None:
    """What every policy of a run does: the judged one's name and sentence, and names by seed; None
    before training has ended."""
    path = folder / SUMMARY
    if not path.is_file():
        return None
    summary = read_json(path)
    seeds = {seed: found["behaviour"] for seed, found in summary["seeds"].items()}
    one = summary.get("rule") or summary["ensemble"]
    one = one or {"behaviour": seeds[str(summary["chosen_seed"])]}
    return {
        "policy": summary["chosen"],
        "name": one["behaviour"]["name"],
        "text": judged_behaviour(summary),
        "seeds": {seed: {key: own[key] for key in ("name", "text")} for seed, own in seeds.items()},
    }
