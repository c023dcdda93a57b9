"""How large and how slow things may be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one gateway process; sizes in bytes, times in seconds."""

    request_bytes: int = 10 * 1024 * 1024
    request_seconds: float = 60
    """For a request's body to arrive."""
    answer_bytes: int = 128 * 1024 * 1024
    """Of an answer that is not streamed; it is held in memory until its settle has committed."""
    connect_seconds: float = 10
    silence_seconds: float = 600
    """How long an upstream may send nothing."""
    write_seconds: float = 60
    """How long a client may take nothing of a stream."""
    drain_seconds: float = 60
    """How long, and for how much, an upstream is read after its client went away, to learn the exact usage."""
    drain_bytes: int = 16 * 1024 * 1024
