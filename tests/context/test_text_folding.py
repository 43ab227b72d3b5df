"""How mentions of several fields fold into tiers, a symptom and exceptions."""

import pytest

from interceptor.context.text_folding import fold_onset, read_exceptions, read_oncology, read_symptom
from interceptor.context.vocabulary import ExceptionKind, OncologyTier, Onset, SymptomClass
from tests.support.text_tables import shipped_matcher

MATCHER = shipped_matcher()


def tiers(*texts: str) -> list[OncologyTier]:
    """Return the tier of each oncologic mention of all texts together."""
    return [f.tier for f in read_oncology([m for text in texts for m in MATCHER.read(text).mentions])]


def test_a_therapy_in_another_field_makes_a_history_active() -> None:
    assert tiers("h/o prostate ca") == [OncologyTier.HISTORY_BONE_TROPIC]
    assert tiers("h/o prostate ca", "currently on Lupron")[0] is OncologyTier.ACTIVE


def test_a_completed_therapy_does_not() -> None:
    assert OncologyTier.ACTIVE not in tiers("h/o breast ca", "completed chemo 2012")


def test_a_denied_cancer_says_that_it_denies() -> None:
    (finding,) = read_oncology(MATCHER.read("no hx ca").mentions)
    assert (finding.tier, finding.denies) == (OncologyTier.NONE, True)


def test_the_symptom_of_any_field_counts_and_the_gravest_leads() -> None:
    found = read_symptom([MATCHER.read("LBP x 2 years"), MATCHER.read("new foot drop")])
    assert (found.symptom_class, found.onset) == (SymptomClass.DEFICIT, Onset.NEW)
    assert [mention.words for mention in found.mentions] == ["foot drop", "LBP"]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("pacemaker", [ExceptionKind.DEVICE]),
        ("no pacemaker", []),
        ("h/o pacemaker", [ExceptionKind.DEVICE]),
        ("MRI with ICD-10 code M54.5", []),
        ("eGFR 29", [ExceptionKind.RENAL]),
        ("eGFR 30", []),
        ("CKD 3", []),
        ("ckd stage 4", [ExceptionKind.RENAL]),
        ("AKI", [ExceptionKind.RENAL]),
        ("pregnant", [ExceptionKind.PREGNANCY]),
        ("Pregnant? No", []),
        ("r/o discitis", [ExceptionKind.INFECTION]),
        ("h/o discitis", []),
        ("s/p fall", [ExceptionKind.TRAUMA]),
        ("s/p fall 2015", []),
        ("h/o fall", []),
        ("h/o fall 3 days ago", [ExceptionKind.TRAUMA]),
        ("fell 2 years ago", []),
        ("fell 2 days ago", [ExceptionKind.TRAUMA]),
        ("atraumatic", []),
        ("s/p L4-5 fusion", [ExceptionKind.POSTOPERATIVE]),
        ("anaphylaxis to gadavist", [ExceptionKind.GADOLINIUM_REACTION]),
        ("shellfish allergy", []),
        ("allergic to contrast", []),
        ("hospice", [ExceptionKind.HOSPICE]),
        ("palliative care", [ExceptionKind.HOSPICE]),
        ("palliative XRT", []),
    ],
)
def test_exceptions_are_read_with_their_assertion(text: str, kinds: list[ExceptionKind]) -> None:
    assert [found.kind for found in read_exceptions(MATCHER.read(text).mentions)] == kinds


def test_new_outweighs_old_and_old_outweighs_unknown() -> None:
    assert fold_onset([Onset.UNKNOWN, Onset.NOT_NEW, Onset.NEW]) is Onset.NEW
    assert fold_onset([Onset.UNKNOWN, Onset.NOT_NEW]) is Onset.NOT_NEW
    assert fold_onset([]) is Onset.UNKNOWN
