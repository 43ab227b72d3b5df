"""A listener over real sockets: who gets in, what is delivered, and in which order it is answered."""

import asyncio
import socket
from functools import partial
from ipaddress import ip_network

import pytest

from interceptor.transport.options import ConnectionOptions, ListenerOptions
from interceptor.transport.server import serve
from interceptor.wire.commit_block import COMMIT_ACK
from interceptor.wire.frame import Frame, FrameOptions, FramingError, Tolerance, encode_frame
from tests.support.mllp_peer import RawPeer, Recorder, answer, ignore, listening, until

ORDER = b"MSH|^~\\&|EHR|HOSP|RIS|RAD|20260105||ORM^O01|C1|P|2.5.1\rORC|NW|1\r"


async def test_a_message_is_answered() -> None:
    async with listening() as listener, RawPeer.connect(listener.port) as peer:
        peer.send(encode_frame(ORDER))
        assert await peer.read_content() == b"ACK " + ORDER


async def test_pipelined_messages_are_answered_in_order() -> None:
    async with listening() as listener, RawPeer.connect(listener.port) as peer:
        peer.send(b"".join(encode_frame(b"MSH|%d\r" % number) for number in range(50)))
        answers = [await peer.read_content() for _ in range(50)]
        assert answers == [b"ACK MSH|%d\r" % number for number in range(50)]


async def test_a_message_in_many_pieces_arrives_whole() -> None:
    async with listening() as listener, RawPeer.connect(listener.port) as peer:
        for offset in range(0, len(encode_frame(ORDER)), 7):
            peer.send(encode_frame(ORDER)[offset : offset + 7])
            await peer.writer.drain()
        assert await peer.read_content() == b"ACK " + ORDER


async def test_a_large_message_passes_both_ways() -> None:
    large = b"MSH|" + b"x" * (3 * 1024 * 1024)
    async with listening() as listener, RawPeer.connect(listener.port) as peer:
        peer.send(encode_frame(large))
        assert await peer.read_content() == b"ACK " + large


async def test_raw_bytes_go_out_unframed() -> None:
    def commit(recorder: Recorder, frame: Frame) -> None:
        recorder.link.send_raw(COMMIT_ACK)
        answer(recorder, frame)

    async with listening(commit) as listener, RawPeer.connect(listener.port) as peer:
        peer.send(encode_frame(b"MSH|"))
        assert await peer.read_content() == b"\x06"
        assert await peer.read_content() == b"ACK MSH|"


async def test_a_truncated_frame_is_delivered_as_such() -> None:
    async with listening(ignore) as listener, RawPeer.connect(listener.port) as peer:
        peer.send(b"\x0bMSH|half" + encode_frame(ORDER))
        handler = await listener.handler()
        await until(lambda: len(handler.frames) == 2)
        assert [frame.truncated for frame in handler.frames] == [True, False]


async def test_tolerances_are_counted_while_the_connection_stands() -> None:
    async with listening() as listener, RawPeer.connect(listener.port) as peer:
        for _ in range(2):
            peer.send(b"\r\n" + encode_frame(ORDER) + encode_frame(b"MSH|A\nPID|1\n"))
            await peer.read_content()
            await peer.read_content()
        assert listener.counts[f"tolerated:{Tolerance.BYTES_BETWEEN_FRAMES}"] == 2
        assert listener.counts[f"tolerated:{Tolerance.BARE_LF_SEGMENTS}"] == 2


