"""Accepting connections over TLS: who may not connect is turned away before it costs a handshake.

    TCP connection -> address and limits -> handshake (bounded) -> MllpProtocol

asyncio's own `create_server(ssl=...)` shakes hands with everybody, keeps its certificates for ever and tells nobody of
a handshake that failed. Here every refusal is counted with its reason, and each handshake takes the certificates of
its moment.

Failures: a handshake that fails or takes too long drops its connection and is counted; nothing else is disturbed.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from interceptor.lifetime import Tasks
from interceptor.transport.accept import address_of
from interceptor.transport.options import RefusalReason

HANDSHAKE_SECONDS_MAX = 10.0
SHUTDOWN_SECONDS_MAX = 5.0


class HandshakeOwner(Protocol):
    """What a handshake needs of its listener."""

    def handshake_begun(self, address: str, descriptor: int) -> RefusalReason | None:
        """Count a handshake under way; a reason refuses the connection, and nothing was counted."""
        ...

    def handshake_ended(self, address: str) -> None:
        """The handshake is over, whatever came of it."""
        ...

    def handshaken(self, ended: Callable[[], None]) -> asyncio.Protocol:
        """The protocol of a connection; it calls *ended* when it has the connection."""
        ...

    def refused(self, reason: RefusalReason, address: str) -> None:
        """A connection was turned away."""
        ...


class TlsAcceptor:
    """The connections of a listener, each from its accept to the end of its handshake."""

    def __init__(self, owner: HandshakeOwner, *, context: Callable[[], ssl.SSLContext], tasks: Tasks) -> None:
        """*context* gives what the next handshake uses."""
        self._owner = owner
        self._context = context
        self._tasks = tasks

    def begin(self, accepted: socket.socket) -> None:
        """Turn a connection away, or begin its handshake."""
        address = address_of(accepted)
        reason = self._owner.handshake_begun(address, accepted.fileno())
        if reason is not None:
            accepted.close()
            self._owner.refused(reason, address)
            return
        self._tasks.start(self._shake_hands(accepted, address), name="tls-handshake")

    async def _shake_hands(self, accepted: socket.socket, address: str) -> None:
        """Count the handshake's end once: when the connection is taken, or when there will be none."""
        ending = [address]

        def ended() -> None:
            if ending:
                self._owner.handshake_ended(ending.pop())

        failure: OSError | None = None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._owner.handshaken(ended),
                accepted,
                ssl=self._context(),
                ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS_MAX,
            )
        except OSError as error:
            failure = error
        finally:
            ended()
        if failure is not None:
            accepted.close()
            self._owner.refused(_refusal_of(failure), address)


def _refusal_of(error: OSError) -> RefusalReason:
    """A peer whose certificate is missing, unknown, expired or revoked; or one that speaks no TLS that we speak."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return RefusalReason.CERTIFICATE_REFUSED
    if isinstance(error, ssl.SSLError) and error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return RefusalReason.CERTIFICATE_REFUSED
    return RefusalReason.HANDSHAKE_FAILED
