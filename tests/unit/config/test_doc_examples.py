"""Every example of a config in the docs is one: the parser takes it."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from config_cases import base_tree, put
from truefill.config.data import DataConfig
from truefill.config.load import parse_config
from truefill.config.schema import Config

ROOT = Path(__file__).parents[3]
BLOCKS = [
    pytest.param(text, id=f"{page.stem}-{i}")
    for page in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
    for i, text in enumerate(re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.M | re.S))
]


def merged(tree: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """``given`` laid over the base config; its files take the place of the synthetic market, and
    lists and splits are replaced whole."""
    if set(given) <= set(DataConfig.model_fields):
        given = {"data": given}
    assert set(given) <= set(Config.model_fields)
    for key, value in given.items():
        whole = key == "splits" or not isinstance(value, dict)
        tree[key] = value if whole else tree.get(key, {}) | value
    if "bars" in given.get("data", {}):
        del tree["data"]["synthetic"]
    return tree


def test_the_docs_have_examples() -> None:
    assert len(BLOCKS) >= 25


@pytest.mark.parametrize("text", BLOCKS)
def test_an_example_of_the_docs_is_a_config(text: str) -> None:
    given = yaml.safe_load(text)
    base = base_tree()
    put(base, "data.splits.train.start", "2019-01-01")  # no example has these dates
    assert parse_config(merged(deepcopy(base), given)) != parse_config(base)
