"""The status pages over real sockets."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from interceptor.telemetry.health import DegradedReason, Health
from interceptor.telemetry.http import StatusPages, bind_status, serve_status
from interceptor.telemetry.metrics import MetricLabels, Metrics


class CountedMetrics(Metrics):
    """Counts its renderings; everything else is the real thing."""

    def __init__(self) -> None:
        super().__init__(
            MetricLabels(routes=("imaging",), destinations=("ris",)),
            version="1",
            started_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
        self.render_count = 0
        self.rendered_in: str = ""

    def render(self, *, between: Callable[[], None] = lambda: None) -> bytes:
        self.render_count += 1
        self.rendered_in = threading.current_thread().name
        return super().render(between=between)


@pytest.fixture
def health() -> Health:
    health = Health(loop_tick_age_seconds_max=3600)
    health.bound = health.config_loaded = health.migrations_applied = health.journal_writable = True
    return health


@pytest.fixture
def metrics() -> CountedMetrics:
    return CountedMetrics()


@pytest.fixture
def port(metrics: CountedMetrics, health: Health) -> Iterator[int]:
    with serve_status(bind_status("127.0.0.1", 0), metrics=metrics, health=health, cache_seconds=60) as bound:
        yield bound


def ask(port: int, target: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.001)


def test_metrics_are_served_as_prometheus_text(port: int) -> None:
    status, content_type, body = ask(port, "/metrics")
    assert status == 200
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "interceptor_ready 1.0" in body


@pytest.mark.fault(50)
def test_a_storm_of_scrapes_renders_once_and_outside_the_callers_thread(port: int, metrics: CountedMetrics) -> None:
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: ask(port, "/metrics")[0], range(200)))
    assert statuses == [200] * 200
    assert metrics.render_count == 1
    assert metrics.rendered_in == "status"


def test_the_rendering_is_renewed_when_it_has_aged(metrics: CountedMetrics, health: Health) -> None:
    now = [0.0]
    pages = StatusPages(metrics=metrics, health=health, cache_seconds=1.0, monotonic=lambda: now[0])
    pages.page("/metrics")
    now[0] = 0.999
    pages.page("/metrics")
    assert metrics.render_count == 1
    now[0] = 1.0
    pages.page("/metrics")
    assert metrics.render_count == 2


def test_readiness_is_asked_anew_every_time(port: int, health: Health) -> None:
    assert ask(port, "/readyz")[0] == 200
    health.draining = True
    status, _, body = ask(port, "/readyz")
    assert status == 503
    assert "not_draining" in body
    assert ask(port, "/livez")[0] == 200


def test_verbose_tells_every_check_and_what_is_degraded(port: int, health: Health) -> None:
    health.degrade(DegradedReason.REVIEW_AWAY)
    status, _, body = ask(port, "/readyz?verbose")
    assert status == 200
    assert "[+] journal_writable" in body
    assert "degraded: review_away" in body


@pytest.mark.hazard("H9")
def test_degraded_and_unready_are_on_the_metrics_page(metrics: CountedMetrics, health: Health) -> None:
    health.journal_writable = False
    health.degrade(DegradedReason.JOURNAL_UNAVAILABLE)
    body = StatusPages(metrics=metrics, health=health, cache_seconds=0).page("/metrics").body.decode()
    assert "interceptor_ready 0.0" in body
    assert 'interceptor_degraded{reason="journal_unavailable"} 1.0' in body
    health.recover(DegradedReason.JOURNAL_UNAVAILABLE)
    body = StatusPages(metrics=metrics, health=health, cache_seconds=0).page("/metrics").body.decode()
    assert 'interceptor_degraded{reason="journal_unavailable"} 0.0' in body


@pytest.mark.parametrize(
    ("method", "target", "status"), [("GET", "/", 404), ("GET", "/metrics/x", 404), ("POST", "/metrics", 405)]
)
def test_other_requests_are_turned_away(port: int, method: str, target: str, status: int) -> None:
    assert ask(port, target, method)[0] == status


def test_head_has_no_body(port: int) -> None:
    assert ask(port, "/livez", "HEAD") == (200, "text/plain; charset=utf-8", "")


@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", b"\xff\xfe \x00\r\n\r\n", b"GET /metrics\r\n\r\n"])
def test_what_is_not_http_gets_400(port: int, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_an_endless_head_is_cut_off(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 20_000)
            received = connection.recv(65536)
        except ConnectionError:
            received = b""
        assert received == b""


@pytest.mark.hazard("H10")
def test_idle_connections_do_not_keep_the_probe_waiting(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(40)]
    try:
        assert ask(port, "/livez")[0] == 200
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.fault(32)
@pytest.mark.hazard("H10")
def test_who_sits_on_every_place_makes_room_for_who_asks(port: int) -> None:
    """More than all places are taken by one address that says nothing; each scrape is answered, and the last of them stay."""
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(200)]
    try:
        for _ in range(5):
            assert ask(port, "/livez")[0] == 200
        closed = 0
        for connection in idle:
            connection.settimeout(0.0)
            try:
                closed += connection.recv(1) == b""
            except BlockingIOError:
                continue
            except ConnectionError:
                closed += 1
        assert closed >= 200 - 64
    finally:
        for connection in idle:
            connection.close()


def test_an_address_in_use_stops_the_start(port: int, metrics: CountedMetrics, health: Health) -> None:
    with (
        pytest.raises(OSError, match=r"metrics\.listen: 127\.0\.0\.1:.* Address already in use"),
        serve_status(bind_status("127.0.0.1", port), metrics=metrics, health=health),
    ):
        pass


def test_leaving_the_block_ends_the_thread_though_a_client_is_connected(
    metrics: CountedMetrics, health: Health
) -> None:
    with serve_status(bind_status("127.0.0.1", 0), metrics=metrics, health=health) as bound:
        client = socket.create_connection(("127.0.0.1", bound), timeout=10)
    with client:
        assert client.recv(1) == b""
    wait_until(lambda: "status" not in {thread.name for thread in threading.enumerate()})
