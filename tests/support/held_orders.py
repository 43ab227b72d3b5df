"""Held orders on a running node, and its pages: real messages over real sockets, patients as hostile as they come."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from interceptor.review.rights import Role
from tests.support.node import Filler, Placer, filler, node_of, placer_of
from tests.support.review import Review, review_config, review_of

REASON = "known breast cancer with bone mets, new low back pain x 3 wks"
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "\u202eevil\u2066name\u200f",
    "N" * 10_000,
    "=HYPERLINK(1)",
    "+1+1",
    "@SUM(1)",
    "\tTab",
    "bell\x07\x1b[31mred",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}",
)
"""Patients' family names as no hospital should send them, and as some system will."""


def held_order(number: str, *, name: str = "Nonesuch", mrn: str = "MRN1", reason: str = REASON) -> bytes:
    """An order of a spine region for a patient with cancer and a new symptom, which the default policy holds."""
    lines = (
        f"MSH|^~\\&|PLACER|HOSP|FILLER|HOSP|20260302101500||ORM^O01^ORM_O01|C{number}|T|2.5.1",
        f"PID|1||{mrn}^^^HOSP^MR||{name}^Given||19600101|F",
        "PV1|1|O|WARD^1^2",
        f"ORC|NW|{number}^PLACER|||||^^^^^R|||||7777^DOC^ORDERING||^^^^^^5551234",
        f"OBR|1|{number}^PLACER||72148^MRI L SPINE WO^C4||||||||||||||ACC{number}|||||||||^^^^^R||||^{reason}",
        "DG1|1||C50.911^Breast cancer^I10",
    )
    return "".join(f"{line}\r" for line in lines).encode("utf-8")


@dataclass(frozen=True, kw_only=True)
class HeldOrders:
    """A node with held orders, its placer and filler, and its pages."""

    review: Review
    placer: Placer
    filler: Filler
    reviewer: httpx2.AsyncClient


@asynccontextmanager
async def held_orders(folder: Path, orders: Sequence[bytes], *roles: Role) -> AsyncIterator[HeldOrders]:
    """Run a node that holds *orders*, with a person who has *roles* (all of them by default) logged in."""
    async with filler() as receiver:
        config = review_config(folder, filler_port=receiver.port)
        hold = config.hold.model_copy(update={"set_window_seconds": 0.0})
        config = config.model_copy(update={"hold": hold})
        async with node_of(config) as node, review_of(config) as review, placer_of(node) as placer:
            await review.ask("mode_set", route="orders", mode="enforce", actor="test")
            await review.ask("review_heartbeat")
            for order in orders:
                assert b"MSA|AA" in await placer.exchange(order)
            reviewer = await review.person("ann", *(roles or tuple(Role)))
            yield HeldOrders(review=review, placer=placer, filler=receiver, reviewer=reviewer)
