"""Fold the mentions of one or more texts into what they say about the clinical facts.

Mentions come in, tiers, a symptom and exceptions go out, each still carrying the mention that spoke.
The caller joins the mentions of all fields of one order before it folds, because a therapy in a note
makes the history in the reason active. Codes are not known here; the caller merges them.

Source: docs/clinical/text.md; CLINICAL sections 2 and 3.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interceptor.context.text_reading import Assertion, Mention, TextLabel, TextReading
from interceptor.context.vocabulary import ExceptionKind, OncologyTier, Onset, SymptomClass

ONCOLOGY_LABELS = frozenset({TextLabel.CANCER, TextLabel.HAEMATOLOGIC, TextLabel.METASTASIS, TextLabel.THERAPY})
"""Labels that can speak for a tier other than `none`."""

_SYMPTOM_CLASS = {
    TextLabel.DEFICIT: SymptomClass.DEFICIT,
    TextLabel.RADICULAR: SymptomClass.RADICULAR,
    TextLabel.PAIN: SymptomClass.PAIN,
}

_SYMPTOM_ORDER = tuple(SymptomClass)

_PURPOSE_LABELS = frozenset({TextLabel.STAGING, TextLabel.SURVEILLANCE, TextLabel.PLANNING})

_REASON_LABELS = _PURPOSE_LABELS | {
    TextLabel.TRAUMA,
    TextLabel.INFECTION,
    TextLabel.POSTOPERATIVE,
    TextLabel.OTHER_REASON,
}

_EXCEPTION_KIND = {
    TextLabel.GADOLINIUM_REACTION: ExceptionKind.GADOLINIUM_REACTION,
    TextLabel.RENAL: ExceptionKind.RENAL,
    TextLabel.DEVICE: ExceptionKind.DEVICE,
    TextLabel.PREGNANCY: ExceptionKind.PREGNANCY,
    TextLabel.INFECTION: ExceptionKind.INFECTION,
    TextLabel.TRAUMA: ExceptionKind.TRAUMA,
    TextLabel.POSTOPERATIVE: ExceptionKind.POSTOPERATIVE,
    TextLabel.HOSPICE: ExceptionKind.HOSPICE,
}

_STATED = frozenset({Assertion.AFFIRMED, Assertion.SUSPECTED})

# What once was still matters for these: a pacemaker or a fusion does not go away, nor does an old reaction.
_LASTING_EXCEPTIONS = frozenset({TextLabel.DEVICE, TextLabel.POSTOPERATIVE, TextLabel.GADOLINIUM_REACTION})


@dataclass(frozen=True, slots=True, kw_only=True)
class OncologyFinding:
    """What one mention says about cancer.

    Attributes:
        mention: The mention.
        tier: What it speaks for; `none` when it was read but decides nothing.
        denies: True when it says that there is no cancer ("no hx ca", "NED"): a conflict if other evidence says there is.
    """

    mention: Mention
    tier: OncologyTier
    denies: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SymptomFinding:
    """The gravest symptom that the texts state.

    Attributes:
        symptom_class: The class; `unknown` when no reason is stated, or only a cancer or a search for metastases.
        onset: New if any counted symptom is new, else not new if any is, else unknown.
        mentions: The mentions that decided, the deciding class first; empty for `unknown`, and for an
            `other_reason` whose words are not in the tables.
    """

    symptom_class: SymptomClass
    onset: Onset
    mentions: tuple[Mention, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionMention:
    """A mention that speaks for an exception."""

    kind: ExceptionKind
    mention: Mention


def read_oncology(mentions: Sequence[Mention]) -> tuple[OncologyFinding, ...]:
    """Return what each oncologic mention says, in the order given; other labels are left out.

    Current therapy makes a history of cancer active ("h/o breast ca on letrozole"). Current chemotherapy or
    radiotherapy is evidence of cancer by itself, a hormone is not (letrozole has other uses). The strongest tier
    over all findings is the text's tier.
    """
    treated_now = any(
        m.label is TextLabel.THERAPY and m.assertion is Assertion.AFFIRMED and m.detail != "surgery" for m in mentions
    )
    return tuple(
        _oncology_finding(mention, treated_now=treated_now)
        for mention in mentions
        if mention.label in ONCOLOGY_LABELS or mention.label is TextLabel.EXCLUDED_NEOPLASM
    )


def _oncology_finding(mention: Mention, *, treated_now: bool) -> OncologyFinding:
    tier = OncologyTier.NONE
    match mention.assertion:
        case Assertion.AFFIRMED if mention.detail == "surgery":
            tier = _history_tier(mention, treated_now=False)
        case Assertion.AFFIRMED:
            tier = _affirmed_tier(mention)
        case Assertion.SUSPECTED if mention.label is not TextLabel.THERAPY:
            tier = OncologyTier.SUSPECTED
        case Assertion.HISTORY if mention.label is TextLabel.METASTASIS:
            tier = OncologyTier.HISTORY_BONE_TROPIC if mention.bone_tropic else OncologyTier.HISTORY
        case Assertion.HISTORY:
            tier = _history_tier(mention, treated_now=treated_now)
        case _:
            pass
    if mention.label is TextLabel.EXCLUDED_NEOPLASM:
        tier = OncologyTier.NONE
    denies = mention.assertion is Assertion.NEGATED and mention.label in (TextLabel.CANCER, TextLabel.HAEMATOLOGIC)
    return OncologyFinding(mention=mention, tier=tier, denies=denies or _says_cured(mention))


def _affirmed_tier(mention: Mention) -> OncologyTier:
    if mention.label is TextLabel.METASTASIS or mention.detail == "myeloma":
        return OncologyTier.METASTATIC
    if mention.label is TextLabel.THERAPY and mention.detail == "hormone":
        return OncologyTier.NONE
    if mention.detail == "unspecified":
        return OncologyTier.SUSPECTED
    return OncologyTier.ACTIVE


def _history_tier(mention: Mention, *, treated_now: bool) -> OncologyTier:
    if mention.label is TextLabel.THERAPY and mention.detail == "hormone":
        return OncologyTier.NONE
    if mention.label is TextLabel.THERAPY and mention.detail == "surgery" and not mention.bone_tropic:
        # A nephrectomy or a lobectomy has many reasons; a mastectomy has one.
        return OncologyTier.NONE
    if treated_now and mention.label is not TextLabel.THERAPY:
        return _affirmed_tier(mention)
    return OncologyTier.HISTORY_BONE_TROPIC if mention.bone_tropic else OncologyTier.HISTORY


def _says_cured(mention: Mention) -> bool:
    return mention.detail == "no_disease"


def read_symptom(readings: Sequence[TextReading]) -> SymptomFinding:
    """Return the gravest symptom of all texts that state the reason of one order.

    Staging, surveillance and planning are `other_reason` unless a symptom is stated that is not called old. A
    symptom of the past counts, as not new, only where nothing else does. A text that names only a cancer, a search
    for metastases or filler is `unknown`.
    """
    mentions = [mention for reading in readings for mention in reading.mentions]
    counted = [m for m in mentions if m.label in _SYMPTOM_CLASS and m.assertion in _STATED]
    onset = fold_onset(m.onset for m in counted)
    purposes = [m for m in mentions if m.label in _PURPOSE_LABELS and m.assertion in _STATED]
    if counted and not (purposes and onset is Onset.NOT_NEW):
        return _gravest(counted, onset)
    reasons = [m for m in mentions if m.label in _REASON_LABELS and m.assertion in _STATED]
    past = [m for m in mentions if m.label in _SYMPTOM_CLASS and m.assertion is Assertion.HISTORY]
    if past and not reasons:
        return _gravest(past, Onset.NOT_NEW)
    if reasons:
        return SymptomFinding(symptom_class=SymptomClass.OTHER_REASON, onset=onset, mentions=tuple(reasons))
    if not mentions and any(reading.has_other_words for reading in readings):
        return SymptomFinding(symptom_class=SymptomClass.OTHER_REASON, onset=Onset.UNKNOWN, mentions=())
    return SymptomFinding(symptom_class=SymptomClass.UNKNOWN, onset=Onset.UNKNOWN, mentions=())


def _gravest(counted: Iterable[Mention], onset: Onset) -> SymptomFinding:
    ordered = sorted(counted, key=lambda m: _SYMPTOM_ORDER.index(_SYMPTOM_CLASS[m.label]))
    return SymptomFinding(symptom_class=_SYMPTOM_CLASS[ordered[0].label], onset=onset, mentions=tuple(ordered))


def fold_onset(onsets: Iterable[Onset]) -> Onset:
    """Return new if any is new, else not new if any is, else unknown."""
    seen = set(onsets)
    if Onset.NEW in seen:
        return Onset.NEW
    return Onset.NOT_NEW if Onset.NOT_NEW in seen else Onset.UNKNOWN


def read_exceptions(mentions: Sequence[Mention]) -> tuple[ExceptionMention, ...]:
    """Return the mentions that speak for an exception, in the order given.

    Suspected ones count. What lies in the past counts only where it lasts: a device, spine surgery, a reaction.
    """
    return tuple(
        ExceptionMention(kind=_EXCEPTION_KIND[mention.label], mention=mention)
        for mention in mentions
        if mention.label in _EXCEPTION_KIND
        and (
            mention.assertion in _STATED
            or (mention.assertion is Assertion.HISTORY and mention.label in _LASTING_EXCEPTIONS)
        )
    )
