"""Acknowledgments: reading the filler's, building our own, and what the placer asked for.

    original mode (MSH-15 and MSH-16 empty)    one answer: AA, AE or AR
    enhanced mode (either stated)              accept acknowledgment CA, CE, CR as MSH-15 asks; later AA, AE, AR as
                                               MSH-16 asks

Source: HL7 v2.9 chapter 2, 2.9 message processing rules, 2.14.5 ERR, 2.14.8 MSA; tables 0008, 0155, 0357, 0516.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from interceptor.message.build import Field, ascii_text, build_field, build_segment
from interceptor.message.encoding import EncodingCharacters
from interceptor.message.header import Header, NotHl7, read_header
from interceptor.message.path import FieldPath, PathError, from_erl
from interceptor.message.timestamp import format_timestamp
from interceptor.message.view import MessageView, Segment

_TEXT_SIZE_MAX = 80  # MSA-3 is an ST of 80 in every version that has it.
_NEW_ERR_SINCE = (2, 5)
_STRUCTURE_SINCE = (2, 4)
_TRIGGER_SINCE = (2, 2)


class AckCode(StrEnum):
    """MSA-1, table 0008."""

    APPLICATION_ACCEPT = "AA"
    APPLICATION_ERROR = "AE"
    APPLICATION_REJECT = "AR"
    COMMIT_ACCEPT = "CA"
    COMMIT_ERROR = "CE"
    COMMIT_REJECT = "CR"

    @property
    def is_accept(self) -> bool:
        """AA or CA: the message was taken."""
        return self in (AckCode.APPLICATION_ACCEPT, AckCode.COMMIT_ACCEPT)

    @property
    def is_commit(self) -> bool:
        """CA, CE or CR: an accept acknowledgment of enhanced mode, an application acknowledgment may follow."""
        return self in (AckCode.COMMIT_ACCEPT, AckCode.COMMIT_ERROR, AckCode.COMMIT_REJECT)


class AckMode(StrEnum):
    """How a sender wants to be answered."""

    ORIGINAL = "original"
    ENHANCED = "enhanced"


class AckCondition(StrEnum):
    """When an acknowledgment is asked for, table 0155."""

    ALWAYS = "AL"
    NEVER = "NE"
    ON_ERROR = "ER"
    ON_SUCCESS = "SU"

    def applies(self, *, is_error: bool) -> bool:
        """Whether an answer is asked for, given how the message fared."""
        match self:
            case AckCondition.ALWAYS:
                return True
            case AckCondition.NEVER:
                return False
            case AckCondition.ON_ERROR:
                return is_error
            case AckCondition.ON_SUCCESS:
                return not is_error


@dataclass(frozen=True, slots=True)
class AckRequest:
    """What a sender asks for in MSH-15 and MSH-16.

    Attributes:
        mode: Original when both are empty.
        accept: When to send CA, CE, CR. In original mode never.
        application: When to send AA, AE, AR. In original mode always.
    """

    mode: AckMode
    accept: AckCondition
    application: AckCondition


class Acknowledgment(NamedTuple):
    """An acknowledgment that was received. A tuple, because one is read for every message that is relayed.

    Attributes:
        code: MSA-1.
        control_id: MSA-2 exactly as received: MSH-10 of the message that it answers.
        text: MSA-3, or the message of the first ERR; may quote the order, so never for a log.
        error_path: Where the first ERR says the error is; None when it does not.
        error_code: Code of the first ERR (table 0357), "" when absent.
    """

    code: AckCode
    control_id: bytes
    text: str = ""
    error_path: FieldPath | None = None
    error_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetail:
    """What an acknowledgment of ours says about an error.

    Attributes:
        code: Table 0357, e.g. "207" application internal error, "101" required field missing.
        text: The table's words for the code.
        path: Where; None for the message as a whole.
        severity: Table 0516: E error, W warning, I information, F fatal.
        user_message: For the person who reads it; spelled in ASCII. Written from 2.5 on.
    """

    code: str
    text: str
    path: FieldPath | None = None
    severity: str = "E"
    user_message: str = ""


def _version_number(version: str) -> tuple[int, ...]:
    """Numbers of a version, (2, 5, 1) for "2.5.1"; () for anything that is no version."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part) for part in match.groups() if part is not None) if match else ()