class TestAdmission:
    async def test_above_connections_max_is_refused_until_one_leaves(self) -> None:
        limits = ListenerOptions(connections_max=2)
        async with listening(limits=limits) as listener, RawPeer.connect(listener.port) as first:
            async with RawPeer.connect(listener.port) as second:
                first.send(encode_frame(ORDER))
                second.send(encode_frame(ORDER))
                await first.read_content()
                await second.read_content()
                async with RawPeer.connect(listener.port) as third:
                    assert await third.is_dropped()
                first.send(encode_frame(ORDER))
                assert await first.read_content() == b"ACK " + ORDER
            await until(lambda: len(listener.server.connections) == 1)
            async with RawPeer.connect(listener.port) as fourth:
                fourth.send(encode_frame(ORDER))
                assert await fourth.read_content() == b"ACK " + ORDER
            assert listener.counts["refused:connections_max"] == 1
            assert listener.counts["opened"] == 3
        assert len(listener.handlers) == 3

    async def test_one_address_cannot_take_all(self) -> None:
        limits = ListenerOptions(connections_per_address_max=1)
        async with listening(limits=limits) as listener, RawPeer.connect(listener.port) as first:
            first.send(encode_frame(ORDER))
            await first.read_content()
            async with RawPeer.connect(listener.port) as again:
                assert await again.is_dropped()
            async with RawPeer.connect(listener.port, source="127.0.0.2") as other:
                other.send(encode_frame(ORDER))
                assert await other.read_content() == b"ACK " + ORDER
            assert listener.counts["refused:connections_per_address_max"] == 1
            assert [handler.link.peer_address for handler in listener.handlers] == ["127.0.0.1", "127.0.0.2"]

    async def test_an_address_may_come_back_after_it_left(self) -> None:
        limits = ListenerOptions(connections_per_address_max=1)
        async with listening(limits=limits) as listener:
            for _ in range(3):
                async with RawPeer.connect(listener.port) as peer:
                    peer.send(encode_frame(ORDER))
                    await peer.read_content()
                await until(lambda: not listener.server.connections)
            assert listener.counts["refused:connections_per_address_max"] == 0

    async def test_only_allowed_networks_get_in(self) -> None:
        limits = ListenerOptions(allowed_networks=(ip_network("10.0.0.0/8"), ip_network("127.0.0.2/32")))
        async with listening(limits=limits) as listener:
            async with RawPeer.connect(listener.port) as stranger:
                assert await stranger.is_dropped()
            async with RawPeer.connect(listener.port, source="127.0.0.2") as friend:
                friend.send(encode_frame(ORDER))
                assert await friend.read_content() == b"ACK " + ORDER
            assert listener.counts["refused:address_not_allowed"] == 1

    async def test_an_ipv4_peer_of_an_ipv6_listener_counts_as_ipv4(self) -> None:
        async with listening(limits=ListenerOptions(allowed_networks=(ip_network("10.0.0.0/8"),))) as listener:
            assert listener.server._is_allowed("::ffff:10.1.2.3")
            assert not listener.server._is_allowed("::ffff:192.0.2.1")
            assert not listener.server._is_allowed("fe80::1%eth0")
            assert not listener.server._is_allowed("")


class TestHealthChecks:
    async def test_connect_and_close_is_counted_and_makes_no_noise(self, caplog: pytest.LogCaptureFixture) -> None:
        async with listening() as listener:
            for number in range(1, 11):
                async with RawPeer.connect(listener.port):
                    pass
                handler = await listener.handler(number)
                await until(partial(Recorder.is_lost, handler))
            assert listener.counts["ended:blank"] == 10
        assert not caplog.records

    async def test_a_reset_without_a_byte_is_one_too(self, caplog: pytest.LogCaptureFixture) -> None:
        async with listening() as listener:
            with socket.create_connection(("127.0.0.1", listener.port)) as checker:
                checker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                await listener.handler()
            await until(lambda: listener.counts["ended:blank"] == 1)
        assert not caplog.records


