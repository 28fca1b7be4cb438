"""Progress of a search: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from truefill.cli.output import human_time
from truefill.cli.view import Lines, View

if TYPE_CHECKING:
    from rich.table import Table

    from truefill.pipeline.tune_events import TuneEvent

LINES_PER_TRIAL = 3
"""Plain lines of progress a trial prints at most."""
ROOM = 8
"""Lines of the terminal that are not the table's."""
STYLES = {"running": "bold", "complete": "green", "pruned": "yellow", "failed": "red"}
REFRESHES_PER_S = 4


class PlainTuneView(Lines):
    """Few lines per trial."""

    def __call__(self, event: TuneEvent) -> None:
        if event.kind == "line":
            self._line(f"tune     {event.text}")
            return
        share = event.done / event.total if event.total else 0.0
        if event.state != "running" or share < self._next.get(event.trial, 1 / LINES_PER_TRIAL):
            return
        self._next[event.trial] = (int(share * LINES_PER_TRIAL) + 1) / LINES_PER_TRIAL
        value = "" if event.value is None else f", Sortino {event.value:+.4g}"
        self._line(
            f"tune     trial {event.trial} {share:.0%}, seed {event.seed}{value}; {summary(event)}"
        )


class LiveTuneView:
    """One row a trial: state, value, step, seed; below it the best so far and the ETA."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream, highlight=False)
        self._rows: dict[int, TuneEvent] = {}
        self._last: TuneEvent | None = None
        self._live = Live(
            console=self._console,
            refresh_per_second=REFRESHES_PER_S,
            get_renderable=self._table,
            vertical_overflow="ellipsis",
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def __call__(self, event: TuneEvent) -> None:
        if event.kind == "line":
            if not event.text.startswith("trial "):  # the table has it
                self._live.console.print(f"tune     {event.text}", markup=False)
            return
        before = self._rows.get(event.trial)
        if before is not None and before.state not in ("waiting", "running"):
            return
        self._rows[event.trial] = event
        self._last = event

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        caption = "" if self._last is None else summary(self._last)
        table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
        steps = f"{self._last.total:,}" if self._last is not None else ""
        widths = {"trial": 7, "state": 8, "value": 10, "step": 2 * len(steps) + 4, "seed": 6}
        for name, width in widths.items():
            right = name in ("value", "step", "seed")
            table.add_column(
                name, min_width=width, no_wrap=True, justify="right" if right else "left"
            )
        table.add_column("why", overflow="ellipsis", no_wrap=True)
        best = None if self._last is None or self._last.best is None else self._last.best[0]
        for event in self._shown():
            value = "" if event.value is None else f"{event.value:+.4f}"
            table.add_row(
                f"{event.trial}{' *' if event.trial == best else ''}",
                event.state,
                value,
                f"{min(event.done, event.total):,} of {event.total:,}" if event.done else "",
                "" if event.seed is None else str(event.seed),
                Text(event.reason or ""),
                style=STYLES.get(event.state),
            )
        return table

    def _shown(self) -> list[TuneEvent]:
        """As many trials as the terminal has room for: the latest, and the best before them."""
        room = max(self._console.size.height - ROOM, 4)
        rows = [self._rows[number] for number in sorted(self._rows)]
        if len(rows) <= room:
            return rows
        shown = rows[-room:]
        best = None if self._last is None else self._last.best
        if best is not None and best[0] in self._rows and best[0] < shown[0].trial:
            shown[0] = self._rows[best[0]]
        return shown


def summary(event: TuneEvent) -> str:
    """``4 of 20 trials, best +1.203 (trial 2), ETA 3 min 20 s``."""
    parts = [f"{event.finished} of {event.trials} trials"]
    if event.best is not None:
        parts.append(f"best {event.best[1]:+.4g} (trial {event.best[0]})")
    if event.eta_s is not None and event.finished < event.trials:
        parts.append(f"ETA {human_time(event.eta_s)}")
    return ", ".join(parts)


def make_tune_view(*, quiet: bool = False) -> View[TuneEvent]:
    """The view for this terminal; with ``quiet`` (``--json``) plain lines on stderr."""
    stream = sys.stderr if quiet else sys.stdout
    if stream.isatty() and not quiet:
        return LiveTuneView(stream)
    return PlainTuneView(stream)
