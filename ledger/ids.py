"""Request ids that carry their time, so that records can be kept by month and stay unique across all months."""

import os
import time
from datetime import datetime
from uuid import UUID


def uuid7(moment: datetime | None = None) -> UUID:
    """Return a UUID version 7 (RFC 9562, section 5.7) of a moment, by default now."""
    milliseconds = time.time_ns() // 1_000_000 if moment is None else int(moment.timestamp() * 1000)
    chance = int.from_bytes(os.urandom(10), "big")
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (chance >> 68) << 64 | 0b10 << 62 | chance & 2**62 - 1)
