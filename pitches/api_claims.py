"""Resolved claims for programs: what claims came to, and the factors that follow; the pages' own rules. USD."""

from typing import Any

from django.http import Http404
from djmoney.money import Money
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ledger.api_data import AmountField
from ledger.money import CURRENCY
from pitches import services
from pitches.api_doors import CommitteeList, actor_of, said_in
from pitches.forms.claims import ClaimForm
from pitches.models import ResolvedClaim
from pitches.questions import ValueKind
from pitches.selectors.claims import claims_listed, factors
from teams.errors import Refused
from teams.models import Scope


class ClaimSerializer(serializers.Serializer[Any]):
    """What a claim came to, in USD; one that another record replaced does not count any more."""

    id = serializers.IntegerField()
    team = serializers.CharField(source="team.slug")
    pitch = serializers.IntegerField(source="pitch_id", allow_null=True)
    value_kind = serializers.CharField()
    claimed = AmountField()
    realised = AmountField()
    resolved_on = serializers.DateField()
    reason = serializers.CharField()
    recorded_by = serializers.EmailField(source="recorded_by.email")
    replaces = serializers.IntegerField(source="replaces_id", allow_null=True)
    counts = serializers.SerializerMethodField()

    def get_counts(self, claim: ResolvedClaim) -> bool:
        """Say whether the calibration reads it."""
        return not hasattr(claim, "replaced_by")


class ClaimBody(serializers.Serializer[Any]):
    """A claim and what it came to, in USD; `pitch` and `replaces` are ids."""

    team = serializers.SlugField(max_length=80)
    value_kind = serializers.ChoiceField(ValueKind.choices)
    claimed = serializers.DecimalField(max_digits=20, decimal_places=2)
    realised = serializers.DecimalField(max_digits=20, decimal_places=2)
    resolved_on = serializers.DateField()
    reason = serializers.CharField(max_length=2000)
    pitch = serializers.IntegerField(min_value=1, allow_null=True, default=None)
    replaces = serializers.IntegerField(min_value=1, allow_null=True, default=None)


class Claims(CommitteeList):
    """Resolved claims, on which the calibration rests."""

    write_scope = Scope.COMMITTEE_WRITE
    serializer_class = ClaimSerializer

    def get_queryset(self) -> Any:
        """Return them, newest first; raises Http404 for who does not work with them."""
        _claims_door(self.request)
        return claims_listed()

    @extend_schema(request=ClaimBody, responses={201: ClaimSerializer})
    def post(self, request: Request) -> Response:
        """Record one."""
        _claims_door(request)
        said = said_in(ClaimBody(data=request.data))
        # The page's form offers teams, funded pitches and records that count; nothing else is found here either.
        found = {name: _offered(name, said[name]) for name in ("team", "pitch", "replaces")}
        outturn = services.Outturn(
            value_kind=ValueKind(said["value_kind"]),
            claimed=Money(said["claimed"], CURRENCY),
            realised=Money(said["realised"], CURRENCY),
            resolved_on=said["resolved_on"],
            pitch=found["pitch"],
            replaces=found["replaces"],
        )
        made = services.claim_resolve(
            actor=actor_of(request), team=found["team"], outturn=outturn, reason=said["reason"]
        )
        return Response(ClaimSerializer(claims_listed().get(pk=made.pk)).data, status=201)


def _claims_door(request: Request) -> None:
    if not request.user.has_perm("pitches.view_claims"):
        raise Http404


def _offered(name: str, value: Any) -> Any:
    if value is None:
        return None
    field: Any = ClaimForm().fields[name]
    found = field.queryset.filter(**{"slug" if name == "team" else "pk": value}).first()
    if found is None:
        raise Refused("There is nothing of this kind to choose.", code="unknown", field=name)
    return found


class FactorSerializer(serializers.Serializer[Any]):
    """The factor by which a team's claims of one kind are multiplied, and how many claims it rests on."""

    team = serializers.CharField(source="team.slug")
    value_kind = serializers.CharField(source="kind")
    factor = AmountField(source="basis.factor")
    resolved = serializers.IntegerField(source="basis.count")


class ClaimFactors(CommitteeList):
    """The calibration as it stands now."""

    serializer_class = FactorSerializer

    def get_queryset(self) -> Any:
        """Return the factor of every team and kind of value with a resolved claim, by team."""
        _claims_door(self.request)
        return factors()
