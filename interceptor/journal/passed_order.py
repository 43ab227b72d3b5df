"""Numbers of orders that went their way to the filler, so that none of them is held when it is placed again.

A placer may send NW again for an order that the filler has. Were that one held, its cancel would end here, and the
filler would keep the order. The memory is that of the process and bounded; what it does not know is asked of the
journal's decisions (`Journal.has_gone`).
"""

from collections import OrderedDict

COUNT_MAX = 100_000
"""Order numbers remembered, about 10 MB: weeks of a large hospital's imaging orders."""
ENDING_CONTROLS = frozenset({"CA", "DC"})


class PassedOrders:
    """Order keys, the latest last."""

    def __init__(self, *, count_max: int = COUNT_MAX) -> None:
        """Beyond *count_max* the oldest are forgotten."""
        self._count_max = count_max
        # The oldest of a plain dict is found behind all that were deleted before it: ever slower once it is full.
        self._keys: OrderedDict[str, bool] = OrderedDict()

    def note(self, order_key: str, order_control: str) -> None:
        """A message about this order goes to the filler; after a cancel the filler has it no more."""
        self._keys.pop(order_key, None)
        if not order_key:
            return
        self._keys[order_key] = order_control.strip().upper() not in ENDING_CONTROLS
        if len(self._keys) > self._count_max:
            self._keys.popitem(last=False)

    def knows(self, order_key: str) -> bool:
        """Whether the filler may have this order."""
        return self._keys.get(order_key, False)

    def remembers(self, order_key: str) -> bool:
        """Whether a message about this order went while this process ran; else the journal may know of one."""
        return order_key in self._keys
