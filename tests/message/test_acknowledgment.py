"""Acknowledgments: read, built, and asked for."""

from datetime import UTC, datetime, timedelta, timezone

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.acknowledgment import (
    AckCode,
    AckCondition,
    AckMode,
    ErrorDetail,
    accept_mode,
    accepts,
    build_acknowledgment,
    read_acknowledgment,
)
from interceptor.message.header import NotHl7, peek_header
from interceptor.message.path import FieldPath, parse_path
from interceptor.message.view import MessageView

AT = datetime(2026, 1, 5, 10, 15, 2, tzinfo=timezone(timedelta(hours=1)))
DETAIL = ErrorDetail(
    code="101", text="Required field missing", path=parse_path("OBR-4[1].1"), user_message="OBR-4 is empty"
)
VERSIONS = ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6"]
VALIDATED = ["2.3.1", "2.4", "2.5", "2.5.1"]


def order(version: str = "2.5.1", *, kind: str = "ORM^O01", control_id: str = "MSG-1", rest: str = "") -> MessageView:
    header = f"MSH|^~\\&|EHR^1.2^ISO|HOSP|RIS|RAD|20260105||{kind}|{control_id}|P|{version}{rest}\r"
    return MessageView((header + "PID|1||4711\r").encode("latin-1"))


_PARTS = [b"MSH|^~\\&|", b"MSH|", b"\r", b"\n", b"MSA|", b"AA|", b"AE|", b"M1", b"M12", b"|", b"x", b"ERR|"]


@given(
    raw=st.lists(st.sampled_from(_PARTS), max_size=14).map(b"".join), control_id=st.sampled_from([b"M1", b"M12", b""])
)
def test_an_acceptance_seen_at_a_glance_is_what_reading_it_gives(raw: bytes, control_id: bytes) -> None:
    for tried in (raw, b"MSH|^~\\&|a\r" + raw, b"MSH|^~\\&|a\rMSA|AA|" + control_id + b"\r" + raw):
        if accepts(tried, control_id):
            assert read_acknowledgment(tried) == (AckCode.APPLICATION_ACCEPT, control_id, "", None, "")


@pytest.mark.hazard("H22")
@pytest.mark.parametrize("answered", [b"M12", b"M", b"m1", b"M1 ", b"", b"M1|Message accepted"])
def test_only_the_very_control_id_is_accepted_at_a_glance(answered: bytes) -> None:
    raw = b"MSH|^~\\&|RIS|RAD\rMSA|AA|%b\r"
    assert accepts(raw % b"M1", b"M1")
    assert not accepts(raw % answered, b"M1")


def build(view: MessageView, code: AckCode = AckCode.APPLICATION_ACCEPT, **more: object) -> bytes:
    text, error = more.get("text", ""), more.get("error")
    assert isinstance(text, str)
    assert error is None or isinstance(error, ErrorDetail)
    return build_acknowledgment(view, code, control_id="A1", at=AT, text=text, error=error)


def test_sender_and_receiver_change_places_and_the_message_is_named() -> None:
    assert build(order()) == (
        rb"MSH|^~\&|RIS|RAD|EHR^1.2^ISO|HOSP|20260105101502+0100||ACK^O01^ACK|A1|P|2.5.1" + b"\rMSA|AA|MSG-1\r"
    )


def test_a_header_is_enough_to_answer() -> None:
    view = order()
    header = peek_header(view.raw)
    assert header is not None
    built = build_acknowledgment(header, AckCode.APPLICATION_REJECT, control_id="A1", at=AT)
    assert built == build(view, AckCode.APPLICATION_REJECT)


def test_the_character_set_is_copied() -> None:
    built = MessageView(build(order(rest="||||||8859/1~ISO IR87")))
    assert built.raw_value("MSH-18") == b"8859/1~ISO IR87"
    assert built.raw_value("MSH-15") == b""


