"""Reading a gateway's metrics as Prometheus does."""

from dataclasses import dataclass

import httpx2 as httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import free_port


@dataclass(frozen=True)
class Scrape:
    """The metrics of one moment."""

    text: str

    @property
    def families(self) -> dict[str, str]:
        """Return the families by name, each with its help text."""
        return {family.name: family.documentation for family in text_string_to_metric_families(self.text)}

    def value(self, name: str, **labels: str) -> float:
        """Return one sample's value."""
        (value,) = (value for found, value in self.samples(name) if found == labels)
        return value

    def each(self, name: str, label: str) -> dict[str, float]:
        """Return the samples that are not zero, by one of their labels."""
        return {labels[label]: value for labels, value in self.samples(name) if value}

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return the samples of a name, with their labels."""
        families = text_string_to_metric_families(self.text)
        return [
            (sample.labels, sample.value) for family in families for sample in family.samples if sample.name == name
        ]


@dataclass(frozen=True)
class MetricsPort:
    """Where a gateway shall serve its metrics."""

    number: int

    @classmethod
    def free(cls) -> "MetricsPort":
        """Choose a port on which nobody listens."""
        return cls(free_port())

    @property
    def setting(self) -> dict[str, str]:
        """Return what tells a gateway so."""
        return {"GATEWAY_METRICS_ADDRESS": f"127.0.0.1:{self.number}"}

    @property
    def url(self) -> str:
        """Return the address of the metrics."""
        return f"http://127.0.0.1:{self.number}/metrics"

    def scrape(self) -> Scrape:
        """Read the metrics as they stand."""
        answer = httpx.get(self.url, timeout=10)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return Scrape(answer.text)
