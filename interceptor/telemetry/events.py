"""Every log event, and the log that writes them: allowed fields only.

    log.event(ORDER_HELD, entry=17, reason="H-REGIONAL", priority="routine")

An event is a fact with a name, its level, its fields and one sentence for the operator. INFO is a change of
state, WARNING something a person should look at this week, ERROR today. What a metric already counts has no
event. Fields are our own numbers, configured names and words of closed sets: `entry` is our number of an order in
custody and leads to the journal, where access is controlled. The reference page is made from this.

In tests (`strict`) an unknown event, an unknown field or a value that is not a plain number or word raises; in
production it is dropped, because a log line is never worth an order.

Failures: none that reach the caller in production.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from interceptor.telemetry import line_events, operation_events, webhook_events
from interceptor.telemetry.event import Event, Level, cut, error, info, is_plain, warning
from interceptor.telemetry.event_window import EventWindow

# The processes.
NODE_STARTED = info("node_started", "The node took its configuration and listens.", "node", "version", "pid", "loop")
NODE_DRAINED = info(
    "node_drained", "The node stopped taking messages and finished those in flight.", "unanswered", "waited_seconds"
)
NODE_STOPPED = info("node_stopped", "The node ended in order.", "node")
NODE_FAILED = error(
    "node_failed",
    "A fault of our own ended the node; the supervisor restarts it. Report it with these fields.",
    "error",
    "reason",
    "where",
)
PROCESS_STARTED = info("process_started", "The supervisor started a process.", "process", "pid")
PROCESS_ENDED = error(
    "process_ended",
    "A process ended unasked; it is started again after the pause.",
    "process",
    "exit_code",
    "pause_seconds",
)
LOOP_STALLED = error("loop_stalled", "The event loop stood still: every message waited that long.", "lag_seconds")
SIGNAL_RECEIVED = info("signal_received", "The process was asked to stop or to reload.", "signal")
PRIVILEGES_NOTED = warning("privileges_noted", "The node runs as root; give it a user of its own.", "user")

# Configuration and policy.
CONFIG_LOADED = info("config_loaded", "A configuration was taken.", "routes", "destinations")
CONFIG_REFUSED = error(
    "config_refused", "A new configuration was refused; the earlier one runs on. Run `interceptor check`.", "problems"
)
POLICY_LOADED = info(
    "policy_loaded", "The clinical content that decides from now on.", "policy", "version", "profile", "sha256"
)
ROUTE_MODE_CHANGED = warning(
    "route_mode_changed",
    "Somebody or the breaker changed what the route does.",
    "route",
    "mode",
    "was",
    "actor",
    per_minute_max=0,
)
ROUTE_UNPROTECTED = warning(
    "route_unprotected", "The route takes plain text from any address: list the allowed ones or use TLS.", "route"
)

# Inbound.
LISTENER_OPENED = info("listener_opened", "A route listens for its placers.", "route", "address", "mode", "custody")
LISTENER_CLOSED = info("listener_closed", "A route takes no new connections.", "route")
PLACER_CONNECTED = info(
    "placer_connected", "A placer opened a connection.", "route", "peer", "connections", per_minute_max=30
)
PLACER_DISCONNECTED = info(
    "placer_disconnected", "A placer's connection ended.", "route", "peer", "reason", "messages", per_minute_max=30
)
CONNECTION_REFUSED = warning(
    "connection_refused",
    "A connection was turned away: raise the limit or find out who it is.",
    "route",
    "peer",
    "reason",
)
FRAME_REFUSED = warning(
    "frame_refused", "A placer sent what is not MLLP; its connection was closed.", "route", "peer", "reason", "offset"
)
MESSAGE_QUARANTINED = warning(
    "message_quarantined", "Content that is not HL7 was kept for an analyst.", "route", "reason", "size"
)
CONTROL_ID_REUSED = warning(
    "control_id_reused", "A placer used a control id again for other bytes; treated as a new message.", "route"
)
MESSAGE_LEFT_UNANSWERED = warning(
    "message_left_unanswered", "The placer got no acknowledgment and will send again.", "route", "reason"
)

SYNTHETIC_FAILED = warning(
    "synthetic_failed",
    "The order that we send ourselves was not decided and accepted in time: real ones would not be either.",
    "route",
    "result",
)

# Deciding.
DECIDING_FAILED = error(
    "deciding_failed",
    "Deciding raised; the message passed unchanged. Report it with these fields.",
    "route",
    "error",
    "reason",
    "where",
)
FEED_READING_FAILED = error(
    "feed_reading_failed",
    "Reading a message of a feed raised; its bytes are in quarantine, what it says is not known. Report it with these fields.",
    "feed",
    "error",
    "reason",
    "where",
)
FEED_MESSAGE_LOST = error(
    "feed_message_lost",
    "The journal could not keep what a relayed message of a feed says; its receiver has it. Let the sender repeat it.",
    "feed",
    "reason",
)
DECIDING_TOOK_TOO_LONG = error(
    "deciding_took_too_long", "Deciding ran over its budget; the message passed unchanged.", "route", "seconds"
)
SPLICE_REFUSED = error(
    "splice_refused",
    "The proof that only our addition changed the message failed; the original was sent.",
    "route",
    "error",
    "reason",
    "where",
)
ORDER_ESCALATED = warning(
    "order_escalated", "An order that a person must be told of at once.", "route", "entry", "reason", per_minute_max=0
)

# Orders in custody.
ORDER_WAITS_LONG = warning(
    "order_waits_long", "So much of an order's time has passed, and nobody has decided it.", "entry", "percent"
)
ORDER_HELD = info(
    "order_held", "An order waits for a reviewer.", "route", "entry", "reason", "priority", "deadline_seconds"
)
ORDER_PARKED = info(
    "order_parked", "An order waits a moment for its siblings.", "route", "entry", "reason", "window_seconds"
)
ORDER_MOVED = info(
    "order_moved",
    "An order in our custody changed its state.",
    "entry",
    "step",
    "state",
    "was",
    "actor",
    "waiting_seconds",
)
ORDER_RELEASED = info("order_released", "A held order goes to the filler.", "entry", "step", "actor", "waiting_seconds")
ORDER_RELEASED_UNREVIEWED = warning(
    "order_released_unreviewed",
    "Nobody looked at a held order before its deadline; it goes to the filler.",
    "entry",
    "waiting_seconds",
    per_minute_max=0,
)
MERGE_FAILED = error(
    "merge_failed",
    "Two patients were merged and the orders that wait could not be shown under the new number. Report it with these fields.",
    "error",
    "reason",
    "where",
)
ORDER_HANDED_OVER = error(
    "order_handed_over",
    "A held order was due while the journal could not be written; the filler was given it all the same, a restart now "
    "would send it again. Mend the journal: it is recorded as soon as that can write.",
    "entry",
    "destination",
    "answer",
    "waiting_seconds",
    per_minute_max=0,
)
ORDER_DAMAGED = error(
    "order_damaged",
    "The stored bytes of a held order are damaged and will not be sent; have it ordered again.",
    "entry",
    per_minute_max=0,
)
TIMER_FAILED = error(
    "timer_failed",
    "An order is due and could not be released; it is tried again. Report it with these fields.",
    "entry",
    "error",
    "reason",
    "where",
)
ORDER_WITHDRAWN = info(
    "order_withdrawn", "The placer cancelled an order that we held; the filler never sees it.", "entry", "actor"
)
ORDER_RETURNED = info("order_returned", "A reviewer returned a held order to its orderer.", "entry", "actor", "reason")
HOLD_REFUSED = warning(
    "hold_refused", "An order that the policy would hold went on annotated instead.", "route", "reason"
)
BREAKER_OPENED = error(
    "breaker_opened",
    "Too many holds: the route only annotates until somebody sets its mode.",
    "route",
    "holds",
    "window_seconds",
    per_minute_max=0,
)
LEASE_TAKEN = info(
    "lease_taken",
    "This node delivers to the destination from now on.",
    "destination",
    "possible_duplicates",
)
LEASE_LOST = warning(
    "lease_lost",
    "This node delivers to the destination no more: another does, or the database cannot be asked.",
    "destination",
)
DATABASE_WARNED = warning(
    "database_warned",
    "The database works, but keeps less than it could: without a synchronous standby a failover may lose orders.",
    "reason",
)
CUSTODY_RECOVERED = info(
    "custody_recovered",
    "What the journal had in custody at the start.",
    "held",
    "parked",
    "queued",
    "possible_duplicates",
)

# Evidence.
SOURCE_LOST = warning(
    "source_lost",
    "An evidence source failed too often and is left alone; orders of patients it knows go on annotated.",
    "source",
    "reason",
)
SOURCE_RETURNED = info("source_returned", "An evidence source answers again.", "source", per_minute_max=30)
SOURCE_ANSWER_REFUSED = warning(
    "source_answer_refused",
    "A source answered with what is not to be trusted; nothing of it was used.",
    "source",
    "reason",
)
SOURCE_FAILED = error(
    "source_failed",
    "Asking a source raised; its answer counts as failed. Report it with these fields.",
    "source",
    "error",
    "reason",
    "where",
)
MISSED_HOLD_FOUND = warning(
    "missed_hold_found",
    "An order that went on because a lookup failed would have been held: see `interceptor held list --retrospective`.",
    "route",
    "number",
    "reason",
    per_minute_max=0,
)
RETROSPECTIVE_FAILED = error(
    "retrospective_failed",
    "A message could not be decided again. Report it with these fields.",
    "number",
    "error",
    "reason",
    "where",
)

# Destinations.
DESTINATION_CONNECTED = info(
    "destination_connected", "The filler can be reached.", "destination", "away_seconds", per_minute_max=30
)
DESTINATION_LOST = warning(
    "destination_lost", "The filler cannot be reached; placers wait or queue.", "destination", "reason"
)
ACKNOWLEDGMENT_MISMATCHED = error(
    "acknowledgment_mismatched",
    "The filler acknowledged another message than the one in flight; the connection was dropped.",
    "destination",
    "reason",
)
ACKNOWLEDGMENT_TIMED_OUT = warning(
    "acknowledgment_timed_out",
    "The filler did not answer in time; the connection was dropped.",
    "destination",
    "waited_seconds",
)
ANNOTATION_REFUSED = warning(
    "annotation_refused",
    "The filler refused an annotated message; the original was sent once.",
    "destination",
    "route",
    "code",
)
NOTICE_FAILED = error(
    "notice_failed",
    "The placer could not be told of an order that was held or released; the order itself goes on. Tell the orderer.",
    "route",
    "error",
    "reason",
    "where",
)
DELIVERY_RETRIED = warning(
    "delivery_retried", "A message of ours is sent again.", "destination", "entry", "attempts", "reason"
)
DELIVERY_GIVEN_UP = error(
    "delivery_given_up",
    "The filler refused a message for good; it waits among the dead letters.",
    "destination",
    "outbox",
    "entry",
    "reason",
    "attempts",
    per_minute_max=0,
)

# Journal.
JOURNAL_OPENED = info(
    "journal_opened", "The journal is sound and has the schema that this version needs.", "schema", "entries"
)
JOURNAL_MIGRATED = info("journal_migrated", "A migration was applied.", "migration")
JOURNAL_UNAVAILABLE = error(
    "journal_unavailable",
    "The journal cannot write: nothing is held; look at disk space and permissions.",
    "error",
    "reason",
    "where",
)
JOURNAL_BROKEN = error(
    "journal_broken", "A commit failed with unknown outcome; the node restarts.", "error", "reason", "where"
)
JOURNAL_REPLACED = error(
    "journal_replaced",
    "A damaged journal was set aside and a new one begun; settle its held orders by hand.",
    "kept_as",
    "problems",
)

# Degraded, control and libraries.
NODE_DEGRADED = error("node_degraded", "The node runs with a reduced promise.", "reason", per_minute_max=0)
NODE_RECOVERED = info("node_recovered", "The promise holds again.", "reason")
CONTROL_COMMANDED = info(
    "control_commanded",
    "Somebody gave the running node a command that changes something.",
    "command",
    "actor",
    "result",
)
CONTROL_FAILED = error(
    "control_failed",
    "A command raised; the data path is not touched. Report it with these fields.",
    "command",
    "error",
    "reason",
    "where",
)
LIBRARY_WARNED = warning(
    "library_warned",
    "A library logged; its text is withheld because it may quote a message.",
    "library",
    "library_level",
    "error",
    "where",
)

CATALOGUE: tuple[Event, ...] = (
    *(value for value in list(globals().values()) if isinstance(value, Event)),
    *operation_events.CATALOGUE,
    *webhook_events.CATALOGUE,
    *line_events.CATALOGUE,
)
"""Every event above, in the order of this file, and those of the other files of events."""


class EventError(AssertionError):
    """Our own mistake in logging; raised in tests only. Names the event and the field, never the value."""


class WriteEvent(Protocol):
    """Where events go: a structured logger."""

    def __call__(self, level: str, name: str, fields: Mapping[str, object], /) -> None:
        """Write one event; must not block and must not raise."""
        ...


class EventLog:
    """The log of one process.

    Safe from any thread as far as *write* is; the counts of the rate limit may then be off by a few.
    """

    def __init__(
        self,
        write: WriteEvent,
        *,
        strict: bool = False,
        level: Level = Level.INFO,
        dropped_count: Callable[[], int] = lambda: 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*level*: the least that is written. *dropped_count*: how many lines its reader was too slow for, so far."""
        self.dropped_count = dropped_count
        self._levels = _LEVELS[_LEVELS.index(level) :]
        self._write = write
        self._strict = strict
        self._monotonic = monotonic
        self._windows: dict[tuple[str, ...], EventWindow] = {}

    def event(self, event: Event, /, **fields: object) -> None:
        """Write *event* with these of its fields.

        Raises:
            EventError: Strict mode: the event, a field or the kind of a value is not in the catalogue.
        """
        if event not in _CATALOGUED:
            self._refuse(f"event {event.name} is not in the catalogue")
            return
        if event.level not in self._levels:
            return
        allowed: dict[str, object] = {}
        for name, value in fields.items():
            if name not in event.fields:
                self._refuse(f"event {event.name} has no field {name}")
            elif not is_plain(value):
                self._refuse(f"field {name} of event {event.name} is a {type(value).__name__}, not a number or a word")
            else:
                allowed[name] = cut(value)
        suppressed = self._suppressed(event, allowed)
        if suppressed is None:
            return
        if suppressed:
            allowed["suppressed"] = suppressed
        self._write(event.level.value, event.name, allowed)

    def _suppressed(self, event: Event, fields: Mapping[str, object]) -> int | None:
        """How many were left out since the last one written; None when this one is to be left out too."""
        if not event.per_minute_max:
            return 0
        now = self._monotonic()
        # One placer's flood must not hide what happens to another: windows are apart where these fields differ.
        key = (event.name, *(str(fields.get(name, "")) for name in _APART_BY))
        if key not in self._windows and len(self._windows) >= _WINDOWS_MAX:
            key = (event.name,)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = EventWindow(now)
        return window.admit(now, event.per_minute_max)

    def _refuse(self, problem: str) -> None:
        if self._strict:
            raise EventError(problem)


_APART_BY: Final = ("route", "destination", "source", "feed", "reason", "error", "where")
"""Fields whose values are configured names, words of closed sets or places in the code: few, whatever peers send."""
_WINDOWS_MAX: Final = 2000
_LEVELS: Final = tuple(Level)
"""Least first."""
_CATALOGUED: Final = frozenset(CATALOGUE)
