"""What a log event is: a name, a level, the fields it may carry, and a sentence for the operator."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_WORD_SIZE_MAX: Final = 2000
"""Longest text value, in characters: a traceback's places fit; a message that slipped in is cut."""
_SEQUENCE_COUNT_MAX: Final = 50


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
        per_minute_max: At most so many a minute are written of the same route, destination, source, feed, reason and
            error; the next one tells how many were left out. 0 is no limit, right for what cannot happen often.
    """

    name: str
    level: Level
    fields: tuple[str, ...]
    sentence: str
    per_minute_max: int = 0


def info(name: str, sentence: str, *fields: str, per_minute_max: int = 0) -> Event:
    """A change of state; unlimited unless it can be frequent."""
    return Event(name=name, level=Level.INFO, fields=fields, sentence=sentence, per_minute_max=per_minute_max)


def warning(name: str, sentence: str, *fields: str, per_minute_max: int = 30) -> Event:
    """Something that a person should look at this week."""
    return Event(name=name, level=Level.WARNING, fields=fields, sentence=sentence, per_minute_max=per_minute_max)


def error(name: str, sentence: str, *fields: str, per_minute_max: int = 30) -> Event:
    """Something that a person should look at today."""
    return Event(name=name, level=Level.ERROR, fields=fields, sentence=sentence, per_minute_max=per_minute_max)


def is_plain(value: object) -> bool:
    """Whether a value may be written: a number, a word, None, or a sequence of these."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain_one(each) for each in value)
    return _is_plain_one(value)


def _is_plain_one(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def cut(value: object) -> object:
    """The value, long texts and sequences cut short."""
    if isinstance(value, str):
        return str(value)[:_WORD_SIZE_MAX]
    if isinstance(value, (list, tuple)):
        return [cut(each) for each in value[:_SEQUENCE_COUNT_MAX]]
    return value
