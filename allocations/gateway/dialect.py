"""What the gateway asks of a dialect and of its surfaces (paths). A dialect is one file, such as `openai_dialect`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import orjson

from allocations.gateway.entries import ModelEntry
from allocations.gateway.refusal import Refusal, bad_request
from allocations.gateway.sse import EventSplitter, data_of
from allocations.metering.bounds import Demand
from allocations.metering.openai_models import at_model
from allocations.metering.types import Tokens

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class Reading:
    """What an answer says about itself."""

    tokens: Tokens | None = None
    model: str = ""
    service_tier: str = ""


class Bounding(Protocol):
    """What is known of a request at a model beyond what it says."""

    def tightened(self, demand: Demand, model_id: int) -> Demand:
        """Return the demand at a model."""
        ...

    def learn(self, model_id: int, tokens: Tokens) -> None:
        """Take note of what a model counted."""
        ...

    def forget_words(self) -> None:
        """Free the memory of the request's words: no further model will be asked about."""
        ...


class Ask(NamedTuple):
    """A request as its surface understands it."""

    model: str
    is_stream: bool
    demand: Demand
    changes: Mapping[str, Any] = MappingProxyType({})
    """What must be set in the body before it goes upstream."""
    drops_usage: bool = False
    """The client did not ask for the usage event that `changes` orders."""
    trail: Bounding | None = None
    """What bounds the request at one model otherwise than at others."""

    def demand_of(self, model: ModelEntry) -> Demand:
        """Return what the request can use at most at a model."""
        demand = self.demand
        if demand.spared or demand.picture_tokens:
            demand = at_model(demand, model.upstream_name, model.provider.base_url)
        return demand if self.trail is None else self.trail.tightened(demand, model.id)


class Dialect(ABC):
    """How a provider's family shapes errors, lists and credentials."""

    name: str

    @abstractmethod
    def credential(self, secret: str) -> dict[str, str]:
        """Return the headers that authenticate at the provider."""

    @abstractmethod
    def refuse(self, refusal: Refusal, request_id: str) -> tuple[int, Headers, bytes]:
        """Return status, headers and body of an error answer."""

    @abstractmethod
    def error_event(self, refusal: Refusal, request_id: str) -> bytes:
        """Return the event that ends a stream which broke."""

    @abstractmethod
    def model(self, model: ModelEntry) -> dict[str, Any]:
        """Return the body of `GET /v1/models/NAME`."""

    @abstractmethod
    def model_list(self, models: Iterable[ModelEntry]) -> dict[str, Any]:
        """Return the body of `GET /v1/models`."""


class Surface(ABC):
    """One metered path of a dialect."""

    dialect: Dialect
    path: str
    """After /v1/; it also names the surface in usage records."""
    cap_name: str
    """The parameter that caps the output, inserted where a request names none."""
    conversation = ""
    """The parameter that holds the messages or items, which grow at their end; empty where there is none."""
    may_fall: bool = True
    """Whether another model's answer would do when the one that was asked for cannot be paid."""

    @abstractmethod
    def ask(self, payload: dict[str, Any], body: bytes) -> Ask:
        """Read a request; raises Refusal and `bounds.Unbounded`."""

    @abstractmethod
    def read(self, answer: dict[str, Any]) -> Reading:
        """Read a whole answer."""

    def error_event(self, refusal: Refusal, request_id: str) -> bytes:
        """Return the event that ends a stream which broke."""
        return self.dialect.error_event(refusal, request_id)

    @abstractmethod
    def watch(self, ask: Ask) -> "StreamWatch":
        """Return what watches a streamed answer to a request."""


@dataclass(frozen=True, slots=True)
class FreeSurface:
    """A path of a dialect that costs nothing: its calls need a key and go to a model, and are not metered."""

    dialect: Dialect
    path: str


class Verdict(Enum):
    """What becomes of an event."""

    PASS = auto()
    DROP = auto()
    LAST = auto()
    """It ends the stream: held back until the settle has committed."""


