"""The clinical content is loaded whole or not at all, and every problem of every file is told."""

import shutil
from pathlib import Path

import pytest

from interceptor.config.mappings import MappingsError, find_mappings, load_clinical_content
from interceptor.decision.clinical_content import ClinicalContent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    target = tmp_path / "mappings"
    for name in ("codes", "policies", "sites", "text"):
        shutil.copytree(find_mappings() / name, target / name)
    return target


def load(
    folder: Path, *, policy: str = "spine-oncology", site: str = "example", profile: str = "default"
) -> ClinicalContent:
    return load_clinical_content(mappings=folder, policy=policy, profile=profile, site=site)


def problems(folder: Path, **names: str) -> tuple[str, ...]:
    with pytest.raises(MappingsError) as caught:
        load(folder, **names)
    return caught.value.problems


@pytest.mark.parametrize("profile", ["default", "strict"])
@pytest.mark.parametrize("site", ["default", "example"])
def test_what_ships_loads(profile: str, site: str) -> None:
    content = load(find_mappings(), profile=profile, site=site)
    assert content.tables.site.site_id == site
    assert content.policy.identity.profile == profile


def test_a_missing_folder_names_everything_that_is_missing(tmp_path: Path) -> None:
    told = problems(tmp_path / "nowhere")
    assert [line.rsplit("nowhere/", 1)[1] for line in told] == [
        "codes:1: no such folder",
        "text:1: no such folder",
        "sites/example.toml:1: cannot be read",
        "policies/spine-oncology.toml:1: cannot be read",
    ]


def test_problems_of_unlike_files_are_told_together(copy: Path) -> None:
    (copy / "codes" / "laboratory.csv").unlink()
    (copy / "sites" / "example.csv").write_text("code\nA\n", encoding="utf-8")
    (copy / "policies" / "spine-oncology.toml").write_text("[", encoding="utf-8")
    told = problems(copy)
    for name in ("codes/laboratory.csv:1:", "sites/example.csv:1:", "policies/spine-oncology.toml:1:"):
        assert any(f"/{name}" in line for line in told), name


def test_a_file_that_is_not_utf_8_is_a_problem(copy: Path) -> None:
    (copy / "sites" / "example.toml").write_bytes(b'[site]\nid = "\xff"\n')
    assert any("not UTF-8 at byte 13" in line for line in problems(copy))


def test_a_policy_and_a_site_may_be_given_by_path(copy: Path) -> None:
    policy = copy / "policies" / "spine-oncology.toml"
    content = load(find_mappings(), policy=str(policy), site=str(copy / "sites" / "default.toml"))
    assert content.tables.site.site_id == "default"


def test_an_unknown_time_zone_is_a_problem(copy: Path) -> None:
    path = copy / "sites" / "default.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"UTC"', '"Mars/Base"', 1), encoding="utf-8")
    assert any("default.toml:7: site.time_zone" in line for line in problems(copy, site="default"))


def test_a_site_loads_more_snomed_concepts(copy: Path) -> None:
    (copy / "sites" / "more.csv").write_text(
        "code,tier,past_tier,haematologic,organ\n188147009,active,history_bone_tropic,,breast\n", encoding="utf-8"
    )
    (copy / "sites" / "a.toml").write_text(
        '[site]\nid = "a"\n[codes]\nsnomed_expansion = "more.csv"\n', encoding="utf-8"
    )
    assert load(copy, site="a").tables.codes.oncology("snomed", "188147009") is not None
