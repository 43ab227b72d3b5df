"""The log events of telling other systems of held orders; see `events.py`."""

from interceptor.telemetry.event import Event, warning

WEBHOOK_GIVEN_UP = warning(
    "webhook_given_up",
    "Another system did not take an event; it is not tried again. `interceptor webhook log` shows it.",
    "webhook",
    "event_type",
    "result",
)

CATALOGUE: tuple[Event, ...] = (WEBHOOK_GIVEN_UP,)
