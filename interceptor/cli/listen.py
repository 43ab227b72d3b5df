"""`interceptor listen`: an MLLP listener for people: shows, answers and keeps what arrives.

It accepts any content, HL7 or not, and keeps the bytes exactly as they came. A message that carries a
control id is answered as it asks (MSH-15, MSH-16) with the code that was chosen; anything else with AR
and an empty MSA-2, and a frame that was cut off is never accepted.

Failures: a peer that does not speak MLLP loses its connection; the others go on.
"""

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interceptor.cli.node_connection import JSON_OPTION
from interceptor.cli.terminal import ExitCode, print_json, print_line, print_warning, printable, refuse

if TYPE_CHECKING:
    from interceptor.message.header import Header
    from interceptor.transport.connection import MllpConnection
    from interceptor.wire.frame import Frame, FramingError

MESSAGE_SIZE_MAX = 64 * 1024 * 1024


class AckWord(StrEnum):
    """What `--ack` takes."""

    ACCEPT = "AA"
    ERROR = "AE"
    REJECT = "AR"
    NONE = "none"


_COMMIT_CODES = {AckWord.ACCEPT: "CA", AckWord.ERROR: "CE", AckWord.REJECT: "CR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """What the command was asked to do; `count_max` 0 goes on until it is stopped."""

    ack: AckWord
    delay_seconds: float
    folder: Path | None
    count_max: int
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message as it is reported. `number` counts from 1; `size` is in bytes; `codes` are what we answer."""

    number: int
    peer: str
    size: int
    message_type: str
    control_id: str
    codes: tuple[str, ...]
    tolerated: tuple[str, ...]
    truncated: bool
    file: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("listen")(listen)


def listen(
    *,
    port: int = typer.Argument(min=0, max=65535, help="Port to listen on; 0 takes a free one and prints it."),
    host: str = typer.Option("127.0.0.1", "--host", help="Address to listen on; 0.0.0.0 is every interface."),
    ack: AckWord = typer.Option(AckWord.ACCEPT, "--ack", help="How to answer."),
    delay: float = typer.Option(0.0, "--delay", min=0.0, help="Seconds to wait before each answer."),
    save: Path | None = typer.Option(None, "--save", metavar="DIR", help="Keep each message's exact bytes here."),
    count: int = typer.Option(0, "--count", min=0, help="End after so many messages; 0 goes on until Ctrl-C."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Receive messages over MLLP and answer them.

    Accepts any content. What has no control id is answered AR with an empty MSA-2.
    """
    options = ListenOptions(ack=ack, delay_seconds=delay, folder=save, count_max=count, as_json=as_json)
    try:
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
        asyncio.run(_listen(host, port, options))
    except OSError as error:
        refuse(f"{error.filename or f'{host}:{port}'}: {error.strerror or error}", code=ExitCode.WRONG_USE)
    except KeyboardInterrupt:
        print_line()


async def _listen(host: str, port: int, options: ListenOptions) -> None:
    """Serve until enough messages were answered; cancelling stops at once."""
    from interceptor.transport.options import ConnectionOptions, ListenerOptions
    from interceptor.transport.server import serve
    from interceptor.wire.frame import FrameOptions

    station = Station(options)
    # With no answer to wait for, a peer that has closed its side is let go at once.
    finish_seconds = 0.1 if options.ack is AckWord.NONE else options.delay_seconds + 5.0
    connection_options = ConnectionOptions(
        frame=FrameOptions(frame_size_max=MESSAGE_SIZE_MAX), finish_timeout_seconds=finish_seconds
    )
    async with serve(
        host,
        port,
        connection_made=lambda connection: _Listening(station, connection),
        options=connection_options,
        limits=ListenerOptions(connections_max=1000, connections_per_address_max=1000),
    ) as server:
        if options.as_json:
            print_json({"listening": f"{host}:{server.port}", "port": server.port})
        else:
            print_line(f"listening on {host}:{server.port}, answering {options.ack.value}; Ctrl-C ends")
        await station.wait_until_done()


class Station:
    """All connections of one `listen` together: numbers the messages, keeps them, knows when to end."""

    def __init__(self, options: ListenOptions) -> None:
        self.options = options
        self._received_count = 0
        self._settled_count = 0
        self._done = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether as many messages as asked for have arrived."""
        return 0 < self.options.count_max <= self._received_count

    async def wait_until_done(self) -> None:
        """Wait until `count_max` messages were answered (or left unanswered, as told); for ever when it is 0."""
        await self._done.wait()

    def take(self, frame: "Frame", peer: str) -> tuple[bytes, ...]:
        """Keep and print one message; give back the answers to send."""
        from interceptor.message.header import peek_header

        self._received_count += 1
        header = None if frame.truncated else peek_header(frame.content)
        codes = choose_codes(header, self.options.ack)
        at = datetime.now(UTC)
        answers = tuple(build_answer(header, code, control_id=f"L{self._received_count}", at=at) for code in codes)
        self._print(
            Received(
                number=self._received_count,
                peer=peer,
                size=len(frame.content),
                message_type=str(header.message_type) if header else "",
                control_id=header.control_id.decode("latin-1") if header else "",
                codes=codes,
                tolerated=tuple(tolerance.value for tolerance in frame.tolerated),
                truncated=frame.truncated,
                file=self._save(frame.content),
            )
        )
        return answers

    def settle(self) -> None:
        """One message has been answered, as far as it is to be."""
        self._settled_count += 1
        if 0 < self.options.count_max <= self._settled_count:
            self._done.set()

    def _save(self, content: bytes) -> str:
        if self.options.folder is None:
            return ""
        path = self.options.folder / f"{self._received_count:06d}.hl7"
        path.write_bytes(content)
        return str(path)

    def _print(self, received: Received) -> None:
        if self.options.as_json:
            print_json(asdict(received))
            return
        name = printable(f"{received.message_type or 'not HL7'} {received.control_id}".rstrip())
        notes = ", ".join((*received.tolerated, *(["cut off"] if received.truncated else [])))
        answer = " ".join(received.codes) or "no answer"
        parts = (f"{received.number}: {name}", f"{received.size} bytes", answer, notes, received.file)
        print_line(", ".join(part for part in parts if part))


class _Listening:
    """One connection."""

    def __init__(self, station: Station, connection: "MllpConnection") -> None:
        self._station = station
        self._connection = connection

    def frame_received(self, frame: "Frame") -> None:
        if self._station.is_full:
            return  # Answered by nobody, so that the peer keeps it.
        answers = self._station.take(frame, self._connection.peer_address)
        delay = self._station.options.delay_seconds
        if delay:
            asyncio.get_running_loop().call_later(delay, self._answer, answers)
        else:
            self._answer(answers)

    def framing_failed(self, error: "FramingError") -> None:
        print_warning(f"{self._connection.peer_address}: not MLLP ({error.reason}), connection closed")
        self._connection.close()

    def connection_lost(self) -> None:
        """Nothing is owed any more."""

    def _answer(self, answers: tuple[bytes, ...]) -> None:
        for answer in answers:
            self._connection.send(answer)
        self._station.settle()


def choose_codes(header: "Header | None", ack: AckWord) -> tuple[str, ...]:
    """MSA-1 of the answers, in the order they are sent.

    Original mode: one. Enhanced mode: the accept and the application acknowledgment as far as MSH-15 and
    MSH-16 ask for them. What has no control id is rejected, unless nothing is to be answered at all.
    """
    from interceptor.message.acknowledgment import AckMode, accept_mode

    if ack is AckWord.NONE:
        return ()
    if header is None or not header.control_id:
        return (AckWord.REJECT.value,)
    request = accept_mode(header)
    if request.mode is AckMode.ORIGINAL:
        return (ack.value,)
    is_error = ack is not AckWord.ACCEPT
    codes = [_COMMIT_CODES[ack]] if request.accept.applies(is_error=is_error) else []
    if request.application.applies(is_error=is_error):
        codes.append(ack.value)
    return tuple(codes)


def build_answer(header: "Header | None", code: str, *, control_id: str, at: datetime) -> bytes:
    """One acknowledgment; for content without a header, a plain one with an empty MSA-2."""
    from interceptor.message.acknowledgment import AckCode, build_acknowledgment

    if header is not None:
        return build_acknowledgment(header, AckCode(code), control_id=control_id, at=at)
    return f"MSH|^~\\&|||||{at:%Y%m%d%H%M%S}||ACK|{control_id}|T|2.3.1\rMSA|{code}|\r".encode("ascii")
