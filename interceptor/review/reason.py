"""Coded reasons: what a site lets people choose from, and the sentence that a choice becomes.

The sentence goes to the audit trail, to the note on the order and to the placer; its code to the audit trail, so
that reasons can be counted. A command without a code (the command line) gives the sentence itself.
"""

from collections.abc import Mapping
from typing import Any

from interceptor.control.protocol import ControlError

OTHER = "other"
"""The code that says nothing by itself and needs a text."""
REASON_SIZE_MAX = 400
AUTHORITIES: Mapping[str, str] = {
    "verbal_order": "Verbal order, read back",
    "protocol": "Protocol of the department",
    "design_change": "The orderer changed the order with me",
    "clear_error": "Clear error of order entry",
}
"""On whose word a reviewer changes the procedure of an order."""


def read_reason(arguments: Mapping[str, Any], coded: Mapping[str, str], *, is_required: bool) -> tuple[str, str]:
    """The code ("" for none) and the sentence of a command's `reason_code` and `reason`.

    Raises:
        ControlError: reason_missing, or bad_argument for a code that the site does not have.
    """
    code = str(arguments.get("reason_code") or "")
    text = str(arguments.get("reason") or arguments.get("comment") or "").strip()[:REASON_SIZE_MAX]
    if code and code not in coded:
        raise ControlError("bad_argument", f"a reason is one of {', '.join(coded)}")
    if code == OTHER and not text:
        raise ControlError("reason_missing", f'"{OTHER}" needs a text that says what')
    if not code and not text and is_required:
        raise ControlError("reason_missing", "say why: whoever reads it has to act on it")
    if not code or code == OTHER:
        return code, text
    return code, f"{coded[code]}: {text}"[:REASON_SIZE_MAX] if text else coded[code]
