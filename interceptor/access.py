"""What the holder of a certificate may send: the map from its names to sending applications, facilities and message types.

    names of a certificate -> Permission -> header of a message -> None, or what it may not send

Values in, a word out; nothing here touches the world. MLLP has no login: whoever holds a certificate could write
any sender into MSH. This map ties the two together (hazard H13).

A message whose sender cannot be read is refused to a peer whose senders are restricted: a batch, content that is not
HL7, a second MSH in the same frame, which the filler might take for a message of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from interceptor.message.header import Header, peek_header


class Mismatch(StrEnum):
    """What a peer may not send. The words go into the answer, the audit trail and a metric."""

    APPLICATION = "sending_application_not_allowed"
    FACILITY = "sending_facility_not_allowed"
    MESSAGE_TYPE = "message_type_not_allowed"
    UNREADABLE = "sender_not_readable"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderRule:
    """What one entry of the map allows; an empty tuple allows all.

    Attributes:
        name: Subject alternative name of the certificate.
        applications, facilities: Values of MSH-3 and MSH-4: the whole field, or its first component.
        message_types: "ORM^O01", or "ORM" for every trigger.
    """

    name: str
    applications: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    message_types: tuple[str, ...] = ()

    def find_mismatch(self, header: Header) -> Mismatch | None:
        """The first thing of *header* that this rule does not allow."""
        component = bytes((header.encoding.component,))
        if not _is_named(header.raw_field(3), self.applications, component):
            return Mismatch.APPLICATION
        if not _is_named(header.raw_field(4), self.facilities, component):
            return Mismatch.FACILITY
        kind = header.message_type
        if self.message_types and not {kind.code, f"{kind.code}^{kind.trigger}"} & set(self.message_types):
            return Mismatch.MESSAGE_TYPE
        return None


def _is_named(field: bytes, allowed: tuple[str, ...], component: bytes) -> bool:
    if not allowed:
        return True
    # A rule is written with the usual separators, whatever the message uses.
    parts = [part.decode("utf-8", "replace") for part in field.split(component)]
    return parts[0] in allowed or "^".join(parts) in allowed


class Permission:
    """What one connection may send: everything that any of its certificate's rules allows."""

    __slots__ = ("_is_restricted", "_rules", "name")

    def __init__(self, rules: tuple[SenderRule, ...]) -> None:
        """*rules*: at least one."""
        self.name = rules[0].name
        self._rules = rules
        self._is_restricted = all(rule.applications or rule.facilities or rule.message_types for rule in rules)

    def find_mismatch(self, raw: bytes) -> Mismatch | None:
        """Why these bytes of a frame may not go on; None when they may."""
        if not self._is_restricted:
            return None
        header = peek_header(raw)
        if header is None or b"\rMSH" in raw or b"\nMSH" in raw:
            return Mismatch.UNREADABLE
        found = [rule.find_mismatch(header) for rule in self._rules]
        return None if None in found else found[0]


class PeerMap:
    """Who may connect to one listener."""

    def __init__(self, rules: Iterable[SenderRule]) -> None:
        """*rules*: none means that every certificate of the authorities may send anything."""
        self._rules: dict[str, tuple[SenderRule, ...]] = {}
        for rule in rules:
            key = rule.name.lower() if _is_dns(rule.name) else rule.name
            self._rules[key] = (*self._rules.get(key, ()), rule)

    @property
    def is_open(self) -> bool:
        """Whether nobody is listed."""
        return not self._rules

    def find(self, names: Iterable[str]) -> Permission | None:
        """What the holder of a certificate with these names may send; None when it is not on the list."""
        rules = tuple(rule for name in sorted(names) for rule in self._rules.get(name, ()))
        return Permission(rules) if rules else None


def _is_dns(name: str) -> bool:
    return "@" not in name and ":" not in name and "/" not in name
