"""Progress of a run: bars on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO, TypeVar

from truefill.cli.output import human_time
from truefill.pipeline.events import Event

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINES_PER_SEED = 5
"""Plain lines a seed's training prints at most."""
LINES_OF_FORECASTS = 20
"""And all fits of forecasters together."""


E = TypeVar("E", contravariant=True)


class View(Protocol[E]):
    """A context that shows events."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __call__(self, event: E) -> None: ...


def progress_text(event: Event) -> str:
    """``42 %, 310,000 steps/s, ETA 12 s, validation score +0.031``."""
    parts = []
    if event.total:
        parts.append(f"{event.done / event.total:.0%}")
    if event.rate > 0 and event.stage == "train":
        parts.append(f"{event.rate:,.0f} steps/s")
    if event.rate > 0 and event.stage == "forecast":
        parts.append(f"{event.rate:,.0f} rows/s")
    if event.rate > 0 and event.stage == "audit" and event.total:
        parts.append(f"{60 * event.rate / event.total:.0%}/min")
    if event.eta_s is not None:
        parts.append(f"ETA {human_time(event.eta_s)}")
    if event.stage == "forecast":
        parts.append(event.text + ("" if event.score is None else f" {event.score:.4g}"))
    elif event.score is not None:
        parts.append(f"validation score {event.score:+.4g}")
    return ", ".join(parts)


class Lines:
    """What a log can hold: no colours, no moving cursor. A context."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next: dict[int | None, float] = {}
        """By seed or trial, the share of the work at which its next line is due."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.flush()

    def _line(self, text: str) -> None:
        self._stream.write(text.rstrip() + "\n")
        self._stream.flush()


class PlainView(Lines):
    """Few lines per seed."""

    def __call__(self, event: Event) -> None:
        if event.kind != "progress":
            self._line(f"{event.stage:<9}{event.text}")
            return
        share = event.done / event.total if event.total else 0.0
        if share < self._next.get(event.seed, 0.0):
            return
        lines = LINES_OF_FORECASTS if event.stage == "forecast" else LINES_PER_SEED
        self._next[event.seed] = (int(share * lines) + 1) / lines
        who = f"seed {event.seed}: " if event.seed is not None else ""
        self._line(f"{event.stage:<9}{who}{progress_text(event)}")


class TerminalView:
    """One bar per seed with rate, ETA and the current validation score."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[facts]}"),
            console=Console(file=stream, highlight=False),
        )
        self._tasks: dict[int | None, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if event.kind != "progress":
            self._progress.console.print(f"{event.stage:<9}{event.text}", markup=False)
            return
        name = f"seed {event.seed}" if event.seed is not None else event.stage
        if event.seed not in self._tasks:
            self._tasks[event.seed] = self._progress.add_task(name, facts="", total=None)
        self._progress.update(
            self._tasks[event.seed],
            completed=event.done,
            total=event.total or None,
            facts=progress_text(event),
        )


def make_view(*, quiet: bool = False) -> View[Event]:
    """The view for this terminal; with ``quiet`` (``--json``) plain lines on stderr."""
    stream = sys.stderr if quiet else sys.stdout
    if stream.isatty() and not quiet:
        return TerminalView(stream)
    return PlainView(stream)
