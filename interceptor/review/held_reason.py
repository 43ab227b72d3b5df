"""Why an order is held, in one plain sentence and the pieces of evidence behind it; and what is known for contrast.

In: the stored decision (DESIGN 11). Out: texts. Nothing is concluded here that the decision did not conclude.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from interceptor.review import plain_words as words
from interceptor.review.shown_text import short

CHIPS_MAX = 4
NOT_IN_MESSAGE = "not in message"
_CHIP_FACTS = ("oncology", "symptom", "exception", "onset")
_SAFETY: Mapping[str, str] = {
    "renal": "eGFR",
    "gadolinium_reaction": "Gadolinium",
    "device": "Implant",
    "pregnancy": "Pregnancy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One piece of evidence: what was read, where, and of which day.

    Attributes:
        path: The field that said so, e.g. "OBR-31.2"; "" when it was not in the message.
        fact: Word of the fact.
        place: Every place that says so, for a list.
    """

    fact: str
    text: str
    code: str
    source: str
    path: str
    date: str
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyItem:
    """One thing to know before contrast is given. `is_known`: something was found."""

    name: str
    text: str
    is_known: bool


def held_sentence(decision: Mapping[str, object]) -> str:
    """The three things that met, e.g. "Known cancer + new back or neck pain + regional study (MR, lumbar)"."""
    oncology, symptom = _part(decision, "oncology"), _part(decision, "symptom")
    parts = [
        words.said(words.TIERS, oncology.get("tier", "none")),
        " ".join(filter(None, (_onset(symptom), words.said(words.SYMPTOMS, symptom.get("class", "unknown"))))),
        study_words(decision),
    ]
    sentence = " + ".join(parts)
    if oncology.get("conflict"):
        sentence += "; the evidence of cancer is contradicted elsewhere"
    return sentence[:1].upper() + sentence[1:]


def why_sentence(decision: Mapping[str, object], summary: Mapping[str, object]) -> str:
    """Why the order was held; of one that was not (it came with siblings, or was changed), what the policy said of it."""
    if decision.get("disposition") in (None, "hold"):
        return held_sentence(decision)
    why = summary.get("why")
    first = str(why[0]) if isinstance(why, list) and why else "not held"
    return short(first.partition(": ")[2] or first, 300)


def study_words(decision: Mapping[str, object]) -> str:
    """The ordered study in words."""
    procedure = _part(decision, "procedure")
    regions = procedure.get("regions")
    parts = [words.said(words.REGIONS, region) for region in regions] if isinstance(regions, list) else []
    kind = str(procedure.get("class", "unmapped"))
    if kind in ("regional_mr", "other_modality", "radiograph"):
        contrast = words.said(words.CONTRASTS, procedure.get("contrast", "unknown"))
        modality = str(procedure.get("modality") or "")
        detail = ", ".join(filter(None, (modality, *parts, contrast if kind == "regional_mr" else "")))
        return f"{words.said(words.STUDIES, kind)} ({detail})" if detail else words.said(words.STUDIES, kind)
    return words.said(words.STUDIES, kind)


def held_chips(decision: Mapping[str, object], *, chips_max: int = CHIPS_MAX) -> tuple[Chip, ...]:
    """The evidence that speaks for the hold, cancer first; the same words from several places are one chip."""
    found: dict[str, Chip] = {}
    evidence = [one for one in _evidence(decision) if one.get("fact") in _CHIP_FACTS and not _is_measured(one)]
    evidence.sort(key=lambda one: _CHIP_FACTS.index(str(one.get("fact"))))
    for one in evidence:
        chip = evidence_chip(one)
        known = found.get(chip.text.casefold())
        place = chip.path or chip.source
        if known is None:
            found[chip.text.casefold()] = replace(chip, place=place)
        elif place not in known.place.split(", "):
            merged = replace(known, place=f"{known.place}, {place}", date=known.date or chip.date)
            found[chip.text.casefold()] = merged
    return tuple(found.values())[:chips_max]


def evidence_chip(one: Mapping[str, object]) -> Chip:
    """One piece of evidence as texts."""
    return Chip(
        fact=str(one.get("fact") or ""),
        text=short(one.get("text") or one.get("code") or "", 60),
        code=short(one.get("code") or "", 24),
        source=words.said(words.SOURCES, one.get("source") or "message"),
        path=short(one.get("path") or "", 24),
        date=short(one.get("date") or "", 12),
    )


def safety_items(decision: Mapping[str, object]) -> tuple[SafetyItem, ...]:
    """What stands against contrast or a magnet. What nobody said is said to be unknown, never left blank."""
    exceptions = decision.get("exceptions")
    known = set(exceptions) if isinstance(exceptions, list) else set()
    not_asked = decision.get("not_asked")
    if isinstance(not_asked, list) and "exceptions" in not_asked:
        return tuple(SafetyItem(name=name, text="not asked", is_known=False) for name in _SAFETY.values())
    texts = [
        " ".join(filter(None, (short(one.get("text") or one.get("code") or "", 40), short(one.get("date") or "", 12))))
        for one in _evidence(decision)
        if one.get("fact") == "exception"
    ]
    measured = next((str(one.get("text")) for one in _evidence(decision) if _is_measured(one)), "")
    measured = short(measured.removeprefix("eGFR ").replace(" mL/min/1.73 m2", ""), 40)
    of_safety = [kind for kind in _SAFETY if kind in known]
    # With one exception all that was read is of it; with several nobody can tell here what was said of which.
    found = "; ".join(texts[:2]) if len(of_safety) == 1 and len(known) == 1 and texts else "yes, see evidence"
    items = [
        SafetyItem(name=name, text=found if kind in known else NOT_IN_MESSAGE, is_known=kind in known)
        for kind, name in _SAFETY.items()
    ]
    # A value that was read is shown, also where it is high enough to be no exception.
    return (SafetyItem(name=_SAFETY["renal"], text=measured, is_known=True), *items[1:]) if measured else tuple(items)


def _is_measured(one: Mapping[str, object]) -> bool:
    """A kidney value: it has a place of its own beside the evidence."""
    return one.get("fact") == "exception" and str(one.get("text") or "").startswith("eGFR ")


def _onset(symptom: Mapping[str, object]) -> str:
    return {"new": "new", "not_new": "old"}.get(str(symptom.get("onset")), "")


def _part(decision: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = decision.get(name)
    return part if isinstance(part, Mapping) else {}


def _evidence(decision: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    evidence = decision.get("evidence")
    return [one for one in evidence if isinstance(one, Mapping)] if isinstance(evidence, list) else []
