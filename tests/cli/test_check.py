"""`interceptor check` tells every problem of configuration and clinical content at once."""

import shutil
from pathlib import Path

import pytest

from interceptor.config.mappings import find_mappings
from tests.support.command import run_command

CONFIG = """\
[node]
data_directory = "data"
{node}
[route.main]
listen = "127.0.0.1:2575"
destination = "ris"
{route}
[destination.ris]
address = "127.0.0.1:2576"
"""


@pytest.fixture
def mappings(tmp_path: Path) -> Path:
    """A copy of the shipped clinical content that a test may break."""
    return Path(shutil.copytree(find_mappings(), tmp_path / "mappings"))


def write(folder: Path, *, node: str = "", route: str = "") -> Path:
    path = folder / "interceptor.toml"
    path.write_text(CONFIG.format(node=node, route=route), encoding="utf-8")
    return path


def test_a_sound_configuration_ends_with_zero_and_says_who_signs_and_that_nothing_is_looked_up(tmp_path: Path) -> None:
    result = run_command("check", "-c", write(tmp_path))
    assert (result.code, result.errors) == (0, "")
    assert "a neuroradiologist and an interface analyst" in " ".join(result.output.split())
    assert "warning:" in result.output
    assert "no lookup is configured" in result.output
    assert result.output.endswith("No problems: a node can start with this.\n")


def test_a_route_that_enforces_is_reminded_of_the_signatures(tmp_path: Path) -> None:
    path = write(tmp_path, route='mode = "enforce"')
    assert f"warning: {path}:7: route.main.mode: enforce holds orders" in run_command("check", "-c", path).output


def test_configuration_and_clinical_content_are_wrong_together_and_told_together(
    tmp_path: Path, mappings: Path
) -> None:
    policy = mappings / "policies" / "spine-oncology.toml"
    text = policy.read_text(encoding="utf-8")
    assert "symptom" in text
    policy.write_text(text + '\n[nonsense]\nkey = "value"\n', encoding="utf-8")
    path = write(tmp_path, node='mappings = "mappings"', route='mode = "shadw"\nhots = 1')
    result = run_command("check", "-c", path)
    lines = result.output.splitlines()
    assert result.code == 2
    assert f'{path}:7: route.main.mode: "shadw" is not one of shadow, annotate, enforce' in lines
    assert f"{path}:8: route.main.hots: unknown key" in lines
    assert any("spine-oncology.toml" in line and "nonsense" in line for line in lines), lines


@pytest.mark.parametrize("key", ["site", "policy", "profile"])
def test_a_name_that_no_clinical_content_has_is_a_problem(tmp_path: Path, key: str) -> None:
    result = run_command("check", "-c", write(tmp_path, node=f'{key} = "nosuchthing"'))
    assert result.code == 2
    assert "nosuchthing" in result.output


def test_json_has_problems_warnings_and_the_hash_of_the_policy(tmp_path: Path) -> None:
    result = run_command("check", "-c", write(tmp_path), "--json")
    (report,) = result.json_lines
    assert report["problems"] == []
    assert (report["content"]["policy"], len(report["content"]["sha256"])) == ("spine-oncology", 64)


def test_an_absent_file_is_one_problem(tmp_path: Path) -> None:
    result = run_command("check", "-c", tmp_path / "absent.toml")
    assert result.code == 2
    assert f"{tmp_path / 'absent.toml'}: cannot be read: No such file or directory" in result.output
