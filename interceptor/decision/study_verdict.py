"""Orders that the policy decides by their study alone, found again by the bytes that repeat.

Most imaging orders are of another part of the body, and a hospital orders from a catalogue of some hundreds of studies.
So what the policy says of a study is asked once: with an order of which nothing but control and study is known. Where
that reaches a row, every order with the same ORC-1, OBR-4, OBR-44 and OBR-46 is decided by it, whatever else it says.

Only for messages that bytes alone can be trusted to show: usual delimiters, one ORC, one OBR behind it, a stated
number, no status of a study. Any other is decided in the general way; both ways agree
(tests/decision/test_study_verdict.py).
"""

from typing import NamedTuple, Never

from interceptor.context.order_control import kind_of_word
from interceptor.context.order_facts import Evidence, Procedure
from interceptor.context.procedure import STUDY_COUNT_MAX, read_procedure
from interceptor.context.site_profile import PROCEDURE_FIELDS
from interceptor.context.vocabulary import ControlKind, ProcedureClass
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.decision import Decision, Disposition
from interceptor.decision.evaluate import evaluate
from interceptor.decision.fact import OrderCase
from interceptor.message.group import OrderGroup, order_groups
from interceptor.message.view import MessageView

_ODD = bytes(value for value in range(256) if not 0x20 <= value < 0x7F) + b'~\\&"'
"""What makes bytes of a field more than one plain value."""
_ESCAPE = 0x1B
_SAFE_CHARACTERS = frozenset({b"", b"UNICODE UTF-8", b"UTF-8", b"8859/1", b"8859/15", b"ASCII"})
"""Values of MSH-18 under which no character hides a delimiter."""
_KEY_SIZE_MAX = 500
_REPLACEMENT = b"RO"


class StudyOrder(NamedTuple):
    """One order that is decided by its study.

    Attributes:
        order_key: As `OrderDecision.order_key`.
        order_control: ORC-1.
        decision: It passes.
    """

    order_key: str
    order_control: str
    decision: Decision


class _MoreNeeded(Exception):  # noqa: N818 - an answer: the study alone does not decide
    """The policy asks for another fact."""


class _StudyAlone:
    """What a case may read of an order of which only control and study are known."""

    def __init__(self, control: ControlKind, procedure: Procedure, evidence: tuple[Evidence, ...]) -> None:
        self.control = control
        self.procedure = procedure
        self.evidence = evidence

    def _refuse(self) -> Never:
        raise _MoreNeeded

    override = oncology = lookup = symptom = urgency = exceptions = property(_refuse)


class StudyVerdicts:
    """The studies of one route's orders that decide by themselves; remembered by their bytes."""

    def __init__(self, content: ClinicalContent) -> None:
        self._content = content
        # A site that states the study elsewhere may state it in any segment.
        self._is_usual_site = content.tables.site.procedure_fields == PROCEDURE_FIELDS
        self._known: dict[tuple[bytes, ...], Decision | None] = {}

    def find(self, raw: bytes, header_fields: list[bytes]) -> StudyOrder | None:
        """The order of a message, when the study decides it; None for any other, which says nothing of it.

        Args:
            raw: The message, with line ends of CR only.
            header_fields: Of its MSH: `peek_usual_fields`.
        """
        if not self._is_usual_site or not header_fields[8].startswith(b"ORM"):
            return None
        found = _find_order(raw, header_fields)
        if found is None:
            return None
        orc, obr = found
        key = _key(orc, header_fields)
        study = (orc[1], obr[4], *obr[44:45], *obr[46:47])
        if not key:
            return None
        decision = self._known[study] if study in self._known else self._read(raw, study)
        return None if decision is None else StudyOrder(key, orc[1].decode("ascii"), decision)

    def _read(self, raw: bytes, study: tuple[bytes, ...]) -> Decision | None:
        decision = self._decide(order_groups(MessageView(raw)))
        if sum(map(len, study)) <= _KEY_SIZE_MAX:
            if len(self._known) >= STUDY_COUNT_MAX:
                self._known.clear()
            self._known[study] = decision
        return decision

    def _decide(self, groups: tuple[OrderGroup, ...]) -> Decision | None:
        if len(groups) != 1 or len(groups[0].obrs) != 1:
            return None
        tables = self._content.tables
        procedure, evidence = read_procedure(groups[0], tables=tables.codes, site=tables.site, memory=tables.procedures)
        if procedure.procedure_class is not ProcedureClass.NOT_SPINE:
            # It may have siblings, or is kept for the mapping worklist.
            return None
        control = kind_of_word(groups[0].orc.text(1).strip().upper())
        case = OrderCase(_StudyAlone(control, procedure, evidence))
        try:
            decision = evaluate(self._content.policy, case)
        except _MoreNeeded:
            return None
        is_plain = decision.disposition is Disposition.PASS and not decision.escalate and not decision.decide_again
        return decision if is_plain else None


def _is_plain(values: bytes) -> bool:
    return len(values.translate(None, _ODD)) == len(values)


def _find_order(raw: bytes, header_fields: list[bytes]) -> tuple[list[bytes], list[bytes]] | None:
    """ORC and OBR, split, of a message with one order; None where more than a split is needed to find them."""
    if _ESCAPE in raw or (not raw.isascii() and b"".join(header_fields[17:18]) not in _SAFE_CHARACTERS):
        return None
    order_at = raw.find(b"\rORC|") + 1
    request_at = raw.find(b"\rOBR|", order_at) + 1
    # Whatever stands on the other lines: no other order can be read from a message that names no other.
    if not order_at or not request_at or raw.count(b"ORC") != 1 or raw.count(b"OBR") != 1:
        return None
    orc = raw[order_at : raw.find(b"\r", order_at)].split(b"|", 6)
    request_end = raw.find(b"\r", request_at)
    obr = raw[request_at : request_end if request_end >= 0 else len(raw)].split(b"|", 47)
    if len(orc) <= 2 or len(obr) <= 4 or orc[1].strip().upper() == _REPLACEMENT:
        return None
    # A study that is done is for the registry to hear of.
    if any(orc[5:6]) or any(obr[25:26]):
        return None
    return (orc, obr) if _is_plain(b"".join((orc[1], orc[2], obr[4], *obr[44:45], *obr[46:47]))) else None


def _key(orc: list[bytes], header_fields: list[bytes]) -> str:
    """`order_key` of plain ORC-2 and, where that has no namespace, MSH-3 and MSH-4; "" where it is not plain."""
    number, _, others = orc[2].partition(b"^")
    parts = others.split(b"^", 2)
    namespace = parts[0] or (parts[1] if len(parts) > 1 else b"")
    if not namespace:
        sender = b"/".join([field.partition(b"^")[0] for field in header_fields[2:4]])
        if not _is_plain(b"".join(header_fields[2:4])):
            return ""
        namespace = sender
    return (number + b"^" + namespace).decode("ascii") if number else ""
