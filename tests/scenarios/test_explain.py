"""`interceptor explain` and `interceptor policy test`, as people run them."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from interceptor.cli import explain, policy
from interceptor.cli.explanation import explain_message
from interceptor.config.mappings import find_mappings
from interceptor.context.patient import NO_EVIDENCE
from interceptor.message.view import MessageView
from interceptor.replay.simulation import MessageOutcome, simulate_custody, site_options
from interceptor.replay.vignette import Vignette
from interceptor.wire.frame import encode_frame
from tests.support.clinical import NOW, shipped_content, shipped_vignettes

VIGNETTES = find_mappings() / "vignettes"
KEYS = {
    "placer_order_number": str, "order_control": str, "disposition": str, "escalate": bool, "reasons": list, "lookup": str,
    "procedure": dict, "oncology": dict, "symptom": dict, "urgency": dict, "exceptions": list, "evidence": list,
}  # fmt: skip


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    app = typer.Typer()
    explain.register(app)
    policy.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def vignette(name: str) -> Path:
    (found,) = VIGNETTES.glob(f"{name}-*")
    return found


def explained(name: str, *options: str | Path) -> list[dict[str, Any]]:
    folder = vignette(name)
    known: list[str | Path] = ["--evidence", folder / "evidence.json"] if (folder / "evidence.json").exists() else []
    result = run("explain", folder / "in.hl7", "--json", *known, *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_json_has_exactly_the_keys_of_the_design() -> None:
    (found,) = explained("V01")
    assert list(found) == ["control_id", "message_type", "disposition", "orders", "policy"]
    (order,) = found["orders"]
    assert {key: type(value) for key, value in order.items()} == KEYS
    assert order["procedure"] == {
        "class": "regional_mr", "modality": "MR", "regions": ["L"], "contrast": "WO", "source": "cpt",
    }  # fmt: skip
    assert order["oncology"] == {"tier": "active", "conflict": False}
    assert order["symptom"] == {"class": "radicular", "onset": "new"}
    assert order["urgency"] == {"class": "routine"}
    assert all(list(one) == ["fact", "path", "source", "code", "text", "date"] for one in order["evidence"])
    assert list(found["policy"]) == ["id", "version", "profile", "sha256"]
    assert re.fullmatch(r"[0-9a-f]{64}", found["policy"]["sha256"])


def outcomes_of(one: Vignette) -> tuple[MessageOutcome, ...]:
    """As `explain` without evidence, in this process: the content is loaded once."""
    content = shipped_content()
    options = site_options(content.tables.site, now=NOW)
    views = [MessageView(raw) for raw in one.messages]
    return simulate_custody(views, content=content, evidence=lambda _: NO_EVIDENCE, options=options)


@pytest.mark.parametrize("one", shipped_vignettes(), ids=lambda one: one.name)
def test_every_vignette_is_explained_with_every_key(one: Vignette) -> None:
    for outcome in outcomes_of(one):
        found = explain.outcome_json(outcome, shipped_content())
        orders: Any = json.loads(json.dumps(found))["orders"]
        assert [{key: type(value) for key, value in order.items()} for order in orders] == [KEYS] * len(orders)


def test_the_lookup_is_what_the_options_say() -> None:
    folder = vignette("V44")
    message = folder / "in.hl7"
    for options, expected in (((), "not_configured"), (("--lookup-failed",), "failed")):
        (line,) = run("explain", message, "--json", *options).stdout.splitlines()
        assert json.loads(line)["orders"][0]["lookup"] == expected
    (found,) = explained("V01")
    assert found["orders"][0]["lookup"] == "ok"


def test_the_profile_and_the_site_can_be_chosen() -> None:
    assert explained("V07", "--profile", "strict")[0]["disposition"] == "hold"
    assert explained("V07")[0]["disposition"] == "annotate"
    assert explained("V08", "--site", "default")[0]["orders"][0]["procedure"]["class"] == "unmapped"


def test_the_message_is_as_strong_as_its_strongest_order() -> None:
    (found,) = explained("V52")
    assert [order["disposition"] for order in found["orders"]] == ["hold", "pass"]
    assert found["disposition"] == "hold"


def test_a_time_moves_the_decision_and_not_the_arrival() -> None:
    folder = vignette("V30")
    assert explained("V30")[0]["orders"][0]["urgency"]["class"] == "imminent"
    moved = explained("V30", "--at", "2026-03-01T10:00")
    assert moved[0]["orders"][0]["urgency"]["class"] == "routine"
    assert explained("V04", "--at", "2026-03-03T00:00")[0]["disposition"] == "pass"
    assert "imminent" in run("explain", folder / "in.hl7", "--json", "--at", "20260302101500-0500").stdout


def test_deadlines_pass_only_until_a_time_that_is_given() -> None:
    assert explained("V53")[0]["disposition"] == "hold"
    passed = explained("V53", "--until", "2026-03-02T15:00-05:00")
    assert passed[0]["orders"][0]["reasons"][0] == "S-TTL-RELEASE"


@pytest.mark.parametrize("terminator", [b"\r", b"\n", b"\r\n"])
@pytest.mark.parametrize("framed", [True, False])
def test_any_form_of_input_is_read_from_a_pipe(terminator: bytes, *, framed: bool) -> None:
    messages = [raw.replace(b"\n", terminator) for one in ("V04",) for raw in _messages(one)]
    data = b"".join(encode_frame(raw) if framed else raw for raw in messages)
    result = run("explain", "-", "--json", stdin=data)
    assert [json.loads(line)["disposition"] for line in result.stdout.splitlines()] == ["pass"] * 3


def _messages(name: str) -> list[bytes]:
    (found,) = [one for one in shipped_vignettes() if one.name.startswith(f"{name}-")]
    return list(found.messages)


def test_people_get_the_verdict_the_words_that_said_so_and_the_guideline() -> None:
    folder = vignette("V01")
    text = run("explain", folder / "in.hl7", "--evidence", folder / "evidence.json").stdout
    for part in (
        "HOLD", "H-REGIONAL", "C50.911", "OBR-31.2", "'radiating'", "Would have prevented it", "Guidance:", "strength: moderate",
        "Leaves unreviewed at the latest 2026-03-02 14:15", "profile default", "No medical device",
    ):  # fmt: skip
        assert part in text, part
    assert "requires" not in text


@pytest.mark.parametrize("one", shipped_vignettes(), ids=lambda one: one.name)
def test_nobody_is_told_that_a_patient_has_no_cancer(one: Vignette) -> None:
    lines = [
        line
        for outcome in outcomes_of(one)
        for line in explain_message(outcome, count=len(one.messages), policy=shipped_content().policy)
    ]
    text = "\n".join(lines).lower()
    stated = b" ".join(one.messages).lower()
    for phrase in ("no cancer", "cancer-free", "nothing found", "requires"):
        assert phrase not in text or phrase.encode() in stated


def test_control_characters_of_an_order_never_reach_the_terminal() -> None:
    raw = _messages("V01")[0].replace(b"MRI L SPINE WO", b"MRI \x1b[2J L")
    assert "\x1b" not in run("explain", "-", stdin=raw).stdout


@pytest.mark.parametrize("data", [b"hello", b"\x0bhello\x1c\r", b"PID|1\r"])
def test_what_is_not_hl7_is_said_and_the_answer_is_no(data: bytes) -> None:
    result = run("explain", "-", stdin=data)
    assert result.exit_code == 1
    assert "not HL7" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--policy", "nowhere"], "nowhere.toml"),
        (["--profile", "lax"], "no profile 'lax'"),
        (["--site", "nowhere"], "nowhere.toml"),
        (["--at", "soon"], "--at"),
        (["--evidence", "README.md"], "no FHIR R4 Bundle"),
    ],
)
def test_wrong_use_is_exit_2_and_says_what(options: list[str], said: str) -> None:
    result = run("explain", vignette("V01") / "in.hl7", *options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_wrong_policy_is_refused_whole_with_file_and_line(tmp_path: Path) -> None:
    text = (find_mappings() / "policies" / "spine-oncology.toml").read_text()
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace('when = ["control is other"]', 'when = ["kontrol is other"]'))
    result = run("explain", vignette("V01") / "in.hl7", "--policy", wrong)
    line = wrong.read_text()[: wrong.read_text().index("kontrol")].count("\n") + 1
    assert result.exit_code == 2
    assert f"wrong.toml:{line}: row.when: unknown fact 'kontrol'" in result.stderr
    assert result.stdout == ""


def test_evidence_of_another_patient_is_warned_of() -> None:
    folder = vignette("V01")
    raw = _messages("V01")[0].replace(b"MRN1001", b"MRN9999")
    result = run("explain", "-", "--evidence", folder / "evidence.json", stdin=raw)
    assert result.exit_code == 0
    assert "another patient" in result.stderr
    assert "MRN" not in result.stderr


@pytest.mark.parametrize("profile", ["default", "strict"])
def test_policy_test_passes_and_prints_a_table(profile: str) -> None:
    result = run("policy", "test", "--profile", profile)
    assert result.exit_code == 0, result.output
    assert f"0 differ, profile {profile}" in result.stdout
    assert "as expected" in result.stdout


def test_policy_test_takes_a_sites_own_vignettes_and_fails_on_a_difference(tmp_path: Path) -> None:
    own = tmp_path / "S01-our-own-case"
    shutil.copytree(vignette("V01"), own)
    result = run("policy", "test", "--vignettes", tmp_path)
    assert result.exit_code == 0
    expected = own / "expect.toml"
    expected.write_text(expected.read_text().replace('"hold"', '"pass"'))
    result = run("policy", "test", "--vignettes", tmp_path)
    assert result.exit_code == 1
    assert "DIFFERS" in result.stdout
    assert "1 differ" in result.stdout


def test_a_broken_vignette_is_exit_2_with_every_problem(tmp_path: Path) -> None:
    own = tmp_path / "S01-broken"
    own.mkdir()
    (own / "expect.toml").write_text('title = "x"\nnear = 3\n')
    result = run("policy", "test", "--vignettes", tmp_path)
    assert result.exit_code == 2
    for part in ("near: unknown key", "why: missing", "in.hl7: cannot be read"):
        assert part in result.stderr
