"""`interceptor send` and `interceptor listen` as processes, over real sockets: bytes stay, answers are told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interceptor.cli.listen import AckWord, build_answer, choose_codes
from interceptor.cli.send import send_messages
from interceptor.message.acknowledgment import read_acknowledgment
from interceptor.message.header import peek_header
from interceptor.wire.frame import encode_frame
from tests.support.command import run_command, running_command

ORDER = b"MSH|^~\\&|EHR|H|RIS|H|20260101||ORM^O01|ID-1|T|2.3.1\rORC|NW|1^EHR\rNTE|1||\xdcml\xe4ut\r"
ODD = b"MSH#*~\\&#EHR#H#RIS#H#20260101##ORM*O01#ID-2#T#2.3.1\nORC#NW#1*EHR\n"
NOT_HL7 = b"this is no message"
NO_CONTROL_ID = ORDER.replace(b"ID-1", b"")


def test_what_is_sent_arrives_byte_for_byte_and_is_answered_by_what_it_is(tmp_path: Path) -> None:
    messages = [ORDER, ODD, NOT_HL7, NO_CONTROL_ID]
    file = tmp_path / "messages.bin"
    file.write_bytes(b"".join(encode_frame(message) for message in messages))
    with running_command("listen", "0", "--json", "--save", tmp_path / "kept", "--count", "4") as listener:
        port = listener.read_json()["port"]
        sent = run_command("send", file, f"127.0.0.1:{port}", "--json")
        code, output, errors = listener.wait()
    assert (code, errors) == (0, "")
    received = [json.loads(line) for line in output.splitlines()]
    assert [Path(one["file"]).read_bytes() for one in received] == messages
    assert [one["control_id"] for one in received] == ["ID-1", "ID-2", "", ""]
    assert [one["codes"] for one in received] == [["AA"], ["AA"], ["AR"], ["AR"]]
    assert sent.code == 1
    assert [line["codes"] for line in sent.json_lines] == [["AA"], ["AA"], ["AR"], ["AR"]]
    assert [line["problem"] for line in sent.json_lines] == ["", "", "not accepted", "not accepted"]


def test_a_plain_file_can_be_sent_from_standard_input_with_its_line_ends_made_right(tmp_path: Path) -> None:
    with running_command("listen", "0", "--json", "--save", tmp_path, "--count", "1") as listener:
        port = listener.read_json()["port"]
        sent = run_command("send", "-", f"127.0.0.1:{port}", "--cr", stdin=ORDER.replace(b"\r", b"\r\n"))
        listener.wait()
    assert (sent.code, sent.errors) == (0, "")
    assert sent.output.startswith("1: ORM^O01 ID-1 AA ")
    assert (tmp_path / "000001.hl7").read_bytes() == ORDER


def test_a_refusal_ends_with_one_and_the_acknowledgments_code_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "order.hl7"
    file.write_bytes(ORDER)
    with running_command("listen", "0", "--ack", "AE", "--count", "1") as listener:
        port = listener.read_line().split(":")[1].split(",")[0]
        sent = run_command("send", file, f"127.0.0.1:{port}")
        assert listener.wait()[0] == 0
    assert sent.code == 1
    assert " AE (not accepted) " in sent.output


def test_no_answer_in_time_is_said_and_ends_with_one(tmp_path: Path) -> None:
    file = tmp_path / "order.hl7"
    file.write_bytes(ORDER)
    with running_command("listen", "0", "--json", "--ack", "none") as listener:
        port = listener.read_json()["port"]
        sent = run_command("send", file, f"127.0.0.1:{port}", "--timeout", "0.2")
        assert listener.read_json()["codes"] == []
        listener.interrupt()
        assert listener.wait()[0] == 0
    assert (sent.code, sent.output.startswith("1: ORM^O01 ID-1 (no answer within 0.2 s)")) == (1, True)


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("127.0.0.1:1", 1, "127.0.0.1:1: cannot connect: refused"),
        ("nowhere", 2, '"nowhere" is not host:port'),
        ("127.0.0.1:70000", 2, 'port "70000" is not 0-65535'),
    ],
)
def test_an_address_that_does_not_answer_or_is_none_is_said_plainly(
    tmp_path: Path, address: str, code: int, words: str
) -> None:
    file = tmp_path / "order.hl7"
    file.write_bytes(ORDER)
    sent = run_command("send", file, address)
    assert sent.code == code
    assert sent.errors.startswith(words)


def test_a_file_that_is_absent_empty_or_cut_off_is_said_plainly(tmp_path: Path) -> None:
    absent = run_command("send", tmp_path / "absent", "127.0.0.1:1")
    assert (absent.code, absent.errors) == (2, f"{tmp_path / 'absent'}: cannot be read: No such file or directory\n")
    empty = run_command("send", "-", "127.0.0.1:1", stdin=b"\n")
    assert (empty.code, empty.errors) == (1, "-: no message in it\n")
    cut = run_command("send", "-", "127.0.0.1:1", stdin=encode_frame(ORDER)[:-5])
    assert (cut.code, cut.errors) == (1, "-: the file ends inside a frame\n")


def test_a_port_that_is_taken_is_said_plainly() -> None:
    with running_command("listen", "0", "--json") as listener:
        second = run_command("listen", str(listener.read_json()["port"]))
        listener.interrupt()
        assert listener.wait()[0] == 0
    assert second.code == 2
    assert "in use" in second.errors


Answer = Callable[[bytes], list[bytes]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[int]:
    """A peer that answers each frame with exactly these bytes, and its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await reader.readuntil(b"\x1c\r")
                for piece in answer(frame[1:-2]):
                    writer.write(piece)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (encode_frame(b"MSH|^~\\&|||||||ACK|9|T|2.3.1\rMSA|AA|other\r"), "the answer is to another message"),
        (encode_frame(b"good morning"), "the answer is not an acknowledgment"),
        (b"x" * 100_000, "the answer is not MLLP"),
        (b"\x0bMSH|^~\\&|\x0b", "the answer was cut off"),
    ],
)
async def test_an_answer_that_is_none_is_never_taken_for_one(answer: bytes, problem: str) -> None:
    async with answering(lambda _raw: [answer]) as port:
        sent = [one async for one in send_messages([ORDER], "127.0.0.1", port, ack_timeout_seconds=5)]
    assert len(sent) == 1
    assert sent[0].problem.startswith(problem)


