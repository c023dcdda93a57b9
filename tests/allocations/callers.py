"""Callers outside: they admit, settle and void over REST with a quota key, in this process and its transaction."""

from dataclasses import dataclass, field
from typing import Any

from django.test import Client

# A tenth of a dollar at a dollar per million tokens, and half of it.
TENTH: dict[str, Any] = {"model": "tank-medium", "input_tokens": 100_000, "output_cap": 0}
HALF: dict[str, Any] = {"tokens": {"input": 50_000}}


@dataclass(frozen=True)
class Caller:
    """Somebody who calls models by other means than our gateway, and has a key."""

    secret: str
    client: Client = field(default_factory=Client)

    def post(self, what: str, **said: Any) -> Any:
        """Say something and return the answer."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        address = f"/api/v1/metering/{what}"
        return self.client.post(address, data=said, content_type="application/json", headers=headers)

    def told(self, what: str, **said: Any) -> dict[str, Any]:
        """Say something that is accepted, and return what the answer says."""
        answer = self.post(what, **said)
        assert answer.status_code == 200, answer.content
        told: dict[str, Any] = answer.json()
        return told

    def refused(self, what: str, **said: Any) -> tuple[int, str, str]:
        """Say something that is refused; return the status, the code and the field."""
        answer = self.post(what, **said)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error.get("field", "")

    def admit(self, name: str = "call-1", **asked: Any) -> dict[str, Any]:
        """Have a call held; by default one that may use a hundred thousand tokens of input and no output."""
        return self.told("admit", **{"id": name, **TENTH, **asked})

    def settle(self, name: str = "call-1", **said: Any) -> dict[str, Any]:
        """Say what a call used; by default half of that."""
        return self.told("settle", **{"id": name, **(said or HALF)})

    def void(self, name: str = "call-1") -> dict[str, Any]:
        """Say that a call cost nothing."""
        return self.told("void", id=name)
