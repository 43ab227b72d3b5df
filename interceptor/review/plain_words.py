"""Stored words as people say them: states, priorities, classes, facts, times. Pure; nothing here is a decision."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from interceptor.action.lifecycle import LifecycleEvent, OrderState

STATES: Mapping[str, str] = MappingProxyType(
    {
        OrderState.PARKED: "waiting for siblings",
        OrderState.HELD: "held",
        OrderState.QUEUED: "on its way",
        OrderState.DELIVERED: "delivered",
        OrderState.WITHDRAWN: "cancelled by the placer",
        OrderState.RETURNED: "returned to the orderer",
        OrderState.REPLACED: "replaced by another order",
        OrderState.DEAD: "refused by the filler",
    }
)

EVENTS: Mapping[str, str] = MappingProxyType(
    {
        LifecycleEvent.TAKEN: "Taken into custody",
        LifecycleEvent.CANCELLED: "Cancelled by the placer",
        LifecycleEvent.CHANGED: "Changed by the placer; decided again, still held",
        LifecycleEvent.CHANGED_AND_RELEASED: "Changed by the placer; no reason to hold any more",
        LifecycleEvent.REPLACED_BY: "Replaced by another order",
        LifecycleEvent.HOLD_REQUESTED: "The placer asked to hold it",
        LifecycleEvent.RELEASE_REQUESTED: "The placer asked to release it",
        LifecycleEvent.RELEASE_GRANTED: "Released at the placer's request",
        LifecycleEvent.FOLLOWED: "Another message about it waits behind it",
        LifecycleEvent.SET_COMPLETED: "A sibling completed the set",
        LifecycleEvent.SET_REOPENED: "A sibling was cancelled; still held",
        LifecycleEvent.SET_WINDOW_ENDED: "No sibling came: held",
        LifecycleEvent.HOLD_UNAVAILABLE: "Could not be held: released with a note",
        LifecycleEvent.RELEASED: "Released as ordered",
        LifecycleEvent.PROCEDURE_CHANGED: "Procedure changed and released",
        LifecycleEvent.RETURNED_TO_ORDERER: "Returned to the orderer",
        LifecycleEvent.OVERRIDDEN: "Overridden by the orderer",
        LifecycleEvent.DEADLINE_PASSED: "Released unreviewed at the deadline",
        LifecycleEvent.PATIENT_MERGED: "Patient merged",
        LifecycleEvent.ACKNOWLEDGED: "Taken by the filler",
        LifecycleEvent.REFUSED: "Refused by the filler",
        LifecycleEvent.REQUEUED: "Sent again",
        LifecycleEvent.DISCARDED: "Given up",
        LifecycleEvent.COMMENTED: "Comment",
    }
)

PRIORITIES: Mapping[str, str] = MappingProxyType(
    {
        "stat": "STAT",
        "emergency": "Emergency",
        "asap": "ASAP",
        "imminent": "Imminent",
        "inpatient": "Inpatient",
        "routine": "Routine",
    }
)
PRIORITY_RANK: Mapping[str, int] = MappingProxyType({word: rank for rank, word in enumerate(PRIORITIES)})

PATIENT_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "E": "Emergency",
        "I": "Inpatient",
        "O": "Outpatient",
        "P": "Preadmit",
        "R": "Recurring",
        "B": "Obstetrics",
        "C": "Commercial",
        "N": "Not applicable",
        "U": "Unknown class",
    }
)

TIERS: Mapping[str, str] = MappingProxyType(
    {
        "metastatic": "metastatic cancer",
        "active": "known cancer",
        "suspected": "suspected cancer",
        "history_bone_tropic": "history of a cancer that goes to bone",
        "history": "history of cancer",
        "none": "no cancer found",
    }
)
SYMPTOMS: Mapping[str, str] = MappingProxyType(
    {
        "deficit": "neurologic deficit",
        "radicular": "radicular pain",
        "pain": "back or neck pain",
        "other_reason": "another reason",
        "unknown": "no symptom stated",
    }
)
STUDIES: Mapping[str, str] = MappingProxyType(
    {
        "complete_wo_w": "complete spine without and with contrast",
        "complete_wo": "complete spine without contrast",
        "complete_w": "complete spine with contrast only",
        "thoracolumbar_wo_w": "thoracic and lumbar spine without and with contrast",
        "regional_mr": "regional study",
        "other_modality": "study other than MRI",
        "body_survey": "body survey",
        "radiograph": "radiograph",
        "unmapped": "study that is not mapped",
        "out_of_scope": "study out of scope",
        "not_spine": "study of another part",
    }
)
CONTRASTS: Mapping[str, str] = MappingProxyType(
    {
        "WO": "without contrast",
        "W": "with contrast",
        "WO+W": "without and with contrast",
        "unknown": "contrast not stated",
    }
)
REGIONS: Mapping[str, str] = MappingProxyType({"C": "cervical", "T": "thoracic", "L": "lumbar"})
FACTS: Mapping[str, str] = MappingProxyType(
    {
        "procedure": "Study",
        "oncology": "Cancer",
        "symptom": "Symptom",
        "onset": "Onset",
        "urgency": "Urgency",
        "exception": "Safety",
        "override": "Override",
    }
)
SOURCES: Mapping[str, str] = MappingProxyType(
    {"message": "this message", "registry": "registry", "fhir": "FHIR server"}
)
EXCEPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "gadolinium_reaction": "reaction to gadolinium",
        "renal": "reduced kidney function",
        "device": "implant or device",
        "pregnancy": "pregnancy",
        "recent_complete": "recent complete spine study",
        "prior_mri": "earlier MRI",
        "infection": "infection",
        "trauma": "trauma",
        "postoperative": "after surgery",
        "paediatric": "child",
        "hospice": "hospice",
    }
)
SEXES: Mapping[str, str] = MappingProxyType({"F": "F", "M": "M", "O": "other", "U": "sex unknown", "A": "ambiguous"})
PROPOSED = "Complete spine MRI, without and with contrast"


def said(words: Mapping[str, str], word: object) -> str:
    """The word as people say it; a word that nobody named, as it stands."""
    return words.get(str(word), str(word).replace("_", " "))


def actor_words(actor: str) -> str:
    """Who acted, for people: a user's name, or our own parts as what they are."""
    if actor.startswith("user:"):
        return actor.removeprefix("user:")
    return {"node": "the interceptor", "timer": "the timer", "placer": "the placer", "filler": "the filler"}.get(
        actor, actor
    )


def duration_words(span: timedelta) -> str:
    """A span of time, its two largest units: "2 h 5 min", "14 s", "3 d 4 h"."""
    seconds = max(0, int(abs(span).total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def ago_words(at: datetime | None, now: datetime) -> str:
    """How long ago, "" for never."""
    return "" if at is None else f"{duration_words(now - at)} ago"


def day_words(text: str) -> str:
    """An HL7 day or time ("20260301", "202603010730") as ISO; what is no day, as it stands."""
    digits = text[:14]
    if len(text) < 8 or not digits[:8].isdigit():
        return text
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    return f"{day} {digits[8:10]}:{digits[10:12]}" if len(digits) >= 12 and digits[8:12].isdigit() else day


def age_words(birth_date: str, today: datetime) -> str:
    """Age in years (months below two), from an HL7 day; "" when it is none."""
    digits = birth_date[:8]
    if len(digits) < 8 or not digits.isdigit():
        return ""
    years, months = today.year - int(digits[:4]), today.month - int(digits[4:6])
    if today.day < int(digits[6:8]):
        months -= 1
    total = years * 12 + months
    if total < 0 or total > 150 * 12:
        return ""
    return f"{total // 12} y" if total >= 24 else f"{total} mo"
