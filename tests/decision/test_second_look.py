"""What is remembered for a reload's second look is bounded in count and in size."""

from datetime import UTC, datetime

import pytest

from interceptor.context.patient import NO_EVIDENCE
from interceptor.decision.second_look import SEEN_SIZE_MAX, SeenMessage, SeenMessages


@pytest.mark.fault(29)
def test_very_large_messages_are_not_remembered_and_others_only_so_many() -> None:
    seen = SeenMessages(count_max=3)
    at = datetime(2026, 1, 15, tzinfo=UTC)
    for raw in (b"a", b"b", b"x" * (SEEN_SIZE_MAX + 1), b"c", b"d", b"d"):
        seen.note(SeenMessage(route="orders", raw=raw, evidence=NO_EVIDENCE, as_of=at))
    assert [one.raw for one in seen.all()] == [b"b", b"c", b"d"]