class TestPausing:
    async def test_a_paused_connection_delivers_nothing_more(self) -> None:
        def pause(recorder: Recorder, frame: Frame) -> None:
            recorder.link.pause_reading()

        async with listening(pause) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1") + encode_frame(b"2") + encode_frame(b"3"))
            handler = await listener.handler()
            await until(lambda: handler.frames)
            assert handler.contents == [b"1"]
            handler.link.resume_reading()
            assert handler.contents == [b"1", b"2"]
            handler.on_frame = ignore
            handler.link.resume_reading()
            assert handler.contents == [b"1", b"2", b"3"]
            peer.send(encode_frame(b"4"))
            await until(lambda: len(handler.frames) == 4)

    async def test_a_paused_connection_does_not_read_the_socket(self) -> None:
        def pause(recorder: Recorder, frame: Frame) -> None:
            recorder.link.pause_reading()

        async with listening(pause) as listener, RawPeer.connect(listener.port) as peer:
            peer.writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            peer.send(encode_frame(b"1"))
            handler = await listener.handler()
            await until(lambda: handler.frames)
            peer.send(b"\x0b" + b"x" * (15 * 1024 * 1024))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await peer.writer.drain()
            assert handler.link.open_size == 0
            handler.link.resume_reading()
            await until(lambda: handler.link.open_size == 15 * 1024 * 1024)

    async def test_resuming_from_within_a_delivery_keeps_the_order(self) -> None:
        def bounce(recorder: Recorder, frame: Frame) -> None:
            recorder.link.pause_reading()
            recorder.link.resume_reading()
            answer(recorder, frame)

        async with listening(bounce) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(b"".join(encode_frame(b"%d" % number) for number in range(5)))
            assert [await peer.read_content() for _ in range(5)] == [b"ACK %d" % number for number in range(5)]

    async def test_a_peer_that_does_not_read_is_not_read_from(self) -> None:
        waiting_sizes: list[int] = []

        def answer_large(recorder: Recorder, frame: Frame) -> None:
            recorder.link.send(frame.content * 2)
            waiting_sizes.append(recorder.link._transport.get_write_buffer_size())

        content = b"x" * 100_000
        count = 400
        async with listening(answer_large) as listener, RawPeer.connect(listener.port) as peer:
            peer.reader._transport.pause_reading()  # type: ignore[attr-defined]  # the reader would buffer for us
            peer.send(encode_frame(content) * count)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await peer.writer.drain()
            peer.reader._transport.resume_reading()  # type: ignore[attr-defined]  # as above
            for _ in range(count):
                assert len(await peer.read_content()) == 200_000
        # All answers together are 80 MB; what one read brought (256 KiB at most) is answered, then we wait.
        assert max(waiting_sizes) < 2 * 1024 * 1024


class TestListening:
    async def test_liveness_options_are_set_on_accepted_sockets(self) -> None:
        options = ConnectionOptions(keepalive_idle_seconds=33, tcp_user_timeout_seconds=7.5)
        async with listening(options=options) as listener, RawPeer.connect(listener.port):
            handler = await listener.handler()
            accepted = handler.link._transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7500
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

    async def test_a_port_in_use_is_an_error_at_start(self) -> None:
        async with listening() as listener:
            with pytest.raises(OSError, match="in use"):
                async with serve(
                    "127.0.0.1",
                    listener.port,
                    connection_made=lambda connection: Recorder(connection=connection),
                    options=ConnectionOptions(),
                    limits=ListenerOptions(),
                ):
                    pytest.fail("listening twice")

    async def test_a_second_listener_takes_over_the_socket_with_the_connections_that_wait_in_it(self) -> None:
        async with listening() as old:
            limits = ListenerOptions(adopted=tuple(one.dup() for one in old.server.sockets))
            new = Recorder(answer)

            def connection_made(connection: object) -> Recorder:
                new.connection = connection  # type: ignore[assignment]  # an MllpConnection
                return new

            old.server.stop_accepting()
            assert old.server.sockets == ()
            async with RawPeer.connect(old.port) as waiting:
                waiting.send(encode_frame(ORDER))
                async with serve(
                    "127.0.0.1", old.port, connection_made=connection_made, options=ConnectionOptions(), limits=limits
                ) as server:
                    assert server.port == old.port
                    assert await waiting.read_content() == b"ACK " + ORDER
            assert new.contents == [ORDER]

    async def test_localhost_listens_on_every_family_it_has(self) -> None:
        async with serve(
            "localhost",
            0,
            connection_made=lambda connection: Recorder(connection=connection),
            options=ConnectionOptions(),
            limits=ListenerOptions(),
        ) as server:
            found = await asyncio.get_running_loop().getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
            for _, _, _, _, address in found:
                _, writer = await asyncio.open_connection(str(address[0]), server.port)
                writer.close()
                await writer.wait_closed()

    async def test_after_stop_accepting_only_those_inside_are_served(self) -> None:
        async with listening() as listener, RawPeer.connect(listener.port) as inside:
            await listener.handler()
            listener.server.stop_accepting()
            assert not listener.server.is_accepting
            with pytest.raises(ConnectionRefusedError):
                async with RawPeer.connect(listener.port):
                    pytest.fail("still listening")
            inside.send(encode_frame(ORDER))
            assert await inside.read_content() == b"ACK " + ORDER

    async def test_leaving_the_block_closes_every_connection_in_order(self) -> None:
        async with listening() as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(encode_frame(b"1"))
            handler = await listener.handler()
            await until(lambda: handler.frames)
            reading = reader.read()
            async with asyncio.TaskGroup() as group:
                group.create_task(listener.server.close(timeout_seconds=5))
                assert await reading == encode_frame(b"ACK 1")
                writer.close()
            assert handler.lost_count == 1
            assert listener.counts["ended:closed"] == 1

    async def test_a_peer_that_does_not_leave_is_aborted(self) -> None:
        options = ConnectionOptions(linger_seconds=30)
        async with listening(ignore, options=options) as listener, RawPeer.connect(listener.port):
            handler = await listener.handler()
            await listener.server.close(timeout_seconds=0.05)
            assert handler.lost_count == 1
            assert not listener.server.connections


