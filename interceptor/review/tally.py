"""What the review process counts: it tells the node now and then, which shows it beside its own metrics.

One address to scrape, and a process that may die: what it counted before stays. Labels are words of closed sets: an
action of the rights table, a class of answers, how a login went.

Failures: what could not be told is told with the next report.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

LOGIN_RESULTS: Final = ("password", "link", "oidc", "proxy", "refused", "throttled")
PUBLIC: Final = "public"
"""The label of pages that everybody may see."""
STATUS_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")


class ReviewTally:
    """Counts since the last report."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str]] = Counter()
        self._seconds: list[tuple[str, float]] = []
        self._logins: Counter[str] = Counter()
        self.stream_count = 0
        """Open streams of live updates, now."""

    def request(self, action: str, status_code: int, seconds: float) -> None:
        """A request was answered."""
        self._requests[action, f"{status_code // 100}xx"] += 1
        self._seconds.append((action, round(seconds, 6)))

    def login(self, result: str) -> None:
        """A login went so; of `LOGIN_RESULTS`."""
        assert result in LOGIN_RESULTS, "a closed set"
        self._logins[result] += 1

    def take(self) -> dict[str, Any]:
        """The report, as JSON values; what is in it is no longer kept here."""
        report = {
            "requests": [[action, status, count] for (action, status), count in self._requests.items()],
            "seconds": [list(one) for one in self._seconds],
            "logins": dict(self._logins),
            "streams": self.stream_count,
        }
        self._requests.clear()
        self._seconds = []
        self._logins.clear()
        return report

    def give_back(self, report: Mapping[str, Any]) -> None:
        """A report that could not be told."""
        self._requests.update({(action, status): count for action, status, count in report["requests"]})
        # A node that is away for long costs us the finest part of the report, never the memory.
        self._seconds = ([(action, seconds) for action, seconds in report["seconds"]] + self._seconds)[-20_000:]
        self._logins.update(report["logins"])
