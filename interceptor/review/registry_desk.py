"""What people may do with the registry of a running node: give it an import in batches, and make it forget a patient.

Looking does not need the node: the command line reads the file. Writing does, for the node is the only writer.

Failures: a batch that is not understood, or that the journal cannot keep, is refused as a whole; the import goes on from
there when it is begun again.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from interceptor.control.protocol import ControlError
from interceptor.evidence.registry import ImportPlace, Registry
from interceptor.evidence.statement import PatientIdentifier
from interceptor.evidence.statement_json import StatementError, read_statement
from interceptor.journal.port import JournalUnavailable
from interceptor.review.desk import Handler

STATEMENTS_MAX = 2000
"""Statements of one batch: reading them must not keep orders waiting."""


class RegistryDesk:
    """People's commands on the registry."""

    def __init__(self, registry: Registry, *, now: Callable[[], datetime]) -> None:
        """*now* gives aware UTC times."""
        self._registry = registry
        self._now = now

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        return {
            "registry_record": self.record,
            "registry_complete": self.complete,
            "registry_forget": self.forget,
        }

    async def record(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Store one batch of an import with the place that it ends at."""
        source, batch = _source(arguments), arguments.get("statements")
        if not isinstance(batch, list) or len(batch) > STATEMENTS_MAX:
            raise ControlError("bad_argument", f"statements is a list of {STATEMENTS_MAX} at most")
        try:
            statements = [read_statement(one, source=source) for one in batch]
        except StatementError as error:
            raise ControlError("bad_argument", f"a statement is not understood: {error}") from None
        try:
            await self._registry.record(statements, source=source, place=_place(arguments), at=self._now())
        except JournalUnavailable as error:
            raise ControlError("unavailable", f"the journal cannot write now ({error.reason})") from None
        return {"recorded": len(statements)}

    async def complete(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """A source has said everything that it knows."""
        try:
            said_at = datetime.fromisoformat(str(arguments.get("said_at", "")))
        except ValueError:
            raise ControlError("bad_argument", "said_at is a time") from None
        if said_at.tzinfo is None:
            raise ControlError("bad_argument", "said_at needs its zone")
        try:
            await self._registry.record_complete(source=_source(arguments), said_at=said_at)
        except JournalUnavailable as error:
            raise ControlError("unavailable", f"the journal cannot write now ({error.reason})") from None
        return {}

    async def forget(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Remove a person. Audited."""
        value, authority, kind = (str(arguments.get(name, "")) for name in ("value", "authority", "type"))
        actor = str(arguments.get("actor", "")).removeprefix("user:")
        if not (value and authority and actor):
            raise ControlError("bad_argument", "value, authority and actor are needed")
        identifier = PatientIdentifier(value, authority, kind)
        try:
            forgotten = await self._registry.forget((identifier,), at=self._now(), actor=f"user:{actor}")
        except JournalUnavailable as error:
            raise ControlError("unavailable", f"the journal cannot write now ({error.reason})") from None
        if forgotten is None:
            raise ControlError("not_found", "no such patient is known")
        return {name: getattr(forgotten, name) for name in forgotten.__slots__}


def _source(arguments: Mapping[str, Any]) -> str:
    source = str(arguments.get("source", "")).strip()
    if not source:
        raise ControlError("bad_argument", "source is needed")
    return source


def _place(arguments: Mapping[str, Any]) -> ImportPlace | None:
    digest, line_number = arguments.get("digest"), arguments.get("line_number")
    if not isinstance(digest, str):
        return None
    return ImportPlace(digest=digest, line_number=line_number if isinstance(line_number, int) else None)
