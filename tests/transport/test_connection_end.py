"""How connections end: half-closed, silent, stalled, idle; each in bounded time and with a name."""

import asyncio
import socket

import pytest

from interceptor.transport.options import ConnectionOptions
from interceptor.transport.protocol import MllpProtocol
from interceptor.wire.commit_block import COMMIT_ACK
from interceptor.wire.frame import Frame, Tolerance, encode_frame
from tests.support.mllp_peer import RawPeer, Recorder, answer, ignore, listening, until


class TestHalfClose:
    @pytest.mark.fault(18)
    async def test_what_was_asked_before_the_peer_closed_is_answered(self) -> None:
        async with listening(ignore) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1") + encode_frame(b"2"))
            peer.writer.write_eof()
            handler = await listener.handler()
            await until(lambda: handler.link.end == "peer_closed")
            handler.link.send(b"for 1")
            assert await peer.read_content() == b"for 1"
            assert handler.lost_count == 0
            handler.link.send(b"for 2")
            assert await peer.read_to_end() == encode_frame(b"for 2")
            await until(lambda: handler.lost_count == 1)
            assert listener.counts["ended:peer_closed"] == 1

    async def test_nothing_owed_closes_at_once(self) -> None:
        """Without waiting for the peer's goodbye, which we have."""
        options = ConnectionOptions(linger_seconds=60)
        async with listening(options=options) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1"))
            assert await peer.read_content() == b"ACK 1"
            peer.writer.write_eof()
            assert await peer.read_to_end() == b""
            await until(listener.handlers[0].is_lost)
            driver = listener.handlers[0].link._driver
            assert isinstance(driver, MllpProtocol)
            assert driver._deadlines._timer is None

    async def test_a_commit_block_is_not_yet_the_answer(self) -> None:
        async with listening(ignore) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1"))
            peer.writer.write_eof()
            handler = await listener.handler()
            await until(lambda: handler.link.end == "peer_closed")
            handler.link.send_raw(COMMIT_ACK)
            handler.link.send(b"for 1")
            assert await peer.read_to_end() == COMMIT_ACK + encode_frame(b"for 1")

    async def test_a_truncated_frame_is_owed_nothing(self) -> None:
        async with listening(ignore) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(b"\x0bhalf" + encode_frame(b"1"))
            handler = await listener.handler()
            await until(lambda: len(handler.frames) == 2)
            handler.link.send(b"for 1")
            assert await peer.read_content() == b"for 1"
            peer.writer.write_eof()
            assert await peer.read_to_end() == b""

    async def test_an_answer_that_never_comes_has_a_deadline(self) -> None:
        options = ConnectionOptions(finish_timeout_seconds=0.1)
        async with listening(ignore, options=options) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1"))
            peer.writer.write_eof()
            assert await peer.read_to_end() == b""
            await until(lambda: listener.counts["ended:finish_timeout"] == 1)

    async def test_a_last_frame_without_cr_counts(self) -> None:
        async with listening() as listener, RawPeer.connect(listener.port) as peer:
            peer.send(b"\x0b1\x1c")
            peer.writer.write_eof()
            assert await peer.read_content() == b"ACK 1"
            assert await peer.read_to_end() == b""

    async def test_an_open_frame_is_not_delivered_but_counted(self) -> None:
        async with listening() as listener, RawPeer.connect(listener.port) as peer:
            peer.send(b"\x0bMSH|half")
            peer.writer.write_eof()
            assert await peer.read_to_end() == b""
            await until(lambda: listener.counts["ended:peer_closed"] == 1)
            assert listener.counts["incomplete"] == 1
            assert listener.handlers[0].frames == []

    async def test_frames_that_wait_for_a_paused_handler_are_not_lost(self) -> None:
        def pause(recorder: Recorder, frame: Frame) -> None:
            recorder.link.pause_reading()

        async with listening(pause) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1") + encode_frame(b"2") + b"\x0b3\x1c")
            peer.writer.write_eof()
            handler = await listener.handler()
            await until(lambda: handler.frames)
            handler.on_frame = answer
            answer(handler, handler.frames[0])
            handler.link.resume_reading()
            assert [await peer.read_content() for _ in range(3)] == [b"ACK 1", b"ACK 2", b"ACK 3"]
            assert await peer.read_to_end() == b""

    async def test_a_reset_has_its_own_name(self) -> None:
        async with listening(ignore) as listener:
            with socket.create_connection(("127.0.0.1", listener.port)) as peer:
                peer.sendall(encode_frame(b"1"))
                handler = await listener.handler()
                await until(lambda: handler.frames)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            await until(lambda: listener.counts["ended:peer_reset"] == 1)


