"""What single requisition lines say, line by line, and properties that hold for any text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.context import text_element, text_list
from interceptor.context.text_evaluation import strongest_tier
from interceptor.context.text_folding import read_symptom
from interceptor.context.text_matcher import TEXT_LENGTH_MAX
from interceptor.context.text_reading import NOTHING_READ, Assertion, Mention, TextLabel
from interceptor.context.text_table import TrieNode
from interceptor.context.text_token import tokenise
from interceptor.context.vocabulary import OncologyTier, Onset, SymptomClass
from tests.support.text_tables import shipped_matcher

MATCHER = shipped_matcher()


def mention_of(text: str, words: str) -> Mention:
    """Return the one mention whose words are *words*."""
    found = [mention for mention in MATCHER.read(text).mentions if mention.words == words]
    assert len(found) == 1, (text, found)
    return found[0]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("no hx ca, trauma or weakness", "weakness", Assertion.NEGATED),
        ("no trauma, weakness present", "weakness", Assertion.AFFIRMED),
        ("no fever, new leg weakness", "weakness", Assertion.AFFIRMED),
        ("no trauma, LBP x 3 wks", "LBP", Assertion.AFFIRMED),
        ("denies fever, chills, weakness", "weakness", Assertion.NEGATED),
        ("denies trauma, LBP x 2 wks", "LBP", Assertion.AFFIRMED),
        ("weakness: none", "weakness", Assertion.NEGATED),
        ("pacemaker? yes", "pacemaker", Assertion.AFFIRMED),
        ("pacemaker? no", "pacemaker", Assertion.NEGATED),
        ("no improvement in back pain", "back pain", Assertion.AFFIRMED),
        ("no change in LBP", "LBP", Assertion.AFFIRMED),
        ("evaluate for metastasis", "metastasis", Assertion.SUSPECTED),
        ("mets ruled out", "mets", Assertion.NEGATED),
        ("mets not ruled out", "mets", Assertion.SUSPECTED),
        ("return if weakness", "weakness", Assertion.HYPOTHETICAL),
        ("mother breast ca", "ca", Assertion.RELATIVE),
        ("breast ca in mother", "ca", Assertion.RELATIVE),
        ("breast ca 2011, LBP", "ca", Assertion.HISTORY),
        ("breast ca s/p mastectomy", "ca", Assertion.HISTORY),
        ("lymphoma in remission", "lymphoma", Assertion.HISTORY),
        ("cannot walk because of leg pain", "leg pain", Assertion.AFFIRMED),
        ("leg weakness resolved, LBP", "weakness", Assertion.NEGATED),
    ],
)
def test_a_cue_reaches_what_it_means_and_no_further(text: str, words: str, expected: Assertion) -> None:
    assert mention_of(text, words).assertion is expected


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("CA 19-9 and serum Ca normal, LBP", OncologyTier.NONE),
        ("pt of the cancer center, LBP", OncologyTier.NONE),
        ("5 mm disc, exercise 4 METs", OncologyTier.NONE),
        ("met with patient", OncologyTier.NONE),
        ("BRCA1 carrier", OncologyTier.NONE),
        ("SCC skin, DCIS, BCC", OncologyTier.NONE),
        ("wt loss, PSA 240", OncologyTier.NONE),
        ("pain all over", OncologyTier.NONE),
        ("ALL, back pain", OncologyTier.ACTIVE),
        ("SCC lung", OncologyTier.ACTIVE),
        ("h/o breast ca on letrozole", OncologyTier.ACTIVE),
        ("on letrozole", OncologyTier.NONE),
        ("h/o breast ca", OncologyTier.HISTORY_BONE_TROPIC),
        ("h/o colon ca", OncologyTier.HISTORY),
        ("h/o ca", OncologyTier.HISTORY),
        ("h/o met breast ca", OncologyTier.METASTATIC),
        ("h/o breast ca, r/o recurrence", OncologyTier.SUSPECTED),
        ("MGUS", OncologyTier.SUSPECTED),
        ("myeloma", OncologyTier.METASTATIC),
        ("CKD stage IV", OncologyTier.NONE),
        ("lung ca stage IV", OncologyTier.METASTATIC),
    ],
)
def test_the_tier_follows_organ_cue_and_treatment(text: str, tier: OncologyTier) -> None:
    assert strongest_tier(MATCHER.read(text)) is tier


@pytest.mark.parametrize(
    ("text", "symptom_class", "onset"),
    [
        ("breast ca 3 yrs, LBP x 3 wks", SymptomClass.PAIN, Onset.NEW),
        ("LBP x 11 weeks", SymptomClass.PAIN, Onset.NEW),
        ("LBP x 12 weeks", SymptomClass.PAIN, Onset.NOT_NEW),
        ("LBP x 83 days", SymptomClass.PAIN, Onset.NEW),
        ("LBP x 84 days", SymptomClass.PAIN, Onset.NOT_NEW),
        ("LBP x 3 months", SymptomClass.PAIN, Onset.NOT_NEW),
        ("LBP x 2-3 months", SymptomClass.PAIN, Onset.NEW),
        ("chronic LBP", SymptomClass.PAIN, Onset.NOT_NEW),
        ("acute on chronic LBP", SymptomClass.PAIN, Onset.NEW),
        ("chronic LBP, worsening", SymptomClass.PAIN, Onset.NEW),
        ("LBP, chronic steroids", SymptomClass.PAIN, Onset.UNKNOWN),
        ("65 year old with LBP", SymptomClass.PAIN, Onset.UNKNOWN),
        ("generalized weakness", SymptomClass.OTHER_REASON, Onset.UNKNOWN),
        ("muscle weakness", SymptomClass.DEFICIT, Onset.UNKNOWN),
        ("numbness in left leg", SymptomClass.DEFICIT, Onset.UNKNOWN),
        ("numbness radiating down left leg", SymptomClass.RADICULAR, Onset.UNKNOWN),
        ("chest pain", SymptomClass.OTHER_REASON, Onset.UNKNOWN),
        ("staging prostate ca", SymptomClass.OTHER_REASON, Onset.UNKNOWN),
        ("surveillance, chronic LBP", SymptomClass.OTHER_REASON, Onset.NOT_NEW),
        ("surveillance, new LBP", SymptomClass.PAIN, Onset.NEW),
        ("breast ca, r/o mets", SymptomClass.UNKNOWN, Onset.UNKNOWN),
        ("MRI as ordered", SymptomClass.UNKNOWN, Onset.UNKNOWN),
        ("osteopetrosis", SymptomClass.OTHER_REASON, Onset.UNKNOWN),
        ("h/o sciatica", SymptomClass.RADICULAR, Onset.NOT_NEW),
    ],
)
def test_symptom_and_onset_belong_to_the_spine(text: str, symptom_class: SymptomClass, onset: Onset) -> None:
    found = read_symptom([MATCHER.read(text)])
    assert (found.symptom_class, found.onset) == (symptom_class, onset)


def test_offsets_count_characters_of_the_text_as_given() -> None:
    text = "\u201cH/o\u201d  BREAST\u2011CA \u2013 İ, mets?"  # typographic signs are the point
    words = {mention.words for mention in MATCHER.read(text).mentions}
    assert words == {"CA", "mets"}
    assert mention_of(text, "CA").cue == "H/o"


def test_one_letter_slips_in_long_words_are_read() -> None:
    assert mention_of("metastattic dz", "metastattic dz").label is TextLabel.METASTASIS
    assert mention_of("radiculopahty", "radiculopahty").label is TextLabel.RADICULAR


def test_an_empty_text_says_nothing() -> None:
    assert MATCHER.read("") is NOTHING_READ


def test_a_text_beyond_the_cap_is_read_up_to_it_and_says_so() -> None:
    reading = MATCHER.read("LBP. " + "x" * TEXT_LENGTH_MAX + " breast ca")
    assert reading.truncated
    assert [mention.words for mention in reading.mentions] == ["LBP"]


WORDS = st.sampled_from(
    [
        "no",
        "h/o",
        "hx",
        "breast",
        "ca",
        "cancer",
        "mets",
        "LBP",
        ",",
        ".",
        ";",
        "?",
        "or",
        "and",
        "new",
        "chronic",
        "x",
        "3",
        "wks",
        "r/o",
        "denies",
        "mother",
        "on",
        "chemo",
        "SCC",
        "met",
        "ALL",
        "weakness",
        "(",
        ")",
        ":",
        "/",
        "+",
        "-",
        "worse",
        "s/p",
        "2011",
        "with",
        "but",
        "pain",
        "in",
        "the",
        "left",
        "leg",
        "recurrence",
        "stage",
        "IV",
        "²",
        "٣",
    ]
)

TEXTS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=60).map(" ".join))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_any_text_is_read_the_same_twice_with_offsets_inside_it(text: str) -> None:
    reading = MATCHER.read(text)
    assert reading == MATCHER.read(text)
    for mention in reading.mentions:
        assert 0 <= mention.start_offset < mention.end_offset <= len(text)
        assert text[mention.start_offset : mention.end_offset] == mention.words


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["LBP x 3 wks", "h/o breast ca", "no weakness", "r/o mets", "no fever or ca"]), min_size=1)
)
def test_a_later_sentence_about_something_else_changes_nothing_before_it(parts: list[str]) -> None:
    text = ", ".join(parts) + "."
    before = MATCHER.read(text).mentions
    after = MATCHER.read(text + " Thank you for seeing this patient.").mentions
    assert after[: len(before)] == before


class CountingNode(TrieNode):
    """A trie node that counts how often it is asked."""

    asked = 0

    def get(self, key: str, default: TrieNode | None = None) -> TrieNode | None:  # type: ignore[override]  # the one call the matcher makes
        CountingNode.asked += 1
        return super().get(key, default)


def steps(text: str) -> int:
    """Return how many look-ups the split of *text* takes."""
    tables = MATCHER.tables
    counting = CountingNode()
    counting.update(tables.root)
    tables = type(tables)(counting, tables.vocabulary, tables.skipped, tables.deletions)
    CountingNode.asked = 0
    text_element.split_parts(tokenise(text).words, tables)
    return CountingNode.asked


@pytest.mark.parametrize("pattern", ["pain in the left ", "no evidence of ", "h/o ", "mets to the "])
def test_twice_the_text_takes_at_most_twice_the_steps(pattern: str) -> None:
    once, twice = steps(pattern * 100), steps(pattern * 200)
    assert twice <= 2 * once + 10


@pytest.mark.parametrize(("repeated", "single"), [("?? mets", "? mets"), ("no no weakness", "no weakness")])
def test_a_cue_that_is_said_twice_means_what_it_means_once(repeated: str, single: str) -> None:
    assert [m.assertion for m in MATCHER.read(repeated).mentions] == [
        m.assertion for m in MATCHER.read(single).mentions
    ]


def test_a_cue_far_from_the_beginning_still_speaks() -> None:
    filler = "the patient is in the room. " * 20
    (mention,) = MATCHER.read(filler + "r/o mets").mentions
    assert mention.assertion is Assertion.SUSPECTED


@pytest.mark.parametrize("pattern", ["? ", "no ", "h/o ", "r/o "])
def test_a_text_of_cues_takes_no_walk_for_each(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = 0
    walk = text_list.reached_forward

    def counted(*arguments: Any) -> list[int]:
        nonlocal walks
        walks += 1
        return walk(*arguments)

    monkeypatch.setattr("interceptor.context.text_scope.reached_forward", counted)
    MATCHER.read("ca " + pattern * 2000)
    assert walks <= 50
