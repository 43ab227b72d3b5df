"""The files of deploy/ that other programs read: each checked by what knows its format, and each configuration by ours."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from interceptor.config.load import load_config
from tests.support.kustomize import Resource, build
from tests.support.source_tree import ROOT, shown

DEPLOY = ROOT / "deploy"
COMPOSE = sorted((DEPLOY / "compose").glob("*compose*.yaml"))
OVERLAYS = sorted(path for path in (DEPLOY / "kubernetes" / "overlays").iterdir() if path.is_dir())
PROGRAMS = ("Deployment", "StatefulSet")


def run(*command: str | Path) -> str:
    """What the command printed, on either stream; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# --- Configuration -----------------------------------------------------------------------------------------


def test_every_sample_configuration_can_be_used(tmp_path: Path) -> None:
    samples = {shown(path): path.read_text(encoding="utf-8") for path in DEPLOY.rglob("*.toml")}
    for overlay in OVERLAYS:
        (config,) = (
            one["data"]
            for one in build(overlay)
            if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "interceptor"
        )
        samples.update({f"{shown(overlay)}/{name}": text for name, text in config.items()})
    assert len(samples) >= 1 + len(OVERLAYS)
    for name, text in samples.items():
        path = tmp_path / "sample.toml"
        path.write_text(text, encoding="utf-8")
        loaded = load_config(path)
        assert all(route.health_probe for route in loaded.route.values()), name


# --- systemd -----------------------------------------------------------------------------------------------

UNIT = DEPLOY / "systemd" / "interceptor.service"
with_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="apt-get install systemd")


@with_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "interceptor"
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    assert "/opt/interceptor/bin/interceptor" in text
    unit.write_text(text.replace("/opt/interceptor/bin/interceptor", str(program)), encoding="utf-8")
    assert run("systemd-analyze", "verify", "--man=no", unit) == ""


@with_systemd
def test_the_unit_is_exposed_by_no_more_than_two_of_ten(tmp_path: Path) -> None:
    said = run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    print(said.splitlines()[-1])  # noqa: T201 - the figure is asked for


@with_systemd
def test_the_services_user_and_its_folders_can_be_made() -> None:
    made = run("systemd-sysusers", "--dry-run", DEPLOY / "systemd" / "interceptor.sysusers")
    assert "interceptor" in made
    folders = (DEPLOY / "systemd" / "interceptor.tmpfiles").read_text(encoding="utf-8")
    assert "d /etc/interceptor 0750 root interceptor -" in folders


def test_the_unit_gives_the_program_the_time_that_it_needs_to_drain() -> None:
    values = dict(
        line.split("=", 1) for line in UNIT.read_text(encoding="utf-8").splitlines() if "=" in line and line[0] != "#"
    )
    assert values["Type"] == "notify"
    assert values["WatchdogSec"] == "30"
    assert int(values["TimeoutStopSec"]) > 20 + 10


# --- compose -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", COMPOSE, ids=shown)
def test_compose_files_are_what_the_compose_specification_says(path: Path) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    assert "ok" in run(checker, "--builtin-schema", "vendor.compose-spec", path)


@pytest.mark.parametrize("path", COMPOSE, ids=shown)
def test_what_a_compose_file_mounts_and_names_is_there(path: Path) -> None:
    compose = yaml.safe_load(path.read_text(encoding="utf-8"))
    services: dict[str, dict[str, Any]] = compose["services"]
    for name, service in services.items():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            known = (path.parent / source).exists() if source.startswith(".") else source in compose["volumes"]
            assert known, f"{name}: {source}"
        for other in service.get("depends_on", ()):
            assert other in services, f"{name}: {other}"
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is open to every machine: {port}"


@pytest.mark.parametrize("path", COMPOSE, ids=shown)
def test_the_interceptor_of_a_compose_file_can_change_nothing_but_its_volume(path: Path) -> None:
    services = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
    ours = [service for service in services.values() if service.get("image", "").startswith("order-interceptor")]
    assert ours
    for service in ours:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_simulated_order_is_one() -> None:
    order = (DEPLOY / "compose" / "simulators" / "order.hl7").read_text(encoding="ascii").replace("NUMBER", "17")
    done = subprocess.run(
        [sys.executable, "-m", "interceptor", "explain", "-"],
        input=order,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, "H-REGIONAL" in done.stdout) == (0, True), done.stdout + done.stderr


# --- Kubernetes --------------------------------------------------------------------------------------------


def programs(resources: list[Resource]) -> list[Resource]:
    """The resources that start containers."""
    return [resource for resource in resources if resource["kind"] in PROGRAMS]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=shown)
def test_every_resource_is_what_kubernetes_takes(overlay: Path) -> None:
    resources = build(overlay)
    for resource in resources:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)
    kinds = {resource["kind"] for resource in resources}
    assert {"StatefulSet", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount", "ConfigMap", "Service"} <= kinds


@pytest.mark.parametrize("overlay", OVERLAYS, ids=shown)
def test_no_pod_is_privileged_can_write_its_root_or_holds_a_token(overlay: Path) -> None:
    for resource in programs(build(overlay)):
        pod = resource["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=shown)
def test_probes_ask_what_they_are_for(overlay: Path) -> None:
    (node,) = (one for one in build(overlay) if one["kind"] == "StatefulSet")
    (container,) = node["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert node["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 20 + 10


@pytest.mark.parametrize("overlay", OVERLAYS, ids=shown)
def test_a_selector_meets_the_pods_that_it_is_for(overlay: Path) -> None:
    resources = build(overlay)
    pods = [resource["spec"]["template"]["metadata"]["labels"] for resource in programs(resources)]
    for resource in resources:
        if resource["kind"] == "Service":
            wanted = dict(resource["spec"]["selector"])
            wanted.pop("statefulset.kubernetes.io/pod-name", None)
            assert any(wanted.items() <= labels.items() for labels in pods), resource["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=shown)
def test_no_service_spreads_orders_over_several_nodes(overlay: Path) -> None:
    resources = build(overlay)
    for program in programs(resources):
        labels = program["spec"]["template"]["metadata"]["labels"]
        for service in (one for one in resources if one["kind"] == "Service"):
            carries_orders = any(port["name"] == "mllp" for port in service["spec"]["ports"])
            if carries_orders and service["spec"]["selector"].items() <= labels.items():
                assert program["spec"]["replicas"] == 1, service["metadata"]["name"]


def test_each_pod_of_a_pair_has_a_configuration_of_its_own() -> None:
    resources = build(DEPLOY / "kubernetes" / "overlays" / "postgres")
    (node,) = (one for one in resources if one["kind"] == "StatefulSet")
    (config,) = (
        one["data"] for one in resources if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "interceptor"
    )
    names = [f"{node['metadata']['name']}-{number}" for number in range(node["spec"]["replicas"])]
    assert sorted(config) == [f"{name}.toml" for name in names]
    assert all(f'name = "{name}"' in config[f"{name}.toml"] for name in names)


def test_haproxy_in_kubernetes_has_the_sample_word_for_word() -> None:
    resources = build(DEPLOY / "kubernetes" / "overlays" / "postgres")
    (config,) = (
        one["data"] for one in resources if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "haproxy"
    )
    assert config["haproxy.cfg"] == (DEPLOY / "haproxy" / "two-nodes.cfg").read_text(encoding="utf-8")


def test_the_journal_is_on_a_volume_that_one_pod_has() -> None:
    (node,) = (one for one in build(DEPLOY / "kubernetes" / "overlays" / "sqlite") if one["kind"] == "StatefulSet")
    assert node["spec"]["replicas"] == 1
    (claim,) = node["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