# Without ESC: a two-byte character set that is never left hides the separators behind it.
@given(st.binary(max_size=30).filter(lambda value: not set(value) & set(b"|\r\n\x1b")))
def test_the_control_id_comes_back_byte_for_byte(control_id: bytes) -> None:
    raw = b"MSH|^~\\&|A|B|C|D|2026||ORM^O01|" + control_id + b"|P|2.5.1\r"
    built = build(MessageView(raw))
    assert built.endswith(b"\rMSA|AA|" + control_id + b"\r")
    read = read_acknowledgment(built)
    assert read is not None
    assert read.control_id == control_id


@pytest.mark.parametrize(
    ("version", "kind", "expected"),
    [
        ("2.1", "ORM", b"ACK"),
        ("2.1", "ORM^O01", b"ACK"),
        ("2.2", "ORM^O01", b"ACK^O01"),
        ("2.3.1", "ORM^O01", b"ACK^O01"),
        ("2.3.1", "ORM^O01^ORM_O01", b"ACK^O01^ACK"),
        ("2.4", "ORM^O01", b"ACK^O01^ACK"),
        ("2.5.1^USA", "OMI^O23^OMI_O23", b"ACK^O23^ACK"),
        ("2.10", "OMI^O23", b"ACK^O23^ACK"),
        ("", "ORM^O01", b"ACK^O01"),
        ("2.5.1", "ORM", b"ACK"),
    ],
)
def test_the_type_of_the_answer_follows_the_version(version: str, kind: str, expected: bytes) -> None:
    assert MessageView(build(order(version, kind=kind))).raw_value("MSH-9") == expected


def test_odd_delimiters_are_answered_in_kind() -> None:
    view = MessageView(b"MSH#!@%*#EHR#HOSP#RIS#RAD#2026##ORM!O01#M7#P#2.5\r")
    built = build(view, AckCode.APPLICATION_ERROR, text="a#b!c", error=DETAIL)
    assert built == (
        b"MSH#!@%*#RIS#RAD#EHR#HOSP#20260105101502+0100##ACK!O01!ACK#A1#P#2.5\r"
        b"MSA#AE#M7#a%F%b%S%c\r"
        b"ERR##OBR!1!4!1!1#101!Required field missing!HL70357#E####OBR-4 is empty\r"
    )


@pytest.mark.parametrize("version", ["2.2", "2.3", "2.3.1", "2.4", "", "unknown"])
def test_before_2_5_the_error_stands_in_one_field(version: str) -> None:
    built = build(order(version), AckCode.APPLICATION_ERROR, error=DETAIL)
    assert built.endswith(b"\rERR|OBR^1^4^101&Required field missing&HL70357\r")


@pytest.mark.parametrize("version", ["2.5", "2.5.1", "2.6", "2.7", "2.10"])
def test_from_2_5_the_error_has_place_code_and_severity(version: str) -> None:
    built = build(order(version), AckCode.APPLICATION_ERROR, error=DETAIL)
    assert built.endswith(b"\rERR||OBR^1^4^1^1|101^Required field missing^HL70357|E||||OBR-4 is empty\r")


def test_an_error_of_the_whole_message_names_no_place() -> None:
    detail = ErrorDetail(code="207", text="Application internal error")
    assert build(order("2.5"), error=detail).endswith(b"\rERR|||207^Application internal error^HL70357|E\r")
    assert build(order("2.4"), error=detail).endswith(b"\rERR|^^^207&Application internal error&HL70357\r")


def test_text_is_ascii_escaped_and_short() -> None:
    built = build(order(), AckCode.APPLICATION_ERROR, text="journal | is\rfull: Müller " + "x" * 100)
    text = MessageView(built).text("MSA-3")
    assert text.startswith("journal | is full: Muller xxx")
    assert len(text) == 80
    assert built.isascii()


