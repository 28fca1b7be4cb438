"""Times of day: YAML 1.1 reads 16:00 as the number 960, which must never pass for 00:16."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest
import yaml

from config_cases import base_tree
from truefill.config.load import load_config
from truefill.core.errors import ConfigError


def session(folder: Path, text: str) -> Path:
    tree = base_tree()
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree).replace("data:\n", f"data:\n  session: {text}\n", 1))
    return path


def test_quoted_times_are_read(tmp_path: Path) -> None:
    found = load_config(session(tmp_path, '{start: "09:30", end: "16:00"}')).data.session
    assert found is not None
    assert (found.start, found.end) == (time(9, 30), time(16, 0))


@pytest.mark.parametrize("text", ["{start: 09:30, end: 16:00}", "{start: 9}", '{start: "9:30"}'])
def test_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="write it in quotes"):
        load_config(session(tmp_path, text))
