"""`interceptor send`: send messages to an MLLP listener and show how each is acknowledged.

Failures: no connection, no answer in time, an answer to another message or a refusal all end with exit 1;
what was sent before stays sent.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interceptor.cli.message_file import read_messages
from interceptor.cli.node_connection import JSON_OPTION
from interceptor.cli.terminal import ExitCode, print_json, print_line, printable, refuse

if TYPE_CHECKING:
    import ssl

    from interceptor.transport.connection import MllpConnection
    from interceptor.wire.frame import Frame, FramingError

POSITIVE_CODES = ("AA", "CA")
_LINE_END = re.compile(rb"\r\n|\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message and how it was answered.

    Attributes:
        number: Counted from 1.
        codes: MSA-1 of every answer, e.g. ("CA", "AA"); empty when none was asked for.
        text: MSA-3 or the error's text of the last answer.
        problem: What went wrong, "" when every answer was positive.
        seconds: From the first byte sent to the last answer.
    """

    number: int
    message_type: str
    control_id: str
    codes: tuple[str, ...]
    text: str
    problem: str
    seconds: float


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("send")(send)


def send(
    *,
    file: str = typer.Argument(metavar="FILE", help="Messages, framed or plain; - is standard input."),
    address: str = typer.Argument(metavar="HOST:PORT", help="The MLLP listener."),
    timeout: float = typer.Option(30.0, "--timeout", min=0.1, help="Seconds to wait for each acknowledgment."),
    convert: bool = typer.Option(False, "--cr", help="End segments with CR; without it the bytes stay as they are."),
    ca_file: Path | None = typer.Option(None, "--ca-file", help="Speak TLS; the listener's authorities, PEM."),
    certificate_file: Path | None = typer.Option(None, "--certificate-file", help="Our certificate for TLS, PEM."),
    key_file: Path | None = typer.Option(None, "--key-file", help="Its private key, PEM without passphrase."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Send messages over MLLP and show the answers.

    One after the other, each after the answer to the one before. Exits with 1 when any is not acknowledged with
    AA or CA.
    """
    from interceptor.config.address import parse_address
    from interceptor.transport.client import ConnectError

    try:
        target = parse_address(address)
        tls = _tls_context(ca_file, certificate_file, key_file)
    except ValueError as error:
        refuse(str(error), code=ExitCode.WRONG_USE)
    messages = read_messages(file)
    if convert:
        messages = [_LINE_END.sub(b"\r", raw) for raw in messages]
    try:
        is_sound = asyncio.run(
            _send_and_print(messages, target.host, target.port, ack_timeout_seconds=timeout, as_json=as_json, tls=tls)
        )
    except ConnectError as error:
        refuse(f"{target}: {error}")
    if not is_sound:
        raise typer.Exit(ExitCode.NO)


def _tls_context(ca: Path | None, certificate: Path | None, key: Path | None) -> "ssl.SSLContext | None":
    """What to shake hands with; None without any of the files: no TLS."""
    if ca is None and certificate is None:
        return None
    from interceptor.transport.tls import TlsFiles, client_context

    return client_context(TlsFiles(ca_file=ca, certificate_file=certificate, key_file=key))


async def _send_and_print(
    messages: list[bytes],
    host: str,
    port: int,
    *,
    ack_timeout_seconds: float,
    as_json: bool,
    tls: "ssl.SSLContext | None",
) -> bool:
    is_sound = True
    async for sent in send_messages(messages, host, port, ack_timeout_seconds=ack_timeout_seconds, tls=tls):
        is_sound = is_sound and not sent.problem
        if as_json:
            print_json(asdict(sent))
        else:
            print_line(_describe(sent))
    return is_sound


def _describe(sent: Sent) -> str:
    name = f"{sent.number}: {printable(sent.message_type or 'not HL7')} {printable(sent.control_id)}".rstrip()
    answer = " ".join(sent.codes) or ("" if sent.problem else "no answer asked for")
    details = ", ".join(printable(part) for part in (sent.text, sent.problem) if part)
    milliseconds = f"{sent.seconds * 1000:.1f} ms"
    return " ".join(part for part in (name, answer, f"({details})" if details else "", milliseconds) if part)


async def send_messages(
    messages: list[bytes], host: str, port: int, *, ack_timeout_seconds: float, tls: "ssl.SSLContext | None" = None
) -> AsyncIterator[Sent]:
    """Send messages on one connection, each after the answer to the one before; stops when the connection ends.

    Raises:
        ConnectError: The listener cannot be reached; nothing was sent.
    """
    from interceptor.transport.client import connect
    from interceptor.transport.options import ConnectionOptions
    from interceptor.wire.frame import FrameOptions

    exchange = _Exchange(ack_timeout_seconds)
    options = ConnectionOptions(frame=FrameOptions(frame_size_max=64 * 1024 * 1024))
    connection = await connect(host, port, handler=exchange, options=options, tls=tls)
    try:
        for number, raw in enumerate(messages, start=1):
            sent = await exchange.send(connection, number, raw)
            yield sent
            if exchange.is_over:
                return
    finally:
        connection.close()
        await exchange.ended()


class _Exchange:
    """The one connection of `send_messages`, and the answers that came on it."""

    def __init__(self, ack_timeout_seconds: float) -> None:
        self._ack_timeout_seconds = ack_timeout_seconds
        self._answers: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._lost = asyncio.Event()
        self.is_over = False

    def frame_received(self, frame: "Frame") -> None:
        self._answers.put_nowait("the answer was cut off" if frame.truncated else frame.content)

    def framing_failed(self, error: "FramingError") -> None:
        self._answers.put_nowait(f"the answer is not MLLP ({error.reason})")

    def connection_lost(self) -> None:
        self._answers.put_nowait("the peer closed the connection")
        self._lost.set()

    async def ended(self) -> None:
        """Wait until the connection is gone; our own close ends it within two seconds."""
        await self._lost.wait()

    async def send(self, connection: "MllpConnection", number: int, raw: bytes) -> Sent:
        """Send one message and wait for every answer that it asks for."""
        from interceptor.action.acknowledge import answer_count
        from interceptor.message.header import peek_header

        header = peek_header(raw)
        started = asyncio.get_running_loop().time()
        codes: list[str] = []
        text = problem = ""
        try:
            connection.send(raw)
        except ValueError as error:
            problem = str(error)
        expected = 1 if header is None else answer_count(header)
        while not problem and len(codes) < expected:
            code, text, problem = await self._next_answer(header.control_id if header else b"")
            if code:
                codes.append(code)
        return Sent(
            number=number,
            message_type=str(header.message_type) if header else "",
            control_id=header.control_id.decode("latin-1") if header else "",
            codes=tuple(codes),
            text=text,
            problem=problem,
            seconds=round(asyncio.get_running_loop().time() - started, 6),
        )

    async def _next_answer(self, control_id: bytes) -> tuple[str, str, str]:
        """Code, text and problem of the next answer; after a problem with the connection itself, `is_over`."""
        from interceptor.message.acknowledgment import read_acknowledgment

        try:
            async with asyncio.timeout(self._ack_timeout_seconds):
                answer = await self._answers.get()
        except TimeoutError:
            self.is_over = True  # A late answer would be taken for the next message's.
            return "", "", f"no answer within {self._ack_timeout_seconds:g} s"
        if isinstance(answer, str):
            self.is_over = True
            return "", "", answer
        acknowledgment = read_acknowledgment(answer)
        if acknowledgment is None:
            return "", "", "the answer is not an acknowledgment"
        code = acknowledgment.code.value
        if acknowledgment.control_id != control_id:
            self.is_over = True
            return code, acknowledgment.text, "the answer is to another message (MSA-2 is not our MSH-10)"
        return code, acknowledgment.text, "" if code in POSITIVE_CODES else "not accepted"
