"""A held call's way to its model's provider, and to backups while nothing was said to the client.

A backup is tried only when the one before it did no work that could be charged: it could not be reached, or it
answered that it will not serve now. When none answers, the client hears what the model's own provider said.
"""

from dataclasses import dataclass
from typing import Protocol

import aiohttp

from allocations.gateway.dialect import Reading
from allocations.gateway.refusal import Refusal
from allocations.gateway.relay import Call, ErrorAnswer, Relay
from allocations.gateway.routing import Option
from allocations.gateway.upstream import Upstream, UpstreamFailed, authentication

UNREACHABLE = "unreachable"
TOO_MANY_REQUESTS = 429


class Outgoing(Protocol):
    """What is sent to providers."""

    def body_for(self, name: str) -> bytes:
        """Return the body for a model that the provider calls by a name."""
        ...

    def forget(self) -> None:
        """Free its memory: a provider has answered, and no other one will be asked."""
        ...


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why an option did not answer, and what the client is told unless another one does."""

    reason: str
    told: ErrorAnswer | Refusal


async def exchange(upstream: Upstream, call: Call, outgoing: Outgoing) -> None:
    """Send a call, and relay and settle what answers it. Raises Refusal when nothing has been sent to the client."""
    first = call.admitted.option
    failure = await _attempt(upstream, call, first, outgoing, is_backup=False)
    reason = failure.reason if failure else ""
    for backup in first.backups if failure else ():
        call.settlement.serve(backup, reason)
        if await _attempt(upstream, call, backup, outgoing, is_backup=True) is None:
            return
    if failure is not None:
        call.settlement.serve(first, "")
        await _tell(call, failure.told)


async def _tell(call: Call, told: ErrorAnswer | Refusal) -> None:
    if isinstance(told, ErrorAnswer):
        await Relay(call).pass_error(told)
    else:
        await call.settlement.void()
        raise told


async def _attempt(
    upstream: Upstream, call: Call, option: Option, outgoing: Outgoing, *, is_backup: bool
) -> _Failure | None:
    """Send a call to one option; None when that was the call's end, whichever."""
    provider, settlement = option.model.provider, call.settlement
    try:
        credential = authentication(provider, call.surface.dialect)
    except Refusal as told:
        return _Failure(UNREACHABLE, told)
    body = outgoing.body_for(option.model.upstream_name)
    settlement.is_sent = True
    try:
        response = await upstream.post(provider, call.surface.path, call.request, credential, body)
        del body
    except UpstreamFailed as failure:
        if failure.may_have_cost:
            await settlement.part(Reading(), 0)
            raise failure.refusal from None
        settlement.is_sent = False
        return _Failure(UNREACHABLE, failure.refusal)
    async with response:
        if _may_go_on(response.status, call, is_backup=is_backup):
            return await _turned_away(call, response)
        outgoing.forget()
        await Relay(call).run(response)
        return None


def _may_go_on(status: int, call: Call, *, is_backup: bool) -> bool:
    """Say whether somebody else may answer. What a backup does not like about a call was no fault to its own model."""
    if is_backup:
        return status >= 300
    return bool(call.admitted.option.backups) and (status == TOO_MANY_REQUESTS or status >= 500)


async def _turned_away(call: Call, response: aiohttp.ClientResponse) -> _Failure | None:
    relay, reason = Relay(call), str(response.status)
    try:
        error = await relay.read_error(response)
    except Refusal as refusal:
        return _Failure(reason, refusal)
    if error.reading.tokens is not None:  # an error that says what it used is charged, so it is the answer
        await relay.pass_error(error)
        return None
    return _Failure(reason, error)
