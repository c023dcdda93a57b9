"""The metering hook over REST: `/api/v1/metering/admit`, `settle` and `void`, with a quota key in place of a token."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from allocations import api_data as data
from allocations.gateway.denials import FLUSH, row_of
from allocations.gateway.entries import KeyEntry
from allocations.gateway.keys import NO_KEY, require_usable
from allocations.gateway.openai_dialect import SHAPES
from allocations.gateway.refusal import Kind, Refusal, unavailable
from allocations.gateway.routing import AUTO
from allocations.metering.types import Tokens
from allocations.metering.usage import anthropic_usage, openai_usage
from allocations.models import Outcome, OutsideCall
from allocations.outside.admission import outside_call_admit
from allocations.outside.asking import SURFACES, Bound, Wanted, digest_of
from allocations.outside.reading import key_of
from allocations.outside.settlement import Said, outside_call_settle, outside_call_void
from ledger.models import AiModel, Dialect, ModelAlias, SettleKind, UsageRecord
from ledger.money import CURRENCY

READERS = {Dialect.OPENAI.value: openai_usage, Dialect.ANTHROPIC.value: anthropic_usage}


class QuotaKeyAuthentication(BaseAuthentication):
    """A quota key is who calls: `Authorization: Bearer tank_…`."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, KeyEntry]:
        """Return the key of the secret, whatever its state. Raises Refusal without one."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Refusal(Kind.BAD_KEY, NO_KEY)
        return AnonymousUser(), key_of(secret.strip())

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return 'Bearer realm="Tank"'


class MeteringView(APIView):
    """What the three have in common: the key, the refusals of the gateway in the API's shape, the log of them."""

    authentication_classes = (QuotaKeyAuthentication,)
    permission_classes = ()
    wanted: Wanted | None = None

    @property
    def key(self) -> KeyEntry:
        """Return who calls."""
        key = self.request.auth
        if not isinstance(key, KeyEntry):
            raise TypeError("a metering call is authenticated by a quota key")
        return key

    def said(self, kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
        """Return the body, read and checked. Raises ValidationError by field."""
        body = kind(data=request.data)
        body.is_valid(raise_exception=True)
        found: dict[str, Any] = body.validated_data
        return found

    def call(self, caller_id: str) -> OutsideCall:
        """Return the call of an id. Raises Http404."""
        call = OutsideCall.objects.select_related("model__provider").filter(key=self.key.id, caller_id=caller_id)
        found = call.first()
        if found is None:
            raise Http404
        return found

    def handle_exception(self, exc: Exception) -> Response:
        """Answer what went wrong."""
        if isinstance(exc, OperationalError | InterfaceError):
            exc = unavailable()
        if not isinstance(exc, Refusal):
            return super().handle_exception(exc)
        self._log(exc)
        return _refused(exc)

    def _log(self, refusal: Refusal) -> None:
        if refusal.denied is None:
            return
        asked, size = (self.wanted.model, self.wanted.size) if self.wanted else ("", None)
        known = asked if asked == AUTO or _is_model(asked) else ""
        row = row_of(refusal.denied, model=known, asked=asked, size=size, now=timezone.now())
        with connection.cursor() as cursor:
            cursor.execute(FLUSH, [row])


def _is_model(name: str) -> bool:
    named = AiModel.objects.filter(name=name, is_enabled=True, provider__is_enabled=True)
    return named.exists() or ModelAlias.objects.filter(name=name, model__is_enabled=True).exists()


def _refused(refusal: Refusal) -> Response:
    status, _, code = SHAPES[refusal.kind]
    error: dict[str, Any] = {"code": refusal.code or code or "invalid", "message": refusal.message}
    if refusal.parameter:
        error["field"] = refusal.parameter
    if refusal.details:
        error["details"] = refusal.details
    headers = {name.decode(): value.decode() for name, value in refusal.headers}
    if refusal.kind is Kind.BAD_KEY:
        headers["WWW-Authenticate"] = 'Bearer realm="Tank"'
    return Response({"error": error}, status=status, headers=headers)


class Admit(MeteringView):
    """Hold the worst case of a call, so that it may be made."""

    @extend_schema(request=data.AdmitAsked, responses=data.HeldData, operation_id="metering_admit")
    def post(self, request: Request) -> Response:
        """Answer with the hold; sent again with the same id and content, with the same one."""
        key = self.key
        require_usable(key, timezone.now())
        self.wanted = _wanted(self.said(data.AdmitAsked, request), request.data)
        call = outside_call_admit(key=key, wanted=self.wanted)
        return Response(data.HeldData(self.call(call.caller_id)).data)


def _wanted(asked: dict[str, Any], body: Any) -> Wanted:
    bound = Bound(asked.get("input_tokens", 0), asked.get("output_cap"), asked["choices"])
    return Wanted(
        caller_id=asked["id"],
        model=asked["model"],
        surface=asked.get("surface", ""),
        asked=asked.get("request", bound),
        streamed=asked["streamed"],
        translates=asked["translates"],
        seconds=asked["expires_in"],
        content=_content(body),
        tags=asked["tags"],
    )


def _content(body: Any) -> bytes:
    return digest_of({name: value for name, value in body.items() if name != "id"})


class Settle(MeteringView):
    """Charge a call that was made, in time or late; the key may have been stopped meanwhile."""

    @extend_schema(request=data.SettleSaid, responses=data.EndData, operation_id="metering_settle")
    def post(self, request: Request) -> Response:
        """Answer with the charge; sent again, with the same one."""
        said = self.said(data.SettleSaid, request)
        call = self.call(said["id"])
        record = outside_call_settle(key=self.key, call=call, said=_said(said, call, request.data))
        return Response(data.EndData(_settled(call, record)).data)


def _said(said: dict[str, Any], call: OutsideCall, body: Any) -> Said:
    names = ("output_bytes", "model", "model_returned", "service_tier", "upstream_id", "tags")
    return Said(
        kind=SettleKind(said["settle_kind"]),
        tokens=_tokens(said, call),
        content=_content(body),
        streamed=said.get("streamed"),
        **{name: said[name] for name in names},
    )


def _tokens(said: dict[str, Any], call: OutsideCall) -> Tokens | None:
    if "tokens" in said:
        return Tokens(**said["tokens"])
    if "usage" not in said:
        return None
    surface = SURFACES.get(call.surface)
    dialect = said.get("dialect") or (surface.dialect.name if surface else "")
    if not dialect:
        raise serializers.ValidationError({"dialect": "Say in whose dialect the usage block is."})
    return READERS[dialect](said["usage"])


def _settled(call: OutsideCall, record: UsageRecord) -> dict[str, Any]:
    counts = Tokens(**{name: getattr(record, f"{name}_tokens") for name in Tokens._fields})
    end = {"settle_kind": record.settle_kind, "model": record.model.name, "tokens": counts}
    amounts = {"cost": record.cost, "charged": record.charged, "overage": record.overage}
    return _ended(call, Outcome.SETTLED) | end | amounts


def _ended(call: OutsideCall, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": call.caller_id,
        "hold": call.request_id,
        "outcome": outcome,
        "settle_kind": None,
        "model": call.model.name,
        "tokens": Tokens(),
        "currency": CURRENCY,
        "cost": 0,
        "charged": 0,
        "overage": 0,
        "remaining": data.remaining_of(call),
    }


class Void(MeteringView):
    """Give the hold of a call back that cost nothing."""

    @extend_schema(request=data.VoidSaid, responses=data.EndData, operation_id="metering_void")
    def post(self, request: Request) -> Response:
        """Answer with what is left; sent again, the same happens: nothing."""
        call = self.call(self.said(data.VoidSaid, request)["id"])
        outside_call_void(call=call, content=_content(request.data))
        return Response(data.EndData(_ended(call, Outcome.VOID)).data)
