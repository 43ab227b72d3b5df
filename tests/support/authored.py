"""Orders as each feed sends them, and what hl7apy makes of the messages that we author about them."""

import tempfile
from pathlib import Path

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message
from hl7apy.validation import Validator

from interceptor.message.view import MessageView

FEEDS = [
    *[("ORM^O01", version) for version in ("2.3.1", "2.4", "2.5", "2.5.1")],
    # OMG came with 2.4; hl7apy knows OMI from 2.5 on.
    *[("OMG^O19^OMG_O19", version) for version in ("2.4", "2.5", "2.5.1")],
    *[("OMI^O23^OMI_O23", version) for version in ("2.5", "2.5.1")],
]
"""Message type and version of every feed that we claim."""

IPC = "IPC|A77^HOSP|RP77^HOSP|1.2.826.0.1.77^HOSP|SPS77^HOSP"


def feed_order(message_type: str = "ORM^O01", version: str = "2.5.1", *, asks: str = "AL|NE") -> MessageView:
    """One order as a placer of this feed sends it; *asks* is MSH-15 and MSH-16."""
    lines = [
        f"MSH|^~\\&|EPIC|HOSP|RIS|RAD|20260115101500||{message_type}|CP1|T|{version}|||{asks}|USA|8859/1",
        "PID|1||1001^^^HOSP^MR||TESTPATIENT^JANE||19680101|F",
        "PV1|1|O|ONC^^^HOSP",
        "ORC|NW|P1^EPIC||G1^EPIC|||||20260115101500|||123^TESTDOCTOR^JOHN",
        "OBR|1|P1^EPIC||72148^MRI L SPINE WO^C4|||||||||||||123^TESTDOCTOR^JOHN",
        "DG1|1||C50.911^Malignant neoplasm^I10|||W",
        *([IPC] if message_type.startswith("OMI") else []),
    ]
    return MessageView("".join(line + "\r" for line in lines).encode())


def findings(content: bytes) -> list[str]:
    """What hl7apy finds wrong with a message, by the tables of its version; the known false findings left out."""
    message = parse_message(content.decode(), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        try:
            Validator.validate(message, report_file=str(report))
        except HL7apyException as error:
            # It raises the first of the errors that it has written down.
            if not report.exists():
                return [str(error)]
        lines = [line.partition(": ")[2] for line in report.read_text(encoding="utf-8").splitlines() if line]
    return [line for line in lines if not is_false_finding(line)]


def is_false_finding(finding: str) -> bool:
    """What hl7apy 1.3.5 reports although the standard allows it.

    It reads the choice of an ORM or ORR order as a sequence, and misses all that were not chosen. Its table 0396 has
    the word "99zzz" and not what it stands for: any local coding system whose name begins with 99.
    """
    name = finding.rpartition(".")[2]
    is_choice = finding.startswith("Missing required child OR") and name in {"RQD", "RQ1", "RXO", "ODS", "ODT"}
    return is_choice or finding.startswith("Value 99INT not in table HL70396 ")
