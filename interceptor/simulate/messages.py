"""Messages of a simulated placer, as plain ER7 text templates.

Values in, one message as text out, segments ended by CR. Versions and habits differ from builder to
builder on purpose (priority in ORC-7 or OBR-27, reason as text or as a code), as they do between sites.

Source: HL7 v2.3.1 and v2.5.1 chapters 3 (ADT), 4 (ORM) and 7 (ORU).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from interceptor.simulate.population import Diagnosis, Patient

PLACER_NAMESPACE = "SIMEHR"


@dataclass(frozen=True, slots=True)
class Study:
    """One orderable study as OBR-4 gives it: code, name, coding system."""

    code: str
    name: str
    system: str = "C4"

    @property
    def field(self) -> str:
        """OBR-4."""
        return f"{self.code}^{self.name}^{self.system}"


LUMBAR_WITHOUT = Study("72148", "MRI L SPINE WO")
THORACIC_WITHOUT = Study("72146", "MRI T SPINE WO")
CERVICAL_WITHOUT = Study("72141", "MRI C SPINE WO")
CERVICAL_BOTH = Study("72156", "MRI C SPINE WO AND W")
THORACIC_BOTH = Study("72157", "MRI T SPINE WO AND W")
LUMBAR_BOTH = Study("72158", "MRI L SPINE WO AND W")
LUMBAR_CT = Study("72131", "CT L SPINE WO")
LUMBAR_FILM = Study("72100", "XR L SPINE 2 VIEWS")
COMPLETE_BOTH = Study("30855-1", "MR C+T+L SPINE WO AND W", "LN")
CHEST_FILM = Study("71046", "XR CHEST 2 VIEWS")
KNEE_MRI = Study("73721", "MRI KNEE WO")
BLOOD_COUNT = Study("58410-2", "CBC PANEL", "LN")
METABOLIC_PANEL = Study("24323-8", "COMPREHENSIVE METABOLIC PANEL", "LN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order group of an order message.

    Attributes:
        number: Placer order number, without namespace.
        control: ORC-1.
        priority: Priority word, put into ORC-7.6 and OBR-27.6.
        reason: OBR-31.2.
        group_number: ORC-4, "" for none.
    """

    number: str
    study: Study
    control: str = "NW"
    priority: str = "R"
    reason: str = ""
    group_number: str = ""


def segment(name: str, fields: Mapping[int, str]) -> str:
    """One segment from fields by their number (counted from 1, MSH not supported), without its CR."""
    last = max(fields)
    return "|".join((name, *(fields.get(number, "") for number in range(1, last + 1))))


def header(message_type: str, *, control_id: str, at: datetime, version: str = "2.3.1") -> str:
    """MSH of the simulated placer; MSH-11 is T."""
    return f"MSH|^~\\&|{PLACER_NAMESPACE}|DEMO|SIMRIS|DEMO|{_timestamp(at)}||{message_type}|{control_id}|T|{version}"


def order_message(
    patient: Patient,
    orders: tuple[Order, ...],
    *,
    control_id: str,
    at: datetime,
    visit_class: str = "O",
    diagnoses: tuple[Diagnosis, ...] = (),
    version: str = "2.3.1",
) -> str:
    """ORM^O01 with one or several order groups; the diagnoses stand below each order."""
    segments = [
        header("ORM^O01" if version == "2.3.1" else "ORM^O01^ORM_O01", control_id=control_id, at=at, version=version),
        _patient_segment(patient),
        segment("PV1", {1: "1", 2: visit_class, 19: f"V{patient.number}"}),
    ]
    for set_id, order in enumerate(orders, start=1):
        entity = f"{order.number}^{PLACER_NAMESPACE}"
        group = f"{order.group_number}^{PLACER_NAMESPACE}" if order.group_number else ""
        timing = f"^^^^^{order.priority}"
        segments.append(
            segment(
                "ORC", {1: order.control, 2: entity, 4: group, 7: timing, 9: _timestamp(at), 12: "7777^DEMODOC^ANY"}
            )
        )
        service = {1: str(set_id), 2: entity, 4: order.study.field, 16: "7777^DEMODOC^ANY", 27: timing}
        reason = {31: f"^{order.reason}"} if order.reason else {}
        segments.append(segment("OBR", service | reason))
        segments.extend(
            segment("DG1", {1: str(number), 3: f"{diagnosis.code}^{diagnosis.words}^I10"})
            for number, diagnosis in enumerate(diagnoses, start=1)
        )
    return _join(segments)


def visit_message(patient: Patient, *, trigger: str, control_id: str, at: datetime) -> str:
    """ADT^A01, A04 or A08 with the patient's diagnosis in DG1."""
    return _join(
        [
            header(f"ADT^{trigger}", control_id=control_id, at=at, version="2.5.1"),
            segment("EVN", {1: trigger, 2: _timestamp(at)}),
            _patient_segment(patient),
            segment("PV1", {1: "1", 2: "O"}),
            segment("DG1", {1: "1", 3: f"{patient.diagnosis.code}^{patient.diagnosis.words}^I10", 6: "W"}),
        ]
    )


def result_message(patient: Patient, study: Study, *, order_number: str, control_id: str, at: datetime) -> str:
    """ORU^R01 with one numeric result and an embedded unit that needs escaping."""
    entity = f"{order_number}^{PLACER_NAMESPACE}"
    return _join(
        [
            header("ORU^R01", control_id=control_id, at=at, version="2.5.1"),
            _patient_segment(patient),
            segment("ORC", {1: "RE", 2: entity}),
            segment("OBR", {1: "1", 2: entity, 4: study.field, 25: "F"}),
            segment("OBX", {1: "1", 2: "NM", 3: "718-7^HEMOGLOBIN^LN", 5: "13.1", 6: "g/dL", 11: "F"}),
            segment("OBX", {1: "2", 2: "ST", 3: "COMM^COMMENT^L", 5: "demo result \\T\\ not a real one", 11: "F"}),
        ]
    )


def _patient_segment(patient: Patient) -> str:
    return segment(
        "PID",
        {
            1: "1",
            3: f"{patient.number}^^^{PLACER_NAMESPACE}^MR",
            5: f"{patient.family_name}^{patient.given_name}",
            7: patient.birth_date.strftime("%Y%m%d"),
            8: patient.sex,
        },
    )


def _timestamp(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S%z")


def _join(segments: list[str]) -> str:
    return "".join(text + "\r" for text in segments)
