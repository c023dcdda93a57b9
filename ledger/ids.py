"""Request ids that carry their time, so that records can be kept by month and stay unique across all months."""

import secrets
from datetime import UTC, datetime
from uuid import UUID


def uuid7(moment: datetime | None = None) -> UUID:
    """Return a UUID version 7 (RFC 9562, section 5.7) of a moment, by default now."""
    milliseconds = int((moment or datetime.now(UTC)).timestamp() * 1000)
    high = milliseconds << 16 | 0x7000 | secrets.randbits(12)
    return UUID(int=high << 64 | 0b10 << 62 | secrets.randbits(62))
