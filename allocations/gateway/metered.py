"""A metered call from its key to its settle: read, admit, send, relay. What was held is always settled or released."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

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
from allocations.gateway.stats import GatewayStats
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
    stats: GatewayStats
    recall: Recall = field(default_factory=Recall)


async def call(hook: Hook, surface: Surface, request: Request, key: KeyEntry, send: Send, receive: Receive) -> None:
    """Answer a metered call. Raises Refusal while nothing has been sent."""
    limits, tags = hook.limits, request.tags()
    body = await read_body(request, receive, most_bytes=limits.request_bytes, most_seconds=limits.request_seconds)
    payload = bodies.parse(body)
    ask = _ask(surface, payload, body)
    trail = trail_of(hook.recall, payload, body, ask.demand, conversation=surface.conversation, scope=key.allocation.id)
    ask = ask if trail is None else ask._replace(trail=trail)
    book = await hook.catalogue.book()
    request.asked, request.size = ask.model, len(body)
    request.model = ask.model if ask.model == AUTO or book.named(ask.model) else ""
    admitted = await admit(Desk(hook.meter, hook.catalogue, book, key, datetime.now(UTC), hook.pages), surface, ask)
    request.id = str(admitted.hold.request_id)
    settlement = Settlement(hook.meter, surface, ask, admitted, tags)
    try:
        outgoing = _Outgoing(request, body, payload, surface, ask, admitted)
        del body, payload  # a stream may last for long, and what was asked may be large
        passing = Call(surface, ask, request, admitted, settlement, limits, send, receive, hook.stats)
        await exchange(hook.upstream, passing, outgoing)
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


class _Outgoing:
    """What goes upstream, until a provider has answered."""

    __slots__ = ("_admitted", "_ask", "_body", "_payload", "_request", "_surface")

    def __init__(
        self, request: Request, body: bytes, payload: dict[str, object], surface: Surface, ask: Ask, admitted: Admitted
    ) -> None:
        self._request, self._body, self._payload = request, body, payload
        self._surface, self._ask, self._admitted = surface, ask, admitted

    def body_for(self, name: str) -> bytes:
        """Return the body for a model that the provider calls by a name."""
        ask, inserted_cap, changes = self._ask, self._admitted.inserted_cap, dict(self._ask.changes)
        if inserted_cap is not None:
            changes[self._surface.cap_name] = inserted_cap
        if name != ask.model:
            changes["model"] = name
        ambiguous = bodies.is_ambiguous(self._body, self._payload)
        return bodies.changed(self._body, self._payload, changes, ambiguous=ambiguous)

    def forget(self) -> None:
        """Free the memory of what was asked."""
        self._body, self._payload = b"", {}
        self._request.forget()
        if self._ask.trail is not None:
            self._ask.trail.forget_words()
