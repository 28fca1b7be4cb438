"""The examples of docs/market-config.md are configs, and say what their headings promise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config_cases import base_tree
from truefill.config.load import parse_config
from truefill.config.schema import Config

PAGE = Path(__file__).parents[3] / "docs" / "market-config.md"
PARTS = re.findall(r"^## (.+?)$|^```yaml\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def examples() -> dict[str, str]:
    """Heading -> YAML; the one before any heading is "classes"."""
    found, heading = {}, "classes"
    for title, text in PARTS:
        heading = title or heading
        if text:
            assert heading not in found, f"two examples under {heading!r}"
            found[heading] = text
    return found


EXAMPLES = examples()


def config_of(heading: str) -> Config:
    """The example in the base config; files take the place of its synthetic market."""
    tree: dict[str, Any] = base_tree()
    given = yaml.safe_load(EXAMPLES[heading])
    assert set(given) <= {"data", "market"}
    if "bars" in given.get("data", {}):
        del tree["data"]["synthetic"]
    tree["data"] |= given.get("data", {})
    tree["market"] = given["market"]
    return parse_config(tree, where=heading)


def test_every_heading_has_its_example() -> None:
    assert len(EXAMPLES) == 8
    assert PAGE.read_text().count("```yaml") == 8


@pytest.mark.parametrize("heading", EXAMPLES)
def test_every_example_is_a_config(heading: str) -> None:
    market = config_of(heading).market
    default = parse_config(base_tree()).market
    assert market != default


def test_examples_resolve_as_they_say() -> None:
    classes = config_of("classes").market
    assert classes.rules_for("SPY").fee_bps == 2
    assert (classes.rules_for("IWC").half_spread_bps, classes.rules_for("IWC").max_weight) == (
        5, 0.2,
    )  # fmt: skip
    assert config_of("Crypto perpetual with funding").market.rules_for("BTCUSDT").derivative
    future = config_of("Futures with a multiplier").market
    assert future.rules_for("ES").contract_multiplier == 50
    assert future.max_leverage_at_close == 4
    volume = config_of("Slippage and limits by volume").market
    assert volume.rules_for("EURUSD").declared_volume == 5_000_000
    assert volume.rules_for("THIN").half_spread_bps == 6
    assert len(config_of("Times without trading").market.no_trade) == 2
