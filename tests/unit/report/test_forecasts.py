"""What the report says of forecasters: which were declared, over what, and every chart."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from truefill.core.errors import ArtifactError
from truefill.core.files import read_json, write_json
from truefill.report.forecast_words import ahead, difference, error
from truefill.report.forecasts import forecasts_page, headline, read_forecasts
from truefill.report.html import render_report
from unit.report.forecast_files import MEMBERS, write_forecasts


def own_part(html: str) -> str:
    return html[html.index('<section id="forecasts"') : html.index('<section id="learning"')]


def figures(html: str) -> dict:
    text = re.search(r'<script type="application/json" id="figures">(.*?)</script>', html, re.S)
    return json.loads(text[1])


@pytest.fixture(scope="module")
def run(opened_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecasts") / opened_run.name
    shutil.copytree(opened_run, folder)
    return write_forecasts(folder, horizons=(1, 3))


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return render_report(run)


def test_a_run_without_forecasts_has_no_section(opened_run: Path) -> None:
    html = render_report(opened_run)
    assert 'id="forecasts"' not in html and 'href="#forecasts"' not in html
    assert not any(name.startswith("forecast") for name in figures(html))
    assert read_forecasts(opened_run) is None and forecasts_page(None) is None


def test_the_sentence_says_what_was_declared_and_over_what(run: Path, page: str) -> None:
    heads = read_json(run / "forecast/skill.json")["splits"]["validation"]
    own = heads["h1"]["forecasters"]["ensemble"]
    assert own["declared"]  # else this test says nothing
    found = headline(heads)
    over = own["skill"]["best"].replace("_", " ")
    points = f"{own['skill']['difference'] * 100:+.2f}\u00a0points"
    assert f"ensemble 1 bar ahead over {over} ({points})" in found
    assert "of 10 tests, each at 95 %; luck alone would declare about 0.25." in found
    assert found in own_part(page)


def test_nothing_declared_is_said_plainly(tmp_path: Path) -> None:
    folder = write_forecasts(tmp_path, horizons=(1,), lead=0.0)
    heads = read_json(folder / "forecast/skill.json")["splits"]["validation"]
    for entry in heads["h1"]["forecasters"].values():
        entry["declared"] = False
    assert headline(heads) == (
        "No forecaster was declared skilful over the best baseline: 5 tests, each at 95 %."
    )


def test_every_forecaster_and_baseline_has_a_row_with_its_figures(run: Path, page: str) -> None:
    text = own_part(page)
    told = read_json(run / "forecast/test_skill.json")["splits"]["test"]["h1"]
    for name, entry in {**told["forecasters"], **told["baselines"]}.items():
        assert f"<td>{name.replace('_', ' ')}</td>" in text
        assert f"{entry['mean_score']['estimate'] * 100:.2f} %" in text.replace("\u00a0", " ")
        assert f"{entry['traded']:+.3f}" in text
    ensemble = told["forecasters"]["ensemble"]
    assert f"{ensemble['scores']['recall'][0] * 100:.2f} %" in text
    assert f"{ensemble['skill']['low'] * 100:.2f} to {ensemble['skill']['high'] * 100:.2f}" in text
    assert "fewer than 20 closed trades" in text and "1.10 / 1.70" in text
    assert "Fold 1: 2020-06-22 to 2020-12-03, 180 rows, fitted on 180" in text


def test_every_chart_has_a_place(page: str) -> None:
    places = set(re.findall(r'class="chart" id="(forecast-[^"]+)"', own_part(page)))
    assert places == {name for name in figures(page) if name.startswith("forecast-")}
    each = {"skill", "signal", "confusion", "calibration"}
    split = {f"forecast-{name}-{of}" for name in each for of in ("test", "validation")}
    assert places == split | {"forecast-folds", "forecast-learning"}


def test_charts_hold_the_figures_of_the_files(run: Path, page: str) -> None:
    made = figures(page)
    told = read_json(run / "forecast/test_skill.json")["splits"]["test"]
    counts = told["h3"]["forecasters"]["ensemble"]["scores"]["confusion"]
    square = made["forecast-confusion-test"]["data"][1]
    assert square["z"][0][1] == pytest.approx(counts[0][1] / sum(counts[0]), abs=1e-3)
    assert f"{counts[2][0]:,}" in square["text"][2][0]
    learning = made["forecast-learning"]["data"]
    fits = [trace for trace in learning if trace["mode"] == "lines"]
    assert len(fits) == 3 * 5 * 2  # members x folds x (fitted, holdout)
    assert sum(trace["line"]["width"] > 2 for trace in fits) == 3 * 2  # fold 0
    kept = [trace for trace in learning if trace["mode"] == "markers"]
    facts = read_json(run / f"forecast/{sorted(MEMBERS[:3])[0]}/h1-2-3/fold-0/seed-1/fit.json")
    assert kept[0]["x"] == [facts["best_epoch"]] and len(kept) == 3
    folds = made["forecast-folds"]["data"]
    train = read_json(run / "forecast/skill.json")["splits"]["train"]["h1"]["forecasters"]
    first = next(trace for trace in folds if trace["name"] == "ensemble")
    by_fold = train["ensemble"]["by_fold"]
    assert first["y"] == pytest.approx([100 * by_fold[k]["difference"] for k in "1234"])
    assert first["x"][0] == "1<br>2020-06" and len(first["error_y"]["array"]) == 4


def test_a_contaminated_forecaster_is_marked_and_never_declared(
    closed_run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / closed_run.name
    shutil.copytree(closed_run, folder)
    write_forecasts(folder, horizons=(1,), opened=False, contaminated=True, networks=())
    found = read_forecasts(folder)
    assert found is not None and found.shown == ("validation",)
    told = found.splits["validation"]["h1"]["forecasters"]["chronos_tiny"]
    assert told["declared"]  # by the file, but its bars were seen in training
    html = render_report(folder)
    text = own_part(html)
    assert "chronos tiny is contaminated and counts as no skill here: 240 of 240 rows" in text
    assert "chronos tiny 1 bar ahead over" not in text
    row = text[text.index("<td>chronos tiny</td>") :]
    assert row[: row.index("</tr>")].count("contaminated") == 1
    assert "Learning curves" not in text and "forecast-learning" not in figures(html)


@pytest.mark.parametrize(
    ("kind", "title", "detail"),
    [
        ("real", "Mean squared error", "R2 against 0"),
        ("quantile", "Mean pinball loss", "within q10 to q90"),
        ("position", "Mean gain, bps", "mean size"),
    ],
)
def test_other_kinds_have_their_own_columns(
    kind: str, title: str, detail: str, run: Path, tmp_path: Path
) -> None:
    found = read_forecasts(write_forecasts(tmp_path, kind=kind, horizons=(2,), networks=()))
    part = forecasts_page(found)
    assert part is not None
    head = part["splits"]["test"]["heads"][0]
    assert head["score"] == title and detail in head["details"]["columns"]
    assert not part["splits"]["test"]["classes"] and not head["likely"]
    assert head["title"] == "2 bars ahead"
    assert head["rows"][0]["name"] == "ensemble"


def test_units_of_skill() -> None:
    skill = {"difference": 2e-6, "low": -1e-6, "high": 4e-6, "best": "b", "scores": {"b": -1e-4}}
    assert difference("real", skill) == ("+2.00", "-1.00 to 4.00")  # per cent of the error
    assert difference("position", skill)[0] == "+0.02"  # basis points
    assert difference("class", skill | {"difference": 0.031})[0] == "+3.10"  # points
    assert error("real", -1.234e-4) == "0.0001234" and error("class", 0.5) == "50.00 %"
    assert (ahead("h1"), ahead("h3"), ahead("h3 quantile")) == (
        "1 bar ahead", "3 bars ahead", "3 bars ahead, quantile",
    )  # fmt: skip


def test_a_missing_plan_is_an_error_that_names_it(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / run.name
    shutil.copytree(run, folder)
    (folder / "forecast/plan.json").unlink()
    with pytest.raises(ArtifactError, match=r"plan\.json"):
        render_report(folder)


def test_the_same_files_make_the_same_bytes_and_names_cannot_break_out(
    run: Path, page: str, tmp_path: Path
) -> None:
    folder = tmp_path / run.name
    shutil.copytree(run, folder)
    assert render_report(folder) == page
    told = read_json(folder / "forecast/test_skill.json")
    entry = told["splits"]["test"]["h1"]["forecasters"]["gru"]
    entry["contaminated"] = "</script><script>alert(1)</script>"
    write_json(folder / "forecast/test_skill.json", told)
    assert "<script>alert" not in render_report(folder)
