"""What a release is made of: the wheel with everything that the program reads, and a bill of materials that is valid."""

import hashlib
import json
import subprocess
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.support.source_tree import PACKAGE, ROOT, load_script, tracked_files

pytestmark = pytest.mark.xdist_group("release")  # It is put together once.

SBOM = load_script(ROOT / "deploy" / "sbom.py")
VENDORED: list[dict[str, str]] = tomllib.loads((ROOT / "LICENSES" / "vendored.toml").read_text("utf-8")).get("file", [])


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "release"
    done = subprocess.run(["./dev", "release", folder], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_wheel_has_every_file_that_the_program_reads(release: Path) -> None:
    """Modules, migrations, templates, static files, clinical data and the licences."""
    (wheel,) = release.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path.relative_to(ROOT).as_posix() for path in tracked_files() if PACKAGE in path.parents}
    wanted |= {
        f"interceptor/{path.relative_to(ROOT).as_posix()}"
        for path in tracked_files()
        if ROOT / "mappings" in path.parents
    }
    assert sorted(wanted - packed) == []
    licences = {Path(name).name for name in packed if "/licenses/" in name}
    assert {"LICENSE", "vendored.toml", *(Path(row["text"]).name for row in VENDORED)} <= licences
    assert [name for name in packed if name.startswith(("tests", "docs", "deploy"))] == []


def test_a_release_has_what_the_page_on_installing_uses(release: Path) -> None:
    for name in ("requirements.txt", "requirements-all.txt", "sbom.cdx.json", "deploy/systemd/interceptor.service"):
        assert (release / name).is_file(), name


@pytest.fixture(scope="module")
def bill(release: Path) -> dict[str, Any]:
    return dict(json.loads((release / "sbom.cdx.json").read_text(encoding="utf-8")))


def test_the_bill_of_materials_is_valid_cyclonedx(release: Path) -> None:
    text = (release / "sbom.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_bill_lists_what_is_installed_and_nothing_else(bill: dict[str, Any]) -> None:
    listed = {one["name"]: one["version"] for one in bill["components"] if one["type"] == "library"}
    assert listed == SBOM.pins(ROOT / "requirements" / "run.txt")


def test_every_installed_package_of_the_bill_states_its_licence(bill: dict[str, Any]) -> None:
    unstated = [one["name"] for one in bill["components"] if "licenses" not in one and "description" in one]
    assert unstated == []


def test_every_dependency_of_the_bill_is_in_it(bill: dict[str, Any]) -> None:
    known = {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {ref for one in bill["dependencies"] for ref in (one["ref"], *one["dependsOn"])} <= known


def test_the_same_project_gives_the_same_bill() -> None:
    assert SBOM.build_bill() == SBOM.build_bill()


def test_a_file_of_another_project_is_as_its_row_says_and_its_licence_is_here() -> None:
    for row in VENDORED:
        assert hashlib.sha256((ROOT / row["path"]).read_bytes()).hexdigest() == row["sha256"], row["path"]
        assert (ROOT / row["text"]).is_file(), row["text"]


def test_every_file_of_another_project_has_its_row() -> None:
    """What is minified was not written here."""
    minified = {path.relative_to(ROOT).as_posix() for path in tracked_files() if ".min." in path.name}
    assert sorted(minified - {row["path"] for row in VENDORED}) == []
