"""Texts that mention nothing, known again: a note that stands on every order of a department is read once.

Only texts in which no term of the tables was found are remembered, so no complaint of a patient is. It changes how fast
texts are read, never what is read.
"""

from interceptor.context.text_matcher import TEXT_LENGTH_MAX, TextMatcher
from interceptor.context.text_reading import TextReading

TEXT_COUNT_MAX = 2048
"""Texts remembered at most; then it begins anew."""
TEXT_SIZE_MAX = 300
"""Characters of a text that is worth it: one megabyte in all."""


class TextMemory:
    """For the one matcher that it was made for."""

    __slots__ = ("_known", "_matcher")

    def __init__(self, matcher: TextMatcher) -> None:
        self._matcher = matcher
        self._known: dict[str, TextReading] = {}

    def read(self, text: str, *, length_max: int = TEXT_LENGTH_MAX) -> TextReading:
        """As `TextMatcher.read`."""
        known = self._known.get(text)
        if known is not None and len(text) <= length_max:
            return known
        reading = self._matcher.read(text, length_max=length_max)
        if not reading.mentions and not reading.truncated and len(text) <= TEXT_SIZE_MAX:
            if len(self._known) >= TEXT_COUNT_MAX:
                self._known.clear()
            self._known[text] = reading
        return reading
