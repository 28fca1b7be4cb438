"""Calculators in files of the user's own; the page that explains them is run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from data_cases import HOUR, START_S, config_of, context, parquet_bars, walk
from truefill.config.load import load_config, portable
from truefill.config.schema import Config
from truefill.core import plugins
from truefill.core.errors import ConfigError, DataError
from truefill.core.plugins import load_plugins
from truefill.data.dataset import load_lineage
from truefill.data.sessions import session_of
from truefill.features.build import build_dataset, specify_all
from truefill.features.contract import FeatureSpec
from truefill.features.registry import CALCULATORS
from truefill.features.stream import FeatureStream, StreamedRows
from truefill.pipeline.folder import input_hashes, run_identity
from truefill.pipeline.run import run

PAGE = Path(__file__).parents[3] / "docs" / "add-a-calculator.md"
HEAD = """
from pydantic import Field
from truefill.core.registry import Params
from truefill.features.base import Context, Floats, calculator
class P(Params):
    "Nothing."
"""


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """No plug-in of one test is known in the next."""
    yield
    plugins._LOADED.clear()
    for entry in list(CALCULATORS):
        if entry.params.__module__.startswith("truefill_plugin"):
            CALCULATORS.remove(entry.name)


def registering(name: str, scale: float = 1.0) -> str:
    """A plug-in with one calculator: the close times ``scale``."""
    return HEAD + (
        f"@calculator({name!r}, P, unit='price', source='close', crosses_session=False)\n"
        f"def f(p: P, bars: Context) -> Floats:\n    'Close.'\n    return {scale} * bars.close\n"
    )


def plugin(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def config_with(folder: Path, *plugins: Path) -> Config:
    feature = {"name": "f", "calculator": "mine"}
    data = {"bars": [parquet_bars(folder, walk(480))]}
    return config_of(data, [feature], plugins=[str(path) for path in plugins])


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def page_config(folder: Path) -> Path:
    """The page's files in a folder: its plug-in, its config on bars of a random walk."""
    plugin(folder, "\n\n".join(blocks("python")), "spreads.py")
    parquet_bars(folder, walk(480))
    (own,) = (yaml.safe_load(text) for text in blocks("yaml"))
    own["features"].append({"name": "body", "calculator": "body_share", "normalizer": "none"})
    days = {"train": ("01", "11"), "validation": ("11", "16"), "test": ("16", "21")}
    splits = {
        name: {"start": f"2020-01-{a}", "end": f"2020-01-{b}"} for name, (a, b) in days.items()
    }
    data: dict[str, Any] = {
        "bars": [{"path": "bars.parquet"}], "interval": "1h", "splits": splits
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump({"name": "page", "data": data, **own}))
    return folder / "config.yaml"


def test_the_page_works_as_written(tmp_path: Path) -> None:
    config = load_config(page_config(tmp_path))
    built = build_dataset(config)
    ranges = CALCULATORS.get("mean_range")
    bars = walk(30)
    found = ranges.make(ranges.params(window=5), context(bars))
    relative = ((bars["high"] - bars["low"]) / bars["close"]).to_numpy()
    assert np.isnan(found[:4]).all() and found[20] == pytest.approx(relative[16:21].mean())
    assert list(built.lineage["plugins"]) == ["spreads.py"]


@pytest.mark.slow
def test_the_command_line_finds_it_from_another_folder(tmp_path: Path) -> None:
    page_config(tmp_path)
    call = [sys.executable, "-m", "truefill", "check", str(tmp_path / "config.yaml")]
    done = subprocess.run(call, capture_output=True, text=True, cwd="/", check=False)
    assert "2 features, all calculators and parameters known" in done.stdout + done.stderr


@pytest.mark.slow
def test_workers_load_it(tmp_path: Path) -> None:
    """The dataset is built in another process, from the config that it is sent."""
    config = load_config(page_config(tmp_path))
    result = run(config, runs=tmp_path / "runs", until="dataset", skip_checks=True, workers=1)
    lineage = load_lineage(result.folder / "dataset")
    assert lineage["plugins"] == load_plugins(config.plugins)
    assert [f["calculator"] for f in lineage["features"]] == ["mean_range", "body_share"]


def test_its_hash_is_part_of_contract_and_run(tmp_path: Path) -> None:
    path = plugin(tmp_path, registering("mine"))
    config = config_with(tmp_path, path)
    first = build_dataset(config)
    before = run_identity(config, input_hashes(config))
    assert portable(config)["plugins"] == ["mine.py"]
    plugin(tmp_path, registering("mine", scale=-2.0))
    second = build_dataset(config)
    assert first.contract.sha256 != second.contract.sha256
    assert second.contract.plugins == load_plugins(config.plugins)
    assert run_identity(config, input_hashes(config)) != before
    assert second.norm_stats["f"]["max"] < 0.0 < first.norm_stats["f"]["max"]


def test_an_unchanged_file_runs_once(tmp_path: Path) -> None:
    told = tmp_path / "told"
    path = plugin(tmp_path, registering("mine") + f"open({str(told)!r}, 'a').write('x')\n")
    for _ in range(3):
        specify_all(config_with(tmp_path, path))
    assert told.read_text() == "x"


