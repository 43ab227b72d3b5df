"""One link of the audit chain as an audit message: XML of DICOM PS3.15 A.5, pure.

An `AuditRow` and what is known of its order in, bytes of UTF-8 out. An act on an order is an Order Record, a refusal is a
Security Alert, start and stop are Application Activity, a login is User Authentication; any other act is a Security Alert
that names it. Of the patient only the identifier goes out, as the standard asks.

Source: DICOM PS3.15 A.5.1 (schema), A.5.3.1, A.5.3.10, A.5.3.11, A.5.3.12 (messages), CID 400 to 403 (codes); IHE ITI-20.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from xml.etree.ElementTree import Element, SubElement, tostring

from interceptor.journal.port import AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A coded value: code, coding scheme and its words."""

    code: str
    words: str
    system: str = "DCM"


APPLICATION_ACTIVITY = Code(code="110100", words="Application Activity")
ORDER_RECORD = Code(code="110109", words="Order Record")
SECURITY_ALERT = Code(code="110113", words="Security Alert")
USER_AUTHENTICATION = Code(code="110114", words="User Authentication")

_APPLICATION = Code(code="110150", words="Application")
_LAUNCHER = Code(code="110151", words="Application Launcher")
_OWN = "order-interceptor"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """How one kind of act is told: its event, its type, the action (C, R, U, D, E) and the outcome (0 success, 4 minor, 8 serious)."""

    event: Code
    kind: Code | None = None
    action: str = "E"
    outcome: str = "0"


def _alert(code: str, words: str, *, outcome: str = "0") -> EventKind:
    return EventKind(event=SECURITY_ALERT, kind=Code(code=code, words=words), outcome=outcome)


_KINDS: Mapping[str, EventKind] = {
    "node_started": EventKind(event=APPLICATION_ACTIVITY, kind=Code(code="110120", words="Application Start")),
    "node_stopped": EventKind(event=APPLICATION_ACTIVITY, kind=Code(code="110121", words="Application Stop")),
    "access_refused": _alert("110126", "Node Authentication", outcome="8"),
    "access_mismatch_allowed": _alert("110126", "Node Authentication", outcome="4"),
    "session_opened": EventKind(event=USER_AUTHENTICATION, kind=Code(code="110122", words="Login")),
    "proxy_login": EventKind(event=USER_AUTHENTICATION, kind=Code(code="110122", words="Login")),
    "session_closed": EventKind(event=USER_AUTHENTICATION, kind=Code(code="110123", words="Logout")),
    "login_refused": EventKind(event=USER_AUTHENTICATION, kind=Code(code="110122", words="Login"), outcome="4"),
    "account_added": _alert("110137", "User Security Attributes Changed"),
    "account_changed": _alert("110137", "User Security Attributes Changed"),
    "mode_set": _alert("110131", "Software Configuration"),
}
"""Acts that are about no single order."""
_ORDER_ACTIONS: Mapping[str, str] = {"taken": "C", "opened": "R", "viewed": "R"}
"""Acts on an order that do not change it, or that make it; every other one updates it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSource:
    """Who tells.

    Attributes:
        node: Name of the node: AuditSourceID.
        host: Name of the machine.
        process: Process id.
        site: AuditEnterpriseSiteID; "" for none.
    """

    node: str
    host: str
    process: int
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderObject:
    """The order that an act was about: number, and the patient's identifier with its authority; "" where unknown."""

    placer_order_number: str = ""
    patient_id: str = ""
    patient_authority: str = ""


def event_kind(row: AuditRow) -> EventKind:
    """How an act is told; an unknown one is a Security Alert with its own word as type."""
    if row.entry_id is not None:
        kind = Code(code=row.action, words=row.action.replace("_", " "), system=_OWN)
        return EventKind(event=ORDER_RECORD, kind=kind, action=_ORDER_ACTIONS.get(row.action, "U"))
    known = _KINDS.get(row.action)
    if known is not None:
        return known
    return EventKind(event=SECURITY_ALERT, kind=Code(code=row.action, words=row.action.replace("_", " "), system=_OWN))


