"""Every limit of an MLLP connection and of a listener, and the words for how a connection ends.

Values only; `protocol.py`, `server.py` and `client.py` obey them.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from interceptor.wire.frame import FrameOptions, FramingReason, Tolerance


class ConnectionEnd(StrEnum):
    """Why a connection ended. Closed set, for metrics and logs."""

    PEER_CLOSED = "peer_closed"
    """The peer closed its side, everything owed was answered."""
    BLANK = "blank"
    """The peer closed without sending a byte: a health check. Nothing to tell anybody."""
    PEER_RESET = "peer_reset"
    TIMED_OUT = "timed_out"
    """TCP gave up: keepalive or TCP_USER_TIMEOUT."""
    CLOSED = "closed"
    """We closed it, in order."""
    ABORTED = "aborted"
    """We dropped it."""
    IDLE_TIMEOUT = "idle_timeout"
    READ_TIMEOUT = "read_timeout"
    """A frame began and did not end in time."""
    WRITE_TIMEOUT = "write_timeout"
    """The peer takes no bytes."""
    FINISH_TIMEOUT = "finish_timeout"
    """The peer closed its side and what it was owed did not come in time."""
    FRAMING_ERROR = "framing_error"
    CERTIFICATE_REFUSED = "certificate_refused"
    """The other side does not take our certificate; with TLS 1.3 it says so after the handshake."""
    FAILED = "failed"
    """Any other error of the network, TLS included."""


class RefusalReason(StrEnum):
    """Why a listener did not take a connection."""

    CONNECTIONS_MAX = "connections_max"
    CONNECTIONS_PER_ADDRESS_MAX = "connections_per_address_max"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    NOT_ACCEPTING = "not_accepting"
    CERTIFICATE_REFUSED = "certificate_refused"
    """The client certificate is missing, of an unknown authority, expired, revoked, or its name is not on the list."""
    HANDSHAKE_FAILED = "handshake_failed"
    """No TLS that we speak: plain text, an old version, a weak suite, or nothing in time."""
    DESCRIPTORS_SHORT = "descriptors_short"
    """The process has few file descriptors left; those are for the filler, the journal and the status pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Limits of one connection. Times in seconds, 0 switches a deadline off where that is said; sizes in bytes."""

    frame: FrameOptions = field(default_factory=FrameOptions)
    idle_timeout_seconds: float = 0.0
    """From the last byte received or sent, with no answer owed; 0 is off."""
    read_timeout_seconds: float = 30.0
    """From a frame's VT to its FS; 0 is off."""
    write_timeout_seconds: float = 10.0
    """Without the peer taking a byte of what we have for it. Noticed after 1 to 1.5 times this."""
    finish_timeout_seconds: float = 40.0
    """From the peer's half-close (or framing error) to the last answer owed; above the filler's ack timeout."""
    linger_seconds: float = 2.0
    """How long we wait for the peer's close after ours, so that no reset overtakes our last answer."""
    silence_seconds: float = 0.5
    """After an FS without CR: this much silence ends the frame."""
    keepalive_idle_seconds: int = 60
    keepalive_interval_seconds: int = 10
    keepalive_count: int = 3
    tcp_user_timeout_seconds: float = 10.0
    """How long sent bytes may stay unacknowledged by the peer's TCP; 0 leaves it to the system (about 15 minutes)."""
    write_buffer_size_max: int = 64 * 1024
    """Above this many unsent bytes we stop reading from a peer that does not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerOptions:
    """Limits of one listener."""

    connections_max: int = 200
    connections_per_address_max: int = 50
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Peers outside are refused; empty allows all."""
    backlog: int = 128
    adopted: tuple[socket.socket, ...] = ()
    """Sockets that are bound to the address already, of a node that hands over; empty binds new ones."""
    descriptor_max: int = 0
    """Numbers of file descriptors above this one are not for peers; 0 leaves none back. The system gives the lowest
    free number, so a connection's own one tells how many are in use."""


def _ignore(*_: object) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportCounters:
    """What the transport tells its owner, for metrics; each is called on the event loop and must not block."""

    connection_opened: Callable[[], None] = _ignore
    connection_refused: Callable[[RefusalReason, str], None] = _ignore
    """With the peer's address."""
    connection_ended: Callable[[ConnectionEnd], None] = _ignore
    """Once for each opened connection."""
    framing_failed: Callable[[FramingReason], None] = _ignore
    frame_incomplete: Callable[[], None] = _ignore
    """The connection ended, or timed out, inside a frame."""
    tolerated: Callable[[Tolerance, int], None] = _ignore
    """How many more uses of a tolerance; told when a connection used one."""
