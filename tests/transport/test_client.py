"""An outbound connection over real sockets."""

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from interceptor.transport.client import ConnectError, ConnectFailure, connect
from interceptor.transport.options import ConnectionOptions, TransportCounters
from interceptor.wire.frame import FrameOptions, encode_frame
from tests.support.mllp_peer import Recorder, ignore, listening, until

OPTIONS = ConnectionOptions(linger_seconds=0.2)


async def test_a_message_goes_out_and_its_answer_comes_back() -> None:
    async with listening() as listener:
        handler = Recorder()
        connection = await connect("127.0.0.1", listener.port, handler=handler, options=OPTIONS)
        connection.send(b"MSH|1\r")
        await until(lambda: handler.frames)
        assert handler.contents == [b"ACK MSH|1\r"]
        connection.close()
        await until(lambda: handler.lost_count == 1)
        assert connection.end == "closed"


async def test_the_end_of_the_peer_reaches_the_handler() -> None:
    async with listening(ignore) as listener:
        handler = Recorder()
        connection = await connect("127.0.0.1", listener.port, handler=handler, options=OPTIONS)
        connection.send(b"MSH|1\r")
        inbound = await listener.handler()
        await until(lambda: inbound.frames)
        inbound.link.close()
        await until(lambda: handler.lost_count == 1)
        assert connection.end == "peer_closed"


async def test_an_answer_that_is_no_frame_ends_the_connection() -> None:
    async with listening(ignore) as listener:
        handler = Recorder()
        options = ConnectionOptions(frame=FrameOptions(frame_size_max=10), linger_seconds=0.2)
        connection = await connect("127.0.0.1", listener.port, handler=handler, options=options)
        connection.send(b"1")
        inbound = await listener.handler()
        await until(lambda: inbound.frames)
        inbound.link.send(b"x" * 11)
        await until(lambda: handler.lost_count == 1)
        assert [error.reason for error in handler.errors] == ["too_large"]
        assert connection.end == "framing_error"


async def test_an_answer_that_does_not_end_has_a_deadline() -> None:
    async with listening(ignore) as listener:
        handler = Recorder()
        options = ConnectionOptions(read_timeout_seconds=0.1, linger_seconds=0.05)
        await connect("127.0.0.1", listener.port, handler=handler, options=options)
        inbound = await listener.handler()
        inbound.link.send_raw(b"\x0bMSH|")
        await until(lambda: handler.lost_count == 1)
        assert handler.frames == []


async def test_answers_of_a_reset_connection_are_not_waited_for() -> None:
    async with listening(lambda recorder, frame: recorder.link.abort()) as listener:
        handler = Recorder()
        connection = await connect("127.0.0.1", listener.port, handler=handler, options=OPTIONS)
        connection.send(b"1")
        await until(lambda: handler.lost_count == 1)
        assert connection.end in {"peer_closed", "peer_reset"}


async def test_counters_count() -> None:
    ends: list[str] = []
    async with listening() as listener:
        handler = Recorder()
        connection = await connect(
            "127.0.0.1",
            listener.port,
            handler=handler,
            options=OPTIONS,
            counters=TransportCounters(connection_ended=ends.append),
        )
        connection.abort()
        await until(lambda: ends)
        assert ends == ["aborted"]


async def test_a_peer_that_never_sent_is_not_a_health_check_here() -> None:
    async with listening() as listener:
        handler = Recorder()
        connection = await connect("127.0.0.1", listener.port, handler=handler, options=OPTIONS)
        inbound = await listener.handler()
        inbound.link.close()
        await until(lambda: handler.lost_count == 1)
        assert connection.end == "peer_closed"


@pytest.mark.fault(16)
async def test_liveness_options_are_set() -> None:
    async with listening() as listener:
        options = ConnectionOptions(keepalive_interval_seconds=4, tcp_user_timeout_seconds=10)
        connection = await connect("127.0.0.1", listener.port, handler=Recorder(), options=options)
        opened = connection._transport.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 4
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        connection.abort()


