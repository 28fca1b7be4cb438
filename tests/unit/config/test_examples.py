"""The shipped configs validate and stay short."""

from __future__ import annotations

from pathlib import Path

import pytest

from truefill.config.load import load_config

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted(p for p in (ROOT / "examples").glob("*.yaml") if ".search." not in p.name)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_validates_within_80_lines(path: Path) -> None:
    config = load_config(path)
    assert len(path.read_text().splitlines()) <= 80
    assert config.market.fee_bps > 0 and config.market.half_spread_bps > 0
    assert config.market.slippage_bps > 0


def test_usdcop_is_system_000_corrected() -> None:
    config = load_config(ROOT / "examples" / "usdcop_ppo.yaml")
    assert len(config.features) == 18
    assert len(config.env.state_features) == 9
    assert config.training.seeds == (42, 123, 456, 789, 1337)
    assert config.training.total_steps == 2_000_000
    assert config.agent.network.hidden == (256, 256)
    assert config.market.min_hold_bars == 25 and config.market.max_hold_bars == 864
    assert config.env.reward.interval_bars == 25
    assert config.env.drawdown_limit == 0.15
    assert all(file.publication_lag >= 86_400 for file in config.data.series)


def test_the_quickstart_needs_no_files() -> None:
    config = load_config(ROOT / "examples" / "quickstart.yaml")
    assert all(bars.path.as_posix().startswith("sample:") for bars in config.data.bars)
