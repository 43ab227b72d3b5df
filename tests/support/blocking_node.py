"""The node's process with a fault built in: SIGUSR1 blocks its event loop, as a slow pattern or a forgotten file read would."""

import signal
import time

from interceptor.cli.main import main

BLOCK_SECONDS = 120.0


def block_the_loop(_number: int, _frame: object) -> None:
    """Python's signal handlers run in the main thread, which is the loop's."""
    time.sleep(BLOCK_SECONDS)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, block_the_loop)
    main()