class TestConnectErrors:
    async def test_nobody_listens(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectError) as caught:
                await connect("127.0.0.1", unused.getsockname()[1], handler=Recorder(), options=OPTIONS)
        assert caught.value.reason is ConnectFailure.REFUSED
        assert str(caught.value) == "cannot connect: refused"

    async def test_nobody_answers(self) -> None:
        """A listener whose queue is full drops further connection requests."""
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(3)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            with pytest.raises(ConnectError) as caught:
                await connect(
                    "127.0.0.1",
                    full.getsockname()[1],
                    handler=Recorder(),
                    options=OPTIONS,
                    connect_timeout_seconds=0.2,
                )
            for filler in fillers:
                filler.close()
        assert caught.value.reason is ConnectFailure.TIMED_OUT

    async def test_the_name_is_none(self) -> None:
        with pytest.raises(ConnectError) as caught:
            await connect("x" * 70, 2575, handler=Recorder(), options=OPTIONS)
        assert caught.value.reason is ConnectFailure.NAME_NOT_FOUND

    async def test_the_peer_speaks_no_tls(self) -> None:
        async with listening(options=OPTIONS) as listener:
            with pytest.raises(ConnectError) as caught:
                await connect(
                    "127.0.0.1",
                    listener.port,
                    handler=Recorder(),
                    options=OPTIONS,
                    tls=ssl.create_default_context(),
                    connect_timeout_seconds=2,
                )
        assert caught.value.reason in {ConnectFailure.TLS_FAILED, ConnectFailure.UNREACHABLE, ConnectFailure.TIMED_OUT}


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of "localhost" and its key."""
    certificate_file, key_file = tmp_path / "certificate.pem", tmp_path / "key.pem"
    try:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", str(key_file), "-out", str(certificate_file)),
            ],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed: apt-get install openssl")
    return certificate_file, key_file


def build_contexts(certificate: tuple[Path, Path]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context that trust each other."""
    certificate_file, key_file = certificate
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate_file, key_file)
    ours.load_verify_locations(certificate_file)
    ours.verify_mode = ssl.CERT_REQUIRED
    theirs = ssl.create_default_context(cafile=str(certificate_file))
    theirs.load_cert_chain(certificate_file, key_file)
    return ours, theirs


async def test_a_tls_peer_that_closes_early_makes_no_noise(
    certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """There is no half-close in TLS: the answer is lost, and asyncio must not be asked for one."""
    ours, theirs = build_contexts(certificate)
    async with listening(ignore, tls=lambda: ours) as listener:
        handler = Recorder()
        connection = await connect(
            "127.0.0.1", listener.port, handler=handler, options=OPTIONS, tls=theirs, server_hostname="localhost"
        )
        connection.send(b"MSH|")
        inbound = await listener.handler()
        await until(lambda: inbound.frames)
        connection.close()
        await until(handler.is_lost)
        await until(inbound.is_lost)
        assert inbound.link.end == "peer_closed"
    assert not caplog.records


async def test_both_sides_take_tls(certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = build_contexts(certificate)
    async with listening(tls=lambda: ours) as listener:
        handler = Recorder()
        connection = await connect(
            "127.0.0.1", listener.port, handler=handler, options=OPTIONS, tls=theirs, server_hostname="localhost"
        )
        for number in range(3):
            connection.send(b"MSH|%d\r" % number)
        await until(lambda: len(handler.frames) == 3)
        assert handler.contents == [b"ACK MSH|%d\r" % number for number in range(3)]
        inbound = await listener.handler()
        assert inbound.link.tls_certificate is not None
        assert ("DNS", "localhost") in inbound.link.tls_certificate["subjectAltName"]
        connection.close()
        await until(lambda: handler.lost_count == 1)
        await until(lambda: inbound.lost_count == 1)
    assert not caplog.records


async def test_without_tls_there_is_no_certificate() -> None:
    async with listening() as listener:
        connection = await connect("127.0.0.1", listener.port, handler=Recorder(), options=OPTIONS)
        assert connection.tls_certificate is None
        connection.abort()


async def test_cancelling_a_connect_leaves_nothing_open() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(connect("127.0.0.1", full.getsockname()[1], handler=Recorder(), options=OPTIONS))
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()
        for filler in fillers:
            filler.close()


async def test_sending_what_cannot_be_framed_is_refused_here() -> None:
    async with listening() as listener:
        connection = await connect("127.0.0.1", listener.port, handler=Recorder(), options=OPTIONS)
        with pytest.raises(ValueError, match="cannot be framed"):
            connection.send(b"A" + encode_frame(b"B"))
        connection.abort()