async def test_after_an_answer_to_another_message_nothing_more_is_sent() -> None:
    seen: list[bytes] = []

    def answer(raw: bytes) -> list[bytes]:
        seen.append(raw)
        return [encode_frame(b"MSH|^~\\&|||||||ACK|9|T|2.3.1\rMSA|AA|other\r")]

    async with answering(answer) as port:
        sent = [one async for one in send_messages([ORDER, ORDER], "127.0.0.1", port, ack_timeout_seconds=5)]
    assert (len(sent), len(seen)) == (1, 1)


async def test_in_enhanced_mode_both_acknowledgments_are_waited_for() -> None:
    enhanced = ORDER.replace(b"|T|2.3.1", b"|T|2.3.1|||AL|AL")
    header = peek_header(enhanced)

    def answer(_raw: bytes) -> list[bytes]:
        from datetime import UTC, datetime

        at = datetime(2026, 1, 1, tzinfo=UTC)
        codes = choose_codes(header, AckWord.ACCEPT)
        return [encode_frame(build_answer(header, code, control_id="9", at=at)) for code in codes]

    async with answering(answer) as port:
        sent = [one async for one in send_messages([enhanced], "127.0.0.1", port, ack_timeout_seconds=5)]
    assert [(one.codes, one.problem) for one in sent] == [(("CA", "AA"), "")]


@pytest.mark.parametrize(
    ("conditions", "ack", "codes"),
    [
        (b"", AckWord.ACCEPT, ("AA",)),
        (b"|||AL|AL", AckWord.ACCEPT, ("CA", "AA")),
        (b"|||AL|NE", AckWord.ACCEPT, ("CA",)),
        (b"|||NE|AL", AckWord.ACCEPT, ("AA",)),
        (b"|||NE|NE", AckWord.ACCEPT, ()),
        (b"|||ER|NE", AckWord.ACCEPT, ()),
        (b"|||ER|NE", AckWord.ERROR, ("CE",)),
        (b"|||SU|SU", AckWord.REJECT, ()),
        (b"|||AL|AL", AckWord.NONE, ()),
    ],
)
def test_listen_answers_as_the_message_asks(conditions: bytes, ack: AckWord, codes: tuple[str, ...]) -> None:
    header = peek_header(ORDER.replace(b"|T|2.3.1", b"|T|2.3.1" + conditions))
    assert choose_codes(header, ack) == codes


def test_what_has_no_control_id_is_rejected_with_an_empty_one() -> None:
    from datetime import UTC, datetime

    for raw in (NOT_HL7, NO_CONTROL_ID):
        header = peek_header(raw)
        answer = build_answer(header, *choose_codes(header, AckWord.ACCEPT), control_id="9", at=datetime.now(UTC))
        acknowledgment = read_acknowledgment(answer)
        assert acknowledgment is not None
        assert (acknowledgment.code.value, acknowledgment.control_id) == ("AR", b"")
