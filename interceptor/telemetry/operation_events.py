"""The log events of starting, watching, reloading and replacing a node; see `events.py`."""

from interceptor.telemetry.event import Event, error, info

PROCESS_STALLED = error(
    "process_stalled",
    "The node's event loop is silent: no order is taken. After `watchdog_seconds` it is ended and started again.",
    "process",
    "pid",
    "silent_seconds",
)
HANDOVER_ENDED = info("handover_ended", "A fresh node has taken over from the running one.", "was", "pid", "seconds")
HANDOVER_FAILED = error(
    "handover_failed",
    "A fresh node could not take over; the earlier one runs on. Its own log says why.",
    "exit_code",
)
HANDOVER_ASKED = info("handover_asked", "A fresh node is ready to take over: this one drains.", "listeners")
REVIEW_STARTED = info("review_started", "The review pages are served.", "pid")
PAGE_FAILED = error(
    "page_failed",
    "A page or an answer of the API failed by our own fault; the person saw an error.",
    "error",
    "reason",
    "where",
)
REVIEW_STOPPED = info("review_stopped", "The review process ended in order.")
CONFIG_RELOADED = info(
    "config_reloaded",
    "Another configuration is in force, from the next message on.",
    "keys",
    "decided_again",
    "changed",
)
BYPASS_SUSPECTED = error(
    "bypass_suspected",
    "The node was away so long that a bypass may have carried messages around it. What was queued is in the dead letters: send or give up each, after a look at the filler.",
    "away_seconds",
    "dead_letters",
    "held",
)
UNSEEN_LOOKED_AT = info(
    "unseen_looked_at",
    "The node had started without its database; what passed meanwhile about orders of ours has its turn now.",
    "passed",
    "ours",
    "forgotten",
)

CATALOGUE: tuple[Event, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Event))
"""Every event above, in the order of this file."""