@pytest.mark.parametrize("code", list(AckCode))
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("error", [None, DETAIL, ErrorDetail(code="207", text="Application internal error")])
def test_what_we_build_we_read(version: str, code: AckCode, error: ErrorDetail | None) -> None:
    built = build(order(version), code, error=error)
    read = read_acknowledgment(built)
    assert read is not None
    assert (read.code, read.control_id) == (code, b"MSG-1")
    if error is not None and not code.is_accept:
        assert read.error_code == error.code
        path = error.path
        if path is not None and version < "2.5":
            path = FieldPath(path.segment, path.occurrence, path.field)
        assert read.error_path == path


@pytest.mark.parametrize("code", list(AckCode))
@pytest.mark.parametrize("version", VALIDATED)
@pytest.mark.parametrize("error", [None, DETAIL])
def test_what_we_build_parses_in_python_hl7_and_is_valid_for_hl7apy(
    version: str, code: AckCode, error: ErrorDetail | None
) -> None:
    built = build(order(version, kind="ORM^O01^ORM_O01"), code, text="a|b", error=error).decode("ascii")
    parsed = hl7.parse(built)
    assert str(parsed.segment("MSA")(1)) == code.value
    assert str(parsed.segment("MSA")(2)) == "MSG-1"
    message = parse_message(built, validation_level=VALIDATION_LEVEL.STRICT)
    assert message.validate()
    assert message.msh.version_id.to_er7() == version


def test_refusals_of_other_systems_read_in_both_layouts() -> None:
    new = b"MSH|^~\\&|R|R|E|H|2026||ORR^O02|9|P|2.5.1\rMSA|AE|M1\rERR||PID^1^3^2^4|204^Unknown key^HL70357|E||||No such MRN\r"
    read = read_acknowledgment(new)
    assert read is not None
    assert (read.text, read.error_code, str(read.error_path)) == ("No such MRN", "204", "PID-3[2].4")
    old = b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.3\nMSA|AR|M1|no\nERR|PID^1^3^204&Unknown key\n"
    read = read_acknowledgment(old)
    assert read is not None
    assert (read.text, read.error_code, str(read.error_path)) == ("no", "204", "PID-3")
    silent = b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.3\rMSA|AR|M1\rERR|PID^1^3^204&Unknown key\r"
    read = read_acknowledgment(silent)
    assert read is not None
    assert read.text == "Unknown key"
    coded = b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.5\rMSA|AR|M1\rERR|||204^Unknown key^HL70357|E\r"
    read = read_acknowledgment(coded)
    assert read is not None
    assert (read.text, read.error_code, read.error_path) == ("Unknown key", "204", None)
    accepted = b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.5\rMSA|AA|M1|stored \\T\\ queued\rERR|||0^Accepted\r"
    read = read_acknowledgment(accepted)
    assert read is not None
    assert (read.code, read.text, read.error_code) == (AckCode.APPLICATION_ACCEPT, "stored & queued", "")
    unplaced = b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.5\rMSA|CE|M1\rERR||not a place|207\r"
    read = read_acknowledgment(unplaced)
    assert read is not None
    assert (read.error_code, read.error_path) == ("207", None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"MSA|AA|M1\r",
        b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.3\r",
        b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.3\rMSA\r",
        b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.3\rMSA||M1\r",
        b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.3\rMSA|XX|M1\r",
        b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.3\rNTE|1||MSA|AA|M1\r",
        b"MSH|^~\\&|R|MSA|AA|M1\rPID|1\r",
    ],
)
def test_what_is_no_acknowledgment_is_none(raw: bytes) -> None:
    assert read_acknowledgment(raw) is None


@pytest.mark.parametrize("line", [b"MSA|AA", b"MSA|AA|", b"MSA| aa ||"])
def test_an_acknowledgment_without_control_id_reads_with_an_empty_one(line: bytes) -> None:
    read = read_acknowledgment(b"MSH|^~\\&|R|R|E|H|2026||ACK|9|P|2.3\r" + line + b"\r")
    assert read is not None
    assert (read.code, read.control_id) == (AckCode.APPLICATION_ACCEPT, b"")


