"""What an outside caller asks to have held: a provider's request that is bounded here, or a bound."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from allocations.gateway.anthropic_dialect import Messages
from allocations.gateway.dialect import Ask, Surface
from allocations.gateway.entries import Book
from allocations.gateway.openai_dialect import ChatCompletions, Embeddings, Responses
from allocations.gateway.refusal import bad_request
from allocations.metering import anthropic_bounds, openai_bounds
from allocations.metering.bounds import Demand, Unbounded
from allocations.metering.measure import dicts
from allocations.metering.types import Tokens

SURFACES: dict[str, Surface] = {
    surface.path: surface for surface in (ChatCompletions(), Responses(), Embeddings(), Messages())
}
# What a translation into another dialect may add, in tokens: the instructions around tools are the most of it.
TRANSLATION_OVERHEAD = anthropic_bounds.TOOLS_OVERHEAD + anthropic_bounds.BASE_OVERHEAD
DEAREST_IMAGE = max(openai_bounds.OPENAI_IMAGE, anthropic_bounds.ANTHROPIC_IMAGE)
FEES = (*openai_bounds.FEES, *anthropic_bounds.FEES)


@dataclass(frozen=True, slots=True)
class Tongue:
    """The dialect that a call is made in; empty: any, since its caller translates."""

    name: str


@dataclass(frozen=True, slots=True)
class OutsideLane:
    """How an outside call is made."""

    path: str
    dialect: Tongue
    may_fall: bool = True


@dataclass(frozen=True, slots=True)
class Translation:
    """A request that its caller translates for models of another dialect."""

    foreign: frozenset[int]
    """The ids of those models."""

    def tightened(self, demand: Demand, model_id: int) -> Demand:
        """Return what the request can use at most at a model."""
        return translated(demand) if model_id in self.foreign else demand

    def learn(self, model_id: int, tokens: Tokens) -> None:
        """Learn nothing: what a translation counts says little of the next one."""

    def forget_words(self) -> None:
        """Forget nothing: no words are kept."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a call can use at most, as its caller knows it."""

    input_tokens: int
    output_cap: int | None
    choices: int

    def demand(self) -> Demand:
        """Return it with the input in whichever class is dearest."""
        return Demand(self.input_tokens, self.output_cap, self.choices, input_classes=openai_bounds.CLASSES)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An admit as it was asked for."""

    caller_id: str
    model: str
    surface: str
    """A path of `SURFACES`; empty where only a bound is given."""
    asked: dict[str, Any] | Bound
    """The provider's request, or the bound."""
    streamed: bool
    translates: bool
    """The caller can call a model of any dialect with this request."""
    seconds: int
    """How long the hold counts as a call in flight."""
    content: bytes
    """SHA-256 of all of it but the id."""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def lane(self) -> OutsideLane:
        """Return how the call is made."""
        surface = SURFACES.get(self.surface)
        own = surface.dialect.name if surface and not self.translates else ""
        return OutsideLane(self.surface, Tongue(own), may_fall=surface is None or surface.may_fall)

    @property
    def size(self) -> int | None:
        """Return the bytes of the provider's request, where there is one."""
        return len(written(self.asked)) if isinstance(self.asked, dict) else None

    def ask(self, book: Book) -> Ask:
        """Measure what is asked for. Raises Refusal for what cannot be read, bounded or priced."""
        if isinstance(self.asked, Bound):
            return Ask(self.model, self.streamed, self.asked.demand())
        surface = SURFACES[self.surface]
        ask = _measured(surface, self.asked | {"model": self.model}, translates=self.translates)
        foreign = {model.id for model in book.models.values() if not model.speaks(surface.dialect.name)}
        return Ask(ask.model, ask.is_stream, ask.demand, trail=Translation(frozenset(foreign)))


def _measured(surface: Surface, payload: dict[str, Any], *, translates: bool) -> Ask:
    try:
        ask = surface.ask(payload, written(payload))
        if translates:
            _refuse_fees(payload)
    except Unbounded as reason:
        raise bad_request(reason.message, reason.parameter) from None
    return ask


def translated(demand: Demand) -> Demand:
    """Return a bound for the same request at a provider of another dialect."""
    if demand.input_tokens is None:
        # What nobody can bound may be read again after each tool that the other provider runs.
        readings = max(demand.readings, anthropic_bounds.MOST_TURNS + 1)
        return demand._replace(readings=readings, input_classes=openai_bounds.CLASSES)
    most = demand.input_tokens + TRANSLATION_OVERHEAD + DEAREST_IMAGE * demand.images
    return demand._replace(input_tokens=most, input_classes=openai_bounds.CLASSES)


def _refuse_fees(payload: dict[str, Any]) -> None:
    for tool in dicts(payload.get("tools")):
        if str(tool.get("type")).startswith(FEES):
            raise Unbounded("Tank has no price for tools that the provider runs and charges extra.", "tools")


def digest_of(said: object) -> bytes:
    """Return the SHA-256 of what a caller said, whatever the order of its names. Raises Refusal."""
    return sha256(written(said, orjson.OPT_SORT_KEYS)).digest()


def written(value: object, option: int = 0) -> bytes:
    """Write a value as JSON. Raises Refusal when it is nested too deeply for that."""
    try:
        return orjson.dumps(value, option=option)
    except orjson.JSONEncodeError:
        raise bad_request("The request is nested too deeply, or holds a number that is too large.") from None
