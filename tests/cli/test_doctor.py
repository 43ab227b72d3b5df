"""`interceptor doctor` tells an administrator what the machine does not keep its side of."""

import socket
from pathlib import Path

import pytest

from interceptor.cli import host_probe
from interceptor.cli.host_probe import Health
from interceptor.config.address import Address
from tests.support.command import run_command

CONFIG = """\
[node]
data_directory = "data"
[route.main]
listen = "127.0.0.1:{port}"
destination = "ris"
[destination.ris]
address = "127.0.0.1:1"
connect_timeout_seconds = 1
[metrics]
listen = "127.0.0.1:0"
"""


def write_config(folder: Path, port: int = 0) -> Path:
    path = folder / "interceptor.toml"
    path.write_text(CONFIG.format(port=port), encoding="utf-8")
    return path


def test_a_sound_machine_ends_with_zero_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "data" / "journal").mkdir(mode=0o700, parents=True)
    result = run_command("doctor", "-c", write_config(tmp_path), "--json")
    findings = {finding["subject"]: finding for finding in result.json_lines}
    assert result.code == 0, result.output
    assert findings["permissions"]["health"] == "good"
    assert "1 KiB is durable after" in findings["durability"]["words"]
    assert findings["destination.ris"] == {
        "subject": "destination.ris", "health": "warning", "words": "127.0.0.1:1 does not answer: Connection refused",
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["journal"]


def test_a_journal_open_to_others_ends_with_one(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "journal"
    folder.mkdir(parents=True)
    folder.chmod(0o750)
    result = run_command("doctor", "-c", write_config(tmp_path))
    assert result.code == 1
    assert f"bad      permissions: {folder} is open to other users (mode 0750)" in result.output


def test_a_port_that_another_program_has_ends_with_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run_command("doctor", "-c", write_config(tmp_path, port))
        own = host_probe.probe_listener("route.main", Address("127.0.0.1", port), node_runs=True)
    assert result.code == 1
    assert f"bad      route.main: 127.0.0.1:{port} cannot be listened on: Address already in use" in result.output
    assert own.health is Health.GOOD


def test_an_absent_data_directory_is_a_warning_where_the_node_can_make_it(tmp_path: Path) -> None:
    (finding,) = host_probe.probe_folder(tmp_path / "a" / "b")
    assert (finding.health, finding.words) == (
        Health.WARNING,
        f"{tmp_path / 'a' / 'b'} is absent; the node will make it",
    )


def test_a_file_where_the_folder_should_be_is_bad(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    (finding,) = host_probe.probe_folder(tmp_path / "data")
    assert finding.health is Health.BAD


@pytest.mark.parametrize(
    ("milliseconds", "health"),
    [(0.001, Health.WARNING), (0.33, Health.GOOD), (9.0, Health.GOOD), (45.0, Health.WARNING)],
)
def test_a_disk_that_confirms_too_fast_or_too_slowly_is_suspicious(milliseconds: float, health: Health) -> None:
    finding = host_probe.judge_durability([milliseconds / 1000] * 9 + [1.0])
    assert finding.health is health
    assert f"{milliseconds:.2f} ms (median of 10, worst 1000.00 ms)" in finding.words


def test_a_clock_of_another_age_is_bad() -> None:
    assert [finding.health for finding in host_probe.probe_clock(1970)] == [Health.BAD]
    assert [finding.subject for finding in host_probe.probe_clock(2026)] == ["clock"]


def test_a_socket_path_that_the_system_does_not_allow_is_bad() -> None:
    assert host_probe.probe_control_socket(Path("/" + "x" * 107)).health is Health.BAD
    assert host_probe.probe_control_socket(Path("/" + "x" * 106)).health is Health.GOOD


def test_more_connections_than_open_files_is_bad() -> None:
    assert host_probe.probe_file_descriptors(1).health is Health.GOOD
    assert host_probe.probe_file_descriptors(1 << 40).health is Health.BAD
