"""Messages of a simulated ADT system and problem list about the population: what feeds of diagnoses look like.

Source: HL7 v2.5.1 chapters 3 (ADT), 6 (DG1), 12 (PPR).
"""

from datetime import datetime

from interceptor.simulate.messages import PLACER_NAMESPACE, segment
from interceptor.simulate.population import Diagnosis, Patient

_CANCELLED_BY_DELETE = "D"


def admission(
    patient: Patient, *, control_id: str, at: datetime, visit: str, trigger: str = "A01", is_deleted: bool = False
) -> str:
    """ADT with the patient's diagnosis for a visit; *is_deleted* takes it back (DG1-21 D)."""
    action = {21: _CANCELLED_BY_DELETE} if is_deleted else {}
    return _message(
        f"ADT^{trigger}",
        control_id,
        at,
        segment("EVN", {1: trigger, 2: _timestamp(at)}),
        _patient(patient, patient.number),
        segment("PV1", {1: "1", 2: "O", 19: visit}),
        segment("DG1", {1: "1", 3: _coded(patient.diagnosis), 5: _timestamp(at)[:8], 6: "F", **action}),
    )


def problem(patient: Patient, *, control_id: str, at: datetime, trigger: str = "PC1") -> str:
    """PPR with the patient's diagnosis as a problem: PC1 adds, PC2 updates, PC3 deletes."""
    action = {"PC1": "AD", "PC2": "UP", "PC3": "DE"}[trigger]
    number = f"{patient.number}-1^{PLACER_NAMESPACE}"
    return _message(
        f"PPR^{trigger}",
        control_id,
        at,
        _patient(patient, patient.number),
        segment("PRB", {1: action, 2: _timestamp(at), 3: _coded(patient.diagnosis), 4: number, 7: _timestamp(at)[:8]}),
    )


def merge(patient: Patient, *, given_up: str, control_id: str, at: datetime) -> str:
    """ADT^A40: the number *given_up* was this patient all the time."""
    return _message(
        "ADT^A40",
        control_id,
        at,
        segment("EVN", {1: "A40", 2: _timestamp(at)}),
        _patient(patient, patient.number),
        segment("MRG", {1: f"{given_up}^^^{PLACER_NAMESPACE}^MR"}),
    )


def _message(message_type: str, control_id: str, at: datetime, *segments: str) -> str:
    head = f"MSH|^~\\&|SIMADT|DEMO|INTERCEPTOR|DEMO|{_timestamp(at)}||{message_type}|{control_id}|T|2.5.1"
    return "\r".join([head, *segments]) + "\r"


def _patient(patient: Patient, number: str) -> str:
    return segment(
        "PID",
        {
            1: "1",
            3: f"{number}^^^{PLACER_NAMESPACE}^MR",
            5: f"{patient.family_name}^{patient.given_name}",
            7: f"{patient.birth_date:%Y%m%d}",
            8: patient.sex,
        },
    )


def _coded(diagnosis: Diagnosis) -> str:
    return f"{diagnosis.code}^{diagnosis.words}^I10"


def _timestamp(at: datetime) -> str:
    return f"{at:%Y%m%d%H%M%S%z}"
