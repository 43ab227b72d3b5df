"""What one site says about its own feed: codes, priorities, places of facts, calendar, questions.

A site profile is data (mappings/sites/*.toml with CSV code maps), signed off by an interface analyst and a
neuroradiologist before a route enforces. Here are the values; `site_profile_reading.py` builds them.

Source: docs/how-to/map-procedures.md; CLINICAL section 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC

from interceptor.context.business_calendar import BusinessCalendar
from interceptor.context.code import LOCAL, is_local_system
from interceptor.context.code_table import OncologyCode, ProcedureCode, QuestionKind
from interceptor.context.vocabulary import UrgencyClass

DEFAULT_ROUTINE = ("R", "RT", "RTN", "ROUT", "ROUTINE")
DEFAULT_PRIORITIES: Mapping[str, UrgencyClass] = {
    **dict.fromkeys(("S", "ST", "STAT", "STA"), UrgencyClass.STAT),
    **dict.fromkeys(("E", "EM", "EMER", "EMERG", "EMERGENCY", "EMERGENT"), UrgencyClass.EMERGENCY),
    **dict.fromkeys(("A", "ASAP", "U", "UR", "URG", "URGENT"), UrgencyClass.ASAP),
    **dict.fromkeys(DEFAULT_ROUTINE, UrgencyClass.ROUTINE),
}
"""Words of the priority fields. HL7 tables 0485, 0027; only those that are ROUTINE may be held."""

DEFAULT_PATIENT_CLASSES: Mapping[str, UrgencyClass] = {
    **dict.fromkeys(("E", "EMERGENCY"), UrgencyClass.EMERGENCY),
    **dict.fromkeys(("I", "INPATIENT"), UrgencyClass.INPATIENT),
}
"""HL7 table 0004: E and I, and the two written out; every other patient class is an outpatient's."""

REASON_FIELDS = (("OBR", 31), ("OBR", 13), ("ORC", 16), ("NTE", 3))
DIAGNOSIS_FIELDS = (("DG1", 3), ("PRB", 3), ("PV2", 3))
PRIORITY_FIELDS = (("ORC", 7, 6), ("OBR", 5, 1), ("OBR", 27, 6), ("TQ1", 9, 1))
START_FIELDS = (("TQ1", 7, 1), ("ORC", 7, 4), ("OBR", 27, 4), ("OBR", 36, 1))
PROCEDURE_FIELDS = (("OBR", 44), ("OBR", 4))

DEFAULT_NOTE_LENGTH = 78
"""NTE-3 lines that a filler of the 1990s still prints whole on one line of 80 columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteProcedure:
    """One row of a site's code map: what the code orders, and the name that people know it by."""

    order: ProcedureCode
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteQuestion:
    """How a site asks one order question.

    Attributes:
        codes: OBX-3.1 values in upper case; when the site names any, the question is recognised by them alone.
        answers: OBX-5 values in upper case that count as "yes"; empty: the usual words do.
    """

    codes: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteProfile:
    """Everything that differs between sites.

    Attributes:
        site_id: The name of the profile.
        name: For people.
        calendar: Working hours and time zone.
        procedures: (normalised coding system, code in upper case) to what it orders; system "" stands for any.
        priorities: Priority words in upper case to the class they mean. Only those of class ROUTINE may be held; a word
            that is not here is urgent.
        patient_classes: PV1-2 values in upper case; any other is an outpatient.
        inpatient_is_urgent: Whether an inpatient's order counts as urgent.
        imminent_hours: A start within so many hours is imminent.
        recent_study_days: How long a spine MRI counts as recent.
        reason_fields, diagnosis_fields: (segment, field) of the reason for the order, in reading order.
        priority_fields, start_fields: (segment, field, component).
        procedure_fields: (segment, field) of the procedure, the most trusted first.
        questions: Order questions that the site names; the others are recognised by their text.
        snomed_expansion: More SNOMED CT concepts, loaded by the site.
        note_length_max: Longest NTE-3 line that the filler takes, in characters.
        quotes_text: Whether notes to the filler may quote words of the order.
    """

    site_id: str = "default"
    name: str = ""
    calendar: BusinessCalendar = field(default_factory=lambda: BusinessCalendar(zone=UTC))
    procedures: Mapping[tuple[str, str], SiteProcedure] = field(default_factory=dict)
    priorities: Mapping[str, UrgencyClass] = field(default_factory=lambda: dict(DEFAULT_PRIORITIES))
    patient_classes: Mapping[str, UrgencyClass] = field(default_factory=lambda: dict(DEFAULT_PATIENT_CLASSES))
    inpatient_is_urgent: bool = True
    imminent_hours: float = 4.0
    recent_study_days: int = 30
    reason_fields: tuple[tuple[str, int], ...] = REASON_FIELDS
    diagnosis_fields: tuple[tuple[str, int], ...] = DIAGNOSIS_FIELDS
    priority_fields: tuple[tuple[str, int, int], ...] = PRIORITY_FIELDS
    start_fields: tuple[tuple[str, int, int], ...] = START_FIELDS
    procedure_fields: tuple[tuple[str, int], ...] = PROCEDURE_FIELDS
    questions: Mapping[QuestionKind, SiteQuestion] = field(default_factory=dict)
    snomed_expansion: Mapping[str, OncologyCode] = field(default_factory=dict)
    note_length_max: int = DEFAULT_NOTE_LENGTH
    quotes_text: bool = False

    def site_procedure(self, system: str, code: str) -> SiteProcedure | None:
        """What the site's map says of a code.

        Args:
            system: Normalised coding system, "" when the message states none.
            code: As received; case does not matter.

        A row for system "L" is any local code (HL7: L is a local general code); a code without a system meets it too.
        """
        code = code.strip().upper()
        found = self.procedures.get((system, code)) or self.procedures.get(("", code))
        if found is None and (not system or is_local_system(system)):
            found = self.procedures.get((LOCAL, code))
        return found
