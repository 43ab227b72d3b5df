"""The `interceptor` command, with a supervisor that starts a dead node again at once.

A real one pauses up to five seconds when its node dies again and again; a run with many kills would do nothing else.
"""

from interceptor import supervisor
from interceptor.cli.main import main

if __name__ == "__main__":
    supervisor.PAUSE_SECONDS_MIN = supervisor.PAUSE_SECONDS_MAX = 0.01
    main()