class TestClose:
    async def test_what_was_written_before_arrives(self) -> None:
        large = b"x" * (2 * 1024 * 1024)

        def close(recorder: Recorder, frame: Frame) -> None:
            recorder.link.send(large)
            recorder.link.close()

        async with listening(close) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1") + encode_frame(b"2"))
            assert await peer.read_content() == large
            assert await peer.read_to_end() == b""
            handler = await listener.handler()
            assert handler.contents == [b"1"]

    async def test_a_peer_that_says_no_goodbye_is_left_after_the_linger_time(self) -> None:
        def close(recorder: Recorder, frame: Frame) -> None:
            recorder.link.close()

        options = ConnectionOptions(linger_seconds=0.1)
        async with listening(close, options=options) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1"))
            assert await peer.read_to_end() == b""
            await until(lambda: listener.counts["ended:closed"] == 1)


class TestSilence:
    OPTIONS = ConnectionOptions(silence_seconds=0.15)

    @pytest.mark.fault(34)
    async def test_fs_without_cr_is_answered_after_the_silence(self) -> None:
        async with listening(options=self.OPTIONS) as listener, RawPeer.connect(listener.port) as peer:
            started = asyncio.get_running_loop().time()
            peer.send(b"\x0b1\x1c")
            assert await peer.read_content() == b"ACK 1"
            assert asyncio.get_running_loop().time() - started >= 0.14
            assert listener.counts[f"tolerated:{Tolerance.MISSING_FINAL_CR}"] == 1
            peer.send(encode_frame(b"2"))
            assert await peer.read_content() == b"ACK 2"

    async def test_a_late_cr_is_not_a_missing_one(self) -> None:
        options = ConnectionOptions(silence_seconds=60)
        async with listening(options=options) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(b"\x0b1\x1c")
            handler = await listener.handler()
            await until(lambda: handler.link.open_size == 2)
            peer.send(b"\r")
            assert await peer.read_content() == b"ACK 1"
            assert handler.frames == [Frame(b"1")]

    async def test_a_stalled_loop_is_not_the_peers_silence(self) -> None:
        """The CR is in the socket when the timer is late: it must be read before the frame is judged."""
        async with listening(options=self.OPTIONS) as listener, RawPeer.connect(listener.port) as peer:
            handler = await listener.handler()
            with socket.create_connection(("127.0.0.1", listener.port)) as blocking:
                blocking.sendall(b"\x0b1\x1c")
                second = await listener.handler(2)
                await until(lambda: second.link.open_size == 2)
                # This thread is the loop's: nothing runs while it is busy here, and the CR comes in meanwhile.
                blocking.sendall(b"\r")
                until_time = asyncio.get_running_loop().time() + 0.3
                while asyncio.get_running_loop().time() < until_time:
                    pass
                await until(lambda: second.frames)
            assert second.frames == [Frame(b"1")]
            assert handler.frames == []
            peer.send(encode_frame(b"still there"))
            await peer.read_content()


class TestReadDeadline:
    OPTIONS = ConnectionOptions(read_timeout_seconds=0.15, linger_seconds=0.1)

    @pytest.mark.fault(32)
    async def test_a_frame_that_does_not_end_ends_the_connection(self) -> None:
        async with listening(options=self.OPTIONS) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1") + b"\x0bMSH|")
            assert await peer.read_content() == b"ACK 1"
            assert await peer.read_to_end() == b""
            await until(lambda: listener.counts["ended:read_timeout"] == 1)
            assert listener.counts["incomplete"] == 1

    async def test_a_byte_now_and_then_does_not_buy_time(self) -> None:
        async with listening(options=self.OPTIONS) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(b"\x0b")
            handler = await listener.handler()
            started = asyncio.get_running_loop().time()
            while handler.link.end is None and asyncio.get_running_loop().time() - started < 5:
                peer.send(b"x")
                await asyncio.sleep(0.01)
            assert handler.link.end == "read_timeout"

    async def test_each_frame_has_its_own_time(self) -> None:
        """Frames that overlap reads for longer than the deadline in all, none of them late by itself."""
        options = ConnectionOptions(read_timeout_seconds=0.4)
        async with listening(options=options) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(b"\x0b0")
            for number in range(6):
                await asyncio.sleep(0.1)
                peer.send(b"\x1c\r\x0b%d" % (number + 1))
                assert await peer.read_content() == b"ACK %d" % number
            assert listener.handlers[0].link.end is None

    async def test_time_does_not_run_while_we_do_not_read(self) -> None:
        def pause(recorder: Recorder, frame: Frame) -> None:
            recorder.link.pause_reading()

        async with listening(pause, options=self.OPTIONS) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1") + b"\x0bMSH|")
            handler = await listener.handler()
            await until(lambda: handler.frames)
            await asyncio.sleep(0.3)
            assert handler.link.end is None
            handler.on_frame = answer
            handler.link.resume_reading()
            assert handler.link.open_size == 4
            peer.send(b"\x1c\r")
            assert await peer.read_content() == b"ACK MSH|"

    async def test_time_stops_when_we_pause_inside_a_frame(self) -> None:
        async with listening(options=self.OPTIONS) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(b"\x0bMSH|")
            handler = await listener.handler()
            await until(lambda: handler.link.open_size == 4)
            handler.link.pause_reading()
            await asyncio.sleep(0.3)
            assert handler.link.end is None
            handler.link.resume_reading()
            peer.send(b"\x1c\r")
            assert await peer.read_content() == b"ACK MSH|"

    async def test_the_age_of_the_open_frame_is_known(self) -> None:
        async with listening(options=ConnectionOptions()) as listener, RawPeer.connect(listener.port) as peer:
            handler = await listener.handler()
            assert handler.link.open_seconds == 0
            peer.send(b"\x0bMSH|")
            await until(lambda: handler.link.open_size == 4)
            await until(lambda: handler.link.open_seconds > 0.01)
            peer.send(b"\x1c\r")
            await peer.read_content()
            assert handler.link.open_seconds == 0


