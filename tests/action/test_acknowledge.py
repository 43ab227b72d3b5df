"""Which acknowledgment a message asks for: MSH-15 and MSH-16, success and refusal, every combination."""

from itertools import product

import pytest

from interceptor.action.acknowledge import accept_codes, answer_count, refusal_code
from interceptor.message.acknowledgment import AckCode
from interceptor.message.header import Header, peek_header

AA, AE, AR = AckCode.APPLICATION_ACCEPT, AckCode.APPLICATION_ERROR, AckCode.APPLICATION_REJECT
CA, CE, CR = AckCode.COMMIT_ACCEPT, AckCode.COMMIT_ERROR, AckCode.COMMIT_REJECT


def header(accept: str, application: str) -> Header:
    found = peek_header(f"MSH|^~\\&|A|B|C|D|1||ORM^O01|7|P|2.5.1|||{accept}|{application}\r".encode())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("accept", "application", "count", "taken", "refused"),
    [
        ("", "", 1, (AA,), AE),
        ("AL", "", 1, (CA,), CE),
        ("AL", "NE", 1, (CA,), CE),
        ("AL", "AL", 2, (CA, AA), CE),
        ("AL", "ER", 1, (CA,), CE),
        ("AL", "SU", 2, (CA, AA), CE),
        ("NE", "NE", 0, (), None),
        # One of the two alone is enhanced mode: the other, empty, asks for nothing.
        ("NE", "", 0, (), None),
        ("ER", "", 0, (), CE),
        ("", "NE", 0, (), None),
        ("", "ER", 0, (), AE),
        ("NE", "AL", 1, (AA,), AE),
        ("", "AL", 1, (AA,), AE),
        ("NE", "ER", 0, (), AE),
        ("NE", "SU", 1, (AA,), None),
        ("ER", "NE", 0, (), CE),
        ("ER", "AL", 1, (AA,), CE),
        ("SU", "NE", 1, (CA,), None),
        ("SU", "AL", 2, (CA, AA), AE),
        ("SU", "ER", 1, (CA,), AE),
        ("al", "ne", 1, (CA,), CE),
        ("XX", "", 1, (CA,), CE),
    ],
)
@pytest.mark.fault(12)
def test_each_condition_gets_the_answer_that_it_asks_for(
    accept: str, application: str, count: int, taken: tuple[AckCode, ...], refused: AckCode | None
) -> None:
    asked = header(accept, application)
    assert (answer_count(asked), accept_codes(asked), refusal_code(asked, AE)) == (count, taken, refused)


def test_a_rejection_is_a_rejection_in_both_modes() -> None:
    assert refusal_code(header("", ""), AR) is AR
    assert refusal_code(header("AL", ""), AR) is CR


def test_nothing_that_we_answer_to_a_taken_message_is_negative() -> None:
    """A hold is never AE, AR, CE or CR: the message was accepted."""
    words = ("", "AL", "NE", "ER", "SU", "junk")
    codes = {code for pair in product(words, words) for code in accept_codes(header(*pair))}
    assert codes == {AA, CA}
