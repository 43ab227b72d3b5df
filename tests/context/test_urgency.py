"""How soon the study is wanted: every place, the most urgent wins, doubt is urgent."""

from dataclasses import replace
from datetime import timedelta

import pytest

from interceptor.context.urgency import read_urgency
from interceptor.context.vocabulary import UrgencyClass
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView
from tests.support.spine_order import NOW, facts_of, order_message, segment, shipped_tables


def urgency(**fields: object) -> UrgencyClass:
    return facts_of(order_message(**fields)).urgency.urgency_class  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("R", "routine"), ("r", "routine"), ("Routine", "routine"), ("", "routine"), ('""', "routine"), ("S", "stat"), ("STAT", "stat"),
        ("A", "asap"), ("U", "asap"), ("E", "emergency"), ("EMERGENT", "emergency"), ("P", "asap"), ("C", "asap"), ("T", "asap"),
        ("TS30", "asap"), ("ZZ", "asap"), ("2", "asap"), ("STAT READ", "stat"),
    ],
)  # fmt: skip
def test_words_of_the_priority(word: str, expected: str) -> None:
    assert urgency(priority=word) == expected


@pytest.mark.parametrize(
    "place",
    [
        {"orc": {"f7": "^^^^^S"}},
        {"orc": {"f7": "^^^^^R~^^^^^S"}},
        {"obr": {"f5": "S"}},
        {"obr": {"f27": "^^^^^S"}},
        {"more": (segment("TQ1", f1="1", f9="S^Stat^HL70485"),)},
        {"more": (segment("TQ1", f1="1", f9="R"), segment("TQ1", f1="2", f9="^STAT"))},
    ],
)
def test_every_place_of_the_priority_is_read_and_the_most_urgent_wins(place: dict[str, object]) -> None:
    assert urgency(**place) == "stat"


@pytest.mark.parametrize(
    ("patient_class", "expected"),
    [
        ("E", "emergency"),
        ("I", "inpatient"),
        ("i", "inpatient"),
        ("O", "routine"),
        ("P", "routine"),
        ("R", "routine"),
        ("", "routine"),
    ],
)
def test_the_patient_class(patient_class: str, expected: str) -> None:
    assert urgency(patient_class=patient_class) == expected


@pytest.mark.parametrize(("patient_class", "expected"), [("I", "routine"), ("E", "emergency")])
def test_a_site_may_say_that_an_inpatient_is_not_urgent_by_that_alone(patient_class: str, expected: str) -> None:
    site = replace(shipped_tables().site, inpatient_is_urgent=False)
    view = MessageView(order_message(patient_class=patient_class))
    (group,) = order_groups(view)
    header = [one for one in view.segments if one.name == "PV1"]
    assert read_urgency(group, header, site, NOW)[0].urgency_class == expected


def test_the_most_urgent_of_unlike_places_wins() -> None:
    assert urgency(patient_class="I", priority="S") == "stat"
    assert urgency(patient_class="E", priority="A") == "emergency"
    assert urgency(patient_class="I", priority="A") == "asap"


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(-1, "routine"), (0, "routine"), (1, "imminent"), (90, "imminent"), (240, "imminent"), (241, "routine")],
)
def test_a_start_within_four_hours_is_imminent_and_one_in_the_past_is_ignored(minutes: int, expected: str) -> None:
    stated = (NOW + timedelta(minutes=minutes)).strftime("%Y%m%d%H%M%S")
    places: list[dict[str, object]] = [
        {"more": (segment("TQ1", f1="1", f7=stated),)},
        {"orc": {"f7": f"^^^{stated}^^R"}},
        {"obr": {"f27": f"^^^{stated}^^R"}},
        {"obr": {"f36": stated}},
    ]
    assert [urgency(**place) for place in places] == [expected] * 4


def test_a_start_in_another_zone_is_the_same_moment() -> None:
    assert urgency(obr={"f36": "202603021700+0000"}) == "imminent"  # 12:00 in New York
    assert urgency(obr={"f36": "202603021700-0500"}) == "routine"


def test_a_day_without_a_time_is_not_imminent_but_is_a_planned_start() -> None:
    facts = facts_of(order_message(obr={"f36": "20260303"}))
    assert facts.urgency.urgency_class == "routine"
    assert facts.planned_start is not None
    assert facts.planned_start.astimezone(NOW.tzinfo).strftime("%d %H:%M") == "03 08:00"
    assert facts_of(order_message(obr={"f36": "20260302"})).planned_start is None


def test_the_earliest_start_is_the_planned_one() -> None:
    facts = facts_of(order_message(obr={"f36": "202603051000"}, orc={"f7": "^^^202603041000^^R"}))
    assert facts.planned_start is not None
    assert facts.planned_start.day == 4


@pytest.mark.parametrize("stated", ["20261399", "soon", "99999999999999", "2026", "202603"])
def test_a_start_that_is_no_day_is_ignored(stated: str) -> None:
    assert urgency(obr={"f36": stated}) == "routine"


def test_the_place_that_spoke_is_kept() -> None:
    facts = facts_of(order_message(obr={"f27": "^^^^^S"}))
    assert (facts.urgency.path, facts.urgency.stated) == ("OBR-27.6", "S")
    assert {(one.path, one.meaning) for one in facts.evidence} == {("ORC-7.6", "routine"), ("OBR-27.6", "stat")}


def test_a_field_of_one_component_and_the_patient_class_are_kept_by_their_own_names() -> None:
    facts = facts_of(order_message(priority="", obr={"f5": "S"}, patient_class="I"))
    assert (facts.urgency.path, facts.urgency.stated) == ("OBR-5", "S")
    assert {(one.path, one.meaning) for one in facts.evidence} == {("OBR-5", "stat"), ("PV1-2", "inpatient")}