def _condition(raw: bytes) -> AckCondition:
    text = raw.decode("latin-1").strip().upper()
    if not text:
        return AckCondition.NEVER
    try:
        return AckCondition(text)
    except ValueError:
        # Nobody who states a word of their own there wants to wait for ever.
        return AckCondition.ALWAYS


def accept_mode(message: MessageView | Header) -> AckRequest:
    """Read MSH-15 and MSH-16. In enhanced mode an empty one means never, an unknown one always."""
    header = message.header if isinstance(message, MessageView) else message
    accept, application = header.accept_ack.strip(), header.application_ack.strip()
    if not accept and not application:
        return AckRequest(AckMode.ORIGINAL, AckCondition.NEVER, AckCondition.ALWAYS)
    return AckRequest(AckMode.ENHANCED, _condition(accept), _condition(application))


def _find_segment(raw: bytes, name: bytes, separator: bytes) -> bytes | None:
    """The first segment of that name behind a line end, without its terminator."""
    for terminator in (b"\r", b"\n"):
        start = raw.find(terminator + name + separator)
        if start >= 0:
            # An acknowledgment is short, so splitting its tail costs less than two searches.
            return re.split(rb"[\r\n]", raw[start + 1 :], maxsplit=1)[0]
    return None


def _error_path(erl: bytes, encoding: EncodingCharacters) -> FieldPath | None:
    try:
        return from_erl(erl, encoding)
    except PathError:
        return None


def _read_error(raw: bytes, acknowledgment: Acknowledgment) -> Acknowledgment:
    """Add what the first ERR says, in whichever layout it is: the new one has ERR-3, whatever MSH-12 states."""
    view = MessageView(raw)
    error: Segment | None = view.first("ERR")
    if error is None:
        return acknowledgment
    if error.raw_field(3):
        path = _error_path(error.raw(2, component=None), view.encoding) if error.raw_field(2) else None
        text = error.text(8, component=None) or error.text(3, 2)
        code = error.text(3)
    else:
        old = error.raw(1, component=None)
        place = old.split(bytes((view.encoding.component,)))[:3]
        path = _error_path(bytes((view.encoding.component,)).join(place), view.encoding)
        text, code = error.text(1, 4, subcomponent=2), error.text(1, 4)
    return Acknowledgment(
        code=acknowledgment.code,
        control_id=acknowledgment.control_id,
        text=acknowledgment.text or text,
        error_path=path,
        error_code=code,
    )


def read_acknowledgment(raw: bytes) -> Acknowledgment | None:
    """Read an acknowledgment: any message with an MSA (ACK, ORR, ORI, ORG, ...).

    None when the bytes are not HL7, have no MSA, or MSA-1 is no code of table 0008. A few microseconds when the
    message was accepted; the ERR of a refusal is read too.
    """
    try:
        header = read_header(raw)
    except NotHl7:
        return None
    separator = bytes((header.encoding.field,))
    line = _find_segment(raw[header.end :], b"MSA", separator)
    if line is None:
        return None
    fields = [*line.split(separator), b"", b"", b""]
    try:
        code = AckCode(fields[1].decode("latin-1").strip().upper())
    except ValueError:
        return None
    if code.is_accept and not fields[3]:
        return Acknowledgment(code=code, control_id=fields[2])
    message = MessageView(raw).first("MSA")
    text = message.text(3, component=None) if message is not None else ""
    acknowledgment = Acknowledgment(code=code, control_id=fields[2], text=text)
    return acknowledgment if code.is_accept else _read_error(raw, acknowledgment)


