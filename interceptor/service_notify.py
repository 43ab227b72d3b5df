"""Tell systemd how the service does: READY, WATCHDOG, RELOADING, STOPPING, as datagrams to NOTIFY_SOCKET.

Without NOTIFY_SOCKET in the environment nothing is sent. The variable is taken out of the environment, so that no
child of ours speaks in our name (`NotifyAccess=main`).

Failures: none reach the caller. A datagram that cannot be sent is lost; systemd then acts as for a silent service.

Source: sd_notify(3), "RELOADING=1" with MONOTONIC_USEC since systemd 253.
"""

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Final

NOTIFY_VARIABLE: Final = "NOTIFY_SOCKET"


class ServiceNotifier:
    """Sends states to the service manager that started us, if one did."""

    def __init__(self, address: str = "", *, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """*address* is the path of a datagram socket, or "@" and an abstract name; "" sends nothing."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._monotonic_ns = monotonic_ns

    def ready(self) -> None:
        """The service is up, or a reload has ended."""
        self._send("READY=1")

    def watchdog(self) -> None:
        """Alive: to be called more often than WatchdogSec by what is being watched."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={self._monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service ends because it was asked to."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # Nobody reads, or its queue is full: the next watchdog tells the same.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(0.0)
            sender.sendto(state.encode("ascii"), self._address)


def notifier_of(environment: MutableMapping[str, str] = os.environ) -> ServiceNotifier:
    """The notifier that the environment asks for; its variable is removed."""
    return ServiceNotifier(environment.pop(NOTIFY_VARIABLE, ""))
