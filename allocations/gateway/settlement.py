"""Settling a call: exactly once, whatever happened to it."""

from dataclasses import replace
from decimal import Decimal

from allocations.gateway.admission import Admitted
from allocations.gateway.dialect import Ask, Headers, Reading, Surface
from allocations.gateway.entries import ModelEntry, RateEntry
from allocations.metering.types import CallFacts, Charge, Meter, Tokens
from ledger.models import SettleKind
from ledger.money import plain
from ledger.rating import cost


class Settlement:
    """What becomes of one hold. A second attempt is a mistake of ours and raises RuntimeError."""

    def __init__(self, meter: Meter, surface: Surface, ask: Ask, admitted: Admitted, tags: dict[str, str]) -> None:
        self._meter, self._surface, self._ask, self._admitted, self._tags = meter, surface, ask, admitted, tags
        self.upstream_id = ""
        self._charge: Charge | None = None
        self.is_sent = False
        self.is_streamed = False
        self.is_done = False

    @property
    def remaining_while_held(self) -> tuple[bytes, bytes]:
        """Return the header that says what the line had left when the call was admitted."""
        return _remaining(self._admitted.hold.remaining)

    @property
    def tolls(self) -> Headers:
        """Return the headers that say what the call cost and what is left, once it is settled."""
        if self._charge is not None:
            return _remaining(self._charge.remaining), (b"x-tank-cost", plain(self._charge.cost).encode())
        return _remaining(self._admitted.hold.remaining + self._admitted.hold.bound), (b"x-tank-cost", b"0")

    async def whole(self, reading: Reading) -> None:
        """Charge a whole answer: exactly when it says what it used, else at its bound, since nothing is free."""
        if reading.tokens is None:
            await self._settle(reading, self._admitted.worst, SettleKind.BOUND)
        else:
            if self._ask.trail is not None:
                self._ask.trail.learn(self._admitted.option.model.id, reading.tokens)
            await self._settle(reading, reading.tokens, SettleKind.EXACT)

    async def part(self, reading: Reading, text_bytes: int) -> None:
        """Charge an answer that broke off: the input, and the output that the bytes seen so far allow."""
        worst = self._admitted.worst
        most_input = worst.input + worst.cache_read + worst.cache_write_5m + worst.cache_write_1h
        known = reading.tokens or Tokens(input=most_input)
        output = max(known.output, min(text_bytes, worst.output))
        await self._settle(reading, replace(known, output=output), SettleKind.ESTIMATED)

    async def void(self) -> None:
        """Release the hold of a call that cost nothing."""
        self._begin()
        await self._meter.void(self._admitted.hold)

    async def _settle(self, reading: Reading, tokens: Tokens, kind: SettleKind) -> None:
        self._begin()
        admitted = self._admitted
        model, rate = self._priced_by(reading.model) if kind == SettleKind.EXACT else self._admitted_price()
        facts = CallFacts(
            tokens=tokens,
            cost=cost(rate, tokens),
            account_id=admitted.option.line.account_id,
            team_id=admitted.key.allocation.team_id,
            key_id=admitted.key.id,
            provider_id=model.provider.id,
            model_id=model.id,
            rate_id=rate.id,
            model_asked=self._ask.model[:120],
            model_returned=_stored(reading.model, 120),
            surface=self._surface.path,
            streamed=self.is_streamed,
            settle_kind=kind.value,
            service_tier=_stored(reading.service_tier, 30),
            upstream_id=_stored(self.upstream_id, 120),
            tags=self._tags,
        )
        self._charge = await self._meter.settle(admitted.hold, facts)

    def _begin(self) -> None:
        if self.is_done:
            raise RuntimeError("a hold is settled once")
        self.is_done = True

    def _priced_by(self, returned: str) -> tuple[ModelEntry, RateEntry]:
        """Return the model that the answer names, where the rate card has it, and its rate when the call was sent."""
        admitted = self._admitted
        asked, sent_at = admitted.option.model, admitted.hold.sent_at
        named = admitted.book.models.get(returned, asked)
        model = named if named.provider.id == asked.provider.id else asked
        rate = model.rate_at(sent_at)
        return (model, rate) if rate else self._admitted_price()

    def _admitted_price(self) -> tuple[ModelEntry, RateEntry]:
        return self._admitted.option.model, self._admitted.option.rate


def _remaining(amount: Decimal) -> tuple[bytes, bytes]:
    return b"x-tank-remaining", plain(amount).encode()


def _stored(text: str, length: int) -> str:
    # PostgreSQL keeps no NUL in text.
    return text.replace("\x00", "")[:length]
