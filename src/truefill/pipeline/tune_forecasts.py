"""The forecasts of a search: made once, before its trials, as a run would make them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from truefill.config.schema import Config
from truefill.pipeline import host
from truefill.pipeline.artifacts import Manifest
from truefill.pipeline.events import Event
from truefill.pipeline.forecast_course import ForecastCourse
from truefill.pipeline.pool import Job, Pool


@dataclass
class SearchForecasts:
    """A search, as the forecast stage sees it."""

    config: Config
    folder: Path
    manifest: Manifest
    device: host.Device
    dataset: str
    say: Callable[[Event], None]
    send: Callable[[str, str, dict[str, Any]], dict[str, Any]]
    """Stage, key, arguments -> the message of a job."""
    states: dict[str, str] = field(default_factory=dict)

    def go(self, pool: Pool) -> None:
        """Do what is due, where the config has forecasters."""
        if self.config.forecast is not None:
            ForecastCourse(self, self.config.forecast).go(pool)

    def current(self, name: str) -> bool:
        """The dataset is: it was just made."""
        return name in self.manifest.stages

    def simple(
        self,
        pool: Pool,
        stage: str,
        files: Callable[[Any], list[str]],
        *,
        state: bool = True,
        key: str | None = None,
    ) -> None:
        """Do a stage of one job unless it is done."""
        assert key is not None
        if self.manifest.done(stage, key):
            return
        message = self.message(stage, key)
        done: Callable[[Any], None] = lambda found: self.manifest.record(stage, key, files(found))  # noqa: E731
        pool.run([Job(stage, message, self._heard, done)])
        if state:
            self.states[stage] = "done"

    def message(self, stage: str, key: str, **arguments: Any) -> dict[str, Any]:
        return self.send(stage, key, arguments)

    def line(self, text: str) -> None:
        if text:
            self.say(Event("line", "forecast", text))

    def _heard(self, message: dict[str, Any]) -> None:
        self.line(message.get("line", ""))
