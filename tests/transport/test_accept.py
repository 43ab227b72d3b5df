"""Connections that wait are taken one in each turn of the loop, so that a storm leaves the turns to those who are inside."""

import asyncio
import errno
import socket

import pytest

from interceptor.transport.accept import Acceptor


def bound() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    listening.settimeout(0.0)
    return listening


@pytest.mark.fault(31)
@pytest.mark.hazard("H10")
async def test_a_turn_of_the_loop_takes_one_connection_however_many_wait() -> None:
    listening = bound()
    waiting = [socket.create_connection(listening.getsockname()) for _ in range(20)]
    taken: list[socket.socket] = []
    turns_at: list[int] = []
    turn = 0

    def begin(accepted: socket.socket) -> None:
        taken.append(accepted)
        turns_at.append(turn)

    acceptor = Acceptor(listening, begin)
    acceptor.start()
    async with asyncio.timeout(60):
        while len(taken) < 20:
            turn += 1
            await asyncio.sleep(0)
    acceptor.stop()
    assert len(set(turns_at)) == 20
    for one in (*waiting, *taken):
        one.close()


async def test_after_the_stop_nothing_is_taken_and_a_socket_that_was_handed_on_keeps_who_waits() -> None:
    listening = bound()
    handed_on = listening.dup()
    taken: list[socket.socket] = []
    acceptor = Acceptor(listening, taken.append)
    acceptor.start()
    with socket.create_connection(listening.getsockname()):
        acceptor.stop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert taken == []
        accepted, _ = handed_on.accept()
        accepted.close()
    handed_on.close()


class Short:
    """A listening socket whose first accept finds no descriptor left."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.calls = 0

    def fileno(self) -> int:
        return self.listening.fileno()

    def accept(self) -> tuple[socket.socket, object]:
        self.calls += 1
        if self.calls == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.listening.accept()

    def close(self) -> None:
        self.listening.close()


async def test_without_a_descriptor_for_the_next_connection_there_is_a_pause_and_then_another_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("interceptor.transport.accept.PAUSE_SECONDS", 0.05)
    short, accepted, is_taken = Short(bound()), list[socket.socket](), asyncio.Event()

    def begin(one: socket.socket) -> None:
        accepted.append(one)
        is_taken.set()

    acceptor = Acceptor(short, begin)  # type: ignore[arg-type]  # as much of a socket as it needs
    acceptor.start()
    with socket.create_connection(short.listening.getsockname()):
        async with asyncio.timeout(60):
            await is_taken.wait()
        acceptor.stop()
    assert short.calls == 2
    accepted[0].close()
