"""The rules of defects, as documented."""

from __future__ import annotations

from pathlib import Path

from truefill.config.defects import RULES

PAGE = Path(__file__).parents[3] / "docs" / "defects.md"


def test_the_page_lists_every_rule_as_it_is() -> None:
    rows = [
        f"| `{name}` | {rule.scope} | {rule.modes[0]} | {', '.join(rule.modes[1:]) or '-'} "
        f"| {rule.finds} | {rule.repair or '-'} |"
        for name, rule in RULES.items()
    ]
    text = PAGE.read_text()
    listed = [line for line in text.splitlines() if line.startswith("| `") and line.count("|") == 7]
    assert listed == rows


def test_a_repair_is_described_where_there_is_one_and_every_rule_has_a_mend() -> None:
    for name, rule in RULES.items():
        assert bool(rule.repair) == ("repair" in rule.modes), name
        assert rule.mend and rule.finds, name
        assert len(set(rule.modes)) == len(rule.modes)
