"""A call that costs nothing, such as counting tokens: it needs a key and a model that the key may call, no quota."""

from datetime import UTC, datetime
from uuid import uuid4

import aiohttp

from allocations.gateway import body as bodies
from allocations.gateway.dialect import FreeSurface, named_model
from allocations.gateway.entries import KeyEntry, ModelEntry
from allocations.gateway.metered import Hook
from allocations.gateway.outlet import answer
from allocations.gateway.refusal import Kind, Refusal
from allocations.gateway.relay import CUT, REDIRECTED, CutAt, refused_credential, whole_of
from allocations.gateway.request import Receive, Request, Send, read_body
from allocations.gateway.routing import options
from allocations.gateway.stats import Trouble
from allocations.gateway.upstream import UpstreamFailed, authentication, passed_on

MOST_ANSWER_BYTES = 1024 * 1024


async def call(hook: Hook, surface: FreeSurface, request: Request, key: KeyEntry, send: Send, receive: Receive) -> None:
    """Answer a call that is not metered. Raises Refusal while nothing has been sent."""
    limits = hook.limits
    body = await read_body(request, receive, most_bytes=limits.request_bytes, most_seconds=limits.request_seconds)
    payload = bodies.parse(body)
    asked, book = named_model(payload), await hook.catalogue.book()
    model = options(book, key, asked, surface.dialect.name, datetime.now(UTC))[0].model
    changes = {} if model.upstream_name == asked else {"model": model.upstream_name}
    outgoing = bodies.changed(body, payload, changes, ambiguous=bodies.is_ambiguous(body, payload))
    headers = authentication(model.provider, surface.dialect)
    request.id = str(uuid4())
    try:
        response = await hook.upstream.post(model.provider, surface.path, request, headers, outgoing)
    except UpstreamFailed as failure:
        raise failure.refusal from None
    async with response:
        await _pass(hook, response, model, request, send)


async def _pass(hook: Hook, response: aiohttp.ClientResponse, model: ModelEntry, request: Request, send: Send) -> None:
    if 300 <= response.status < 400:
        raise Refusal(Kind.UPSTREAM_BROKEN, REDIRECTED)
    try:
        body = await whole_of(response, MOST_ANSWER_BYTES)
    except CutAt:
        hook.stats.upstream_failed(model.provider.name, Trouble.CUT)
        raise Refusal(Kind.UPSTREAM_BROKEN, CUT) from None
    if response.status == 401:
        raise refused_credential(request)
    request.status = response.status
    ours = [(b"x-request-id", request.id.encode()), (b"x-tank-model", model.name.encode()), (b"x-tank-cost", b"0")]
    await answer(send, response.status, [*passed_on(response.raw_headers), *ours], body)
