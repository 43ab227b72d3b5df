"""Put a release together: python deploy/release.py [FOLDER], artifacts/release without one.

    order_interceptor-VERSION-py3-none-any.whl    the program, its clinical data, migrations and pages
    requirements.txt                              what it runs on, with hashes
    requirements-all.txt                          the same with PostgreSQL and traces
    sbom.cdx.json                                 the bill of materials
    deploy/                                       systemd unit, HAProxy, Prometheus rules, dashboards, samples

Needs no network: hatchling is in the environment of the tests.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import sbom

ROOT = Path(__file__).resolve().parents[1]


def build_wheel(folder: Path) -> Path:
    """Build the wheel into *folder*; returns its path."""
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - no foreign word in it
    (wheel,) = folder.glob("*.whl")
    return wheel


def build_release(folder: Path) -> None:
    """Write everything into *folder*, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    build_wheel(folder)
    shutil.copyfile(ROOT / "requirements" / "run.txt", folder / "requirements.txt")
    shutil.copyfile(ROOT / "requirements" / "container.txt", folder / "requirements-all.txt")
    sbom.write_bill(folder / "sbom.cdx.json")
    shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("__pycache__", "*.py"))


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "artifacts" / "release").resolve()
    build_release(target)
    sys.stdout.write("\n".join(sorted(path.name for path in target.iterdir())) + "\n")
