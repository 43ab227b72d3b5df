"""How the system finds out that a peer is gone, and sends small messages at once.

Source: tcp(7). TCP_USER_TIMEOUT bounds how long sent bytes may stay unacknowledged; keepalive finds a peer that
vanished while nothing was sent. On Linux a listening socket passes all of these to the sockets it accepts.
"""

import resource
import socket

from interceptor.transport.options import ConnectionOptions


def set_liveness(target: socket.socket, options: ConnectionOptions) -> None:
    """Set TCP_NODELAY, keepalive and TCP_USER_TIMEOUT on *target*, as far as the system has them."""
    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    target.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, options.keepalive_idle_seconds)
    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, options.keepalive_interval_seconds)
    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, options.keepalive_count)
    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(options.tcp_user_timeout_seconds * 1000))


DESCRIPTORS_KEPT_BACK = 64
"""For the filler, the journal, the control socket and the status pages, however many peers connect."""


def find_descriptor_max() -> int:
    """The highest number of a file descriptor that a peer may have in this process; 0 when there is no limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if limit == resource.RLIM_INFINITY else max(1, limit - 1 - DESCRIPTORS_KEPT_BACK)
