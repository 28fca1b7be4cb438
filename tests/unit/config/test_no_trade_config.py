"""Kinds of ``market.no_trade``: what is refused, by which key, and what docs/no-trade.md shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config_cases import base_tree, put
from truefill.config.load import dump_config, load_config, parse_config, portable
from truefill.config.schema import Config
from truefill.core.errors import ConfigError

PAGE = Path(__file__).parents[3] / "docs" / "no-trade.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def config_of(entries: Any) -> Config:
    tree = base_tree()
    put(tree, "market.no_trade", entries)
    return parse_config(tree)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "weekly"}, "market.no_trade.0: no kind is called 'weekly'. Known: 'daily'"),
    ({"start": "17:00", "stop": "18:00"}, "unknown key 'market.no_trade.0.stop'"),
    ({"start": "17:00", "ned": "18:00"}, "Did you mean 'end'?"),
    ({"kind": "interval"}, "market.no_trade.0: give start and end, or path"),
    ({"kind": "interval", "start": "2024-01-01"}, "start and end come together"),
    ({"kind": "interval", "start": "2024-01-01", "end": "2024-01-01"}, "start must be before end"),
    ({"kind": "interval", "start": "2024-01-01", "path": "a.csv"}, "give start and end, or path"),
    ({"kind": "interval", "start": "2024-01-01T00:00", "end": "2024-01-02"}, "has no timezone"),
    ({"kind": "funding", "times": []}, "give at least one of times"),
    ({"kind": "funding", "times": ["8:00"]}, "is not a time of day"),
    ({"kind": "funding", "times": ["08:00"], "events": True}, "give times, or events: true"),
    ({"kind": "funding", "before": 0, "after": 0}, "before and after cannot both be 0"),
    ({"kind": "funding", "before": "12h", "after": "12h"}, "shorter than a day"),
    ({"kind": "volatility"}, "market.no_trade.0: give absolute, percentile or spread_bps"),
    ({"kind": "volatility", "absolute": 0}, "market.no_trade.0.absolute"),
]


@pytest.mark.parametrize(("entry", "message"), WRONG, ids=[w[1] for w in WRONG])
def test_a_wrong_entry_is_refused_by_its_key(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of([entry])
    assert message in str(caught.value)


def test_an_entry_that_is_no_section_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"market\.no_trade\.0: a section \(key: value\)"):
        config_of(["17:00"])


def test_every_kind_comes_back_from_the_resolved_config() -> None:
    config = config_of(yaml.safe_load(EXAMPLES[0])["market"]["no_trade"])
    kinds = [rule.kind for rule in config.market.no_trade]
    assert kinds == ["daily", "interval", "interval", "funding", "volatility"]
    assert parse_config(yaml.safe_load(dump_config(config))) == config


def test_the_examples_of_the_page_are_configs() -> None:
    assert len(EXAMPLES) == 3
    for text in EXAMPLES[1:]:
        tree = base_tree()
        tree["data"] |= yaml.safe_load(text)["data"]
        assert parse_config(tree).data.seasonality is not None


def test_files_beside_the_bars_count_from_the_config_and_leave_no_path_behind(
    tmp_path: Path,
) -> None:
    tree = base_tree()
    tree["data"]["seasonality"] = {"path": "in/s.json", "sha256": "0" * 64}
    put(tree, "market.no_trade", [{"start": "17:00", "end": "18:00"},
                                  {"kind": "interval", "path": "in/halts.csv"}])  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    config = load_config(tmp_path / "config.yaml")
    folder = (tmp_path / "in").resolve()
    assert config.files() == {
        "seasonality": folder / "s.json", "market.no_trade.1": folder / "halts.csv",
    }  # fmt: skip
    left = portable(config)
    assert str(tmp_path) not in yaml.safe_dump(left)
    assert left["market"]["no_trade"][1]["path"] == "halts.csv"
    assert left["data"]["seasonality"]["path"] == "s.json"
