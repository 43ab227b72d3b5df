"""The answer to a load balancer that asks on the orders' own port whether to send placers here.

    <VT>PING<FS><CR>   ->   <VT>INTERCEPTOR UP<FS><CR>        or INTERCEPTOR DRAINING

The question never reaches the filler, and the answer comes from the loop that carries the orders: a process that is
stopped or blocked does not give it, where a plain TCP check would be content (RELIABILITY 1.7).

Only a node that is about to end says DRAINING. A journal that cannot write, or a filler that is away, is no reason to go
around the node: the messages that pass still pass, and those about an order that is held must not go another way.
"""

from collections.abc import Callable
from typing import Final

from interceptor.telemetry.health import Health
from interceptor.telemetry.tally import CounterTally

UP: Final = b"INTERCEPTOR UP"
DRAINING: Final = b"INTERCEPTOR DRAINING"


def probe_answerer(health: Health, probes: CounterTally) -> Callable[[], bytes]:
    """What answers each question: a function without arguments, for the connection's line. *probes* counts them."""

    def answer() -> bytes:
        probes.inc()
        return DRAINING if health.draining else UP

    return answer
