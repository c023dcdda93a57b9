"""Keys: shown once, rotated with grace, capped, revoked."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from allocations import secrets
from allocations.models import KeySecret, KeyState, Quota
from allocations.services import KeyLimits, key_issue, key_limits_set, key_resume, key_revoke, key_rotate, key_suspend
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent
from tests.allocations.desk import open_desk
from tests.cast import Company

pytestmark = pytest.mark.django_db


def test_a_secret_is_stored_only_as_its_hash() -> None:
    desk = open_desk()
    stored = KeySecret.objects.get()
    assert bytes(stored.digest) == secrets.digest(desk.secret)
    assert stored.hint == f"{desk.secret[:9]}…{desk.secret[-2:]}"
    assert desk.secret not in str(AuditEvent.objects.values_list("details", "reason"))


def test_a_secret_carries_a_checksum_that_a_scanner_can_test() -> None:
    secret = secrets.make()
    assert secrets.is_well_formed(secret)
    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    assert not secrets.is_well_formed(wrong)
    assert not secrets.is_well_formed("tank_")
    assert not secrets.is_well_formed("sk-" + secret)


def test_rotation_keeps_the_key_and_lets_the_old_secret_live_until_the_grace_ends() -> None:
    desk = open_desk(cap="5")
    before = datetime.now(UTC)

    new = key_rotate(actor=desk.actor, key=desk.key, grace=timedelta(hours=1))

    old, fresh = KeySecret.objects.order_by("id")
    assert old.expires_at is not None
    assert timedelta(hours=1) <= old.expires_at - before < timedelta(hours=1, minutes=1)
    assert (bytes(fresh.digest), fresh.expires_at) == (secrets.digest(new), None)
    assert desk.key_quota.limit == Decimal(5)


def test_a_second_rotation_never_lengthens_a_grace() -> None:
    desk = open_desk()
    key_rotate(actor=desk.actor, key=desk.key, grace=timedelta(minutes=5))
    ends = KeySecret.objects.earliest("id").expires_at
    key_rotate(actor=desk.actor, key=desk.key, grace=timedelta(days=1))
    assert KeySecret.objects.earliest("id").expires_at == ends


def test_a_revoked_key_is_closed_in_the_database_and_stays_revoked() -> None:
    desk = open_desk()
    key = key_revoke(actor=desk.actor, key=desk.key, reason="Leaked")
    assert (key.state, key.end_reason, desk.key_quota.is_open) == (KeyState.REVOKED, "Leaked", False)
    with pytest.raises(WrongState):
        key_resume(actor=desk.actor, key=desk.key, reason="Sorry")
    with pytest.raises(WrongState):
        key_rotate(actor=desk.actor, key=desk.key, grace=timedelta(0))


def test_a_suspended_key_can_be_resumed() -> None:
    desk = open_desk()
    steps = []
    key_suspend(actor=desk.actor, key=desk.key, reason="Looks odd")
    steps.append(desk.key_quota.is_open)
    key_resume(actor=desk.actor, key=desk.key, reason="It was a test")
    steps.append(desk.key_quota.is_open)
    assert steps == [False, True]
    history = AuditEvent.objects.filter(object_type="allocations.quotakey").values_list("verb", "reason").order_by("id")
    assert list(history) == [("key.issue", ""), ("key.suspend", "Looks odd"), ("key.resume", "It was a test")]


@pytest.mark.parametrize(
    ("name", "cap", "code"),
    [
        ("", None, "name_missing"),
        ("first", None, "name_taken"),
        ("x" * 81, None, "name_missing"),
        ("b", "0", "limit_not_positive"),
    ],
)
def test_a_key_needs_a_name_of_its_own_and_a_sensible_cap(name: str, cap: str | None, code: str) -> None:
    desk = open_desk()
    with pytest.raises(Refused) as refused:
        key_issue(
            actor=desk.actor, allocation=desk.allocation, name=name, limits=KeyLimits(cap=Decimal(cap) if cap else None)
        )
    assert refused.value.code == code


def test_the_name_of_a_revoked_key_can_be_used_again() -> None:
    desk = open_desk()
    key_revoke(actor=desk.actor, key=desk.key, reason="Old")
    key, _ = key_issue(actor=desk.actor, allocation=desk.allocation, name="first")
    assert key.name == "first"


def test_a_cap_cannot_go_below_what_is_spent() -> None:
    desk = open_desk(cap="5")
    key_limits_set(actor=desk.actor, key=desk.key, limits=KeyLimits(cap=Decimal(2)), reason="Less")
    assert Quota.objects.get(key=desk.key).limit == Decimal(2)
    key_limits_set(actor=desk.actor, key=desk.key, limits=KeyLimits(cap=None), reason="Free")
    assert Quota.objects.get(key=desk.key).limit is None


def test_a_stranger_may_not_touch_a_teams_keys(company: Company) -> None:
    desk = open_desk()
    with pytest.raises(NotAllowed):
        key_issue(actor=company.cy, allocation=desk.allocation, name="mine")
    with pytest.raises(NotAllowed):
        key_rotate(actor=company.cy, key=desk.key, grace=timedelta(0))
    with pytest.raises(NotAllowed):
        key_revoke(actor=company.cy, key=desk.key, reason="Ha")