def accepts(raw: bytes, control_id: bytes) -> bool:
    r"""Whether bytes are AA for this MSH-10, and say no more: so `read_acknowledgment` reads nearly every answer.

    About a fifth of its time. False says nothing: the answer may be spelled in another way, or be another's.
    """
    if not control_id or not raw.startswith(b"MSH|^~\\&|"):
        return False
    # The first MSA behind the header counts, as it does for `read_acknowledgment`.
    return raw.startswith(b"AA|" + control_id + b"\r", raw.find(b"\rMSA|") + 5)


def _build_error(error: ErrorDetail, header: Header) -> bytes:
    encoding = header.encoding
    component = bytes((encoding.component,))
    code, words = ascii_text(error.code), ascii_text(error.text)
    if _version_number(header.version) >= _NEW_ERR_SINCE:
        place = b"" if error.path is None else error.path.to_erl(encoding)
        coded: Field = (code, words, "HL70357")
        fields: list[Field] = ["", place, coded, ascii_text(error.severity)]
        if error.user_message:
            fields += ["", "", "", ascii_text(error.user_message, size_max=250)]
        return build_segment(encoding, "ERR", fields)
    # Before 2.5 location and code share ERR-1: segment^sequence^field^code&text&system.
    path = error.path
    field = "" if path is None or path.field is None else str(path.field)
    place = component.join(
        part.encode("ascii") for part in (path.segment if path else "", str(path.occurrence) if path else "", field)
    )
    if encoding.subcomponent is None:
        return build_segment(encoding, "ERR", [place])
    escaped = [build_field(part, encoding) for part in (code, words, "HL70357")]
    return build_segment(encoding, "ERR", [component.join((place, bytes((encoding.subcomponent,)).join(escaped)))])


def _acknowledgment_type(header: Header) -> bytes:
    """MSH-9 of the answer: ACK, with the trigger from 2.2 on, with the structure from 2.4 on.

    2.3.1 introduced the structure but many of its senders leave it out, so there the answer has it when the message
    had it.
    """
    component = bytes((header.encoding.component,))
    version = _version_number(header.version)
    trigger = header.raw_field(9).split(component)[1:2]
    if not trigger or not trigger[0] or (version and version < _TRIGGER_SINCE):
        return b"ACK"
    has_structure = bool(header.message_type.structure) or version >= _STRUCTURE_SINCE
    return component.join([b"ACK", trigger[0], *([b"ACK"] if has_structure else [])])


def build_acknowledgment(
    message: MessageView | Header,
    code: AckCode,
    *,
    control_id: str,
    at: datetime,
    text: str = "",
    error: ErrorDetail | None = None,
) -> bytes:
    r"""Build our answer to a message, in its own delimiters and version; segments end with CR.

    Sender and receiver change places, raw as received; MSA-2 is MSH-10 byte for byte; MSH-11, MSH-12 and MSH-18 are
    copied. ERR has the layout of the message's version (old before 2.5).

    Args:
        message: What is answered.
        code: MSA-1.
        control_id: MSH-10 of the answer.
        at: Time of the answer, aware.
        text: MSA-3 in plain words; spelled in ASCII, at most 80 characters.
        error: Adds an ERR.
    """
    header = message.header if isinstance(message, MessageView) else message
    encoding = header.encoding
    fields = [b""] * 18
    fields[2:6] = [header.raw_field(number) for number in (5, 6, 3, 4)]
    fields[6] = format_timestamp(at).encode("ascii")
    fields[8] = _acknowledgment_type(header)
    fields[9] = build_field(ascii_text(control_id), encoding)
    for number in (11, 12, 18):
        fields[number - 1] = header.raw_field(number)
    while not fields[-1]:
        fields.pop()
    separator = bytes((encoding.field,))
    msa_text = [build_field(ascii_text(text, size_max=_TEXT_SIZE_MAX), encoding)] if text else []
    segments = [
        separator.join([b"MSH", header.raw_field(2), *fields[2:]]),
        separator.join([b"MSA", code.value.encode("ascii"), header.control_id, *msa_text]),
    ]
    if error is not None:
        segments.append(_build_error(error, header))
    return b"".join([segment + b"\r" for segment in segments])
