"""Run the `interceptor` command as people do: as a process of its own."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run_command(*arguments: str | Path, stdin: bytes = b"", timeout_seconds: float = 60.0) -> "CommandResult":
    """Run a command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "interceptor", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        timeout=timeout_seconds,
        check=False,
    )
    return CommandResult(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


class CommandResult:
    """How a command ended, and what it printed."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code = code
        self.output = output
        self.errors = errors

    @property
    def json_lines(self) -> list[dict[str, Any]]:
        """Each line of the output as JSON."""
        return [json.loads(line) for line in self.output.splitlines()]


class RunningCommand:
    """A command that has not ended yet."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def read_line(self) -> str:
        """The next line of its output; "" at the end. Waits for it."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def read_json(self) -> dict[str, Any]:
        """The next line of its output, which must be a JSON object."""
        value: dict[str, Any] = json.loads(self.read_line())
        return value

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, timeout_seconds: float = 30.0) -> tuple[int, str, str]:
        """Wait for the end: exit code, the rest of the output, and the errors."""
        output, errors = self._process.communicate(timeout=timeout_seconds)
        return self._process.returncode, output, errors


@contextmanager
def running_command(*arguments: str | Path) -> Iterator[RunningCommand]:
    """A command for the length of the block; killed at its end when it still runs."""
    command: Sequence[str] = [sys.executable, "-m", "interceptor", *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield RunningCommand(process)
        finally:
            if process.poll() is None:
                process.kill()
