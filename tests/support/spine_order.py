"""One imaging order as a test wants it: every field that speaks for a fact, the rest as usual."""

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from interceptor.config.mappings import find_mappings, load_clinical_content
from interceptor.context.extract import ContextTables, OrderFacts
from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=ZoneInfo("America/New_York"))
"""A Monday morning at the example site."""


@cache
def shipped_tables() -> ContextTables:
    """The content that ships, with the example site."""
    content = load_clinical_content(
        mappings=find_mappings(), policy="spine-oncology", profile="default", site="example"
    )
    return content.tables


def segment(name: str, **fields: str) -> str:
    """A segment with the given fields (`f4="72148"`), the others empty."""
    numbers = {int(key[1:]): value for key, value in fields.items()}
    return "|".join([name, *(numbers.get(number, "") for number in range(1, max(numbers, default=0) + 1))])


def order_message(
    *,
    study: str = "72148^MRI L SPINE WO^C4",
    reason: str = "",
    more: tuple[str, ...] = (),
    header: tuple[str, ...] = (),
    control: str = "NW",
    priority: str = "R",
    patient_class: str = "O",
    birth: str = "19670404",
    orc: dict[str, str] | None = None,
    obr: dict[str, str] | None = None,
) -> bytes:
    """An ORM^O01 with one order."""
    lines = [
        "MSH|^~\\&|EHR|HOSP|RIS|HOSP|20260302101500||ORM^O01|M1|T|2.5.1",
        segment("PID", f1="1", f3="M1^^^HOSP^MR", f5="TEST^A", f7=birth, f8="F"),
        segment("PV1", f1="1", f2=patient_class),
        *header,
        segment("ORC", **{"f1": control, "f2": "P1^EHR", "f7": f"^^^^^{priority}", **(orc or {})}),
        segment("OBR", **{"f1": "1", "f2": "P1^EHR", "f4": study, "f31": reason, **(obr or {})}),
        *more,
    ]
    return "".join(line + "\r" for line in lines).encode("utf-8")


def facts_of(raw: bytes, *, number: int = 1, evidence: PatientEvidence | None = NO_EVIDENCE) -> OrderFacts:
    """The facts of one order of a message, its other orders taken as siblings of the same patient."""
    view = MessageView(raw)
    groups = order_groups(view)
    group = groups[number - 1]
    return OrderFacts(
        view,
        group,
        tables=shipped_tables(),
        evidence=evidence,
        as_of=NOW,
        siblings=tuple(one for one in groups if one is not group),
        message_groups=groups,
    )


def diagnosis(code: str, system: str = "I10", *, words: str = "", method: str = "") -> str:
    """A DG1."""
    return segment("DG1", f1="1", f2=method, f3=f"{code}^{words}^{system}")


def question(words: str, answer: str, *, kind: str = "ST", code: str = "Q") -> str:
    """An order question."""
    return segment("OBX", f1="1", f2=kind, f3=f"{code}^{words}^L", f5=answer)
