"""Every rule finds its planted defect, by name and place, and does what the policy says."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from defect_cases import PLANTED, data_of, sample
from truefill.config.data import DataConfig
from truefill.config.defects import RULES, Severity
from truefill.core.errors import DataError
from truefill.data.inputs import read_inputs, survey

ELSEWHERE = {
    "missing_file", "symbol_overlap", "ragged_start", "misaligned_calendar", "copies_next_value",
    "received_before_sent", "frozen_row", "reference_stamps",
    "available_before_value_date", "unknown_impact",  # test_publication, test_releases
}  # fmt: skip
"""Rules that take no file, several files, or no bars: planted in ``test_other_defects``, but for
those named beside them."""


def with_policy(data: DataConfig, rules: tuple[str, ...], mode: Severity) -> DataConfig:
    policy = {rule: mode for rule in rules if mode in RULES[rule].modes}
    return data.model_copy(update={"defects": policy})


def test_every_rule_has_a_plant() -> None:
    assert set(PLANTED) | ELSEWHERE == set(RULES)
    assert not set(PLANTED) & ELSEWHERE


@pytest.mark.parametrize(
    ("rule", "mode"), [(rule, mode) for rule in PLANTED for mode in RULES[rule].modes]
)
def test_a_planted_defect_is_found_where_it_is(tmp_path: Path, rule: str, mode: Severity) -> None:
    planted = PLANTED[rule]
    data, row = planted.write(tmp_path)
    data = with_policy(data, (rule, *planted.also), mode)
    inputs, findings = survey(data)
    (found,) = [f for f in findings if f.rule == rule and f.column == planted.column]
    assert (found.severity, found.row) == (mode, row)
    assert found.file == f"bars{planted.suffix}"
    assert found.what and found.do == (RULES[rule].repair if mode == "repair" else found.do)
    assert found.do
    dropped = set() if mode == "error" else {"gaps"}
    assert {f.rule for f in findings} <= {rule, *planted.also} | dropped
    if mode != "error":
        assert inputs is not None
        assert found in inputs.bars.inputs[0].findings
        return
    assert inputs is None
    with pytest.raises(DataError) as caught:
        read_inputs(data)
    assert caught.value.rule == next(f.rule for f in findings if f.severity == "error")
    assert (f"{len(findings) - 1} more finding" in caught.value.do) == (len(findings) > 1)


@pytest.mark.parametrize("rule", [r for r in PLANTED if "repair" in RULES[r].modes])
def test_a_repair_gives_the_clean_bars_less_what_it_drops(tmp_path: Path, rule: str) -> None:
    planted = PLANTED[rule]
    data, _ = planted.write(tmp_path)
    table = read_inputs(with_policy(data, (rule, *planted.also), "repair")).bars.table
    clean = sample(planted.base).select("timestamp", "open", "high", "low", "close", "volume")
    kept = clean.join(table.select("timestamp"), on="timestamp", how="semi")
    if rule != "frozen_session":
        assert table.drop("symbol").equals(kept)
    dropped = clean.height - table.height
    assert dropped == {"frozen_session": 21}.get(
        rule, int(RULES[rule].repair in ("drops the row", "drops the last line"))
    )


@pytest.mark.parametrize(
    "rule",
    [r for r, p in PLANTED.items() if "repair" in RULES[r].modes and p.suffix == ".parquet"],
)
def test_a_repair_looks_at_no_later_row(tmp_path: Path, rule: str) -> None:
    """Whatever comes after a moment: the bars up to it are the same."""
    planted = PLANTED[rule]
    data, _ = planted.write(tmp_path)
    data = with_policy(data, (rule, *planted.also), "repair")
    whole = read_inputs(data).bars.table
    path = tmp_path / "bars.parquet"
    full = pl.read_parquet(path)
    middle = sample(planted.base)["timestamp"][1_010]
    for moment in (middle, full["timestamp"].sort()[-500]):
        early = full.filter(pl.col("timestamp") <= moment)
        late = full.filter(pl.col("timestamp") > moment)
        prices = [pl.col(n) * 1.01 for n in ("open", "high", "low", "close")]
        moved = late.with_columns(prices)
        both = [moved, early] if rule == "newest_first" else [early, moved]
        for changed in (early, pl.concat(both)):
            changed.write_parquet(path)
            part = read_inputs(data).bars.table.filter(pl.col("timestamp") <= moment)
            assert part.equals(whole.filter(pl.col("timestamp") <= moment))


def test_clean_samples_have_no_finding() -> None:
    for name in ("eurusd_1h", "googl_1d"):
        bars = {"path": f"sample:{name}", "symbol": "X"}
        assert survey(data_of({"bars": [bars]}, name))[1] == ()
