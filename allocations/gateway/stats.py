"""What a gateway process counts of its answers and of its providers: plain numbers of one event loop, no locks."""

from collections import Counter
from enum import StrEnum

from allocations.metering.stats import Histogram

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
# As nginx calls it: the client went away before there was an answer.
CLIENT_GONE = 499


class Trouble(StrEnum):
    """What can be wrong with a provider, its own error answers apart."""

    UNREACHABLE = "unreachable"
    SILENT = "silent"
    CUT = "cut"
    ERROR_EVENT = "error_event"


class GatewayStats:
    """The counts of one process; times in seconds."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        """Answers by surface and status."""
        self.first_byte_seconds: dict[str, Histogram] = {}
        """From a call's way to a provider to the head of its answer, by provider."""
        self.upstream_answers: Counter[tuple[str, int]] = Counter()
        """Providers' answers by provider and status."""
        self.upstream_troubles: Counter[tuple[str, Trouble]] = Counter()

    def answered(self, surface: str, status: int) -> None:
        """Count an answer; a status of zero says that nobody was there to hear one."""
        self.answers[surface, status or CLIENT_GONE] += 1

    def upstream_answered(self, provider: str, status: int, seconds: float) -> None:
        """Count a provider's answer, whose head took so many seconds."""
        histogram = self.first_byte_seconds.get(provider)
        if histogram is None:
            histogram = self.first_byte_seconds[provider] = Histogram(SECONDS)
        histogram.observe(seconds)
        self.upstream_answers[provider, status] += 1

    def upstream_failed(self, provider: str, trouble: Trouble) -> None:
        """Count a call that a provider did not answer, or not to its end."""
        self.upstream_troubles[provider, trouble] += 1
