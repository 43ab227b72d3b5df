"""Which acknowledgments a message asks for, and which one we give for what we do with it.

A hold is never AE, AR, CE or CR: the message was accepted.

Source: HL7 v2.5.1 chapter 2.9.2 and 2.9.3; table 0155 as `AckCondition`.
"""

from interceptor.message.acknowledgment import AckCode, AckCondition, AckMode, accept_mode
from interceptor.message.header import Header

_ENHANCED = {
    AckCode.APPLICATION_ACCEPT: AckCode.COMMIT_ACCEPT,
    AckCode.APPLICATION_ERROR: AckCode.COMMIT_ERROR,
    AckCode.APPLICATION_REJECT: AckCode.COMMIT_REJECT,
}


def answer_count(header: Header) -> int:
    """How many answers the filler will give when it takes the message: 0, 1 or 2.

    On "ER" an answer comes only when it does not take it; such a message is not waited for, and an answer that
    comes all the same is still passed on.
    """
    request = accept_mode(header)
    return int(request.accept.applies(is_error=False)) + int(request.application.applies(is_error=False))


def accept_code(header: Header) -> AckCode | None:
    """What we answer when a message is durable in our custody; None when the sender wants to hear nothing.

    A sender that asks only for the application acknowledgment gets AA from us: nobody else answers it now.
    """
    return _code(header, AckCode.APPLICATION_ACCEPT, is_error=False)


def refusal_code(header: Header, code: AckCode) -> AckCode | None:
    """What we answer when we do not take a message: *code* (AE or AR) in the sender's mode, None for nothing."""
    return _code(header, code, is_error=True)


def _code(header: Header, code: AckCode, *, is_error: bool) -> AckCode | None:
    request = accept_mode(header)
    if request.mode is AckMode.ORIGINAL:
        return code
    if request.accept.applies(is_error=is_error):
        return _ENHANCED[code]
    wants_application = request.application.applies(is_error=is_error)
    return code if request.accept is AckCondition.NEVER and wants_application else None
