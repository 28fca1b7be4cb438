"""The report: whole, self-contained, the same bytes every time, honest about what is missing."""

import json
import re
import shutil

import pytest

from truefill.core.errors import ArtifactError
from truefill.core.files import read_json, write_json
from truefill.report.html import render_report
from unit.report.fabricate import fabricate

SECTIONS = (
    "verdict", "key", "why", "equity", "trades", "baselines", "seeds", "gates", "costs",
    "learning", "data", "leaks", "config",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(opened_run):
    return render_report(opened_run)


def without_plotly(html):
    """The page without the library's own source."""
    start = html.index("<script>/**")
    return html[:start] + html[html.index("</script>", start) :]


def figures(html):
    text = re.search(r'<script type="application/json" id="figures">(.*?)</script>', html, re.S)
    return json.loads(text[1])


def test_every_section_is_there_and_the_verdict_comes_first(page):
    places = [page.index(f'<section id="{name}"') for name in SECTIONS]
    assert places == sorted(places)
    assert page.count("<section ") == len(SECTIONS)


def test_nothing_is_loaded_from_anywhere(page):
    own = without_plotly(page)
    assert not re.search(r"https?:|//[a-z]+\.[a-z]|@import|url\(|<link|<iframe|<img", own)
    assert re.findall(r'(?:src|href)="([^"#][^"]*)"', own) == []
    assert "default-src 'none'" in own and "connect-src" not in own
    assert page.count("<script") == 3


def test_same_folder_same_bytes_wherever_it_lies(opened_run, page, tmp_path):
    assert render_report(opened_run) == page
    elsewhere = tmp_path / opened_run.name
    shutil.copytree(opened_run, elsewhere)
    assert render_report(elsewhere) == page


def test_two_fabrications_give_the_same_bytes(page, tmp_path):
    assert render_report(fabricate(tmp_path / "sample-3f9a1c")) == page


def test_every_chart_has_a_place_and_every_place_a_chart(page):
    own = without_plotly(page)
    places = set(re.findall(r'class="chart" id="([^"]+)"', own))
    names = {"learning": "learning-curves", "updates": "update-curves"}
    assert places == {names.get(name, name) for name in figures(page)}
    assert len(places) == 12


def test_equity_shows_every_seed_and_baseline_from_one(page):
    spec = figures(page)["equity-test"]
    curves = [trace for trace in spec["data"] if trace.get("yaxis") != "y2"]
    names = {trace["name"] for trace in curves}
    assert names == {
        "Seed 42 (chosen)", "Seed 123", "Seed 456", "Seed 789", "Seed 1337", "Flat",
        "Buy and hold", "Constant exposure", "SMA cross", "Random (median draw)",
    }  # fmt: skip
    assert all(trace["y"][0] == 1.0 for trace in curves)


def test_the_figures_of_the_artifacts_are_on_the_page(opened_run, page):
    own = without_plotly(page).replace("\u00a0", " ")
    metrics = read_json(opened_run / "backtest" / "metrics.json")
    test = metrics["test"]["seed-42"]
    assert f"{test['net_return'] * 100:.2f} %" in own
    assert f"{test['sharpe']:.2f}" in own
    for reason in read_json(opened_run / "verdict.json")["reasons"]:
        assert reason["text"] in own
    lineage = read_json(opened_run / "dataset" / "lineage.json")
    assert lineage["contract_sha256"] in own
    assert all(file["sha256"] in own for file in lineage["inputs"])
    assert "20 % of the test bars are close-only: stops cannot trigger inside them" in own
    assert "min_deflated_sharpe: 0.95" in own


def test_a_run_whose_test_was_not_opened_says_why(closed_run):
    html = render_report(closed_run)
    own = without_plotly(html)
    assert "Test was not opened, because a validation gate failed." in own
    assert "test not opened" in own and 'data-choose="test"' not in own
    assert not any(name.endswith("-test") for name in figures(html))
    assert [own.index(f'<section id="{name}"') for name in SECTIONS]


def test_undefined_figures_are_shown_with_their_reason(tmp_path):
    html = render_report(fabricate(tmp_path / "sample", few_trades=True))
    assert "fewer than 20 closed trades" in html
    assert "NaN" not in without_plotly(html) and "Infinity" not in without_plotly(html)


def test_contamination_is_loud(opened_run, tmp_path):
    folder = tmp_path / "sample"
    shutil.copytree(opened_run, folder)
    verdict = read_json(folder / "verdict.json")
    write_json(folder / "verdict.json", verdict | {"contaminated": True, "openings": 3})
    html = render_report(folder)
    assert "The test split is contaminated: opened 3 times" in html
    assert "3 openings of the test split" in html


def test_warnings_of_the_data_are_in_the_data_section(opened_run, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(opened_run, folder)
    lineage = read_json(folder / "dataset/lineage.json")
    lineage["warnings"] = ["AAA ends on 2024-01-05, 40 sessions before the last bar of all"]
    write_json(folder / "dataset/lineage.json", lineage)
    page = render_report(folder)
    data = page[page.index('<section id="data"') : page.index('<section id="config"')]
    assert '<div class="warn">AAA ends on 2024-01-05, 40 sessions before' in data


def test_orders_exits_and_stale_rows_are_on_the_page(page):
    for text in ("Orders: filled", "Stop and target in one bar", "Decided by finer bars",
                 "Rows without trading (a feature was stale)", "funding paid"):  # fmt: skip
        assert text in page, text


def test_names_from_files_cannot_break_out_of_the_page(opened_run, tmp_path):
    folder = tmp_path / "sample"
    shutil.copytree(opened_run, folder)
    lineage = read_json(folder / "dataset" / "lineage.json")
    lineage["inputs"][0]["file"] = "</td><script>alert(1)</script>"
    write_json(folder / "dataset" / "lineage.json", lineage)
    metrics = read_json(folder / "backtest" / "metrics.json")
    metrics["chosen_by"] = "</script><script>alert(2)</script>"
    write_json(folder / "backtest" / "metrics.json", metrics)
    own = without_plotly(render_report(folder))
    assert "<script>alert" not in own and own.count("<script") == 2


@pytest.mark.parametrize("name", ["verdict.json", "backtest/equity.parquet", "train/summary.json"])
def test_a_missing_artifact_is_an_error_that_names_it(opened_run, tmp_path, name):
    folder = tmp_path / "sample"
    shutil.copytree(opened_run, folder)
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name.rsplit("/", 1)[-1]):
        render_report(folder)


def test_long_series_stay_small(tmp_path, page):
    html = render_report(fabricate(tmp_path / "sample", bars=20_000))
    assert len(html) < 8_000_000
    assert len(html) - len(page) < 1_500_000


def test_too_few_trades_leave_no_p_value(tmp_path, page):
    """definitions.md: fewer than 20 closed trades, no Sharpe and no p-value."""
    html = without_plotly(render_report(fabricate(tmp_path / "sample", few_trades=True)))
    assert not re.search(r"p = 0\.\d", html)
    assert re.search(r"Seed 42 beat \d+ of 200, p = 0\.\d{4}\.", page)


def test_random_agents_that_all_end_alike_make_a_narrow_bar(opened_run, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(opened_run, folder)
    metrics = read_json(folder / "backtest/metrics.json")
    metrics["random_draws"]["test"] = {"net_return": [0.1] * 20}
    write_json(folder / "backtest/metrics.json", metrics)
    made = figures(render_report(folder))
    bins = made["random-test"]["data"][0]["xbins"]
    assert bins["start"] < 0.1 < bins["end"] and bins["end"] - bins["start"] < 0.01
    assert "xbins" not in made["random-validation"]["data"][0]
