"""From orders that a FHIR client is about to sign to the HL7 message that the policy reads.

    Bundle of ServiceRequest, with Patient and Encounter    ->    OMG^O19, one order group a request

The orders have not been placed: the message is read by the same readers as a placer's, and goes nowhere. Requests that
are signed together are one set, as orders that share a placer group number are.

Failures: a document that is no such Bundle is a `DraftError` with a place, never with content. A request that cannot
be an imaging order (cancelled, about another patient) is left out.

Source: FHIR R4 ServiceRequest (request-status, request-priority), Encounter.class (v3-ActCode); CDS Hooks 2.0
order-sign; HL7 v2.5.1 chapter 4, OMG^O19; tables 0004, 0485.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from interceptor.message.build import Field, ascii_text, build_field, build_segment
from interceptor.message.encoding import USUAL_ENCODING

Resource = Mapping[str, Any]

ORDERS_MAX: Final = 50
"""Requests of one signing that are looked at; an order set of a hundred has no hundred spine studies."""
_TEXT_SIZE_MAX: Final = 2000
_CODINGS_MAX: Final = 2
"""OBR-4 has room for a code and its alternate."""
_LEFT_OUT_STATUS: Final = frozenset({"revoked", "entered-in-error", "completed"})
_PRIORITIES: Final[Mapping[str, str]] = {"routine": "R", "urgent": "U", "asap": "A", "stat": "S"}
_PATIENT_CLASSES: Final[Mapping[str, str]] = {
    "EMER": "E", "IMP": "I", "ACUTE": "I", "NONAC": "I", "OBSENC": "I", "SS": "O", "AMB": "O", "HH": "O", "VR": "O",
}  # fmt: skip


class DraftError(ValueError):
    """The draft orders cannot be read.

    Attributes:
        place: Where, e.g. "draftOrders.entry[2].resource"; never content.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftMessage:
    """The message, and which request each of its order groups came from.

    Attributes:
        raw: An OMG^O19; it has no order when there is no request.
        requests: The requests as received; the order group with number n is `requests[n - 1]`.
    """

    raw: bytes
    requests: tuple[Resource, ...]


def build_draft_message(
    draft_orders: object,
    *,
    patient: Resource | None,
    encounter: Resource | None,
    conditions: Mapping[str, Resource],
    patient_id: str,
    at: datetime,
) -> DraftMessage:
    """Build the message.

    Args:
        draft_orders: The Bundle that the client sent.
        conditions: Conditions of the patient by reference ("Condition/17"), which a request may name as its reason.
        patient: The Patient, for birth date and identifiers; None where the client gave none.
        encounter: The Encounter; None where there is none.
        patient_id: FHIR id of the patient; requests about another one are left out.
        at: Now (aware).

    Raises:
        DraftError: No Bundle, or an entry of it is broken.
    """
    requests = tuple(_requests(draft_orders, patient_id))[:ORDERS_MAX]
    segments = [
        _header(at),
        build_segment(USUAL_ENCODING, "PID", _patient_fields(patient, patient_id)),
        build_segment(USUAL_ENCODING, "PV1", ("1", _patient_class(encounter))),
    ]
    for number, request in enumerate(requests, start=1):
        segments.extend(_order(number, request, conditions, at))
    return DraftMessage(raw=b"".join(segment + b"\r" for segment in segments), requests=requests)


def _requests(draft_orders: object, patient_id: str) -> Iterator[Resource]:
    if not isinstance(draft_orders, dict) or draft_orders.get("resourceType") != "Bundle":
        raise DraftError("context.draftOrders", "is no Bundle")
    entries = draft_orders.get("entry", [])
    if not isinstance(entries, list):
        raise DraftError("context.draftOrders.entry", "is no list")
    for index, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            raise DraftError(f"context.draftOrders.entry[{index}].resource", "is missing")
        if resource.get("resourceType") != "ServiceRequest" or _text(resource.get("status")) in _LEFT_OUT_STATUS:
            continue
        subject = _text(_object(resource.get("subject")).get("reference"))
        if not subject or subject.rsplit("/", 1)[-1] == patient_id:
            yield resource


