"""A real Prometheus that scrapes a node, with the shipped alert rules made quick."""

import asyncio
import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.support.alert_rules import RULES
from tests.support.node import free_port

WAIT_SECONDS_MAX = 90.0
DOCS_URL = "https://docs.example"


def missing() -> str:
    """Why there is no Prometheus here, with the command that helps; "" when there is."""
    return "" if shutil.which("prometheus") else "prometheus is missing: apt-get install prometheus"


def quick_rules(changes: Mapping[str, str]) -> str:
    """The shipped rules with every duration cut to seconds; *changes* replace a threshold, which must be there once."""
    text = RULES.read_text(encoding="utf-8")
    for before, after in changes.items():
        assert text.count(before) == 1, f"{before} is {text.count(before)} times in the rules"
        text = text.replace(before, after)
    text = re.sub(r"\[\d+[smhd]\]", "[10s]", text)
    return re.sub(r"for: \d+[smhd]", "for: 1s", text)


class Prometheus:
    """What Prometheus says of alerts."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(self, path: str, **parameters: str) -> Any:
        """The data of one answer of its API."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}"

        def read() -> Any:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]

        return await asyncio.to_thread(read)

    async def firing(self, name: str) -> list[dict[str, Any]]:
        """The firing alerts of this name."""
        alerts = (await self.ask("alerts"))["alerts"]
        return [one for one in alerts if one["state"] == "firing" and one["labels"]["alertname"] == name]

    async def until_firing(self, name: str, **labels: str) -> dict[str, Any]:
        """Wait until an alert with these labels fires; the alert."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while True:
                for one in await self.firing(name):
                    if labels.items() <= one["labels"].items():
                        return one
                await asyncio.sleep(0.2)

    async def until_over(self, name: str) -> None:
        """Wait until no alert of this name fires."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await self.firing(name):  # noqa: ASYNC110 - another process, that has to be asked
                await asyncio.sleep(0.2)

    async def until_evaluated(self, times: int) -> None:
        """Wait until the rules were evaluated so many times more, all without a fault."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            seen: set[str] = set()
            while len(seen) <= times:
                groups = (await self.ask("rules"))["groups"]
                assert [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")] == []
                seen.add(max(group["lastEvaluation"] for group in groups))
                await asyncio.sleep(0.2)

    async def until(self, expression: str) -> None:
        """Wait until an expression, such as "up == 1", has a result."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not (await self.ask("query", query=expression))["result"]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)


@asynccontextmanager
async def prometheus(
    folder: Path, metrics_port: int, changes: Mapping[str, str] | None = None
) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes the node twice a second and evaluates the quick rules every second."""
    folder.mkdir()
    (folder / "rules.yml").write_text(quick_rules(changes or {}), encoding="utf-8")
    configuration = {
        "global": {
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "evaluation_interval": "1s",
            "external_labels": {"docs_url": DOCS_URL},
        },
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "interceptor", "static_configs": [{"targets": [f"127.0.0.1:{metrics_port}"]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _until_ready(port)
        made = Prometheus(port)
        await made.until('up{job="interceptor"} == 1')
        await made.until_evaluated(1)
        yield made
    finally:
        process.terminate()
        await process.wait()


async def _until_ready(port: int) -> None:
    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await asyncio.to_thread(is_ready):  # noqa: ASYNC110 - a process that starts
            await asyncio.sleep(0.1)
