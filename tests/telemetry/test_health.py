"""Liveness and readiness."""

import pytest

from interceptor.telemetry.health import DegradedReason, Health


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ready(clock: Clock) -> Health:
    health = Health(monotonic=clock)
    health.bound = health.config_loaded = health.migrations_applied = health.journal_writable = True
    return health


def test_a_node_that_has_everything_is_ready(ready: Health) -> None:
    assert ready.readiness().ok
    assert ready.readiness().text(verbose=False) == "ok\n"


@pytest.mark.parametrize("missing", ["bound", "config_loaded", "migrations_applied", "journal_writable"])
def test_each_missing_condition_alone_makes_it_unready_and_is_named(ready: Health, missing: str) -> None:
    setattr(ready, missing, False)
    assert not ready.readiness().ok
    assert ready.liveness().ok
    failed = [check.name for check in ready.readiness().checks if not check.ok]
    assert len(failed) == 1
    assert failed[0].split("_")[-1] in {"bound", "loaded", "applied", "writable"}
    assert f"[-] {failed[0]}" in ready.readiness().text(verbose=False)


def test_a_draining_node_is_alive_and_not_ready(ready: Health) -> None:
    ready.draining = True
    assert ready.liveness().ok
    assert not ready.readiness().ok


@pytest.mark.hazard("H10")
def test_a_loop_that_stands_still_is_neither_alive_nor_ready(ready: Health, clock: Clock) -> None:
    clock.now += 2.0
    assert ready.liveness().ok
    clock.now += 0.1
    assert not ready.liveness().ok
    assert not ready.readiness().ok
    ready.record_loop_tick()
    assert ready.readiness().ok


def test_a_dead_writer_is_not_alive(ready: Health) -> None:
    ready.watch_writer(lambda: False)
    assert not ready.liveness().ok


@pytest.mark.hazard("H9")
@pytest.mark.parametrize("reason", DegradedReason)
def test_every_degraded_mode_is_told_and_leaves_the_node_ready(ready: Health, reason: DegradedReason) -> None:
    assert ready.degrade(reason)
    assert not ready.degrade(reason)
    assert ready.readiness().ok
    assert f"degraded: {reason}" in ready.readiness().text(verbose=True)
    assert ready.recover(reason)
    assert not ready.recover(reason)
    assert "degraded" not in ready.readiness().text(verbose=True)


def test_verbose_lists_every_check(ready: Health) -> None:
    text = ready.readiness().text(verbose=True)
    assert text.count("[+]") == len(ready.readiness().checks)
