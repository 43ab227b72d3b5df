"""What a node process has of the supervisor that started it: two pipes and a parent.

By the first pipe the node learns that its supervisor is dead. Into the second its event loop sends a pulse: a process
whose loop is blocked, or that is stopped, cannot send it. Hung is worse than dead, and must be seen.

    node's loop --"R" when it serves, "." every 0.25 s, "C" when it took another configuration--> pipe --> supervisor

Failures: a full pipe (the supervisor does not read) loses a beat, a closed one all of them; neither disturbs the node.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

LIFE_VARIABLE: Final = "INTERCEPTOR_SUPERVISOR_FD"
HEARTBEAT_VARIABLE: Final = "INTERCEPTOR_HEARTBEAT_FD"
BEAT_SECONDS: Final = 0.25
SERVING: Final = b"R"
BEAT: Final = b"."
CONFIG_TAKEN: Final = b"C"


def is_supervised() -> bool:
    """Whether a supervisor of ours started this process."""
    return _descriptor(LIFE_VARIABLE) is not None


def watch_supervisor(gone: asyncio.Event) -> None:
    """Set *gone* when the supervisor that started this process is dead; without one, do nothing."""
    descriptor = _descriptor(LIFE_VARIABLE)
    if descriptor is not None:
        asyncio.get_running_loop().add_reader(descriptor, _pipe_readable, descriptor, gone)


def ask_for_successor() -> None:
    """Ask the supervisor to start a fresh node that takes over from this one."""
    assert is_supervised()
    os.kill(os.getppid(), signal.SIGUSR2)


def tell_config_taken() -> None:
    """Tell the supervisor that another configuration is in force: what runs beside us is to read it too."""
    heartbeat_teller()(CONFIG_TAKEN)


def heartbeat_teller() -> Callable[[bytes], None]:
    """What writes beats to the supervisor that started this process; without one, to nobody."""
    descriptor = _descriptor(HEARTBEAT_VARIABLE)
    if descriptor is None:
        return lambda _beat: None
    os.set_blocking(descriptor, False)

    def tell(one: bytes) -> None:
        with suppress(OSError):
            os.write(descriptor, one)

    return tell


async def beat(tell: Callable[[bytes], None]) -> None:
    """Send SERVING once and a BEAT ever after, from the running loop. Cancelling ends it."""
    tell(SERVING)
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        tell(BEAT)


def _descriptor(variable: str) -> int | None:
    number = os.environ.get(variable, "")
    return int(number) if number.isdigit() else None


def _pipe_readable(descriptor: int, gone: asyncio.Event) -> None:
    # Nothing is ever written to the pipe: readable means that its other end is closed.
    asyncio.get_running_loop().remove_reader(descriptor)
    gone.set()
