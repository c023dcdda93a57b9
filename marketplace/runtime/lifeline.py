"""A child ends with its parent, however the parent ends.

The parent sets TANK_LIFELINE to its process id; the child's first act is `hold`.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

VARIABLE = "TANK_LIFELINE"
PR_SET_PDEATHSIG = 1
# By convention: 128 and the number of the signal.
ENDED_BY_SIGTERM = 143


def exit_on_sigterm() -> None:
    """Leave on SIGTERM as on Ctrl-C: through `finally` and atexit."""
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(ENDED_BY_SIGTERM)


def hold() -> None:
    """Get SIGTERM when the parent ends, where a parent asked for it."""
    value = os.environ.pop(VARIABLE, "")
    if not value:
        return
    parent = int(value)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        sys.exit(ENDED_BY_SIGTERM)  # it ended before we asked


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
