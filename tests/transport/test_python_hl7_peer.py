"""python-hl7's MLLP client and server as the other side."""

import asyncio

import hl7
from hl7.mllp import HL7StreamReader, HL7StreamWriter, open_hl7_connection, start_hl7_server

from interceptor.transport.client import connect
from interceptor.transport.options import ConnectionOptions
from interceptor.wire.frame import Frame
from tests.support.mllp_peer import Recorder, listening, until

READ_LIMIT = 1024 * 1024

ORDER = (
    "MSH|^~\\&|EHR|HOSP|RIS|RAD|20260105101500||ORM^O01|%s|P|2.5.1||||||UNICODE UTF-8\r"
    "PID|1||1001^^^HOSP^MR||M\u00dcLLER^JANE\rORC|NW|ORD1\rOBR|1|ORD1||72148^MRI LUMBAR SPINE^CPT\r"
)


def acknowledge(recorder: Recorder, frame: Frame) -> None:
    message = hl7.parse(frame.content.decode())
    recorder.link.send(str(message.create_ack("AA")).encode())


async def test_its_client_gets_its_answers() -> None:
    async with listening(acknowledge) as listener:
        reader, writer = await open_hl7_connection("127.0.0.1", listener.port, encoding="utf-8", limit=READ_LIMIT)
        for number in range(20):
            writer.writemessage(hl7.parse(ORDER % number))
            await writer.drain()
            async with asyncio.timeout(5):
                reply = await reader.readmessage()
            assert str(reply.segment("MSA")).startswith(f"MSA|AA|{number}")
        handler = await listener.handler()
        assert handler.contents == [(ORDER % number).encode() for number in range(20)]
        writer.close()
        await writer.wait_closed()


async def test_its_client_may_pipeline_and_send_more_than_its_default_limit() -> None:
    async with listening(acknowledge) as listener:
        reader, writer = await open_hl7_connection("127.0.0.1", listener.port, encoding="utf-8", limit=READ_LIMIT)
        note = "NTE|1||" + "x" * 200_000 + "\r"
        for number in range(5):
            writer.writemessage(hl7.parse(ORDER % number + note))
        async with asyncio.timeout(5):
            replies = [await reader.readmessage() for _ in range(5)]
        assert [str(reply.segment("MSA")[2]) for reply in replies] == ["0", "1", "2", "3", "4"]
        writer.close()
        await writer.wait_closed()


async def test_its_server_answers_us() -> None:
    async def answer_all(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        try:
            while True:
                message = await reader.readmessage()
                writer.writemessage(message.create_ack("AA"))
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    async with asyncio.TaskGroup() as group:

        def connected(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
            # A plain callback that keeps the task: the library's own task of a coroutine callback may be collected.
            group.create_task(answer_all(reader, writer))

        server = await start_hl7_server(connected, "127.0.0.1", 0, encoding="utf-8", limit=READ_LIMIT)
        handler = Recorder()
        connection = await connect(
            "127.0.0.1",
            server.sockets[0].getsockname()[1],
            handler=handler,
            options=ConnectionOptions(linger_seconds=1),
        )
        for number in range(20):
            connection.send((ORDER % number).encode())
        await until(lambda: len(handler.frames) == 20)
        controls = [str(hl7.parse(content.decode()).segment("MSA")[2]) for content in handler.contents]
        assert controls == [str(number) for number in range(20)]
        connection.close()
        await until(lambda: handler.lost_count == 1)
        server.close()
        await server.wait_closed()
