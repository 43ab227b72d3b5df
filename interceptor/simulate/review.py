"""The demo's review pages: their own process, and a person who may do everything.

Failures: pages that do not start are started again; the demo goes on without them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from interceptor.companion import Companion, companions, review_command
from interceptor.control.client import request_async
from interceptor.review.rights import Role
from interceptor.telemetry.events import EventLog

ACCOUNT = "demo"


@asynccontextmanager
async def reviewing(config_file: Path, *, log: EventLog) -> AsyncIterator[None]:
    """Keep the review process running for the length of the block; what it says goes beside the node's log."""
    command, output_file = review_command(str(config_file)), config_file.parent / "review.log"
    async with companions([Companion(name="review", command=command, output_file=output_file)], log=log):
        yield


async def make_reviewer(control_socket: Path, *, address: str) -> str:
    """Make the demo's person; the address of a one-time login link for them.

    Raises:
        ControlError: The node is not there, or has the account already.
    """
    # The demo reviews from its first second: the pages' own sign of life comes when their process is up.
    await request_async(control_socket, "review_heartbeat")
    roles = sorted(Role)
    await request_async(
        control_socket, "account_add", account=ACCOUNT, display_name="Demo reviewer", roles=roles, actor="demo"
    )
    made: dict[str, Any] = await request_async(control_socket, "login_link", account=ACCOUNT, actor="demo")
    return f"{address}/login/link/{made['secret']}"
