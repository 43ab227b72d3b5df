"""Placers that send everything a hospital sends, each message again until it is acknowledged; and their filler.

Each placer connection has a story at a time: an order that passes, one that is held, a set, a cancel, a resend. The
filler accepts everything, and may hang up. Whoever wants to disturb is told what happens, at the moment it happens.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import encode_frame
from tests.support.conservation import RunLedger
from tests.support.node import accept
from tests.support.orders import CHEST_FILM, order, order_group

SET_OF_THREE = ("72156^MRI C SPINE^C4", "72157^MRI T SPINE^C4", "72158^MRI L SPINE^C4")


@dataclass
class Load:
    """The traffic of one run, and what was seen of it.

    Attributes:
        to_release: Orders that a reviewer will release.
        answer_seconds_max: How long the placer waits before it connects again and sends again.
        happened: Called with a word at each step, before anything else is done.
        filler_seconds_max: The longest that the filler thinks before it answers.
        refused_count: Connections of placers that nobody took.
    """

    rng: random.Random
    answer_seconds_max: float = 1.5
    ledger: RunLedger = field(default_factory=RunLedger)
    to_release: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    happened: Callable[[str], None] = lambda word: None
    is_ending: bool = False
    filler_port: int = 0
    drop_share: float = 0.0
    filler_seconds_max: float = 0.004
    refused_count: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    # The filler.

    async def fill(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the filler: keeps what comes, answers after a moment, hangs up now and then."""
        decoder = FrameDecoder()
        try:
            while data := await reader.read(65536):
                decoder.receive_data(data)
                if not await self._answer(decoder, writer):
                    return
        except ConnectionError:
            return
        finally:
            writer.close()

    async def _answer(self, decoder: FrameDecoder, writer: asyncio.StreamWriter) -> bool:
        """Take and answer what is whole; False to hang up instead."""
        while (frame := decoder.next_frame()) is not None:
            self.ledger.note_received(frame.content)
            self.happened("received")
            await asyncio.sleep(self.rng.random() * self.filler_seconds_max)
            if self.rng.random() < self.drop_share:
                self.ledger.disruptions += 1
                return False
            writer.write(accept(frame.content))
            self.happened("answered")
        return True

    # The placers.

    async def place(self, connection: int, port: Callable[[], int]) -> None:
        """One placer, until `is_ending`: story after story."""
        line = PlacerLine(self, connection, port)
        stories = (self.passing, self.passing, self.held_order, self.mixed, self.set_of_three, self.other)
        while not self.is_ending:
            await self.rng.choice(stories)(line.say)
        line.hang_up()

    def number(self) -> str:
        return f"P{next(self._numbers)}"

    async def passing(self, say: "Say") -> None:
        """A chest film, now and then cancelled or sent again."""
        number = self.number()
        placed = order(number, procedure=CHEST_FILM, reason="cough", patient=number)
        await say(placed)
        if self.rng.random() < 0.2:
            await say(placed)
        if self.rng.random() < 0.3:
            await say(order(number, control="CA", control_id=f"C{number}CA", procedure=CHEST_FILM, patient=number))

    async def held_order(self, say: "Say") -> None:
        """A spine order that is held; then perhaps a resend, a status, a release, a cancel, or two of them at once."""
        number = self.number()
        self.held.add(number)
        placed = order(number, patient=number)
        await say(placed)
        if self.rng.random() < 0.5:
            self.to_release.add(number)
        if self.rng.random() < 0.3:
            await say(placed)
        if self.rng.random() < 0.2:
            await say(order(number, control="SC", control_id=f"C{number}SC", patient=number))
        if self.rng.random() < 0.4:
            self.cancelled.add(number)
            await say(order(number, control="CA", control_id=f"C{number}CA", patient=number))
            if self.rng.random() < 0.3:
                await say(placed)

    async def mixed(self, say: "Say") -> None:
        """One message with an order that is held and one that passes."""
        number, film = self.number(), self.number()
        self.held.add(number)
        beside = order_group(film, procedure=CHEST_FILM, reason="cough")
        await say(order(number, patient=number, extra_orders=(beside,)))
        if self.rng.random() < 0.5:
            self.to_release.add(number)

    async def set_of_three(self, say: "Say") -> None:
        """Each alone would be held; the third completes the set."""
        numbers = [self.number() for _ in SET_OF_THREE]
        for number, procedure in zip(numbers, SET_OF_THREE, strict=True):
            await say(order(number, procedure=procedure, group=f"G{numbers[0]}^EPIC", patient=numbers[0]))

    async def other(self, say: "Say") -> None:
        """A message without orders."""
        number = self.number()
        await say(
            f"MSH|^~\\&|EPIC|HOSP|RIS|RAD|20260115101500||ADT^A08|C{number}|T|2.3.1\r"
            f"PID|1||{number}^^^HOSP^MR||TESTPATIENT^JANE||19680101|F\r".encode()
        )


Say = Callable[[bytes], Awaitable[None]]


class PlacerLine:
    """One placer's connection, made again whenever it is lost."""

    def __init__(self, load: Load, number: int, port: Callable[[], int]) -> None:
        self._load = load
        self._number = number
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def say(self, raw: bytes) -> None:
        """Send *raw*, again and again until it is accepted."""
        code = ""
        while code != "AA":
            try:
                async with asyncio.timeout(self._load.answer_seconds_max):
                    code = await self._exchange(raw)
            except (OSError, EOFError, TimeoutError) as error:
                self._load.refused_count += isinstance(error, ConnectionRefusedError)
                self.hang_up()
                await asyncio.sleep(0.02)

    async def _exchange(self, raw: bytes) -> str:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port())
        self._load.ledger.note_sent(self._number, raw)
        self._writer.write(encode_frame(raw))
        self._load.happened("sent")
        answer = await self._reader.readuntil(b"\x1c\r")
        line = answer.partition(b"\rMSA|")[2].partition(b"\r")[0].split(b"|")
        control_id = raw.partition(b"\r")[0].split(b"|")[9]
        assert line[1] == control_id, "an answer to another message"
        code = line[0].decode()
        self._load.ledger.note_answer(raw, code)
        self._load.happened("acknowledged")
        return code

    def hang_up(self) -> None:
        """Drop the connection; the next message makes a new one."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
