"""Of whom an order asks: the identifiers, birth date and sex of its patient, as the message states them.

The sources are asked with these, and check their answer against them. Two patients in one message make no
question: what is known of one must never speak for the other.

Source: HL7 v2.5.1 chapter 3, PID-2, PID-3 (CX: id, assigning authority, type), PID-7, PID-8.
"""

from dataclasses import dataclass

from interceptor.evidence.feed_patient import NOT_A_PERSON
from interceptor.message.group import second_patient_offset
from interceptor.message.timestamp import Precision, parse_timestamp
from interceptor.message.view import MessageView, Segment

IDENTIFIER_COUNT_MAX = 10
"""Identifiers that are read of one patient; real feeds send one to four."""
_DATE_FORMS = {Precision.YEAR: "%Y", Precision.MONTH: "%Y-%m"}


@dataclass(frozen=True, slots=True)
class StatedIdentifier:
    """One identifier as stated.

    Attributes:
        value: CX.1.
        authorities: Spellings of who assigned it: CX.4.1 (namespace), CX.4.2 (universal id), or the default where the
            message states neither; at least one.
        type: CX.5, e.g. "MR"; "" when not stated.
    """

    value: str
    authorities: tuple[str, ...]
    type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientQuestion:
    """Whom to ask about. Patient data: never log it.

    Attributes:
        identifiers: Those with an assigning authority, in the order of the message; may be empty.
        birth_date: ISO day, month or year ("1968-03-01", "1968-03", "1968"); "" when not stated.
        sex: PID-8 in upper case ("M", "F", another word of table 0001); "" when not stated.
    """

    identifiers: tuple[StatedIdentifier, ...] = ()
    birth_date: str = ""
    sex: str = ""


NOBODY = PatientQuestion()
"""No patient can be named."""


def read_question(view: MessageView, default_authority: str = "") -> PatientQuestion:
    """The patient of a message's orders; `NOBODY` when there is none, or more than one.

    *default_authority* is who assigned the identifiers of PID-3 that state nobody; "" leaves those out. Numbers of
    accounts and visits, and the external numbers of PID-2, are never given it: they would name somebody else.
    """
    patient = view.first("PID")
    if patient is None or second_patient_offset(view) is not None:
        return NOBODY
    stated = parse_timestamp(patient.text(7))
    return PatientQuestion(
        identifiers=_identifiers(patient, default_authority.strip()),
        birth_date=stated.date.strftime(_DATE_FORMS.get(stated.precision, "%Y-%m-%d")) if stated else "",
        sex=patient.text(8).strip().upper(),
    )


def _identifiers(patient: Segment, default: str) -> tuple[StatedIdentifier, ...]:
    found: dict[StatedIdentifier, None] = {}
    for number in (3, 2):
        for repetition in range(1, min(patient.repetition_count(number), IDENTIFIER_COUNT_MAX) + 1):
            value = patient.text(number, repetition=repetition).strip()
            spellings = (patient.text(number, 4, repetition=repetition, subcomponent=part).strip() for part in (1, 2))
            authorities = tuple(spelling for spelling in spellings if spelling)
            kind = patient.text(number, 5, repetition=repetition).strip().upper()
            if not authorities and default and number == 3 and kind not in NOT_A_PERSON:
                authorities = (default,)
            if value and authorities:
                found[StatedIdentifier(value, authorities, kind)] = None
    return tuple(found)[:IDENTIFIER_COUNT_MAX]
