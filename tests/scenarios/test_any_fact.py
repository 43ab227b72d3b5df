"""Changing any one thing in any vignette never raises: whatever a feed sends, an order is decided."""

import re
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.context.vocabulary import LookupStatus
from interceptor.decision.message_decision import decide_message
from interceptor.decision.report import message_json
from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView
from tests.support.clinical import NOW, shipped_content, shipped_vignettes

MESSAGES = [raw for vignette in shipped_vignettes() for raw in vignette.messages]
VALUES = st.sampled_from(
    [b"", b'""', b"NW", b"CA", b"XO", b"RO", b"RP", b"S", b"R", b"???", b"C50.911", b"C50.911^^I10", b"Z85.3^^I9", b"^^^^",
     b"72148^^C4", b"30855-1^^LN", b"20260302", b"20261399", b"19000101", b"99999999999999", b"-1", b"<30", b"1e400",
     b"no hx ca", b"r/o mets", b"\\E\\\\X41\\\\Z", b"\xff\xfe", b"A" * 5000, b"&&&", b"~~~", b"|", b"\r", b"E", b"I"]
) | st.binary(max_size=12)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(MESSAGES), st.integers(min_value=0), VALUES, st.sampled_from(list(LookupStatus)))
def test_changing_any_one_field_never_raises(raw: bytes, place: int, value: bytes, lookup: LookupStatus) -> None:
    separators = [found.end() for found in re.finditer(rb"[|^\n]", raw)]
    start = separators[place % len(separators)]
    end = next(iter(re.finditer(rb"[|^\n]", raw[start:])), None)
    changed = raw[:start] + value + (raw[start + end.start() :] if end else b"")
    try:
        view = MessageView(changed)
    except NotHl7:
        return
    content = shipped_content()
    decision = decide_message(view, content=content, evidence=PatientEvidence(lookup=lookup), as_of=NOW)
    found = message_json(view, decision, policy=content.policy.identity, read_all=True)
    assert found["disposition"] in {"pass", "annotate", "hold"}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MESSAGES), st.integers(min_value=-100, max_value=36500))
def test_the_day_of_the_decision_never_raises(raw: bytes, days: int) -> None:
    view = MessageView(raw)
    decide_message(view, content=shipped_content(), evidence=NO_EVIDENCE, as_of=NOW + timedelta(days=days))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MESSAGES), st.integers(min_value=0))
def test_a_message_that_is_cut_short_never_raises(raw: bytes, size: int) -> None:
    cut = raw[: max(size % len(raw), 40)]
    decide_message(MessageView(cut), content=shipped_content(), evidence=NO_EVIDENCE, as_of=NOW)
