"""Types that sections are built of, each with its own validation."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from truefill.core.duration import parse_duration_s

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _duration(value: Any) -> float:
    return parse_duration_s(value)


Duration = Annotated[
    float, BeforeValidator(_duration, json_schema_input_type=str | float), Field(ge=0)
]


def _timezone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is not an IANA timezone (e.g. America/Bogota, UTC)")
    return value


def _moment(value: Any) -> datetime:
    """A date or an ISO timestamp; a date is 00:00 UTC, a naive timestamp is refused."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no timezone; write e.g. +00:00")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError(f"{value!r} is not a date or timestamp")


def _clock(value: Any) -> time:
    """``"16:00"``; unquoted, YAML 1.1 reads it as the number 960, which is refused."""
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or re.fullmatch(r"\d{2}:\d{2}", value) is None:
        raise ValueError(f'{value!r} is not a time of day; write it in quotes, e.g. "16:00"')
    return time.fromisoformat(value)


Timezone = Annotated[str, AfterValidator(_timezone)]
Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str)]
ClockTime = Annotated[
    time,
    BeforeValidator(_clock, json_schema_input_type=str),
    PlainSerializer(lambda v: v.strftime("%H:%M"), return_type=str),
]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
FilePath = Annotated[Path, PlainSerializer(lambda p: p.as_posix(), return_type=str)]


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def kinds_of(annotation: Any) -> dict[str, type[Section]]:
    """The sections of a union that is told apart by ``kind``, by that word; empty for any other
    annotation. Lists of such a union count too."""
    members = [part for part in _parts(annotation) if "kind" in part.model_fields]
    if len(members) < 2:
        return {}
    return {word: part for part in members for word in get_args(_kind_of(part))}


def _kind_of(section: type[Section]) -> Any:
    return section.model_fields["kind"].annotation


def _parts(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [part for inner in get_args(annotation) for part in _parts(inner)]
