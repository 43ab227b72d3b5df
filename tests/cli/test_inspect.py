"""`interceptor inspect` names what a message says, and says what the standard would not."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from interceptor.cli import inspect
from interceptor.message.view import MessageView
from interceptor.review.inspection import inspect_message, validate_message
from tests.support.corpus import corpus_messages, needs_corpus

ORDER = (
    b"MSH|^~\\&|EHR|H|RIS|H|20260101120000||ORM^O01|ID-1|T|2.3.1\r"
    b"PID|1||123^^^MRN~456||Doe^J\\T\\B||19700101|F\r"
    b"PV1|1|O\r"
    b"ORC|NW|1^EHR\r"
    b"OBR|1|1^EHR||72148^MRI L SPINE^C4|||||||||||||||||||||||^^^20260101^^R\r"
    b"NTE|1||first\rNTE|2||\x1b[31mred\r"
    b"ZZZ|1|a^b\r"
)


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    inspect.register(app)
    return app


def run(app: typer.Typer, *arguments: str, stdin: bytes = ORDER) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["-", *arguments], input=stdin)
    return result.exit_code, result.output


def test_every_field_is_shown_with_its_path_its_name_and_its_text(app: typer.Typer) -> None:
    code, output = run(app)
    assert code == 0
    for line in (
        "message 1: ORM^O01, ID-1, 2.3.1",
        "  PID-3[2]     Patient identifier list (CX): 456",
        "    PID-5.2        Given name: J&B",
        "  OBR-4        Universal service id (CE): 72148^MRI L SPINE^C4",
        "    OBR-27.6       Priority: R",
        "  NTE[2]-3     Comment (FT): \\x1b[31mred",
        "    ZZZ-2.2        : b",
    ):
        assert line in output.splitlines()


def test_the_names_are_those_of_the_messages_version() -> None:
    newer = inspect_message(MessageView(ORDER.replace(b"2.3.1", b"2.5.1")))
    names = {value.path: value.name for segment in newer.segments for value in segment.values}
    assert names["OBR-4"] == "Universal service identifier"
    assert names["ZZZ-1"] == ""


@pytest.mark.parametrize(
    ("stated", "used"),
    [("2.3.1", "2.3.1"), ("2.3.2", "2.3.1"), ("2.9", "2.8.2"), ("", "2.5.1"), ("banana", "2.5.1"), ("1.0", "2.5.1")],
)
def test_an_unknown_version_gets_the_nearest_older_names(stated: str, used: str) -> None:
    view = MessageView(ORDER.replace(b"|2.3.1\r", f"|{stated}\r".encode("ascii")))
    assert inspect_message(view).version_used == used


def test_an_order_with_an_obr_is_not_told_that_it_lacks_the_rest_of_the_choice(app: typer.Typer) -> None:
    for version in (b"2.3.1", b"2.4", b"2.5.1"):
        assert validate_message(MessageView(ORDER.replace(b"2.3.1", version))) == ()
    code, output = run(app, "--validate")
    assert (code, "conforms to the standard" in output) == (0, True)


def test_what_is_really_missing_is_still_told(app: typer.Typer) -> None:
    broken = ORDER.replace(b"PID|1||123^^^MRN~456|", b"PID|1|||").replace(
        b"|72148^MRI L SPINE^C4", b"|72148^MRI & more^C4"
    )
    code, output = run(app, "--validate", stdin=broken)
    assert code == 1
    assert "Missing required child PID.PID_3" in output
    assert "OBR_4.CE_2 has parts that its datatype does not have" in output


def test_json_has_one_object_for_each_message(app: typer.Typer) -> None:
    code, output = run(app, "--json", "--validate", stdin=ORDER + ORDER.replace(b"ID-1", b"ID-2"))
    shown = [json.loads(line) for line in output.splitlines()]
    assert (code, [one["control_id"] for one in shown], shown[0]["findings"]) == (0, ["ID-1", "ID-2"], [])
    pid = next(segment for segment in shown[0]["segments"] if segment["name"] == "PID")
    assert [value["path"] for value in pid["values"]] == ["PID-1", "PID-3[1]", "PID-3[2]", "PID-5", "PID-7", "PID-8"]


def test_what_is_not_hl7_is_said_and_ends_with_one(app: typer.Typer) -> None:
    code, output = run(app, stdin=b"good morning\n")
    assert (code, output) == (1, "message 1: not HL7: no_header at byte 0\n")


@needs_corpus
def test_no_message_of_the_corpus_is_too_odd_to_be_shown(app: typer.Typer) -> None:
    """hl7apy fails on more than half of these; inspecting must not."""
    for name, raw in list(corpus_messages())[::25]:
        result = CliRunner().invoke(app, ["-", "--validate"], input=raw)
        assert result.exit_code in (0, 1), name
        assert isinstance(result.exception, SystemExit | None), f"{name}: {result.exception!r}"
        assert result.output


def test_a_long_value_is_cut_on_the_screen_and_whole_in_json(app: typer.Typer) -> None:
    long = ORDER.replace(b"first", b"x" * 5000)
    assert "... (5000 characters)" in run(app, stdin=long)[1]
    assert "x" * 5000 in run(app, "--json", stdin=long)[1]


def test_a_file_that_is_absent_is_wrong_use(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "absent")])
    assert result.exit_code == 2
