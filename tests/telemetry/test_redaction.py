"""Nothing of a patient gets out by accident."""

import copy
import pickle

import pytest

from interceptor.telemetry.redaction import REDACTED, Phi, describe_error


@pytest.mark.hazard("H14")
def test_no_way_of_printing_shows_the_content() -> None:
    phi = Phi("CANARY^JANE")
    shown = [str(phi), repr(phi), f"{phi}", f"{phi!r:>40}", f"{[phi]}", f"{(phi,)}", format(phi, "10")]
    assert all("CANARY" not in text for text in shown)
    assert str(phi) == REDACTED
    assert not hasattr(phi, "__dict__")


def test_the_content_comes_out_only_when_asked_for() -> None:
    assert Phi("CANARY").reveal() == "CANARY"


def test_it_can_be_compared_and_used_as_a_key() -> None:
    assert Phi("a") == Phi("a")
    assert Phi("a") != Phi("b")
    assert Phi("a") != "a"
    assert {Phi("a"): 1}[Phi("a")] == 1


@pytest.mark.parametrize("escape", [pickle.dumps, copy.deepcopy])
def test_it_is_not_pickled(escape: object) -> None:
    assert callable(escape)
    with pytest.raises(TypeError, match="not pickled"):
        escape(Phi("CANARY"))


class OwnError(ValueError):
    """Stands for an exception of the package."""

    reason = "too_large"


OwnError.__module__ = "interceptor.wire.frame"


def raise_with(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.hazard("H14")
def test_an_error_is_described_by_type_and_place_only() -> None:
    described = describe_error(raise_with(ValueError("CANARY")))
    assert described["error"] == "ValueError"
    assert described["reason"] == ""
    assert "raise_with" in described["where"]
    assert "CANARY" not in str(described)
    assert not described["where"].startswith("/")


def test_our_own_exceptions_tell_their_stable_word() -> None:
    assert describe_error(raise_with(OwnError("CANARY")))["reason"] == "too_large"


def test_the_reason_of_a_foreign_exception_is_not_trusted() -> None:
    error = raise_with(UnicodeDecodeError("ascii", b"CANARY", 0, 1, "CANARY"))
    assert describe_error(error)["reason"] == ""