class TestIdleDeadline:
    OPTIONS = ConnectionOptions(idle_timeout_seconds=0.15)

    async def test_a_connection_without_traffic_is_closed(self) -> None:
        async with listening(options=self.OPTIONS) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1"))
            assert await peer.read_content() == b"ACK 1"
            assert await peer.read_to_end() == b""
            peer.writer.close()
            await until(lambda: listener.counts["ended:idle_timeout"] == 1)

    async def test_waiting_for_our_answer_is_not_idle(self) -> None:
        async with listening(ignore, options=self.OPTIONS) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1"))
            handler = await listener.handler()
            await asyncio.sleep(0.4)
            assert handler.link.end is None
            handler.link.send(b"late")
            assert await peer.read_content() == b"late"

    async def test_it_is_off_by_default(self) -> None:
        assert ConnectionOptions().idle_timeout_seconds == 0


class TestWriteDeadline:
    async def test_a_peer_that_takes_nothing_is_dropped(self) -> None:
        def flood(recorder: Recorder, frame: Frame) -> None:
            recorder.link.send(b"x" * (15 * 1024 * 1024))

        options = ConnectionOptions(write_timeout_seconds=0.2)
        async with listening(flood, options=options) as listener:
            with socket.create_connection(("127.0.0.1", listener.port)) as peer:
                peer.sendall(encode_frame(b"1"))
                await until(lambda: listener.counts["ended:write_timeout"] == 1)

    async def test_switched_off_it_waits(self) -> None:
        def flood(recorder: Recorder, frame: Frame) -> None:
            recorder.link.send(b"x" * (15 * 1024 * 1024))

        async with listening(flood, options=ConnectionOptions(write_timeout_seconds=0)) as listener:
            with socket.create_connection(("127.0.0.1", listener.port)) as peer:
                peer.sendall(encode_frame(b"1"))
                handler = await listener.handler()
                await until(lambda: handler.frames)
                await asyncio.sleep(0.1)
                assert handler.link.end is None
                handler.link.abort()

    async def test_a_slow_reader_is_not_dropped(self) -> None:
        size = 12 * 1024 * 1024

        def flood(recorder: Recorder, frame: Frame) -> None:
            recorder.link.send(b"x" * size)

        options = ConnectionOptions(write_timeout_seconds=0.4)
        async with listening(flood, options=options) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1"))
            received = 0
            while received < size + 3:
                await asyncio.sleep(0.02)
                received += len(await peer.reader.read(256 * 1024))
            assert listener.handlers[0].link.end is None

    async def test_it_is_watched_after_our_close_too(self) -> None:
        def flood(recorder: Recorder, frame: Frame) -> None:
            recorder.link.send(b"x" * (15 * 1024 * 1024))
            recorder.link.close()

        options = ConnectionOptions(write_timeout_seconds=0.2, linger_seconds=0.05)
        async with listening(flood, options=options) as listener:
            with socket.create_connection(("127.0.0.1", listener.port)) as peer:
                peer.sendall(encode_frame(b"1"))
                await until(lambda: listener.counts["ended:closed"] + listener.counts["ended:write_timeout"] == 1)
            assert listener.counts["ended:write_timeout"] == 1
