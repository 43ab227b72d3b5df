"""Alert rules, their unit tests, their runbooks and the metrics they ask for belong together, one to one."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from interceptor.telemetry.metric_catalogue import CATALOGUE
from tests.support.alert_rules import FOLDER, RULES, family_of, rules, run, selectors
from tests.support.source_tree import ROOT

RUNBOOKS = ROOT / "docs" / "runbooks"
ALERTS = [rule for rule in rules() if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})
FAMILIES = {family.name: family for family in CATALOGUE}
TESTS = ("rules_test.yml", "rules_week_test.yml")
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="apt-get install prometheus")
needs_amtool = pytest.mark.skipif(shutil.which("amtool") is None, reason="apt-get install prometheus-alertmanager")
PROMISED = [
    "FillerDown",
    "OutboxStuck",
    "FeedSilent",
    "AckErrors",
    "AckTimeouts",
    "AckMismatch",
    "AddedLatency",
    "HeldOverdue",
    "HeldBacklog",
    "ReleasedUnreviewed",
    "HoldRateShift",
    "BreakerOpen",
    "DeadLetters",
    "DecisionErrors",
    "LookupFailing",
    "RegistryStale",
    "JournalSlow",
    "DiskLow",
    "LoopStalled",
    "CertExpiring",
    "ConfigReloadFailed",
    "TargetDown",
    "AccessRefused",
    "AuditExportFailing",
    "BypassInUse",
    "MemoryPaused",
    "ReviewAway",
]


@needs_promtool
def test_promtool_finds_no_fault_in_the_rules_and_the_sample_configuration() -> None:
    assert "SUCCESS" in run("promtool", "check", "rules", "rules.yml")
    assert "is valid" in run("promtool", "check", "config", "prometheus.yml")


@needs_amtool
def test_amtool_finds_no_fault_in_the_sample_route() -> None:
    assert "SUCCESS" in run("amtool", "check-config", "alertmanager.yml")


@needs_amtool
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=HeldOverdue", "severity=page"), "reviewers"),
        (("alertname=FillerDown", "severity=page"), "on-call"),
        (("alertname=JournalSlow", "severity=ticket"), "tickets"),
    ],
)
def test_an_alert_finds_the_people_who_can_do_something(labels: tuple[str, ...], receiver: str) -> None:
    routed = run("amtool", "config", "routes", "test", "--config.file=alertmanager.yml", *labels)
    assert routed.splitlines()[0] == receiver


@needs_promtool
@pytest.mark.hazard("H2", "H9")
@pytest.mark.parametrize("name", TESTS)
def test_each_alert_fires_when_it_should_and_is_over_when_it_should_be(name: str) -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", name)


def test_each_alert_has_a_unit_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: set[str] = set()
    is_over: set[str] = set()
    for name in TESTS:
        for group in yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))["tests"]:
            for check in group["promql_expr_test"]:
                (alert,) = re.findall(r'alertname="(\w+)"', check["expr"])
                (fires if check["exp_samples"] else is_over).add(alert)
    assert (sorted(fires), sorted(is_over)) == (NAMES, NAMES)


def test_every_alert_that_was_promised_is_there() -> None:
    assert set(PROMISED) <= set(NAMES)


def test_alerts_and_runbooks_match_one_to_one() -> None:
    assert sorted(page.stem for page in RUNBOOKS.glob("*.md") if page.stem != "index") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_says_what_it_means_what_to_look_at_what_to_do_and_how_to_know_that_it_is_over(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"^#+ (.+)$", text, re.MULTILINE) == [name, "Meaning", "Check", "Act", "Verify"]
    index = (RUNBOOKS / "index.md").read_text(encoding="utf-8")
    assert f"[{name}]({name}.md)" in index


@pytest.mark.parametrize("rule", ALERTS, ids=[f"{rule['alert']}-{rule['labels']['severity']}" for rule in ALERTS])
def test_an_alert_says_who_is_called_what_is_wrong_and_where_to_read_on(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith(".")
    expected = "{{ $externalLabels.docs_url }}/runbooks/" + f"{rule['alert']}/"
    assert rule["annotations"]["runbook_url"] == expected


@pytest.mark.parametrize("path", [RULES, *sorted(RUNBOOKS.glob("*.md"))], ids=lambda path: path.stem)
def test_every_metric_that_is_asked_for_is_in_the_catalogue_with_that_label(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    unknown = []
    for selector in selectors(text):
        family = family_of(selector.name, set(FAMILIES))
        labels = {label for label, _, _ in selector.matchers} - {"job", "instance", "le"}
        if family is None or not labels <= set(FAMILIES[family].labels):
            unknown.append(selector)
    assert unknown == []