def build_audit_message(row: AuditRow, source: AuditSource, order: OrderObject | None) -> bytes:
    """The XML of one link. *order*: what is known of the order that it is about; None for no order."""
    told = event_kind(row)
    root = Element("AuditMessage")
    event = SubElement(
        root,
        "EventIdentification",
        EventActionCode=told.action,
        EventDateTime=row.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        EventOutcomeIndicator=told.outcome,
    )
    _coded(event, "EventID", told.event)
    if told.kind is not None:
        _coded(event, "EventTypeCode", told.kind)
    _participants(root, row, source, told)
    identification = SubElement(root, "AuditSourceIdentification")
    if source.site:
        identification.set("AuditEnterpriseSiteID", _plain(source.site))
    identification.set("AuditSourceID", _plain(source.node))
    # 4: application server process or thread (PS3.15 A.5.1).
    SubElement(identification, "AuditSourceTypeCode", {"csd-code": "4"})
    if order is not None:
        _order_objects(root, order)
    _link_object(root, row)
    # On one line: a syslog receiver escapes line ends.
    return _DECLARATION + bytes(tostring(root, encoding="utf-8", xml_declaration=False))


def _participants(root: Element, row: AuditRow, source: AuditSource, told: EventKind) -> None:
    is_activity = told.event is APPLICATION_ACTIVITY
    # Who asked for it first; the application itself behind.
    peer = str(row.detail.get("peer", ""))
    asker = str(row.detail.get("certificate", "")) or peer or row.actor
    if not is_activity:
        participant = SubElement(root, "ActiveParticipant", UserID=_plain(asker), UserIsRequestor="true")
        if peer:
            # 2: an IP address.
            participant.set("NetworkAccessPointID", _plain(peer))
            participant.set("NetworkAccessPointTypeCode", "2")
    application = SubElement(
        root,
        "ActiveParticipant",
        UserID=_plain(source.node),
        AlternativeUserID=str(source.process),
        UserIsRequestor="false",
        # 1: a machine name.
        NetworkAccessPointID=_plain(source.host),
        NetworkAccessPointTypeCode="1",
    )
    _coded(application, "RoleIDCode", _APPLICATION)
    if is_activity:
        launcher = SubElement(root, "ActiveParticipant", UserID=_plain(row.actor), UserIsRequestor="true")
        _coded(launcher, "RoleIDCode", _LAUNCHER)


def _order_objects(root: Element, order: OrderObject) -> None:
    if order.patient_id:
        # Person, patient; RFC 3881 code 2 is a patient number. The authority is written as in CX.
        identifier = order.patient_id + (f"^^^{order.patient_authority}" if order.patient_authority else "")
        _object(root, identifier, Code(code="2", words="Patient Number", system="RFC-3881"), type_code="1", role="1")
    if order.placer_order_number:
        number = Code(code="placer_order_number", words="Placer Order Number", system=_OWN)
        _object(root, order.placer_order_number, number, type_code="2", role="20")


def _link_object(root: Element, row: AuditRow) -> None:
    """The link of the chain: what the repository has can be compared with the journal, and a repeat is known by it."""
    kind = Code(code="audit_link", words="Audit Chain Link", system=_OWN)
    # System object, security resource.
    link = _object(root, str(row.number), kind, type_code="2", role="13")
    for name in ("reason", "count", "listener", "claimed", "route", "mode"):
        if name in row.detail:
            _detail(link, name, str(row.detail[name]))
    _detail(link, "sha256", row.sha256)


def _object(root: Element, identifier: str, kind: Code, *, type_code: str, role: str) -> Element:
    made = SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_plain(identifier),
        ParticipantObjectTypeCode=type_code,
        ParticipantObjectTypeCodeRole=role,
    )
    _coded(made, "ParticipantObjectIDTypeCode", kind)
    SubElement(made, "ParticipantObjectName").text = kind.words
    return made


def _detail(parent: Element, name: str, value: str) -> None:
    encoded = base64.b64encode(_plain(value).encode()).decode("ascii")
    SubElement(parent, "ParticipantObjectDetail", type=name, value=encoded)


def _coded(parent: Element, name: str, code: Code) -> None:
    SubElement(parent, name, {"csd-code": code.code, "codeSystemName": code.system, "originalText": code.words})


def _plain(text: str) -> str:
    """Without what XML 1.0 cannot carry."""
    return "".join(character if character.isprintable() else " " for character in text)
