"""A configuration shown is a configuration that loads; its schema says what the loader says, as far as a schema can."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from interceptor.config.load import load_config
from interceptor.config.show import REDACTED, build_config_schema, config_values, to_toml

ROOT = Path(__file__).parents[2]
SMALL = """
[node]
data_directory = "data"
[route.orders]
listen = "127.0.0.1:2575"
destination = "ris"
[destination.ris]
address = "127.0.0.1:2576"
[registry]
authorities = { "1.2.3" = "HOSP", "ü\\"" = "X" }
[fhir.epic]
base_url = "https://fhir.example.org/r4"
bearer_token_env = "TOKEN"
systems = { HOSP = "urn:oid:1.2" }
"""


def written(folder: Path, text: str = SMALL) -> Path:
    path = folder / "interceptor.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("effective", [False, True])
def test_what_is_shown_loads_to_the_same_configuration(tmp_path: Path, effective: bool) -> None:
    config = load_config(written(tmp_path))
    shown = to_toml(config_values(config, effective=effective, redact=False))
    assert load_config(written(tmp_path, shown)) == config


def test_without_defaults_only_what_the_site_chose_is_shown(tmp_path: Path) -> None:
    values = config_values(load_config(written(tmp_path)), effective=False, redact=False)
    assert values["route"] == {"orders": {"listen": "127.0.0.1:2575", "destination": "ris"}}
    assert "hold" not in values


@pytest.mark.hazard("H14")
def test_redacted_it_does_not_say_where_secrets_are(tmp_path: Path) -> None:
    shown = to_toml(config_values(load_config(written(tmp_path)), effective=True, redact=True))
    assert "TOKEN" not in shown
    assert REDACTED in shown


def check_jsonschema(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_schema_for_editors_is_in_step_and_accepts_what_the_loader_accepts(tmp_path: Path) -> None:
    page = ROOT / "docs" / "reference" / "config.schema.json"
    assert json.loads(page.read_text(encoding="utf-8")) == json.loads(build_config_schema())
    samples = [str(written(tmp_path)), *(str(path) for path in sorted((ROOT / "deploy").rglob("interceptor*.toml")))]
    for arguments in (["--check-metaschema", str(page)], ["--schemafile", str(page), *samples]):
        done = check_jsonschema(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "wrong", ["mood = 'shadow'", "mode = 'loud'", "connections_max = 0", "connections_max = '5'"], ids=str
)
def test_the_schema_refuses_what_the_loader_refuses_within_a_table(tmp_path: Path, wrong: str) -> None:
    path = written(tmp_path, SMALL.replace('destination = "ris"', f'destination = "ris"\n{wrong}'))
    tomllib.loads(path.read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="route"):
        load_config(path)
    assert check_jsonschema("--schemafile", "docs/reference/config.schema.json", str(path)).returncode == 1
