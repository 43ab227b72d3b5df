"""[webhook.NAME]: other systems that are told of held orders."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from interceptor.config.value import HttpAddress, Table

WebhookEventType = Literal[
    "order.held", "order.decided", "order.deadline_near", "order.released_unreviewed", "dead_letter", "route_state"
]


class WebhookTable(Table):
    """A system that is told of held orders by signed HTTP POSTs (CloudEvents). Nothing of a patient is in them. See docs/how-to/tell-other-systems.md."""

    url: HttpAddress
    """Where events are posted. It is never logged."""
    secret_file: Path | None = None
    """File with the signing secret, Base64 of 24 bytes or more, with or without `whsec_` before it."""
    secret_env: str | None = None
    """Environment variable with the same; give one of the two."""
    events: Annotated[tuple[WebhookEventType, ...], Field(min_length=1)] = (
        "order.held",
        "order.decided",
        "order.deadline_near",
        "order.released_unreviewed",
        "dead_letter",
        "route_state",
    )
    """What it is told."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """How long one attempt may take."""
    attempts_max: Annotated[int, Field(ge=1, le=50)] = 12
    """Attempts before an event is given up; the pauses between them grow from 5 seconds to 6 hours."""
    deadline_near_minutes: Annotated[float, Field(gt=0, le=1440)] = 30.0
    """How long before an order's deadline `order.deadline_near` is told."""
