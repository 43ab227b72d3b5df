"""The `interceptor` command, with a supervisor that starts a dead node again at once.

A real one pauses up to five seconds when its node dies again and again; a run with many kills would do nothing else.
With NODE_MODULE in the environment its nodes run that module instead of `interceptor`.
"""

import os

from interceptor import child, supervisor
from interceptor.cli.main import main

if __name__ == "__main__":
    supervisor.PAUSE_SECONDS_MIN = supervisor.PAUSE_SECONDS_MAX = 0.01
    child.NODE_MODULE = os.environ.get("NODE_MODULE", child.NODE_MODULE)
    main()
