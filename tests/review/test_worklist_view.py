"""The worklist as values: its order, its filters, its addresses, and what stands in a row."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.action.lifecycle import OrderState
from interceptor.journal.port import EntryId
from interceptor.journal.review_record import Claim, OrderRow
from interceptor.review.claim_mark import UNCLAIMED
from interceptor.review.claiming import claim_marks
from interceptor.review.held_reason import NOT_IN_MESSAGE, held_chips, held_sentence, safety_items, why_sentence
from interceptor.review.order_view import marked
from interceptor.review.worklist import (
    COLUMNS,
    FACETS,
    TABS,
    WorklistQuery,
    facets_of,
    page_of,
    read_query,
    row_view,
    select,
    sort_key,
    time_left,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DECISION: dict[str, object] = {
    "reasons": ["H-REGIONAL"],
    "oncology": {"tier": "active", "conflict": False},
    "symptom": {"class": "pain", "onset": "new"},
    "procedure": {"class": "regional_mr", "modality": "MR", "regions": ["L"], "contrast": "WO"},
    "exceptions": [],
    "evidence": [
        {"fact": "oncology", "path": "DG1-3.1", "source": "message", "code": "C50", "text": "breast ca", "date": None},
        {"fact": "oncology", "path": "OBR-31.2", "source": "message", "code": None, "text": "Breast CA", "date": None},
        {"fact": "onset", "path": "OBR-31.2", "source": "message", "code": None, "text": "LBP", "date": None},
        {"fact": "symptom", "path": "OBR-31.2", "source": "message", "code": None, "text": "LBP", "date": None},
    ],
}


def order(
    number: int = 1,
    *,
    left: timedelta = timedelta(hours=3),
    priority: str = "routine",
    taken: timedelta = timedelta(hours=1),
    state: OrderState = OrderState.HELD,
    decision: dict[str, object] | None = None,
) -> OrderRow:
    return OrderRow(
        entry_id=EntryId(number),
        route="orders",
        order_key=f"A{number}^P",
        placer_order_number=f"A{number}",
        state=state,
        version=1,
        control_id="C1",
        priority=priority,
        taken_at=NOW - taken,
        changed_at=NOW,
        changed_by="node",
        moved_at=NOW,
        moved_by="user:ann",
        deadline_at=NOW + left,
        closed_at=None,
        reason="S-HELD",
        summary={"patient_name": "Nonesuch, Example", "patient_id": "12345", "birth_date": "19600303", "sex": "F"},
        decision=decision or DECISION,
    )


def test_the_most_urgent_order_comes_first() -> None:
    overdue = order(1, left=-timedelta(minutes=1))
    soon, later = order(2, left=timedelta(minutes=10)), order(3, left=timedelta(hours=5))
    asap = order(4, left=timedelta(hours=5), priority="asap")
    older = order(5, left=timedelta(hours=5), taken=timedelta(hours=9))
    assert [row.entry_id for row in select([later, older, asap, soon, overdue], ())] == [1, 2, 4, 5, 3]


@given(st.lists(st.tuples(st.integers(-600, 60_000), st.sampled_from(["stat", "asap", "routine"])), max_size=20))
def test_a_browser_that_sorts_by_the_key_as_text_has_the_servers_order(rows: list[tuple[int, str]]) -> None:
    orders = [order(i, left=timedelta(seconds=s), priority=p) for i, (s, p) in enumerate(rows, start=1)]
    minutes = [int(row.deadline_at.timestamp()) // 60 for row in sorted(orders, key=sort_key) if row.deadline_at]
    assert minutes == sorted(minutes)


@pytest.mark.parametrize(
    ("left", "text", "level"),
    [
        (timedelta(minutes=-5), "overdue 5 min", "overdue"),
        (timedelta(0), "overdue 0 s", "overdue"),
        (timedelta(seconds=59), "59 s left", "soon"),
        (timedelta(minutes=29, seconds=59), "29 min left", "soon"),
        (timedelta(minutes=30), "30 min left", "near"),
        (timedelta(hours=2), "2 h left", "calm"),
        (timedelta(hours=26), "1 d 2 h left", "calm"),
    ],
)
def test_time_left_is_said_in_words_and_a_level(left: timedelta, text: str, level: str) -> None:
    found = time_left(order(left=left), NOW)
    assert (found.text, found.level) == (text, level)


@given(
    st.builds(
        WorklistQuery,
        tab=st.sampled_from(list(TABS)),
        facets=st.lists(
            st.tuples(st.sampled_from(list(FACETS)), st.text("abcXYZ09-", min_size=1, max_size=8)),
            unique_by=lambda pair: pair[0],
        ).map(lambda pairs: tuple(sorted(pairs, key=lambda pair: list(FACETS).index(pair[0])))),
        columns=st.lists(st.sampled_from(list(COLUMNS)), unique=True).map(
            lambda names: tuple(name for name in COLUMNS if name in names)
        ),
        is_masked=st.booleans(),
        page_number=st.integers(1, 999),
        page_size=st.sampled_from([25, 50, 100]),
    )
)
def test_all_state_of_the_list_is_in_its_address(query: WorklistQuery) -> None:
    from urllib.parse import parse_qsl

    address = query.address(page_number=query.page_number)
    assert read_query(dict(parse_qsl(address.partition("?")[2]))) == query


@given(st.dictionaries(st.sampled_from(["tab", "page", "size", "columns", "masked", "priority"]), st.text(max_size=20)))
def test_an_address_that_nobody_made_shows_the_list_all_the_same(values: dict[str, str]) -> None:
    query = read_query(values)
    assert query.shown_columns
    assert page_of([order()], query)


def test_a_filter_counts_what_it_would_show() -> None:
    rows = [order(1, priority="asap"), order(2), order(3)]
    (facet,) = facets_of(rows, WorklistQuery())
    assert [(value.value, value.count) for value in facet.values] == [("routine", 2), ("asap", 1)]
    assert facet.values[1].address == "/?priority=asap"


def test_why_an_order_is_held_is_one_sentence_of_three_things() -> None:
    expected = "Known cancer + new back or neck pain + regional study (MR, lumbar, without contrast)"
    assert held_sentence(DECISION) == expected


def test_an_order_that_came_with_held_siblings_is_not_said_to_be_held() -> None:
    decision = DECISION | {"disposition": "pass", "oncology": {"tier": "none"}}
    summary = {"why": ["P-COMPLIANT-SET: Together this covers the complete spine."]}
    assert why_sentence(decision, summary) == "Together this covers the complete spine."
    assert why_sentence(DECISION | {"disposition": "hold"}, summary) == held_sentence(DECISION)


def test_the_same_words_from_two_places_are_one_chip() -> None:
    assert [(chip.text, chip.place) for chip in held_chips(DECISION)] == [
        ("breast ca", "DG1-3.1, OBR-31.2"),
        ("LBP", "OBR-31.2"),
    ]


def test_what_nobody_said_about_contrast_is_never_blank() -> None:
    assert {item.text for item in safety_items(DECISION)} == {NOT_IN_MESSAGE}
    low = {"fact": "exception", "text": "eGFR 22 mL/min/1.73 m2 on 2026-01-03", "date": "2026-01-03"}
    (egfr, *_) = safety_items(DECISION | {"exceptions": ["renal"], "evidence": [low]})
    assert (egfr.name, egfr.text, egfr.is_known) == ("eGFR", "22 on 2026-01-03", True)
    assert {item.text for item in safety_items(DECISION | {"not_asked": ["exceptions"]})} == {"not asked"}


def test_a_row_says_age_and_sex_and_a_masked_one_says_no_name() -> None:
    plain = row_view(order(), UNCLAIMED, now=NOW)
    assert (plain.patient, plain.demographics, plain.mrn) == ("Nonesuch, Example", "65 y · F", "12345")
    masked = row_view(order(), UNCLAIMED, now=NOW, is_masked=True)
    assert (masked.patient, masked.mrn) == ("N••• E•••", "•••45")


def test_a_claim_ends_by_itself() -> None:
    claim = Claim(entry_id=EntryId(1), claimed_by="user:ann", claimed_until=NOW + timedelta(minutes=1))
    assert claim_marks([claim], "ann", NOW).of(1).is_mine
    assert claim_marks([claim], "bob", NOW).of(1).name == "ann"
    assert claim_marks([claim], "ann", NOW + timedelta(minutes=1)).of(1) == UNCLAIMED


@given(st.text(max_size=60), st.lists(st.tuples(st.text(max_size=6), st.just("symptom")), max_size=5))
def test_marking_words_changes_no_character_of_the_text(text: str, matches: list[tuple[str, str]]) -> None:
    assert "".join(piece for piece, _ in marked(text, matches)) == text


def test_of_two_overlapping_matches_the_longer_one_is_marked() -> None:
    assert marked("low back pain", [("pain", "symptom"), ("Back Pain", "symptom")]) == (
        ("low ", ""),
        ("back pain", "symptom"),
    )
