"""Why a FHIR server gave no answer that can be used: a closed set of reasons, for metrics, logs and the caller.

A server's mistake becomes a `FhirFailure` with one of these reasons. It never carries an address, a parameter or
content: all three name patients.
"""

from enum import StrEnum


class FhirReason(StrEnum):
    """What was wrong. The words are label values and are never renamed."""

    TIMED_OUT = "timed_out"
    """No whole answer in time."""
    UNREACHABLE = "unreachable"
    """No connection, or it broke before the answer's head."""
    UNAUTHORIZED = "unauthorized"
    """401, also with a new token; or 403."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a word, no secret
    """The token endpoint refused us or gave no token."""
    RATE_LIMITED = "rate_limited"
    """429, or 503 with Retry-After."""
    SERVER_ERROR = "server_error"
    """5xx."""
    REFUSED = "refused"
    """Another 4xx: the server does not understand the search."""
    REDIRECTED = "redirected"
    """3xx: redirects are not followed."""
    BROKEN = "broken"
    """The answer ended early, or its compression is broken."""
    NOT_FHIR = "not_fhir"
    """No JSON, or no Bundle where one was asked for."""
    TOO_LARGE = "too_large"
    """More bytes, after decompression, than allowed."""
    TOO_DEEP = "too_deep"
    """Nested deeper than any FHIR resource."""
    TOO_MANY_PAGES = "too_many_pages"
    """More pages than allowed, or pages in a circle."""
    OFF_ORIGIN = "off_origin"
    """A next link that leaves the configured server."""
    OPERATION_OUTCOME = "operation_outcome"
    """The server says in an OperationOutcome that it failed, whatever the status."""
    WRONG_PATIENT = "wrong_patient"
    """The answer is of somebody else: identifier, birth date, sex or subject differ."""
    AMBIGUOUS_PATIENT = "ambiguous_patient"
    """Several patients have the identifier."""
    NO_IDENTIFIER = "no_identifier"
    """The order has no identifier whose assigning authority is mapped to a FHIR system."""
    BREAKER_OPEN = "breaker_open"
    """Not asked: the server failed too often just now, or asked for a pause."""
    BUSY = "busy"
    """Not asked: too many patients are being asked for already."""
    INTERNAL = "internal"
    """A fault of our own."""


ABOUT_THE_PATIENT = frozenset({FhirReason.WRONG_PATIENT, FhirReason.AMBIGUOUS_PATIENT, FhirReason.NO_IDENTIFIER})
"""Reasons that say something of one patient's record, and nothing of the server's health."""


class FhirFailure(Exception):  # noqa: N818 - the word of this part: a failure has a reason
    """The server gave no usable answer.

    Attributes:
        reason: Which kind, of the closed set.
        pause_seconds: How long the server asked not to be asked again; 0 when it did not say.
    """

    def __init__(self, reason: FhirReason, *, pause_seconds: float = 0.0) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.pause_seconds = pause_seconds
