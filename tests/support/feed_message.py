"""Messages of ADT, problem and result feeds, with obviously invented people."""


def feed_message(
    kind: str,
    *segments: str,
    at: str = "20260301080000",
    control_id: str = "",
    patient: str = "1001^^^HOSP^MR",
    birth_date: str = "19680101",
    sex: str = "F",
    event_at: str | None = None,
) -> bytes:
    """One message: MSH, EVN (ADT only), PID and *segments*; *kind* as in "ADT^A08"."""
    code, _, trigger = kind.partition("^")
    lines = [f"MSH|^~\\&|ADT|HOSP|ICPT|HOSP|{at}||{kind}|{control_id or trigger + at}|T|2.5.1"]
    if code == "ADT":
        lines.append(f"EVN|{trigger}|{at if event_at is None else event_at}")
    lines.append(f"PID|1||{patient}||TESTPATIENT^JANE||{birth_date}|{sex}")
    lines.extend(segments)
    return "\r".join(lines).encode() + b"\r"


def visit(number: str, *, ambulatory: str = "") -> str:
    """PV1 with PV1-15 and PV1-19."""
    fields = ["PV1", "1", "O", "ONC^^^HOSP", *[""] * 16]
    fields[15], fields[19] = ambulatory, number
    return "|".join(fields)


def diagnosis(
    code: str = "C50.911^Malignant neoplasm of breast^I10", *, action: str = "", day: str = "20260115"
) -> str:
    """DG1 with DG1-3, DG1-5 and DG1-21."""
    return f"DG1|1||{code}||{day}|F" + ("|" * 15 + action if action else "")


def problem(
    code: str = "C50.911^Malignant neoplasm of breast^I10",
    *,
    action: str = "AD",
    number: str = "P1",
    life_cycle: str = "",
    confirmation: str = "",
) -> str:
    """PRB with PRB-1, -3, -4, -7, -13 and -14."""
    return f"PRB|{action}|20260201|{code}|{number}|||20260110||||||{confirmation}|{life_cycle}"
