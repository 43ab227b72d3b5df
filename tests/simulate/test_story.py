"""The simulated traffic shows every kind of message, in plausible numbers, about nobody real."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import hl7
import pytest

from interceptor.simulate.population import FAMILY_NAMES, GIVEN_NAMES, ONCOLOGY_COUNT, build_population
from interceptor.simulate.story import Sent, Story

STARTED_AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def tell(count: int, seed: int = 1) -> list[Sent]:
    story = Story(Random(seed), started_at=STARTED_AT)
    return [story.next_message(STARTED_AT + timedelta(seconds=number / 2)) for number in range(count)]


def test_the_same_seed_tells_the_same_story_byte_for_byte() -> None:
    assert tell(300) == tell(300)
    assert tell(300) != tell(300, seed=2)


def test_a_hundred_and_twenty_patients_have_cancer_and_no_name_could_be_real() -> None:
    patients = build_population(Random(1), today=STARTED_AT.date())
    assert sum(patient.has_cancer for patient in patients) == ONCOLOGY_COUNT == 120
    assert len({patient.number for patient in patients}) == len(patients)
    for patient in patients:
        assert patient.number.startswith("99")
        assert (patient.family_name in FAMILY_NAMES, patient.given_name in GIVEN_NAMES) == (True, True)


def test_every_readable_message_says_that_it_is_for_training() -> None:
    for sent in tell(400):
        if sent.control_id:
            message = hl7.parse(sent.raw.decode("ascii"))
            assert message.extract_field("MSH", 1, 11) == "T"
            assert message.extract_field("MSH", 1, 10) == sent.control_id


def test_the_first_half_minute_shows_every_kind_of_message() -> None:
    kinds = Counter(sent.kind.split(" (")[0] for sent in tell(60))
    assert set(kinds) >= {
        "laboratory order", "other imaging", "visit", "result", "spine, no cancer", "spine, cancer, one region",
        "spine, cancer known from ADT or PPR", "spine, cancer known from FHIR",
        "spine, cancer, urgent or old", "complete spine", "complete set, one message", "complete set, in parts",
        "cancel", "change to complete spine", "sent twice", "malformed",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_about_one_message_in_ten_should_be_held(seed: int) -> None:
    kinds = Counter(sent.kind for sent in tell(1000, seed))
    unsaid = kinds["spine, cancer known from ADT or PPR"] + kinds["spine, cancer known from FHIR"]
    assert 0.07 <= (kinds["spine, cancer, one region"] + unsaid) / 1000 <= 0.13
    assert unsaid >= 20


def test_control_ids_and_order_numbers_are_used_once_but_for_what_is_sent_twice() -> None:
    messages = [sent for sent in tell(500) if sent.control_id and sent.kind != "sent twice"]
    assert len({sent.control_id for sent in messages}) == len(messages)
    assert all(len(sent.control_id) <= 20 for sent in messages)


def test_cancels_and_changes_speak_of_orders_that_were_sent_before() -> None:
    known: set[str] = set()
    followed = 0
    for sent in tell(500):
        if not sent.raw.startswith(b"MSH") or b"ORM^O01" not in sent.raw:
            continue
        message = hl7.parse(sent.raw.decode("ascii"))
        numbers = {str(order[2]) for order in message.segments("ORC")}
        if sent.kind in ("cancel", "change to complete spine"):
            followed += 1
            assert numbers <= known
            assert {str(order[1]) for order in message.segments("ORC")} <= {"CA", "XO"}
        known |= numbers
    assert followed >= 10


def test_a_set_in_parts_shares_its_placer_group_number() -> None:
    parts = [sent for sent in tell(200) if sent.kind == "complete set, in parts"]
    groups = Counter(str(hl7.parse(sent.raw.decode("ascii")).segment("ORC")[4]) for sent in parts)
    assert parts
    assert set(groups.values()) == {3}
