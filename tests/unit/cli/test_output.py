"""Text for people."""

from __future__ import annotations

import io

import pytest

from truefill.cli.output import human_bytes, human_time
from truefill.cli.view import PlainView, TerminalView, progress_text
from truefill.pipeline.events import Event


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7_500, "2 h 5 min")]
)
def test_times(seconds: float, text: str) -> None:
    assert human_time(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 B"), (3_400_000, "3.4 MB"), (1.2e9, "1.2 GB"), (5e15, "5000.0 TB")]
)
def test_sizes(count: float, text: str) -> None:
    assert human_bytes(count) == text


def test_progress_says_what_is_known_only() -> None:
    assert progress_text(Event("progress", "train", done=1, total=4)) == "25%"
    event = Event("progress", "train", done=1, total=4, rate=0.5, score=-0.25)
    assert progress_text(event) == "25%, 0 steps/s, ETA 6 s, validation score -0.25"
    assert Event("progress", "train", done=1, rate=1.0).eta_s is None


def test_plain_lines_hold_no_control_characters_and_every_sentence() -> None:
    stream = io.StringIO()
    with PlainView(stream) as view:
        view(Event("line", "check", "14 checks passed"))
        for done in range(1_001):
            for seed in (1, 2):
                view(Event("progress", "train", seed=seed, done=done, total=1_000, rate=9.0))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "check    14 checks passed"
    assert len(lines) <= 1 + 2 * 6
    assert any("seed 2: 100%" in line for line in lines)
    assert stream.getvalue().replace("\n", "").isprintable()


def test_the_terminal_view_has_a_bar_per_seed() -> None:
    stream = io.StringIO()
    with TerminalView(stream) as view:
        view(Event("stage", "train", "2 seeds [not markup]"))
        for seed in (1, 2):
            view(Event("progress", "train", seed=seed, done=50, total=100, rate=10.0, score=0.1))
    shown = stream.getvalue()
    assert "[not markup]" in shown
    assert "seed 1" in shown and "seed 2" in shown
    assert "ETA 5 s" in shown
