"""What the demo shows: a live table on a terminal, plain lines anywhere else."""

from collections.abc import Callable
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from interceptor.cli.terminal import print_line
from interceptor.simulate.demo import DemoPlace
from interceptor.simulate.ledger import Ledger, Row, Verdict

ROWS_SHOWN = 18
SAYINGS_SHOWN = 3
_STYLES = {
    Verdict.WAITING: "dim",
    Verdict.PASSED: "green",
    Verdict.ANNOTATED: "yellow",
    Verdict.HELD: "bold red",
    Verdict.APPLIED: "magenta",
    Verdict.REPEATED: "dim",
    Verdict.RELEASED: "bold cyan",
    Verdict.ENDED: "dim",
    Verdict.REFUSED: "red",
    Verdict.UNANSWERED: "bold yellow",
}


_SOURCES = {
    "message": "the order itself",
    "registry": "the registry only, from ADT and PPR",
    "fhir": "the FHIR server only",
}


class DemoScreen(Protocol):
    """A `DemoObserver` that has a place to show things and an end."""

    def started(self, place: DemoPlace) -> None:
        """Everything runs."""

    def changed(self, row: Row) -> None:
        """A message has a verdict, or another one than before."""

    def said(self, text: str) -> None:
        """Something else happened."""

    def close(self) -> None:
        """Show nothing more; what was shown stays."""


def open_screen(ledger: Ledger, console: Console, *, show_page: Callable[[str], None] | None = None) -> DemoScreen:
    """The screen for this console; *show_page* is given the address of the review pages, once, None for nobody."""
    if not console.is_terminal:
        return PlainScreen(print_line)
    return TableScreen(ledger, console, show_page=show_page)


def hint_lines(place: DemoPlace) -> tuple[str, ...]:
    """Where everything is, and what to try next from another terminal."""
    config = place.config_file
    return (
        "Demo data: no patient in it exists.",
        f"review held orders {place.review_link}  (works once, within 15 minutes)",
        f"placer sends to   127.0.0.1:{place.route_port} (MLLP)",
        f"filler listens at 127.0.0.1:{place.filler_port}",
        f"diagnoses come to 127.0.0.1:{place.feed_port} (ADT and PPR over MLLP), and are asked for at {place.fhir_url}",
        f"metrics           http://127.0.0.1:{place.metrics_port}/metrics",
        f"control socket    {place.control_socket}",
        "In another terminal:",
        f"  interceptor held list -c {config}",
        f'  interceptor held release ENTRY --reason "seen" -c {config}',
        f"  interceptor send FILE 127.0.0.1:{place.route_port}",
        f"  interceptor mode demo shadow -c {config}",
        "Ctrl-C ends the demo.",
    )


def summary_lines(ledger: Ledger) -> tuple[str, ...]:
    """What the run came to."""
    counts = ", ".join(f"{ledger.count(verdict)} {verdict.value}" for verdict in Verdict if ledger.count(verdict))
    sources = ", ".join(f"{ledger.count_source(key)} to {words}" for key, words in _SOURCES.items())
    return (
        f"{len(ledger.rows)} messages sent: {counts or 'none'}.",
        f"{ledger.delivered_count()} of them reached the filler, which received {ledger.received_count} messages in all.",
        f"Orders held for a cancer that was known: {sources}.",
    )


def describe_row(row: Row) -> str:
    """One row as a plain line."""
    reasons = f"  {', '.join(row.reasons)}" if row.reasons else ""
    return f"{row.number:>5}  {row.verdict.value:<10}  {row.sent.kind}{reasons}"


class PlainScreen:
    """A line for each change, for logs and pipes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._printed: dict[int, Verdict] = {}

    def started(self, place: DemoPlace) -> None:
        """Print where everything is."""
        for line in hint_lines(place):
            self._write(line)

    def changed(self, row: Row) -> None:
        """Print the row, once for each verdict that it has had."""
        if self._printed.get(row.number) is not row.verdict:
            self._printed[row.number] = row.verdict
            self._write(describe_row(row))

    def said(self, text: str) -> None:
        """Print the text."""
        self._write(f"       {text}")

    def close(self) -> None:
        """Nothing is open."""


class TableScreen:
    """A table of the newest messages that is drawn again as their verdicts change."""

    def __init__(self, ledger: Ledger, console: Console, *, show_page: Callable[[str], None] | None = None) -> None:
        self._ledger = ledger
        self._show_page = show_page
        self._hints: tuple[str, ...] = ()
        self._sayings: list[str] = []
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=4)

    def started(self, place: DemoPlace) -> None:
        """Show where everything is, and the table from now on."""
        self._hints = hint_lines(place)
        self._live.start()
        if self._show_page is not None and place.review_link:
            self._show_page(place.review_link)

    def changed(self, row: Row) -> None:
        """Nothing to do: the table is drawn from the ledger."""

    def said(self, text: str) -> None:
        """Show the text below the table."""
        self._sayings.append(text)

    def close(self) -> None:
        """Leave the last state of the table on the terminal."""
        self._live.stop()

    def _draw(self) -> Group:
        table = Table(expand=True)
        table.add_column("#", justify="right", width=6)
        table.add_column("message", ratio=2)
        table.add_column("verdict", width=12)
        table.add_column("reasons", ratio=2)
        for row in self._ledger.rows[-ROWS_SHOWN:]:
            verdict = Text(row.verdict.value, style=_STYLES[row.verdict])
            table.add_row(str(row.number), row.sent.kind, verdict, ", ".join(row.reasons))
        sayings = [Text(text, style="italic") for text in self._sayings[-SAYINGS_SHOWN:]]
        totals = [Text(line, style="bold") for line in summary_lines(self._ledger)]
        return Group(*[Text(line) for line in self._hints], table, *totals, *sayings)
