"""A filler that does what a script says with each message, and accepts what comes after the script.

Each step of the script is for one message, in the order they arrive, whichever connection they come on. Nothing here
waits for a time: a late answer is sent when the test says so.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from interceptor.message.header import peek_header
from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import encode_frame
from tests.support.mllp_peer import until

RESULT = b"MSH|^~\\&|RIS|R|EHR|H|20260302||ORU^R01|R1|P|2.3.1\rPID|1||1\rOBR|1|A1|F1|X\r"
STATUS = b"MSH|^~\\&|RIS|R|EHR|H|20260302||ORM^O01|S1|P|2.3.1\rPID|1||1\rORC|SC|A1|F1||IP\r"


def ack(control_id: bytes, code: str = "AA") -> bytes:
    """An acknowledgment, without its frame."""
    return b"MSH|^~\\&|RIS|R|EHR|H|20260302||ACK|K1|P|2.3.1\rMSA|" + code.encode() + b"|" + control_id + b"\r"


@dataclass(eq=False)
class Session:
    """One connection to the filler."""

    number: int
    writer: asyncio.StreamWriter
    is_closed: bool = False

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if not self.writer.is_closing():
            self.writer.write(data)


Step = Callable[[Session, bytes], None]
"""What to do with one message: its connection, its control id."""


def answer(*codes: str) -> Step:
    """Send these acknowledgments, in this order."""

    def act(session: Session, control_id: bytes) -> None:
        for code in codes:
            session.write(encode_frame(ack(control_id, code)))

    return act


def say(data: bytes) -> Step:
    """Send these bytes as they are, whatever came."""
    return lambda session, _control_id: session.write(data)


def say_then_accept(content: bytes) -> Step:
    """Send a message of the filler's own, and then the answer."""

    def act(session: Session, control_id: bytes) -> None:
        session.write(encode_frame(content))
        session.write(encode_frame(ack(control_id)))

    return act


def close(session: Session, control_id: bytes) -> None:
    """Hang up instead of answering."""
    del control_id
    session.writer.close()


def close_inside_the_answer(session: Session, control_id: bytes) -> None:
    """Hang up when half of the answer is out."""
    frame = encode_frame(ack(control_id))
    session.write(frame[: len(frame) // 2])
    session.writer.close()


def stay_silent(session: Session, control_id: bytes) -> None:
    """Never answer."""


accept = answer("AA")
wrong_control_id = say(encode_frame(ack(b"SOMEBODY-ELSES")))
no_control_id = say(encode_frame(ack(b"")))
garbage = say(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"<html>" * 12_000)
framed_garbage = say(encode_frame(b"not hl7 at all"))
endless = say(b"\x0bMSH|^~\\&|RIS|R|EHR|H|20260302||ACK|K1|P|2.3.1\rMSA|AA|")


@dataclass(eq=False)
class HostileFiller:
    """What the filler got, and what it will do next."""

    script: deque[Step] = field(default_factory=deque)
    received: list[tuple[int, bytes]] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    greeting: bytes = b""
    port: int = 0
    default: Step = accept

    def will(self, *steps: Step) -> None:
        """Do these with the next messages."""
        self.script.extend(steps)

    @property
    def contents(self) -> list[bytes]:
        """Every message received, in order."""
        return [content for _, content in self.received]

    @property
    def control_ids(self) -> list[str]:
        """Their control ids."""
        headers = [peek_header(content) for content in self.contents]
        return [header.control_id.decode() if header else "" for header in headers]

    async def wait_for(self, count: int) -> list[str]:
        """The control ids received, as soon as there are so many."""
        await until(lambda: len(self.received) >= count)
        return self.control_ids

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        session = Session(len(self.sessions) + 1, writer)
        self.sessions.append(session)
        session.write(self.greeting)
        decoder = FrameDecoder()
        try:
            while data := await reader.read(65536):
                decoder.receive_data(data)
                while (frame := decoder.next_frame()) is not None:
                    self._take(session, frame.content)
        except ConnectionError:
            pass
        finally:
            session.is_closed = True
            writer.close()

    def _take(self, session: Session, content: bytes) -> None:
        self.received.append((session.number, content))
        header = peek_header(content)
        step = self.script.popleft() if self.script else self.default
        step(session, header.control_id if header is not None else b"")


@asynccontextmanager
async def hostile_filler(*script: Step, port: int = 0) -> AsyncIterator[HostileFiller]:
    """A filler with this script on a free port, or on *port*, for the length of the block."""
    made = HostileFiller(deque(script))
    server = await asyncio.start_server(made.serve, "127.0.0.1", port)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for session in made.sessions:
            session.writer.close()
        await until(lambda: all(session.is_closed for session in made.sessions))