def _header(at: datetime) -> bytes:
    # MSH is not built as other segments are: its first two fields are the delimiters themselves.
    return rf"MSH|^~\&|DRAFT|CDS|||{_stamp(at)}||OMG^O19^OMG_O19|DRAFT|P|2.5.1".encode("ascii")


def _patient_fields(patient: Resource | None, patient_id: str) -> tuple[Field, ...]:
    found = patient or {}
    identifier = next((one for one in _objects(found.get("identifier")) if _text(one.get("value"))), {})
    value, system = _text(identifier.get("value")) or patient_id, _text(identifier.get("system")) or "FHIR"
    birth_date = _text(found.get("birthDate")).replace("-", "")
    sex = {"female": "F", "male": "M", "other": "O"}.get(_text(found.get("gender")), "U")
    return ("1", "", (_ascii(value), "", "", _ascii(system)), "", "", "", _ascii(birth_date), sex)


def _patient_class(encounter: Resource | None) -> str:
    """PV1-2. An encounter whose class is none that we know is not taken for an outpatient's: it says nothing."""
    return _PATIENT_CLASSES.get(_text(_object((encounter or {}).get("class")).get("code")).upper(), "")


def _order(number: int, request: Resource, conditions: Mapping[str, Resource], at: datetime) -> Iterator[bytes]:
    own_number = f"DRAFT{number}"
    placed = _moment(request.get("authoredOn")) or at
    orc = ["NW", own_number, "", "DRAFTSET", "", "", "", "", _stamp(placed)]
    yield build_segment(USUAL_ENCODING, "ORC", orc)
    priority = _text(request.get("priority")) or "routine"
    start = _stamp(_moment(request.get("occurrenceDateTime")) or _moment(_start_of(request)))
    # A word that FHIR does not know is handed on as it is: the site's list calls what it does not know urgent.
    yield build_segment(
        USUAL_ENCODING, "TQ1", ("1", "", "", "", "", "", start, "", _PRIORITIES.get(priority, _ascii(priority)))
    )
    yield build_segment(USUAL_ENCODING, "OBR", _observation_request(number, request, conditions))
    for index, note in enumerate(_objects(request.get("note")), start=1):
        text = _ascii(_text(note.get("text")))
        if text:
            yield build_segment(USUAL_ENCODING, "NTE", (str(index), "P", text))


def _observation_request(number: int, request: Resource, conditions: Mapping[str, Resource]) -> list[Field]:
    """OBR-1 to OBR-31: the procedure with its alternate coding, and the reasons."""
    code = _object(request.get("code"))
    service: list[str] = []
    for coding in _objects(code.get("coding"))[:_CODINGS_MAX] or [{}]:
        name = _text(coding.get("display")) or _text(code.get("text"))
        service += [_ascii(_text(coding.get("code"))), _ascii(name), _ascii(_text(coding.get("system")) or "L")]
    fields: list[Field] = [str(number), f"DRAFT{number}", "", tuple(service)]
    fields += [""] * (30 - len(fields))
    return [*fields, b"~".join(_reasons(request, conditions))]


def _reasons(request: Resource, conditions: Mapping[str, Resource]) -> Iterator[bytes]:
    """Repetitions of OBR-31."""
    for concept in _objects(request.get("reasonCode")):
        yield from _reason(concept)
    for reference in _objects(request.get("reasonReference")):
        known = conditions.get(_text(reference.get("reference")), {})
        yield from _reason(_object(known.get("code")) or {"text": reference.get("display")})


def _reason(concept: Resource) -> Iterator[bytes]:
    coding = next(iter(_objects(concept.get("coding"))), {})
    words = _text(concept.get("text")) or _text(coding.get("display"))
    parts = tuple(_ascii(one) for one in (_text(coding.get("code")), words, _text(coding.get("system"))))
    if any(parts):
        yield build_field(parts, USUAL_ENCODING)


def _start_of(request: Resource) -> object:
    return _object(request.get("occurrencePeriod")).get("start")


def _moment(value: object) -> datetime | None:
    """A FHIR dateTime with a time of day; a day alone says nothing about how soon, and is left out."""
    text = _text(value)
    if "T" not in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _stamp(moment: datetime | None) -> str:
    if moment is None:
        return ""
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S%z")


def _ascii(text: str) -> str:
    return ascii_text(text, size_max=_TEXT_SIZE_MAX)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _object(value: object) -> Resource:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Resource]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
