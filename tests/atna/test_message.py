"""Audit messages have the structure of DICOM PS3.15 A.5, whatever stands in the chain."""

from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from interceptor.atna.message import AuditSource, OrderObject, build_audit_message
from interceptor.atna.syslog import build_syslog_message
from interceptor.journal.port import AuditRow, EntryId

SCHEMA = etree.RelaxNG(etree.parse(str(Path(__file__).parent / "audit-message.rng")))
SOURCE = AuditSource(node="east", host="ward-1", process=77, site="St. Elsewhere")
AT = datetime(2026, 1, 15, 10, 15, 0, 123456, tzinfo=UTC)


def link(action: str, *, entry: int | None = None, actor: str = "node", **detail: Any) -> AuditRow:
    entry_id = None if entry is None else EntryId(entry)
    return AuditRow(number=17, at=AT, actor=actor, action=action, entry_id=entry_id, detail=detail, sha256="ab" * 32)


def read(row: AuditRow, order: OrderObject | None = None) -> Any:
    root = etree.fromstring(build_audit_message(row, SOURCE, order))
    SCHEMA.assertValid(root)
    return root


def event_of(root: Any) -> tuple[str, str, str, str]:
    event = root.find("EventIdentification")
    kind = event.find("EventTypeCode")
    return (
        event.find("EventID").get("csd-code"),
        "" if kind is None else kind.get("csd-code"),
        event.get("EventActionCode"),
        event.get("EventOutcomeIndicator"),
    )


@pytest.mark.parametrize(
    ("action", "entry", "expected"),
    [
        ("taken", 5, ("110109", "taken", "C", "0")),
        ("released", 5, ("110109", "released", "U", "0")),
        ("opened", 5, ("110109", "opened", "R", "0")),
        ("node_started", None, ("110100", "110120", "E", "0")),
        ("node_stopped", None, ("110100", "110121", "E", "0")),
        ("access_refused", None, ("110113", "110126", "E", "8")),
        ("access_mismatch_allowed", None, ("110113", "110126", "E", "4")),
        ("session_opened", None, ("110114", "110122", "E", "0")),
        ("mode_set", None, ("110113", "110131", "E", "0")),
        ("pruned", None, ("110113", "pruned", "E", "0")),
    ],
)
def test_each_act_has_its_event(action: str, entry: int | None, expected: tuple[str, str, str, str]) -> None:
    assert event_of(read(link(action, entry=entry))) == expected


def test_an_order_record_names_the_order_and_the_patients_identifier_and_no_more_of_the_patient() -> None:
    order = OrderObject(placer_order_number="P77", patient_id="1001", patient_authority="HOSP")
    root = read(link("released", entry=5, actor="user:kim", patient_name="TESTPATIENT^JANE"), order)
    assert [one.get("ParticipantObjectID") for one in root.iter("ParticipantObjectIdentification")] == [
        "1001^^^HOSP",
        "P77",
        "17",
    ]
    assert root.find("ActiveParticipant").get("UserID") == "user:kim"
    assert b"TESTPATIENT" not in etree.tostring(root)


def test_a_refusal_names_the_peer_and_carries_its_link_of_the_chain() -> None:
    root = read(link("access_refused", peer="10.1.2.3", certificate="ehr.example", reason="name_not_listed", count=3))
    peer = root.find("ActiveParticipant")
    assert (peer.get("UserID"), peer.get("NetworkAccessPointID")) == ("ehr.example", "10.1.2.3")
    details = {one.get("type"): b64decode(one.get("value")).decode() for one in root.iter("ParticipantObjectDetail")}
    assert details == {"reason": "name_not_listed", "count": "3", "sha256": "ab" * 32}


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_text_of_the_chain_breaks_the_xml(actor: str, certificate: str, number: str) -> None:
    order = OrderObject(placer_order_number="N" + number, patient_id="P" + number)
    read(link("access_refused", actor="user:" + actor, certificate=certificate, peer="::1"), order)


def test_the_syslog_message_has_its_length_in_bytes_in_front() -> None:
    xml = build_audit_message(link("released", entry=5, actor="user:Jürgen"), SOURCE, OrderObject())
    framed = build_syslog_message(xml, SOURCE, AT)
    size, _, message = framed.partition(b" ")
    assert int(size) == len(message)
    assert message.startswith(b"<85>1 2026-01-15T10:15:00.123Z ward-1 east 77 IHE+RFC-3881 - \xef\xbb\xbf<?xml ")
