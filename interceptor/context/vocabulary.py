"""The words of the clinical facts: every closed set that the policy table may compare with.

The values are contracts: they stand in policies, site profiles, the journal, metrics and the JSON of
`interceptor explain`. A stored value is never renamed.

Source: docs/clinical/facts.md.
"""

from enum import StrEnum


class ProcedureClass(StrEnum):
    """What kind of study an order (or a set of orders) asks for, as the policy sees it."""

    COMPLETE_WO_W = "complete_wo_w"
    COMPLETE_WO = "complete_wo"
    COMPLETE_W = "complete_w"
    THORACOLUMBAR_WO_W = "thoracolumbar_wo_w"
    REGIONAL_MR = "regional_mr"
    OTHER_MODALITY = "other_modality"
    BODY_SURVEY = "body_survey"
    RADIOGRAPH = "radiograph"
    UNMAPPED = "unmapped"
    OUT_OF_SCOPE = "out_of_scope"
    NOT_SPINE = "not_spine"


class Region(StrEnum):
    """A region of the spine, in reading order."""

    CERVICAL = "C"
    THORACIC = "T"
    LUMBAR = "L"


class Contrast(StrEnum):
    """Intravenous contrast of a study."""

    WITHOUT = "WO"
    WITH = "W"
    WITHOUT_AND_WITH = "WO+W"
    UNKNOWN = "unknown"


class ProcedureSource(StrEnum):
    """Which kind of code or text the procedure was read from, the most trusted first."""

    SITE = "site"
    CPT = "cpt"
    LOINC = "loinc"
    NAME = "name"
    NONE = "none"


class OncologyTier(StrEnum):
    """How strongly the evidence says that the patient has cancer, the strongest first."""

    METASTATIC = "metastatic"
    ACTIVE = "active"
    SUSPECTED = "suspected"
    HISTORY_BONE_TROPIC = "history_bone_tropic"
    HISTORY = "history"
    NONE = "none"


class SymptomClass(StrEnum):
    """Why the study is asked for, the gravest first."""

    DEFICIT = "deficit"
    RADICULAR = "radicular"
    PAIN = "pain"
    OTHER_REASON = "other_reason"
    UNKNOWN = "unknown"


class Onset(StrEnum):
    """Whether the symptom is new. UNKNOWN counts as new."""

    NEW = "new"
    NOT_NEW = "not_new"
    UNKNOWN = "unknown"


class UrgencyClass(StrEnum):
    """How soon the study is wanted, the most urgent first."""

    STAT = "stat"
    EMERGENCY = "emergency"
    ASAP = "asap"
    IMMINENT = "imminent"
    INPATIENT = "inpatient"
    ROUTINE = "routine"


class ExceptionKind(StrEnum):
    """A circumstance that makes the recommended study wrong or unnecessary for this patient."""

    GADOLINIUM_REACTION = "gadolinium_reaction"
    RENAL = "renal"
    DEVICE = "device"
    PREGNANCY = "pregnancy"
    RECENT_COMPLETE = "recent_complete"
    PRIOR_MRI = "prior_mri"
    INFECTION = "infection"
    TRAUMA = "trauma"
    POSTOPERATIVE = "postoperative"
    PAEDIATRIC = "paediatric"
    HOSPICE = "hospice"


class LookupStatus(StrEnum):
    """How the question to the evidence sources ended, taken over all configured sources."""

    OK = "ok"
    STALE = "stale"
    FAILED = "failed"
    NOT_CONFIGURED = "not_configured"


class ControlKind(StrEnum):
    """What an order group asks for, folded from ORC-1 (HL7 table 0119)."""

    NEW = "new"
    CHANGE = "change"
    OTHER = "other"


class EvidenceSource(StrEnum):
    """Where a piece of evidence was read."""

    MESSAGE = "message"
    REGISTRY = "registry"
    FHIR = "fhir"


class FactName(StrEnum):
    """The facts that evidence can speak for."""

    PROCEDURE = "procedure"
    ONCOLOGY = "oncology"
    SYMPTOM = "symptom"
    ONSET = "onset"
    URGENCY = "urgency"
    EXCEPTION = "exception"
    OVERRIDE = "override"
