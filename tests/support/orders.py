"""Orders for tests, each a few segments long, with obviously invented people."""


def order(
    number: str,
    *,
    control: str = "NW",
    control_id: str = "",
    procedure: str = "72148^MRI L SPINE WO^C4",
    reason: str = "new onset LBP x 3 wks, radiating L leg",
    diagnoses: tuple[str, ...] = ("C50.911^Malignant neoplasm^I10",),
    group: str = "",
    patient: str = "1001",
    extra_orders: tuple[bytes, ...] = (),
) -> bytes:
    """An ORM^O01 with one order, or more."""
    header = [
        f"MSH|^~\\&|EPIC|HOSP|RIS|RAD|20260115101500||ORM^O01|{control_id or 'C' + number}|T|2.3.1",
        f"PID|1||{patient}^^^HOSP^MR||TESTPATIENT^JANE||19680101|F",
        "PV1|1|O|ONC^^^HOSP",
    ]
    head = "\r".join(header).encode() + b"\r"
    first = order_group(number, control=control, procedure=procedure, reason=reason, diagnoses=diagnoses, group=group)
    return head + first + b"".join(extra_orders)


def order_group(
    number: str,
    *,
    control: str = "NW",
    procedure: str = "72148^MRI L SPINE WO^C4",
    reason: str = "new onset LBP x 3 wks, radiating L leg",
    diagnoses: tuple[str, ...] = (),
    group: str = "",
) -> bytes:
    """One ORC, its OBR and DG1s."""
    lines = [
        f"ORC|{control}|{number}^EPIC||{group}|||||20260115101500|||123^TESTDOCTOR^JOHN",
        f"OBR|1|{number}^EPIC||{procedure}||||||||||||123^TESTDOCTOR^JOHN|||||||||||^^^^^R||||^{reason}",
    ]
    lines.extend(f"DG1|{index}||{code}" for index, code in enumerate(diagnoses, start=1))
    return "\r".join(lines).encode() + b"\r"


CHEST_FILM = "71046^XR CHEST 2 VIEWS^C4"
COMPLETE = "30855-1^MR C+T+L WO and W^LN"
