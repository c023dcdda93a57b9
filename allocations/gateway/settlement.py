"""Settling a call: exactly once, whatever happened to it."""

from decimal import Decimal

from allocations.gateway.admission import Admitted, worst_of
from allocations.gateway.dialect import Ask, Headers, Reading
from allocations.gateway.entries import ModelEntry, RateEntry
from allocations.gateway.routing import Lane, Option
from allocations.metering.types import CallFacts, Charge, Meter, Tokens
from ledger.models import ServedBecause, SettleKind
from ledger.money import plain
from ledger.rating import cost, input_size, step_for


class Settlement:
    """What becomes of one hold. A second attempt is a mistake of ours and raises RuntimeError."""

    __slots__ = (
        "_admitted", "_ask", "_charge", "_meter", "_surface", "_tags", "failure", "is_done", "is_sent", "is_streamed",
        "served", "upstream_id",
    )  # fmt: skip

    def __init__(self, meter: Meter, surface: Lane, ask: Ask, admitted: Admitted, tags: dict[str, str]) -> None:
        self._meter, self._surface, self._ask, self._admitted, self._tags = meter, surface, ask, admitted, tags
        self.served = admitted.option
        """What the call was sent to last."""
        self.failure = ""
        """Why it is a backup."""
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

    @property
    def because(self) -> str:
        """Return why another model than the one asked for was called, empty when it was that one."""
        return ServedBecause.BACKUP.value if self.failure else self._admitted.because

    def serve(self, option: Option, failure: str) -> None:
        """Take note that the call goes to another option than so far; `failure` is why the first did not answer."""
        self.served, self.failure, self.upstream_id, self.is_sent = option, failure, "", False

    async def whole(self, reading: Reading) -> None:
        """Charge a whole answer: exactly when it says what it used, else at its bound, since nothing is free."""
        if reading.tokens is None:
            await self._settle(reading, self._worst(), SettleKind.BOUND)
        else:
            if self._ask.trail is not None:
                self._ask.trail.learn(self.served.model.id, reading.tokens)
            await self._settle(reading, reading.tokens, SettleKind.EXACT)

    async def part(self, reading: Reading, text_bytes: int) -> None:
        """Charge an answer that broke off: the input, and the output that the bytes seen so far allow."""
        worst = self._worst()
        known = reading.tokens or Tokens(input=input_size(worst))
        output = max(known.output, min(text_bytes, worst.output))
        await self._settle(reading, known._replace(output=output), SettleKind.ESTIMATED)

    async def void(self) -> None:
        """Release the hold of a call that cost nothing."""
        self._begin()
        await self._meter.void(self._admitted.hold)

    async def _settle(self, reading: Reading, tokens: Tokens, kind: SettleKind) -> None:
        self._begin()
        admitted = self._admitted
        model, rate = self._priced_by(reading.model if kind == SettleKind.EXACT else "")
        step = step_for(rate.steps, input_size(tokens))
        facts = CallFacts(
            tokens=tokens,
            cost=cost(step, tokens),
            account_id=admitted.option.line.account_id,
            team_id=admitted.key.allocation.team_id,
            key_id=admitted.key.id,
            provider_id=model.provider.id,
            model_id=model.id,
            rate_id=step.id,
            model_asked=self._ask.model[:120],
            model_returned=_stored(reading.model, 120),
            surface=self._surface.path,
            streamed=self.is_streamed,
            settle_kind=kind.value,
            service_tier=_stored(reading.service_tier, 30),
            upstream_id=_stored(self.upstream_id, 120),
            tags=self._tags,
            served_because=self.because,
        )
        self._charge = await self._meter.settle(admitted.hold, facts)

    def _begin(self) -> None:
        if self.is_done:
            raise RuntimeError("a hold is settled once")
        self.is_done = True

    def _worst(self) -> Tokens:
        return worst_of(self.served, self._ask, self._admitted.cap).tokens

    def _priced_by(self, returned: str) -> tuple[ModelEntry, RateEntry]:
        """Return the model that the answer names, where the rate card has it, and its rate when the call was sent."""
        served = self.served
        if returned and returned != served.model.upstream_name:
            model = self._admitted.book.upstream.get((served.model.provider.id, returned), served.model)
            rate = model.rate_at(self._admitted.hold.sent_at)
            if rate:
                return model, rate
        return served.model, served.rate


def _remaining(amount: Decimal) -> tuple[bytes, bytes]:
    return b"x-tank-remaining", plain(amount).encode()


def _stored(text: str, length: int) -> str:
    # PostgreSQL keeps no NUL in text.
    return text.replace("\x00", "")[:length]
