"""How two messages differ, field by field: what a person sees before an order leaves.

In: the bytes as received and the bytes that would leave. Out: added segments, changed fields with both values, and
how many fields are the same. Removed segments do not happen: a forwarded order has what the received one had.
"""

from collections import Counter
from collections.abc import Iterator

from interceptor.message.view import MessageView, Segment


def difference_json(received: bytes, leaving: bytes) -> dict[str, object]:
    """The difference of two messages, as JSON values; bytes are decoded as ISO 8859-1, one to one.

    `added`: segments that are new, as text. `changed`: fields with path, `was` and `will`. `unchanged_count`: fields
    with a value that stay as they are.
    """
    before, after = MessageView(received), MessageView(leaving)
    left = Counter(segment.raw_bytes for segment in before.segments)
    new: list[Segment] = []
    for segment in after.segments:
        if left[segment.raw_bytes]:
            left[segment.raw_bytes] -= 1
        else:
            new.append(segment)
    gone = [segment for segment in before.segments if left[segment.raw_bytes]]
    changed: list[dict[str, str]] = []
    added: list[str] = []
    same_count = sum(_value_count(segment) for segment in before.segments) - sum(map(_value_count, gone))
    for segment in new:
        # The same segment with other fields: the first of its name that is gone.
        was = next((one for one in gone if one.name == segment.name), None)
        if was is None:
            added.append(segment.raw_bytes.decode("latin-1"))
            continue
        gone.remove(was)
        changes = list(_changed_fields(was, segment))
        same_count += _value_count(was) - sum(1 for one in changes if one["was"])
        changed.extend(changes)
    return {
        "received": received.decode("latin-1"),
        "leaving": leaving.decode("latin-1"),
        "added": added,
        "changed": changed,
        "unchanged_count": same_count,
    }


def _numbers(segment: Segment) -> range:
    separator = segment.raw_bytes[3:4]
    count = segment.raw_bytes.count(separator) if separator else 0
    return range(1, count + 1 + (segment.name == "MSH"))


def _value_count(segment: Segment) -> int:
    return sum(1 for number in _numbers(segment) if segment.raw_field(number))


def _changed_fields(was: Segment, will: Segment) -> Iterator[dict[str, str]]:
    for number in range(1, max(len(_numbers(was)), len(_numbers(will))) + 1):
        before, after = was.raw_field(number), will.raw_field(number)
        if before != after:
            occurrence = f"[{was.occurrence}]" if was.occurrence > 1 else ""
            yield {
                "path": f"{was.name}{occurrence}-{number}",
                "was": before.decode("latin-1"),
                "will": after.decode("latin-1"),
            }
