"""What goes wrong in a page, for the log: the kind of the error and where, never its words, which may quote a patient.

Outermost of everything: the application answers 500 without content and raises again; here that ends. Without it the
server would write the whole traceback, with the error's own text, to standard error.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from interceptor.telemetry.events import EventLog
from interceptor.telemetry.operation_events import PAGE_FAILED
from interceptor.telemetry.redaction import describe_error


class FailureLog:
    """Tells the log of requests that failed by our own fault."""

    def __init__(self, app: ASGIApp, log: EventLog) -> None:
        """*app*: the whole application."""
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the boundary of the connection; the client has its 500, or is cut off by the server
            self._log.event(PAGE_FAILED, **describe_error(error))