async def test_a_handler_that_raises_loses_its_connection_and_no_other() -> None:
    def stumble(recorder: Recorder, frame: Frame) -> None:
        if frame.content == b"bad":
            raise AssertionError("our own mistake")
        answer(recorder, frame)

    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context.get("exception")))
    async with listening(stumble) as listener, RawPeer.connect(listener.port) as other:
        async with RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"bad"))
            assert await peer.is_dropped()
        other.send(encode_frame(b"good"))
        assert await other.read_content() == b"ACK good"
        assert listener.counts["ended:failed"] == 1
    assert [type(error) for error in reported] == [AssertionError]


async def test_no_frame_is_delivered_after_an_abort() -> None:
    def abort(recorder: Recorder, frame: Frame) -> None:
        recorder.link.abort()
        recorder.link.send(b"too late")

    async with listening(abort) as listener, RawPeer.connect(listener.port) as peer:
        peer.send(encode_frame(b"1") + encode_frame(b"2"))
        assert await peer.is_dropped()
        handler = await listener.handler()
        await until(lambda: handler.lost_count)
        assert handler.contents == [b"1"]
        assert handler.link.end == "aborted"
        handler.link.send(b"much too late")
        handler.link.close()
        handler.link.abort()
        assert handler.lost_count == 1


class TestFramingErrors:
    OPTIONS = ConnectionOptions(frame=FrameOptions(frame_size_max=100), linger_seconds=5)

    @staticmethod
    def refuse(recorder: Recorder, error: FramingError) -> None:
        recorder.link.send(b"AR " + error.head[:4])

    @pytest.mark.fault(33)
    async def test_an_oversize_frame_is_refused_and_the_refusal_arrives(self) -> None:
        """The peer is still sending: a plain close would reset the connection and lose the refusal."""
        async with listening(on_error=self.refuse, options=self.OPTIONS) as listener:
            async with RawPeer.connect(listener.port) as peer:
                peer.send(b"\x0bMSH|" + b"x" * (4 * 1024 * 1024))
                assert await peer.read_content() == b"AR MSH|"
                assert await peer.read_to_end() == b""
            handler = await listener.handler()
            await until(lambda: handler.lost_count)
            assert handler.link.end == "framing_error"
            assert listener.counts["framing:too_large"] == 1
            assert listener.counts["ended:framing_error"] == 1

    async def test_answers_owed_before_the_bad_frame_still_go_out(self) -> None:
        async with listening(ignore, options=self.OPTIONS) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"good") + b"\x0b" + b"x" * 200)
            handler = await listener.handler()
            await until(lambda: handler.errors)
            handler.link.send(b"for good")
            handler.link.send(b"for bad")
            assert await peer.read_content() == b"for good"
            assert await peer.read_content() == b"for bad"
            assert await peer.read_to_end() == b""

    async def test_garbage_ends_the_connection_without_an_answer(self) -> None:
        options = ConnectionOptions(frame=FrameOptions(skipped_size_max=10))
        async with listening(options=options) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await peer.read_to_end() == b""
            handler = await listener.handler()
            assert [error.reason for error in handler.errors] == ["garbage_too_long"]
            assert listener.counts["framing:garbage_too_long"] == 1

    async def test_frames_before_the_error_are_answered(self) -> None:
        on_error, options = self.refuse, self.OPTIONS
        async with listening(on_error=on_error, options=options) as listener, RawPeer.connect(listener.port) as peer:
            peer.send(encode_frame(b"1") + encode_frame(b"2") + encode_frame(b"3" * 101))
            assert [await peer.read_content() for _ in range(3)] == [b"ACK 1", b"ACK 2", b"AR 3333"]
