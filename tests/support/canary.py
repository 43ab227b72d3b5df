"""Messages in which everything about a patient is a word that is easy to find, and the search for those words.

    raw = planted(raw)              an HL7 message of any kind, its patient's fields marked
    assert_clean(log=..., page=...) none of the words is in what operations, logs, addresses and errors show

Join it wherever something new shows text: give what it shows to `assert_clean`, and `assert_reached` what must have had
the words, so that an empty search is not taken for a clean one.
"""

import re
from collections.abc import Iterator

MARKS = {
    "number": "ZQXMRN",
    "account": "ZQXACCOUNT",
    "name": "ZQXNAME",
    "birth date": "19370817",
    "address": "ZQXSTREET",
    "phone": "555-0173-946",
    "social": "987-65-4320",
    "visit": "ZQXVISIT",
    "order": "ZQXORDER",
    "accession": "ZQXFILLERNO",
    "doctor": "ZQXDOCTOR",
    "diagnosis": "ZQXDIAGNOSIS",
    "note": "ZQXNOTE",
    "reason": "ZQXREASON",
    "observation": "ZQXOBSERVED",
    "control id": "ZQXCTRL",
    "allergy": "ZQXALLERGY",
    "unreadable": "ZQXNOTHL7",
}
"""What each word stands for. A date, a phone and a social security number must look like one to be treated as one."""


def planted(raw: bytes, tag: str = "") -> bytes:
    """The message with its patient's, order's and doctors' fields marked; clinical words and codes stay beside the marks.

    Args:
        raw: An HL7 message.
        tag: Comes after the marks of patients' and orders' numbers: messages with different tags are about others.
    """
    lines = re.split(rb"\r\n|\r|\n", raw)
    return b"\r".join(_marked(line.decode("latin-1"), tag).encode("latin-1") for line in lines)


def unreadable() -> Iterator[bytes]:
    """Content that is no message, or half of one, and is full of marks all the same."""
    mark = MARKS["unreadable"]
    yield mark.encode()
    yield f"MSH|^~\\&|{mark}".encode()
    yield f"MSH\r{mark}|{MARKS['name']}".encode()
    yield f"BHS|^~\\&|{mark}\rMSH|^~\\&|A|B|C|D|20260101||ORM^O01|{MARKS['control id']}|T|2.3.1\r".encode()
    yield f"MSH|^~\\&|A|B|C|D|20260101||ORM^O01|{MARKS['control id']}|T|{mark}\rORC|NW\rOBR|{mark}|{mark}||{mark}\r".encode()
    yield b"\xff\xfe" + mark.encode("utf-16-le")


def found_in(shown: str | bytes) -> list[str]:
    """What the marks in a text stand for; empty when there are none."""
    text = shown.decode("utf-8", "replace") if isinstance(shown, bytes) else shown
    return [meaning for meaning, mark in MARKS.items() if mark in text]


def assert_clean(**shown: str | bytes) -> None:
    """None of the marks is in any of the texts; says which is, and where it stands."""
    for source, text in shown.items():
        plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        for meaning, mark in MARKS.items():
            place = plain.find(mark)
            assert place < 0, f"{source} shows the {meaning}: {plain[max(0, place - 200) : place + 60]!r}"


def assert_reached(received: bytes, *meanings: str) -> None:
    """The words did go through: what was received has those of these meanings."""
    assert set(meanings) <= set(found_in(received))


def _marked(line: str, tag: str) -> str:
    name = line[:3]
    fields = line.split("|")
    if name == "MSH" and len(fields) > 9:
        fields[9] = f"{MARKS['control id']}{fields[9]}"[:20]
    for index, mark in _WHOLE.get(name, {}).items():
        _put(fields, index, mark)
    for index, mark in _BESIDE.get(name, {}).items():
        if index < len(fields) and fields[index]:
            fields[index] = f"{fields[index]} {MARKS[mark]}"
    for index, mark in _FIRST.get(name, {}).items():
        if index < len(fields) and fields[index]:
            fields[index] = MARKS[mark] + (tag if mark in ("number", "order") else "") + fields[index]
    if name == "DG1" and len(fields) > 3 and "^" in fields[3]:
        code, _, words = fields[3].partition("^")
        fields[3] = f"{code}^{MARKS['diagnosis']} {words}"
    return "|".join(fields)


def _put(fields: list[str], index: int, text: str) -> None:
    fields.extend([""] * (index + 1 - len(fields)))
    fields[index] = text


_WHOLE = {
    "PID": {
        5: f"{MARKS['name']}^{MARKS['name']}",
        7: MARKS["birth date"],
        11: f"1 {MARKS['address']}^^{MARKS['address']}",
        13: MARKS["phone"],
        18: MARKS["account"],
        19: MARKS["social"],
    },
    "NK1": {2: MARKS["name"], 5: MARKS["phone"]},
    "PV1": {19: MARKS["visit"]},
}
"""Fields that become a mark."""
_BESIDE = {
    "OBR": {13: "reason", 31: "reason"},
    "NTE": {3: "note"},
    "OBX": {5: "observation"},
}
"""Fields whose words are read: the mark comes after them."""
_FIRST = {
    "PID": {2: "number", 3: "number"},
    "ORC": {2: "order", 3: "accession", 12: "doctor"},
    "OBR": {2: "order", 3: "accession", 16: "doctor"},
    "PV1": {7: "doctor", 8: "doctor"},
    "AL1": {3: "allergy"},
    "MRG": {1: "number"},
}
"""Fields that identify: the mark comes before them, so that what was the same stays the same."""
