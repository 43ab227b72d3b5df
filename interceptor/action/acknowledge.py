"""Which acknowledgments a message asks for, and which one we give for what we do with it.

A hold is never AE, AR, CE or CR: the message was accepted.

Source: HL7 v2.5.1 chapter 2.9.2 and 2.9.3; table 0155 as `AckCondition`.
"""

from interceptor.message.acknowledgment import AckCode, AckMode, accept_mode
from interceptor.message.header import Header

_ENHANCED = {
    AckCode.APPLICATION_ERROR: AckCode.COMMIT_ERROR,
    AckCode.APPLICATION_REJECT: AckCode.COMMIT_REJECT,
}


def answer_count(header: Header) -> int:
    """How many answers the filler will give when it takes the message: 0, 1 or 2.

    On "ER" an answer comes only when it does not take it; such a message is not waited for, and an answer that
    comes all the same is still passed on.
    """
    if not header.accept_ack and not header.application_ack:
        return 1
    request = accept_mode(header)
    return int(request.accept.applies(is_error=False)) + int(request.application.applies(is_error=False))


def accept_codes(header: Header) -> tuple[AckCode, ...]:
    """Every answer that a message asks for once it is durable in our custody, in the order to send them; at most two.

    Nobody else answers it: the filler gets it later, and its acknowledgment is for us.
    """
    request = accept_mode(header)
    asked = ((AckCode.COMMIT_ACCEPT, request.accept), (AckCode.APPLICATION_ACCEPT, request.application))
    return tuple(code for code, condition in asked if condition.applies(is_error=False))


def refusal_code(header: Header, code: AckCode) -> AckCode | None:
    """What we answer when we do not take a message: *code* (AE or AR) in the sender's mode, None for nothing."""
    request = accept_mode(header)
    if request.mode is AckMode.ORIGINAL:
        return code
    if request.accept.applies(is_error=True):
        return _ENHANCED[code]
    return code if request.application.applies(is_error=True) else None