MOST_UNREAD = 16 * 1024
END_OF_EVENT = b"\n\n"


class StreamWatch(ABC):
    """Watches a streamed answer pass: usage, model, text bytes, and its end. Knows one event at a time.

    Most chunks only carry text, which matters only if the stream breaks off. They pass unread and are kept, some of
    them, until somebody asks.
    """

    __slots__ = (
        "_is_between_events", "_splitter", "_unread", "_unread_size", "is_error", "is_final", "noted", "tail", "written"
    )  # fmt: skip

    def __init__(self) -> None:
        self.noted = Reading()
        self.written = 0
        """Bytes of text in what was read."""
        self.tail: bytes | None = None
        """The last event, once it came."""
        self.is_error = False
        """The provider itself ended the stream with an error event."""
        self.is_final = False
        """The usage is that of the whole answer."""
        self._splitter = EventSplitter()
        self._unread: list[bytes] = []
        self._unread_size = 0
        self._is_between_events = True

    @property
    def has_ended(self) -> bool:
        """Say whether the last event came."""
        return self.tail is not None

    @property
    def reading(self) -> Reading:
        """Return what the answer says about itself so far."""
        if self.noted.tokens is None or not (self.is_final or self.has_ended):
            self._read_up()
        return self.noted

    @property
    def text_bytes(self) -> int:
        """Return how many bytes of text came."""
        self._read_up()
        return self.written

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk and return what may go to the client now. Raises sse.EventTooLong."""
        if self._is_between_events and chunk.endswith(END_OF_EVENT) and not self.is_telling(chunk):
            self._unread.append(chunk)
            self._unread_size += len(chunk)
            if self._unread_size > MOST_UNREAD:
                self._read_up()
            return chunk
        passing = [event for event in self._splitter.feed(chunk) if self._may_pass(event)]
        self._is_between_events = self.tail is None and not self._splitter.pending
        return passing[0] if len(passing) == 1 else b"".join(passing)

    @abstractmethod
    def is_telling(self, chunk: bytes) -> bool:
        """Say whether there may be an event in a chunk that has to be read before it passes."""

    def _read_up(self) -> None:
        unread, self._unread, self._unread_size = b"".join(self._unread), [], 0
        for event in EventSplitter().feed(unread) if unread else ():
            self.judge(data_of(event))

    def finish(self) -> bytes:
        """Take the end of the bytes: an event that lacks its empty line counts. Returns what may go to the client."""
        rest = self._splitter.pending
        return rest if rest and self._may_pass(rest) else b""

    def _may_pass(self, event: bytes) -> bool:
        if self.tail is not None:
            return False
        verdict = self.judge(data_of(event))
        if verdict is Verdict.LAST:
            self.tail = event
        return verdict is Verdict.PASS

    @abstractmethod
    def judge(self, data: bytes) -> Verdict:
        """Take note of one event's data and say what becomes of it."""


def as_object(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object in some bytes; None when it is none."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def text_size(value: object) -> int:
    """Return the bytes of what a provider wrote: a text, or all of a structure."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:  # nested deeper than any model writes
        return 0


def named_model(payload: dict[str, Any]) -> str:
    """Return the model that a request names; raises Refusal."""
    model = payload.get("model")
    if not isinstance(model, str) or not model:
        raise bad_request("You must provide a `model`.", "model")
    return model


def required_messages(payload: dict[str, Any]) -> None:
    """Refuse a request whose messages are missing, empty or no list; raises Refusal."""
    messages = payload.get("messages")
    if not isinstance(messages, list) or not messages:
        raise bad_request("`messages` must be a list of at least one message.", "messages")


def text_of(answer: dict[str, Any], name: str) -> str:
    """Return a text in an object; empty when it is none."""
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def stream_flag(payload: dict[str, Any]) -> bool:
    """Return whether a request asks for a stream; raises Refusal unless it is true, false or null."""
    stream = payload.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise bad_request("`stream` must be true or false.", "stream")
    return bool(stream)
