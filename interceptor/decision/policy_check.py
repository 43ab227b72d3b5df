"""What a policy file must be beyond its shape: its names agree, and its rows decide every order.

Every problem is reported with the path of the table and the key it stands in; the caller knows the lines.
"""

from collections import Counter
from typing import Protocol

from interceptor.decision.policy_coverage import Box, boxes_of, describe, subtract
from interceptor.decision.policy_document import Give, PolicyDocument, Row
from interceptor.decision.policy_line import Path


class Report(Protocol):
    """Notes one problem."""

    def __call__(self, path: Path, key: str | None, what: str, item: str | None = None, /) -> None:
        """Note that the table at *path*, its *key* and, in a list, the *item*, are wrong."""
        ...


def check_references(document: PolicyDocument, report: Report) -> None:
    """Every name that is used is defined, once, and every reason is given by some row or by the lifecycle."""
    codes = Counter(reason.code for reason in document.reasons)
    switches = {switch.name for switch in document.switches}
    _check_reasons(document, report, codes)
    _check_rows(document, report)
    for index, row in enumerate(document.rows):
        _check_switches(("row", index), row, switches, report)
        for at, give in enumerate(row.gives):
            place = ("row", index, "gives", at)
            _check_switches(place, give, switches, report)
            if give.code not in codes:
                report(place, "code", f"unknown reason code {give.code!r}")
    for profile in document.profiles:
        for name in sorted(profile.on - switches):
            report(("profile", profile.name), "on", f"unknown switch {name!r}", name)
    if "default" not in {profile.name for profile in document.profiles}:
        report((), "profile", "there is no profile 'default'")


def _check_rows(document: PolicyDocument, report: Report) -> None:
    sources = {source.name for source in document.sources}
    names = Counter(row.name for row in document.rows)
    highest = 0
    for index, row in enumerate(document.rows):
        if names[row.name] > 1:
            report(("row", index), "name", f"duplicate row {row.name!r}")
        if row.source not in sources:
            report(("row", index), "source", f"unknown source {row.source!r}")
        if row.number < highest:
            report(("row", index), "number", f"is {row.number}, after a row {highest}")
        highest = max(highest, row.number)


def _check_switches(place: Path, item: Row | Give, switches: set[str], report: Report) -> None:
    for key, name in (("switch", item.switch), ("unless_switch", item.unless_switch)):
        if name and name not in switches:
            report(place, key, f"unknown switch {name!r}")


def _check_reasons(document: PolicyDocument, report: Report, codes: Counter[str]) -> None:
    given = {give.code for row in document.rows for give in row.gives} | {code for _, code in document.noncompliant}
    for index, reason in enumerate(document.reasons):
        if codes[reason.code] > 1:
            report(("reason", index), "code", f"duplicate reason code {reason.code!r}")
        elif reason.code not in given and not reason.code.startswith("S-"):
            report(("reason", index), "code", f"no row gives {reason.code!r}")
    for procedure_class, code in document.noncompliant:
        if code not in codes:
            report(("noncompliant",), procedure_class, f"unknown reason code {code!r}")


def check_coverage(document: PolicyDocument, report: Report) -> None:
    """In every profile each row can decide something, and together they decide every order."""
    numbers = {row.name: index for index, row in enumerate(document.rows)}
    for profile in document.profiles:
        taken: list[Box] = []
        for row in document.active_rows(profile):
            boxes = [box for give in row.gives for box in boxes_of((*row.when, *give.when))]
            if not any(subtract(box, taken) for box in boxes):
                where = ("row", numbers[row.name])
                report(where, "name", f"{row.name!r} is unreachable in profile {profile.name!r}")
            taken += boxes
        left = subtract({}, taken)
        if left:
            report((), "row", f"no row decides in profile {profile.name!r}: {describe(left[0])}")
