"""The stock SDKs, whose tries are counted at their HTTP client."""

from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2 as httpx
import openai

from tests.allocations.gateways import Purse

HELLO: Any = [{"role": "user", "content": "Say something, please."}]
MEDIUM = "tank-medium"


@dataclass
class Attempts:
    """Counts the requests of an HTTP client."""

    count: int = 0
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(event_hooks={"request": [self._count]}, timeout=30)

    def _count(self, request: httpx.Request) -> None:
        self.count += 1


def of_openai(url: str, purse: Purse, attempts: Attempts, **headers: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{url}/v1", api_key=purse.secret, http_client=attempts.client, default_headers=headers
    )


def of_anthropic(url: str, purse: Purse, attempts: Attempts, **headers: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=purse.secret, http_client=attempts.client, default_headers=headers)
