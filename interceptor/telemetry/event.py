"""What a log event is: a name, its level, its fields and one sentence for the operator."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How soon a person should look."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One kind of log event.

    Attributes:
        name: `noun_verb_past`, never renamed.
        level: How soon a person should look.
        fields: The names that it may carry; all are optional.
        sentence: What happened and what the operator should do about it.
        per_minute_max: At most so many a minute are written, the next one tells how many were left out; 0 is no
            limit, right for what cannot happen often.
    """

    name: str
    level: Level
    fields: tuple[str, ...]
    sentence: str
    per_minute_max: int = 0


def info(name: str, sentence: str, *fields: str, per_minute_max: int = 0) -> Event:
    """A change of state."""
    return Event(name=name, level=Level.INFO, fields=fields, sentence=sentence, per_minute_max=per_minute_max)


def warning(name: str, sentence: str, *fields: str, per_minute_max: int = 30) -> Event:
    """Something that a person should look at this week."""
    return Event(name=name, level=Level.WARNING, fields=fields, sentence=sentence, per_minute_max=per_minute_max)


def error(name: str, sentence: str, *fields: str, per_minute_max: int = 30) -> Event:
    """Something that a person should look at today."""
    return Event(name=name, level=Level.ERROR, fields=fields, sentence=sentence, per_minute_max=per_minute_max)
