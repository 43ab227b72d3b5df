"""What a person fills in to decide an order, and what would leave because of it. Pure.

The server checks every form again; a page that lost its script posts the same fields. A reason is a code of the
site's list; "other" needs words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData

from interceptor.review.byte_diff import MessageDiff, message_diff
from interceptor.review.node_client import Answer, Reply
from interceptor.review.parts import ReviewSettings
from interceptor.review.reason import AUTHORITIES, OTHER, REASON_SIZE_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionForm:
    """The fields of one form; empty where it has none.

    Attributes:
        code: The coded reason.
    """

    version: int | None
    code: str
    text: str
    comment: str
    authority: str
    protocol_number: str
    has_read_back: bool
    to: str
    minutes: int | None

    def problem(self, verb: str) -> str | None:
        """What is missing, as a sentence; None when nothing is."""
        if verb in ("release", "return") and not self.code:
            return "Choose a reason."
        if self.code == OTHER and not self.comment:
            return 'The reason "other" needs words.'
        if verb == "comment" and not self.comment:
            return "There is no comment to write."
        if verb == "change":
            return self._change_problem()
        if verb == "hand-over" and not self.to:
            return "Say to whom."
        return "Say for how long." if verb == "snooze" and self.minutes is None else None

    def _change_problem(self) -> str | None:
        if self.authority not in AUTHORITIES:
            return "Say on whose authority the procedure is changed."
        if self.authority == "verbal_order" and not self.has_read_back:
            return "A verbal order is read back before it counts."
        if self.authority == "protocol" and not self.protocol_number:
            return "Give the number of the protocol."
        is_named = self.comment or self.protocol_number
        return None if is_named else "Name the person who gave the order, the protocol, or the error."

    def arguments(self, verb: str) -> dict[str, object]:
        """What the node is given."""
        given: dict[str, object] = {"version": self.version}
        match verb:
            case "release" | "return":
                given |= {"reason_code": self.code, "reason": self.comment}
            case "change":
                words = " ".join(filter(None, (self.protocol_number, self.comment)))
                given |= {"reason": words, "authority": self.authority, "read_back": self.has_read_back}
            case "comment":
                given = {"comment": self.comment}
            case "hand-over":
                given |= {"to": self.to, "comment": self.comment}
            case "snooze":
                given |= {"minutes": self.minutes}
            case _:
                pass
        return given

    def preview_arguments(self) -> dict[str, Any]:
        """What the node is asked for a preview: a change where the form is that of a change, else a release."""
        if self.authority:
            return {"action": "change"} | {k: v for k, v in self.arguments("change").items() if k != "version"}
        return {"reason_code": self.code or None, "reason": self.comment or None}


def read_form(form: FormData | Mapping[str, object], settings: ReviewSettings) -> DecisionForm:
    """The fields of a posted form. A code that the site does not have counts as none."""
    code = _field(form, "reason")
    texts = {**settings.release_reasons, **settings.return_reasons}
    return DecisionForm(
        version=_number(form, "version"),
        code=code if code in texts else "",
        text=texts.get(code, ""),
        comment=_field(form, "comment", REASON_SIZE_MAX),
        authority=_field(form, "authority"),
        protocol_number=_field(form, "protocol_number"),
        has_read_back=_field(form, "read_back") == "yes",
        to=_field(form, "to"),
        minutes=_number(form, "minutes"),
    )


def _field(form: FormData | Mapping[str, object], name: str, length_max: int = 80) -> str:
    return " ".join(str(form.get(name) or "").split())[:length_max]


def _number(form: FormData | Mapping[str, object], name: str) -> int | None:
    text = _field(form, name, 12)
    return int(text) if text.isascii() and text.isdigit() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would leave, beside what came; the node's own words where it cannot say."""

    diff: MessageDiff | None
    problem: str


def preview_of(reply: Reply) -> Preview:
    """The node's answer to `held_preview` as a difference in named fields. Slow: run in a thread."""
    if not isinstance(reply, Answer):
        return Preview(diff=None, problem=reply.message)
    before, after = (str(reply.result.get(name, "")).encode("latin-1") for name in ("received", "leaving"))
    return Preview(diff=message_diff(before, after), problem="")