@given(st.binary(max_size=80))
def test_reading_an_acknowledgment_never_raises(raw: bytes) -> None:
    read_acknowledgment(raw)
    read_acknowledgment(b"MSH|^~\\&|R\rMSA|AE|" + raw)
    read_acknowledgment(b"MSH|^~\\&|R\rMSA|AE|M1\rERR|" + raw)


@given(st.binary(max_size=120))
def test_any_header_can_be_answered(raw: bytes) -> None:
    """Whatever stands in MSH, the answer is two segments that name the message."""
    try:
        view = MessageView(b"MSH|^~\\&|" + raw)
    except NotHl7:
        return
    built = MessageView(build(view, text="x"))
    assert [segment.name for segment in built.segments][:1] == ["MSH"]
    msa = built.first("MSA")
    assert msa is not None
    assert msa.raw_bytes == b"MSA|AA|" + view.control_id + b"|x"


@pytest.mark.parametrize("characters", [b"^~\\", b"^~", b"^", b"^^^^"])
def test_poor_delimiters_are_answered_too(characters: bytes) -> None:
    raw = b"MSH|" + characters + b"|A|B|C|D|2026||ORM^O01|M1|P|2.4\r"
    for code in AckCode:
        read = read_acknowledgment(build(MessageView(raw), code, text="a|b", error=DETAIL))
        assert read is not None
        assert (read.code, read.control_id) == (code, b"M1")


@pytest.mark.parametrize(
    ("accept", "application", "mode", "accept_condition", "application_condition"),
    [
        ("", "", AckMode.ORIGINAL, AckCondition.NEVER, AckCondition.ALWAYS),
        ("AL", "NE", AckMode.ENHANCED, AckCondition.ALWAYS, AckCondition.NEVER),
        ("NE", "AL", AckMode.ENHANCED, AckCondition.NEVER, AckCondition.ALWAYS),
        ("ER", "SU", AckMode.ENHANCED, AckCondition.ON_ERROR, AckCondition.ON_SUCCESS),
        ("SU", "ER", AckMode.ENHANCED, AckCondition.ON_SUCCESS, AckCondition.ON_ERROR),
        ("AL", "", AckMode.ENHANCED, AckCondition.ALWAYS, AckCondition.NEVER),
        ("", "AL", AckMode.ENHANCED, AckCondition.NEVER, AckCondition.ALWAYS),
        (" al ", "??", AckMode.ENHANCED, AckCondition.ALWAYS, AckCondition.ALWAYS),
    ],
)
def test_what_the_sender_asks_for(
    accept: str,
    application: str,
    mode: AckMode,
    accept_condition: AckCondition,
    application_condition: AckCondition,
) -> None:
    request = accept_mode(order(rest=f"|||{accept}|{application}"))
    assert (request.mode, request.accept, request.application) == (mode, accept_condition, application_condition)


def test_a_condition_applies_as_its_name_says() -> None:
    asked = {
        condition: (condition.applies(is_error=False), condition.applies(is_error=True)) for condition in AckCondition
    }
    assert asked == {
        AckCondition.ALWAYS: (True, True),
        AckCondition.NEVER: (False, False),
        AckCondition.ON_ERROR: (False, True),
        AckCondition.ON_SUCCESS: (True, False),
    }


def test_codes_know_accept_from_refusal_and_commit_from_application() -> None:
    assert [code.value for code in AckCode if code.is_accept] == ["AA", "CA"]
    assert [code.value for code in AckCode if code.is_commit] == ["CA", "CE", "CR"]


def test_a_time_without_zone_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="offset"):
        build_acknowledgment(order(), AckCode.COMMIT_ACCEPT, control_id="1", at=AT.replace(tzinfo=None))
    assert build_acknowledgment(order(), AckCode.COMMIT_ACCEPT, control_id="1", at=AT.astimezone(UTC))
