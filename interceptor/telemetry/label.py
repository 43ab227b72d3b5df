"""The label values that telemetry itself defines; all others come from the configuration or the stages' enums."""

from enum import StrEnum

OTHER = "other"
"""The child that counts a value which was not known at the start, so that no count is lost and no label set grows."""


class MessageTypeLabel(StrEnum):
    """The message code of MSH-9.1, folded to the ones that a route can expect."""

    ORM = "orm"
    OMG = "omg"
    OMI = "omi"
    ADT = "adt"
    ORU = "oru"
    PPR = "ppr"
    SIU = "siu"
    MDM = "mdm"
    DFT = "dft"
    ACK = "ack"
    OTHER = "other"
    NOT_HL7 = "not_hl7"


_LABEL_BY_CODE = {
    label.value.upper(): label
    for label in MessageTypeLabel
    if label not in (MessageTypeLabel.OTHER, MessageTypeLabel.NOT_HL7)
}


def message_type_label(message_code: str) -> MessageTypeLabel:
    """Fold a message code (MSH-9.1, upper case as the standard writes it) to its label; unknown ones are OTHER."""
    return _LABEL_BY_CODE.get(message_code, MessageTypeLabel.OTHER)


class ConnectionResult(StrEnum):
    """What became of a connection that a placer opened."""

    ACCEPTED = "accepted"
    REFUSED_ADDRESS = "refused_address"
    REFUSED_LIMIT = "refused_limit"
    REFUSED_TLS = "refused_tls"
    REFUSED_CERTIFICATE = "refused_certificate"


class MessageOutcome(StrEnum):
    """What became of one inbound message, counted once per message when it is answered or given up."""

    PASSED = "passed"
    """Forwarded unchanged and answered with the filler's own acknowledgment."""
    ANNOTATED = "annotated"
    """Forwarded with our addition."""
    TAKEN = "taken"
    """We took custody of at least one of its orders, or of the whole message, and answered in our own name."""
    DUPLICATE = "duplicate"
    """The same bytes again while in our custody: the stored answer went out again, nothing else happened."""
    REFUSED = "refused"
    """Answered AE or AR by us, nothing forwarded."""
    UNANSWERED = "unanswered"
    """Forwarded or not, the placer got no acknowledgment and stays responsible."""
    QUARANTINED = "quarantined"
    """Truncated or no HL7, and neither forwarded nor acknowledged."""


class AckOrigin(StrEnum):
    """Whose acknowledgment the placer got."""

    FILLER = "filler"
    OWN = "own"
    STORED = "stored"


class NoticeResult(StrEnum):
    """What became of a notice to the placer before it was queued."""

    BUILT = "built"
    FAILED = "failed"


class ConnectResult(StrEnum):
    """How our attempt to connect to a destination ended."""

    CONNECTED = "connected"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    TLS_FAILED = "tls_failed"
    CERTIFICATE_REFUSED = "certificate_refused"
    FAILED = "failed"


ACKNOWLEDGMENT_CODES = ("AA", "AE", "AR", "CA", "CE", "CR", OTHER)
"""HL7 table 0008, and OTHER for what is no code of it."""
