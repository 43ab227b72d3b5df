"""What a short clinical text said: mentions with assertions and offsets, as values.

A requisition text ("breast ca 2011, new LBP x 3 wks, no weakness, r/o mets") becomes a `TextReading`.
`text_matcher.TextMatcher.read` builds it; the folds of `text_folding.py` turn the mentions of one or of
several fields into tier, symptom, onset and exceptions. Nothing here knows where the text came from.

Source: docs/clinical/text.md.
"""

from dataclasses import dataclass
from enum import StrEnum

from interceptor.context.vocabulary import Onset


class TextLabel(StrEnum):
    """What a mention is about."""

    CANCER = "cancer"
    """A solid malignancy, or cancer without an organ."""
    HAEMATOLOGIC = "haematologic"
    """Leukaemia, lymphoma, myeloma."""
    METASTASIS = "metastasis"
    """Spread of a cancer, or a stage that means spread."""
    EXCLUDED_NEOPLASM = "excluded_neoplasm"
    """A neoplasm of tier `none`: in situ, benign, non-melanoma skin cancer."""
    THERAPY = "therapy"
    """Treatment of a cancer. Affirmed is current; history is completed."""
    DEFICIT = "deficit"
    """Cord or cauda compression, weakness, gait, numbness, retention, incontinence."""
    RADICULAR = "radicular"
    """Pain or symptoms in the distribution of a nerve root."""
    PAIN = "pain"
    """Pain of the spine, or pain without a stated place."""
    STAGING = "staging"
    SURVEILLANCE = "surveillance"
    PLANNING = "planning"
    TRAUMA = "trauma"
    INFECTION = "infection"
    POSTOPERATIVE = "postoperative"
    """Surgery of the spine, at any time."""
    PREGNANCY = "pregnancy"
    DEVICE = "device"
    GADOLINIUM_REACTION = "gadolinium_reaction"
    CONTRAST_ALLERGY = "contrast_allergy"
    """An allergy to iodinated contrast (detail "iodinated") or to unnamed contrast: shown, never an exception."""
    RENAL = "renal"
    HOSPICE = "hospice"
    OTHER_REASON = "other_reason"
    """A reason that is no spine symptom: chest pain, headache, stenosis, generalised weakness ..."""


class Assertion(StrEnum):
    """What the text says about the mention."""

    AFFIRMED = "affirmed"
    SUSPECTED = "suspected"
    HISTORY = "history"
    NEGATED = "negated"
    RELATIVE = "relative"
    """Another person has it."""
    HYPOTHETICAL = "hypothetical"
    """It is spoken of as a possibility in the future ("return if weakness")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One thing that the text speaks of.

    Attributes:
        label: What it is about.
        assertion: What the text says about it.
        start_offset: First character of the matched words in the text as given, counted from 0.
        end_offset: Character after the last matched one; start_offset < end_offset <= len(text).
        words: The matched words as given, `text[start_offset:end_offset]`.
        organ: Plain word for the organ or disease of a cancer ("breast", "myeloma"); "" when none is named.
        bone_tropic: True when that organ or disease counts as bone-tropic (CLINICAL: breast, prostate, lung,
            kidney, thyroid, melanoma, haematologic).
        detail: A finer word from the terms table ("myeloma", "unspecified", "recurrence", "hormone", "iodinated");
            "" for none.
        cue: The words that set the assertion, as given; "" when it is affirmed without a cue.
        onset: For a symptom, whether the text calls this symptom new; UNKNOWN otherwise.
    """

    label: TextLabel
    assertion: Assertion
    start_offset: int
    end_offset: int
    words: str
    organ: str = ""
    bone_tropic: bool = False
    detail: str = ""
    cue: str = ""
    onset: Onset = Onset.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReading:
    """All that one text said.

    Attributes:
        mentions: In order of start_offset. One span may carry two mentions ("MSCC" is a deficit and metastasis).
        onset: The fold of the onsets of the symptoms that count: new if any is, else not new if any is, else unknown.
        has_other_words: True when the text holds words that are neither understood nor mere filler
            ("MRI please"): then a reason is stated, though not one that we know.
        truncated: True when the text was longer than the cap and only its beginning was read.
    """

    mentions: tuple[Mention, ...] = ()
    onset: Onset = Onset.UNKNOWN
    has_other_words: bool = False
    truncated: bool = False


NOTHING_READ = TextReading()
"""The reading of an empty text."""
