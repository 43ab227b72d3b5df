"""What a reviewer sees of an order at a glance, from every place that it may stand in."""

from interceptor.context.order_summary import order_summary
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView
from tests.support.orders import order

FULL = (
    b"MSH|^~\\&|EHR|H|RIS|R|20260302||ORM^O01|7|T|2.3.1\r"
    b"PID|1||4711^^^HOSP^MR||TEST\\T\\PATIENT^ANN^M||19680101103000|F\r"
    b"PV1|1|O|ONC^12^A\r"
    b"ORC|NW|A1^EHR||||||||||123^TESTDOCTOR^JOHN||555-0100\r"
    b"OBR|1|A1^EHR||72148^MRI L SPINE WO^C4|||||||||history of fall|||||ACC1||||||||||||"
    b"|M54.50^Low back pain^I10~^numb leg|||||202603050800\r"
)


def summary(raw: bytes) -> dict[str, object]:
    view = MessageView(raw)
    return order_summary(view, order_groups(view)[0])


def test_every_field_that_is_stated_is_shown_as_text() -> None:
    shown = summary(FULL)
    assert shown["patient_name"] == "TEST&PATIENT, ANN"
    assert (shown["patient_id"], shown["patient_id_authority"]) == ("4711", "HOSP")
    assert (shown["birth_date"], shown["sex"]) == ("19680101", "F")
    assert (shown["patient_class"], shown["location"]) == ("O", "ONC 12 A")
    assert (shown["placer_order_number"], shown["accession"], shown["control_id"]) == ("A1", "ACC1", "7")
    assert (shown["procedure_code"], shown["procedure"]) == ("72148", "MRI L SPINE WO")
    assert shown["reason"] == "Low back pain; numb leg; history of fall"
    assert (shown["orderer"], shown["call_back"], shown["scheduled"]) == (
        "TESTDOCTOR, JOHN",
        "555-0100",
        "202603050800",
    )


def test_an_order_without_an_obr_has_empty_places_and_its_number() -> None:
    raw = b"\r".join(line for line in order("A1").split(b"\r") if not line.startswith(b"OBR"))
    shown = summary(raw)
    assert (shown["placer_order_number"], shown["procedure"], shown["reason"], shown["scheduled"]) == ("A1", "", "", "")


def test_the_obr_speaks_where_the_orc_is_silent() -> None:
    raw = FULL.replace(b"ORC|NW|A1^EHR||||||||||123^TESTDOCTOR^JOHN||555-0100\r", b"ORC|NW\r")
    raw = raw.replace(b"|||||||||history of fall|||||ACC1", b"|||||||||history of fall|||9^OTHER^MAY|555-0199|ACC1")
    shown = summary(raw)
    assert (shown["placer_order_number"], shown["orderer"], shown["call_back"]) == ("A1", "OTHER, MAY", "555-0199")


def test_every_value_can_be_stored_as_json_text() -> None:
    assert all(isinstance(value, str) for value in summary(FULL).values())