def test_configs_of_one_process_may_use_one_name(tmp_path: Path) -> None:
    """Two files register the same name for two configs: each gets its own."""
    one, two = (plugin(tmp_path, registering("mine", s), f"p{s:g}.py") for s in (1.0, 2.0))
    means = [
        build_dataset(config_with(tmp_path, path)).norm_stats["f"]["mean"]
        for path in (one, two, one)
    ]
    assert means[1] == pytest.approx(2.0 * means[0]) and means[2] == means[0]


@pytest.mark.parametrize("kind", ["mine", "higher"])
def test_a_file_that_another_config_named_does_not_count(tmp_path: Path, kind: str) -> None:
    """Its hash would be in no lineage."""
    specify_all(config_with(tmp_path, plugin(tmp_path, registering("mine"))))
    params = {"timeframe": "4h", "calculator": "mine"} if kind == "higher" else {}
    features = [{"name": "f", "calculator": kind, "params": params}]
    config = config_of({"bars": [parquet_bars(tmp_path, walk(480))]}, features)
    with pytest.raises(ConfigError, match=r"mine\.py, which this config does not name") as caught:
        specify_all(config)
    assert caught.value.where == "features.f"


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        (registering("rsi"), "'rsi' is taken by truefill itself (truefill.features.momentum)", 7),
        ("x = 1\ny = 1 / 0\n", "ZeroDivisionError: division by zero", 2),
        ("x = 1\n\ndef f(:\n", "SyntaxError", 3),
        ("import nowhere_to_be_found\n", "No module named", 1),
    ],
)
def test_a_broken_file_is_named_with_its_line(
    tmp_path: Path, text: str, words: str, line: int
) -> None:
    before = {entry.name for entry in CALCULATORS}
    with pytest.raises(ConfigError) as caught:
        specify_all(config_with(tmp_path, plugin(tmp_path, text)))
    assert words in caught.value.what and caught.value.where == f"plugins: mine.py line {line}"
    assert {entry.name for entry in CALCULATORS} == before


def test_what_is_not_there_or_registers_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="registers nothing"):
        specify_all(config_with(tmp_path, plugin(tmp_path, "x = 1\n")))
    missing = config_with(tmp_path, tmp_path / "gone.py")
    with pytest.raises(ConfigError, match="cannot be read"):
        specify_all(missing)
    with pytest.raises(ConfigError, match=r"plugins\.0: .*gone\.py: the file does not exist"):
        input_hashes(missing)


def test_two_files_with_one_name_of_a_calculator_are_named_both(tmp_path: Path) -> None:
    paths = [plugin(tmp_path, registering("mine"), name) for name in ("a.py", "b.py")]
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"'mine' is taken by a\.py") as caught:
            specify_all(config_with(tmp_path, *paths))
        assert caught.value.where.startswith("plugins: b.py")
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ConfigError, match="two plug-ins have one file name"):
        specify_all(config_with(tmp_path, paths[0], plugin(other, registering("n"), "a.py")))


def test_it_runs_on_longer_bars_too(tmp_path: Path) -> None:
    load_plugins([plugin(tmp_path, registering("mine"))])
    params = CALCULATORS.parse("higher", {"timeframe": "4h", "calculator": "mine"})
    bars = walk(9)
    found = CALCULATORS.get("higher").make(params, context(bars))
    assert START_S % (4 * HOUR) == 0 and found[8] == bars["close"][7]


def returning(body: str, name: str = "mine", facts: str = "") -> str:
    """A plug-in whose function has this body, on line 9."""
    return HEAD + (
        f"@calculator({name!r}, P, unit='x', source='me', crosses_session=True{facts})\n"
        f"def f(p: P, bars: Context) -> Floats:\n    {body}\n"
    )


@pytest.mark.parametrize(
    ("body", "words", "where"),
    [
        (
            "return bars.nothing",
            "mine failed: AttributeError: .*'nothing'",
            "features.f: mine.py line 9",
        ),
        (
            "bars.close[0] = 1.0",
            "mine failed: ValueError: .*read-only",
            "features.f: mine.py line 9",
        ),
        (
            "return bars.close[1:]",
            r"mine gave float64\[479\] for 480 bars",
            "calculator mine of mine.py",
        ),
        ("return 1.0", "mine gave float for 480 bars", "calculator mine of mine.py"),
        (
            "return bars.close > bars.open",
            r"mine gave bool\[480\] for 480 bars",
            "calculator mine of mine.py",
        ),
        (
            "return bars.close.astype('f4')",
            r"mine gave float32\[480\]",
            "calculator mine of mine.py",
        ),
    ],
)
def test_what_fails_while_it_works_is_named_too(
    tmp_path: Path, body: str, words: str, where: str
) -> None:
    config = config_with(tmp_path, plugin(tmp_path, returning(body)))
    specs = specify_all(config)
    for work in (lambda: build_dataset(config), lambda: streamed(specs)):
        with pytest.raises(ConfigError, match=words) as caught:
            work()
        assert caught.value.where == where


def streamed(specs: Sequence[FeatureSpec]) -> StreamedRows:
    return FeatureStream(specs, session_of(None), HOUR).push(walk(480))


def test_a_missing_value_names_the_file_as_well(tmp_path: Path) -> None:
    text = returning("x = bars.close.copy(); x[7] = float('nan'); return x")
    with pytest.raises(DataError, match=r"f is nan .* bar 8 of its history .*") as caught:
        build_dataset(config_with(tmp_path, plugin(tmp_path, text)))
    assert "mine.py: leading bars without a value are its warmup" in caught.value.do
