"""YAML -> Config: extends, --set, paths, and one clear error for everything wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from truefill.config.data import FILES
from truefill.config.load import dump_config, load_config, parse_config, portable
from truefill.core.errors import ConfigError

MINIMAL = """
name: small
data:
  synthetic: {kind: random_walk}
  interval: 1h
  splits:
    train: {start: 2020-01-01, end: 2020-10-01}
    validation: {start: 2020-10-01, end: 2021-01-01}
    test: {start: 2021-01-01, end: 2021-05-01}
features:
  - {name: r, calculator: log_return}
"""


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(MINIMAL)
    return path


def test_defaults_are_conservative(minimal: Path) -> None:
    market = load_config(minimal).market
    assert (market.fee_bps, market.half_spread_bps, market.slippage_bps) == (10.0, 2.0, 3.0)
    assert (market.decision_lag, market.max_leverage, market.allow_short) == (1, 1.0, False)


def test_five_seeds_by_default(minimal: Path) -> None:
    assert load_config(minimal).training.seeds == (42, 123, 456, 789, 1337)


def test_extends_merges_mappings_and_replaces_the_rest(minimal: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text(
        "extends: config.yaml\nname: child\nmarket: {fee_bps: 1}\ntraining: {seeds: [7, 8, 9]}\n"
    )
    grandchild = tmp_path / "sub" / "grandchild.yaml"
    grandchild.parent.mkdir()
    grandchild.write_text("extends: ../child.yaml\nmarket: {slippage_bps: 0}\n")
    config = load_config(grandchild)
    assert (config.name, config.market.fee_bps, config.market.slippage_bps) == ("child", 1.0, 0.0)
    assert config.training.seeds == (7, 8, 9)
    assert config.market.half_spread_bps == 2.0


def test_extends_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match=r"circle: a\.yaml -> b\.yaml -> a\.yaml"):
        load_config(tmp_path / "a.yaml")


def test_paths_count_from_the_file_that_names_them(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    tree = yaml.safe_load(MINIMAL)
    del tree["data"]["synthetic"]
    tree["data"]["bars"] = [{"path": "bars.csv"}, {"path": "sample:eurusd_1h"}]
    (base / "config.yaml").write_text(yaml.safe_dump(tree))
    (tmp_path / "child.yaml").write_text("extends: base/config.yaml\n")
    bars = load_config(tmp_path / "child.yaml").data.bars
    assert bars[0].path == (base / "bars.csv").resolve()
    assert bars[1].path.as_posix() == "sample:eurusd_1h"


EVERY_FILE: dict[str, Any] = {
    "bars": {"path": "bars.csv", "symbol": "X"},
    "series": {"path": "cpi.csv", "columns": {"v": "cpi"}, "publication_lag": "1d"},
    "releases": {"path": "calendar.csv", "known_ahead": "7d"},
    "events": {"path": "funding.csv", "kind": "funding", "symbol": "X", "column": "rate"},
    "exchange_rates": {"path": "eurusd.csv", "symbols": ["X"]},
    "finer_bars": {"path": "minutes.csv", "symbol": "X"},
}


def test_every_kind_of_file_counts_from_the_config_and_leaves_no_path_behind(
    tmp_path: Path,
) -> None:
    assert set(EVERY_FILE) == set(FILES)
    tree = yaml.safe_load(MINIMAL)
    del tree["data"]["synthetic"]
    for key, entry in EVERY_FILE.items():
        tree["data"][key] = [{**entry, "path": f"files/{entry['path']}"}]
    tree["data"]["finer_interval"] = "5m"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    config = load_config(tmp_path / "config.yaml")
    folder = (tmp_path / "files").resolve()
    expected = {f"{key}.0": folder / entry["path"] for key, entry in EVERY_FILE.items()}
    assert config.data.files() == expected
    left = yaml.safe_dump(portable(config))
    assert str(tmp_path) not in left
    for key, entry in EVERY_FILE.items():
        assert portable(config)["data"][key][0]["path"] == entry["path"]


def test_a_section_of_files_that_is_no_list_is_an_error_not_a_crash(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("  interval", "  events: 5\n  interval"))
    with pytest.raises(ConfigError, match=r"data\.events"):
        load_config(minimal)


def test_set_changes_values_and_list_items(minimal: Path) -> None:
    sets = ["market.fee_bps=0.5", "features.0.params={periods: 3}", "training.seeds=[1, 2, 3]"]
    config = load_config(minimal, [*sets, "env.action.params.size=0.5"])
    assert config.market.fee_bps == 0.5
    assert config.features[0].params == {"periods": 3}
    assert config.training.seeds == (1, 2, 3)
    assert config.env.action.params == {"size": 0.5}


@given(fee=st.floats(0, 1000), seeds=st.sets(st.integers(0, 2**31), min_size=3, max_size=6),
       stop=st.none() | st.floats(0.001, 0.5))  # fmt: skip
def test_the_resolved_config_reads_back_as_itself(
    fee: float, seeds: set[int], stop: float | None
) -> None:
    tree: dict[str, Any] = yaml.safe_load(MINIMAL)
    tree["market"] = {"fee_bps": fee, "stop_loss": stop}
    tree["training"] = {"seeds": sorted(seeds)}
    config = parse_config(tree)
    assert parse_config(yaml.safe_load(dump_config(config))) == config


def test_a_date_is_midnight_utc_and_an_offset_is_honoured(minimal: Path) -> None:
    config = load_config(minimal, ['data.splits.train.start="2020-01-01T08:00:00-05:00"'])
    assert config.data.splits.train.start == datetime(2020, 1, 1, 13, tzinfo=UTC)
    assert config.data.splits.train.end == datetime(2020, 10, 1, tzinfo=UTC)


def test_the_config_is_frozen(minimal: Path) -> None:
    config = load_config(minimal)
    with pytest.raises(ValueError, match="frozen"):
        config.market.fee_bps = 0.0  # type: ignore[misc]


def test_all_errors_come_at_once(minimal: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(minimal, ["market.fee_bps=-1", "agent.ppo.epochs=0", "marktet.x=1"])
    text = str(caught.value)
    assert "3 errors" in text
    assert "market.fee_bps" in text and "agent.ppo.epochs" in text
    assert "unknown key 'marktet'. Did you mean 'market'?" in text


@pytest.mark.parametrize("place", ["symbols.BTC", "classes.coins"])
def test_a_key_below_the_name_of_a_symbol_or_class_gets_the_nearest(
    minimal: Path, place: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(minimal, [f"market.{place}.fee_bsp=1"])
    assert f"unknown key 'market.{place}.fee_bsp'. Did you mean 'fee_bps'?" in str(caught.value)


BROKEN_FILES = {
    "not YAML": ("a: [1", "not valid YAML"),
    "a list": ("- 1\n- 2\n", "mapping of sections"),
    "empty": ("", "mapping of sections"),
    "a key twice": ("name: a\nname: b\n", "key 'name' stands twice"),
    "a nested key twice": ("market: {fee_bps: 1, fee_bps: 2}\n", "key 'fee_bps' stands twice"),
    "python objects": ("name: !!python/object/apply:os.system [echo]\n", "not valid YAML"),
    "extends a list": ("extends: [a.yaml]\n", "extends takes one file name"),
    "extends nothing": (
        "extends: nowhere.yaml\n",
        r"nowhere\.yaml: the config file does not exist",
    ),
    "nothing in it": ("name: x\n", "'data' is missing"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ConfigError, match=r"broken\.yaml: cannot read the config file"):
        load_config(path)


@pytest.mark.parametrize(
    "assignment", ["market.fee_bps", "=1", "features.9.name=x", "features.x.name=y"]
)
def test_broken_overrides(minimal: Path, assignment: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_config(minimal, [assignment])
