"""Permissions of allocations and keys: a team's own; overseers read; a leaked key can be stopped by operators too."""

from typing import Any

from rules.predicates import Predicate

from allocations.models import AllocationLine, QuotaKey
from ledger.rules import heads_unit_of
from teams.models import Team
from teams.rules import allow, is_auditor, is_finance, is_platform_admin, is_system, oversees
from teams.selectors import Person
from teams.selectors import is_lead as leads
from teams.selectors import is_member as belongs
from teams.selectors import is_unit_head as heads


def _team_of(target: Any) -> Team | None:
    """Return the team of an allocation, or of the allocation that a line or key belongs to."""
    allocation = target.allocation if isinstance(target, AllocationLine | QuotaKey) else target
    return getattr(allocation, "team", None)


@Predicate
def is_member(user: Person, target: Any) -> bool:
    """Say whether somebody belongs to the team whose budget this is."""
    return belongs(user, _team_of(target))


@Predicate
def is_lead(user: Person, target: Any) -> bool:
    """Say whether somebody leads the team whose budget this is."""
    return leads(user, _team_of(target))


@Predicate
def is_unit_head(user: Person, target: Any) -> bool:
    """Say whether somebody heads the business unit of the team whose budget this is."""
    return heads(user, _team_of(target))


may_view = oversees | is_member | is_unit_head

allow("allocations", is_platform_admin | is_auditor)
allow("allocations.view_allocation", may_view)
allow("allocations.suspend_allocation", is_finance | is_platform_admin | is_system)
allow("allocations.view_allocationline", may_view)
# It stops a whole team's calls of a tier, so it is no matter of every member.
allow("allocations.limit_allocationline", is_lead | is_finance | is_system)
allow("allocations.view_quotakey", may_view)
allow("allocations.issue_key", is_member | is_system)
allow("allocations.rotate_key", is_member | is_system)
allow("allocations.revoke_key", is_member | is_finance | is_platform_admin | is_system)
# Out of a delegated pool the head of its business unit grants too.
allow("allocations.grant_budget", is_finance | is_system | heads_unit_of)
# By hand, or by reconciliation from the provider's figures.
allow("allocations.settle_hold", is_finance | is_system)
for model in ("quota", "hold", "meterworker", "outsidecall", "budgetalert"):
    allow(f"allocations.view_{model}", is_platform_admin | is_finance | is_auditor)
