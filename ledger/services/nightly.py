"""What the ledger does every night: partitions ahead, the whole of the open months rolled and posted, all promises
proved, and people told when one is broken."""

from collections.abc import Sequence
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection, transaction

from ledger.checks import Breach
from ledger.models import JournalEntry, Period, PeriodState
from ledger.selectors.journal import today
from ledger.services.usage import usage_post
from teams.models import Role, User
from teams.selectors import people_with_role
from teams.services import notification_send

MONTHS_AHEAD = 3
ROWS_IN_A_MAIL = 20


def usage_partitions_make() -> int:
    """Make the partitions of the usage records for this month and three more; returns how many are new."""
    day = today()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ledger_usage_partitions(%s, (%s + make_interval(months => %s))::date)", [day, day, MONTHS_AHEAD]
        )
        made: int = cursor.fetchone()[0]
    return made


def usage_post_open(*, actor: User) -> list[JournalEntry]:
    """Roll up and post everything since the first day that is not closed, in case a run between missed some of it.

    Returns the entries made; none while no period is open.
    """
    first = Period.objects.exclude(state=PeriodState.CLOSED).order_by("starts_on").first()
    if first is None:
        return []
    day = first.starts_on
    return usage_post(actor=actor, since=datetime(day.year, day.month, day.day, tzinfo=UTC))


@transaction.atomic
def breaches_tell(breaches: Sequence[Breach]) -> int:
    """Tell finance and platform admins which promises are broken; returns how many people. Nothing broken: nobody."""
    if not breaches:
        return 0
    people = people_with_role(Role.FINANCE, Role.PLATFORM_ADMIN)
    broken = sorted({breach.promise for breach in breaches})
    names = ", ".join(str(number) for number in broken)
    for person in people:
        notification_send(
            user=person,
            title=f"The books break promise {names}: {len(breaches)} rows",
            body=_body(breaches),
            url="/ledger/",
        )
    return len(people)


def _body(breaches: Sequence[Breach]) -> str:
    lines = [f"{b.promise}. {b.words}. {b.check}: {b.row}\n   {b.look}" for b in breaches[:ROWS_IN_A_MAIL]]
    if len(breaches) > ROWS_IN_A_MAIL:
        lines.append(f"And {len(breaches) - ROWS_IN_A_MAIL} more.")
    return "\n".join([*lines, f"Found at {settings.TANK_URL} by the nightly run; `manage.py verify` runs it again."])
