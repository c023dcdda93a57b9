"""A metered call from its key to its settle: read, admit, send, relay. What was held is always settled or released."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from allocations.gateway import body as bodies
from allocations.gateway.admission import Admitted, Desk, admit
from allocations.gateway.catalogue import Catalogue
from allocations.gateway.dialect import Ask, Reading, Surface
from allocations.gateway.entries import KeyEntry
from allocations.gateway.exchange import exchange
from allocations.gateway.limits import Limits
from allocations.gateway.refusal import Refusal, bad_request
from allocations.gateway.relay import Call
from allocations.gateway.request import Receive, Request, Send, read_body
from allocations.gateway.routing import AUTO
from allocations.gateway.settlement import Settlement
from allocations.gateway.upstream import Upstream
from allocations.metering.bounds import Unbounded
from allocations.metering.recall import Recall, trail_of
from allocations.metering.types import Meter


@dataclass(frozen=True, slots=True)
class Hook:
    """What a metered call needs of its process."""

    meter: Meter
    catalogue: Catalogue
    upstream: Upstream
    limits: Limits
    pages: str
    """The address of Tank's pages, for people who are told to ask for more."""
    recall: Recall = field(default_factory=Recall)


async def call(hook: Hook, surface: Surface, request: Request, key: KeyEntry, send: Send, receive: Receive) -> None:
    """Answer a metered call. Raises Refusal while nothing has been sent."""
    limits, tags = hook.limits, request.tags()
    body = await read_body(request, receive, most_bytes=limits.request_bytes, most_seconds=limits.request_seconds)
    payload = bodies.parse(body)
    ask = _ask(surface, payload, body)
    trail = trail_of(hook.recall, payload, body, ask.demand, conversation=surface.conversation, scope=key.allocation.id)
    ask = ask if trail is None else replace(ask, trail=trail)
    book = await hook.catalogue.book()
    request.asked, request.size = ask.model, len(body)
    request.model = ask.model if ask.model == AUTO or book.named(ask.model) else ""
    admitted = await admit(Desk(hook.meter, hook.catalogue, book, key, datetime.now(UTC), hook.pages), surface, ask)
    request.id = str(admitted.hold.request_id)
    settlement = Settlement(hook.meter, surface, ask, admitted, tags)
    try:
        outgoing = partial(_outgoing, body, payload, surface, ask, admitted)
        await exchange(
            hook.upstream, Call(surface, ask, request, admitted, settlement, limits, send, receive), outgoing
        )
    except Refusal as refusal:
        refusal.headers += settlement.tolls
        raise
    finally:
        # Cancelled, or an error of ours: once it was sent, the provider may have done the work.
        if not settlement.is_done:
            await (settlement.part(Reading(), 0) if settlement.is_sent else settlement.void())


def _ask(surface: Surface, payload: dict[str, object], body: bytes) -> Ask:
    try:
        return surface.ask(payload, body)
    except Unbounded as reason:
        raise bad_request(reason.message, reason.parameter) from None


def _outgoing(
    body: bytes, payload: dict[str, object], surface: Surface, ask: Ask, admitted: Admitted, name: str
) -> bytes:
    """Return what goes upstream for a model that the provider calls by a name."""
    changes = dict(ask.changes)
    if admitted.inserted_cap is not None:
        changes[surface.cap_name] = admitted.inserted_cap
    if name != ask.model:
        changes["model"] = name
    return bodies.changed(body, payload, changes, ambiguous=bodies.is_ambiguous(body, payload))
