"""Network addresses as people write them: `host:port`, with IPv6 hosts in brackets."""

from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port (0-65535). Port 0 asks the system for a free one, so it is of use for listening only."""

    host: str
    port: int

    def __str__(self) -> str:
        """The spelling that `parse_address` reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A host name other than localhost counts as reachable."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_every_interface(self) -> bool:
        """Whether it stands for all addresses of this machine."""
        try:
            return ip_address(self.host).is_unspecified
        except ValueError:
            return False


def parse_address(text: str) -> Address:
    """Read `host:port` or `[IPv6]:port`.

    Raises:
        ValueError: The text is something else; the message says what is expected, in words for a person.
    """
    host, colon, port_text = text.rpartition(":")
    if not colon:
        raise ValueError(f'"{text}" is not host:port, e.g. "127.0.0.1:2575"')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f'"{text}": write an IPv6 host in brackets, e.g. "[::1]:2575"')
    if not host or any(character.isspace() for character in host):
        raise ValueError(
            f'"{text}" names no host; write e.g. "127.0.0.1:{port_text}", or "0.0.0.0" for every interface'
        )
    if not (port_text.isascii() and port_text.isdigit()) or int(port_text) > 65535:
        raise ValueError(f'port "{port_text}" is not 0-65535')
    return Address(host, int(port_text))
