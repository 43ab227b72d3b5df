"""The API does what its description says, whatever is sent: every check of schemathesis, on a running node."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from interceptor.review.node_client import Answer
from interceptor.review.scope import Scope
from interceptor.review_wiring import running_review
from tests.support.node import filler, node_of, placer_of
from tests.support.orders import order
from tests.support.site import site_config

EXAMPLES = 25
# What a site allows (its reasons, its routes) no description can say: such a request is refused with 422, one without
# the version that was seen with 428.
CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "422", "428", "503"]}
        }
    }
)
HELD = 12


async def _serve(folder: Path, ready: "Future[tuple[str, str]]", stop: asyncio.Event) -> None:
    """A node with held orders and its pages until *stop*; *ready* gets their address and a token."""
    async with filler() as ris:
        config = site_config(folder, filler_port=ris.port)
        async with node_of(config) as node, running_review(config) as pages:
            await pages.parts.node.ask("review_heartbeat")
            async with placer_of(node) as placer:
                for number in range(HELD):
                    await placer.exchange(order(f"A{number}", patient=str(2000 + number)))
            made = await pages.parts.node.ask("token_add", account="fuzz", scopes=list(Scope), actor="root")
            assert isinstance(made, Answer)
            ready.set_result((pages.address, str(made.result["token"])))
            await stop.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and token of pages that run in a loop and a thread of their own."""
    loop, ready = asyncio.new_event_loop(), Future[tuple[str, str]]()
    stop = asyncio.Event()
    folder = tmp_path_factory.mktemp("api")

    def run() -> None:
        try:
            loop.run_until_complete(_serve(folder, ready, stop))
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    yield ready.result(timeout=60)
    loop.call_soon_threadsafe(stop.set)
    thread.join(timeout=60)
    loop.close()


def test_every_answer_is_one_that_the_description_names(served: tuple[str, str]) -> None:
    address, token = served
    # Streams without end are left out.
    schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json", config=CONFIG).exclude(path="/events")
    operations: list[Any] = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    assert len(operations) >= 12

    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy())
        def whatever_is_sent(case: Any) -> None:
            case.call_and_validate(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {token}"})

        whatever_is_sent()


def test_what_one_answer_gives_the_next_request_may_use(served: tuple[str, str]) -> None:
    address, token = served
    schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json", config=CONFIG).exclude(path="/events")

    class Program(schema.as_state_machine()):  # type: ignore[misc]  # the class is made from the description
        """A program that goes from answer to request."""

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            del case
            return {"base_url": f"{address}/api/v1", "headers": {"Authorization": f"Bearer {token}"}}

    Program.run(
        settings=settings(
            max_examples=10,
            stateful_step_count=6,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
    )
