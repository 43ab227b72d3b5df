"""Write the bill of materials: python deploy/sbom.py [FILE], artifacts/sbom.cdx.json without one.

CycloneDX 1.6, JSON: what the program runs on (requirements/run.txt, which is what is installed) with licences and what needs
what, and the files of other projects that are kept here (LICENSES/vendored.toml). The same input gives the same bytes.
"""

import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
NAME = "order-interceptor"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, NAME)

Component = dict[str, Any]


def pins(lock: Path) -> dict[str, str]:
    """Name and version of each package of a lock file."""
    found = re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lock.read_text(encoding="ascii"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def build_bill(root: Path = ROOT) -> dict[str, Any]:
    """The whole document."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = _own_version(root)
    packages = pins(root / "requirements" / "run.txt")
    components = [*(_package(name, pinned) for name, pinned in packages.items()), *_vendored(root)]
    own = _purl(NAME, version)
    direct = [canonicalize_name(Requirement(one).name) for one in project["dependencies"]]
    vendored = [one["bom-ref"] for one in components if one["type"] == "file"]
    needs = {own: [_purl(name, packages[name]) for name in direct if name in packages] + vendored}
    needs.update({_purl(name, pinned): list(_needs(name, packages)) for name, pinned in packages.items()})
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": NAME,
                "version": version,
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": own,
            }
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": sorted(set(refs))} for ref, refs in sorted(needs.items())],
    }
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(bill, sort_keys=True))}"
    return bill


def _own_version(root: Path) -> str:
    found = re.search(
        r'^__version__ = "(.+)"$', (root / "interceptor" / "__init__.py").read_text("utf-8"), re.MULTILINE
    )
    assert found is not None
    return found[1]


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def _package(name: str, version: str) -> Component:
    component: Component = {
        "type": "library",
        "bom-ref": _purl(name, version),
        "name": name,
        "version": version,
        "purl": _purl(name, version),
    }
    found = _installed(name)
    if found is None:
        return component  # For another system than this one: its licence is not at hand here.
    if "Summary" in found.metadata:
        component["description"] = found.metadata["Summary"]
    expression = found.metadata.get("License-Expression", "")
    stated = [one.rpartition(" :: ")[2] for one in found.metadata.get_all("Classifier") or () if "License ::" in one]
    if not stated and "License" in found.metadata:
        # Some put the whole text of the licence there.
        stated = [found.metadata["License"].strip().splitlines()[0]] if found.metadata["License"].strip() else []
    if expression:
        component["licenses"] = [{"expression": expression}]
    elif stated:
        component["licenses"] = [{"license": {"name": one}} for one in stated]
    return component


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _needs(name: str, packages: dict[str, str]) -> Iterator[str]:
    """What a package needs here: of the packages of the lock, those that it names without an extra."""
    found = _installed(name)
    for text in (found.requires or ()) if found else ():
        needed = Requirement(text)
        key = canonicalize_name(needed.name)
        if key in packages and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
            yield _purl(key, packages[key])


def _vendored(root: Path) -> Iterator[Component]:
    rows = tomllib.loads((root / "LICENSES" / "vendored.toml").read_text(encoding="utf-8"))
    for row in rows.get("file", ()):
        yield {
            "type": "file",
            "bom-ref": row["path"],
            "name": row["name"],
            "version": row["version"],
            "purl": row["purl"],
            "hashes": [{"alg": "SHA-256", "content": row["sha256"]}],
            "licenses": [{"license": {"id": row["license"]}}],
        }


def write_bill(path: Path) -> None:
    """Write the document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(build_bill(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "artifacts" / "sbom.cdx.json")
    write_bill(target)
    sys.stdout.write(f"{target}\n")
