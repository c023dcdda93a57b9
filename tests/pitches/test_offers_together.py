"""Real processes about one offer: exactly one answer wins, and what is killed leaves nothing half done."""

import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from allocations.models import Allocation, Quota
from ledger.models import JournalEntry, Tier
from ledger.selectors import balance
from pitches import services
from pitches.models import Counter, Offer, Pitch
from pitches.selectors.offers import lines_of
from teams.models import TeamRole
from teams.services import membership_set
from tests.cast import build_company
from tests.conftest import FreshDatabase
from tests.pitches.stage import Stage, open_stage
from tests.processes import ROOT, Running, start_process, until

# Says that it is ready, waits for its turn, does one thing and says what became of it.
ACT = """
import os, sys, time
import django
django.setup()
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from ledger.models import Tier
from pitches import services
from pitches.models import Counter, Offer
from teams.errors import Refused
from teams.models import User

what, who, go = sys.argv[1], User.objects.get(email=sys.argv[2] + "@acorn.example"), Path(sys.argv[3])
offer, counter = Offer.objects.order_by("pk").first(), Counter.objects.order_by("pk").first()
ACTS = {
    "accept": lambda: services.offer_accept(actor=who, offer=offer),
    "decline": lambda: services.offer_decline(actor=who, offer=offer, reason="Bought instead"),
    "counter": lambda: services.counter_make(
        actor=who, offer=offer, lines={Tier.STANDARD: Decimal(3000)}, message="The second desk joins."),
    "counter-accept": lambda: services.counter_accept(actor=who, counter=counter, reason="Shown well."),
    "expire": lambda: services.offers_expire(actor=who),
}
print("ready", flush=True)
while not go.exists():
    time.sleep(0.005)
try:
    ACTS[what]()
    print("done", flush=True)
except Refused as refused:
    print("refused", refused.code, flush=True)
"""


@pytest.fixture
def stage(fresh_database: FreshDatabase) -> Stage:
    stage = open_stage(build_company())
    # Bo leads Claims beside Ana, so that two leads answer.
    membership_set(actor=stage.company.system, user=stage.company.bo, team=stage.company.claims, role=TeamRole.LEAD)
    return stage


def acting(database: FreshDatabase, stack: ExitStack, what: str, who: str, go: Path) -> Running:
    env = database.env | {"PYTHONPATH": str(ROOT)}
    args = [sys.executable, "-c", ACT, what, who, str(go)]
    return stack.enter_context(start_process(args, env, ready=lambda running: "ready" in running.output, within=120))


def together(database: FreshDatabase, go: Path, *acts: tuple[str, str]) -> list[str]:
    """Let processes act at the same moment; return what became of each, in order."""
    with ExitStack() as stack:
        processes = [acting(database, stack, what, who, go) for what, who in acts]
        go.touch()
        assert [process.ended(within=60) for process in processes] == [0] * len(acts)
        return [process.output.split("\n")[1] for process in processes]


def countered(stage: Stage, offer: Offer) -> Counter:
    return services.counter_make(
        actor=stage.company.ana, offer=offer, lines={Tier.STANDARD: Decimal(3000)}, message="The second desk joins."
    )


def facts(pitch: Pitch) -> tuple[list[str], list[str], int]:
    """Return the states of a pitch's offers and counter-offers, and how many allocations there are."""
    offers = Offer.objects.filter(pitch=pitch).order_by("pk").values_list("state", flat=True)
    counters = Counter.objects.filter(offer__pitch=pitch).order_by("pk").values_list("state", flat=True)
    return list(offers), list(counters), Allocation.objects.count()


def test_a_team_that_accepts_and_a_committee_that_accepts_its_counter_at_once_is_one_of_both(
    stage: Stage, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    [offer] = stage.offered()
    countered(stage, offer)

    said = together(fresh_database, tmp_path / "go", ("accept", "ana"), ("counter-accept", "gil"))

    team_won = facts(offer.pitch) == (["accepted"], ["withdrawn"], 1)
    committee_won = facts(offer.pitch) == (["replaced", "open"], ["accepted"], 0)
    assert said == (["done", "refused wrong_state"] if team_won else ["refused wrong_state", "done"])
    assert team_won != committee_won
    assert balance(stage.round.opened_pool).amount == (7600 if team_won else 10000)


def test_two_leads_who_counter_at_once_leave_one_counter(
    stage: Stage, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    stage.offered()

    said = together(fresh_database, tmp_path / "go", ("counter", "ana"), ("counter", "bo"))

    assert sorted(said) == ["done", "refused counter_open"]
    [counter] = Counter.objects.all()
    assert lines_of(counter.lines.all()) == {Tier.STANDARD: Decimal(3000)}


def test_after_expiry_nobody_accepts_while_the_sweep_runs(
    stage: Stage, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    [offer] = stage.offered()
    countered(stage, offer)
    Offer.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    acts = [("accept", "ana"), ("counter-accept", "gil"), ("expire", "gil"), ("expire", "dee")]
    said = together(fresh_database, tmp_path / "go", *acts)

    assert {*said[:2]} <= {"refused expired", "refused wrong_state"}
    assert said[2:] == ["done", "done"]
    assert facts(offer.pitch) == (["expired"], ["lapsed"], 0)


def test_killed_in_the_middle_leaves_nothing_half_done(
    stage: Stage, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    first, _ = stage.offered("First", "Second", amount="4500")
    countered(stage, first)
    before = (facts(first.pitch), JournalEntry.objects.count(), balance(stage.round.opened_pool))

    for what, who in (("accept", "ana"), ("counter-accept", "gil")):
        killed(fresh_database, tmp_path / what, what, who)

    assert (facts(first.pitch), JournalEntry.objects.count(), balance(stage.round.opened_pool)) == before
    stage.accepted(first)
    assert facts(first.pitch) == (["accepted"], ["withdrawn"], 1)
    assert Quota.objects.count() == 1


def killed(database: FreshDatabase, go: Path, what: str, who: str) -> None:
    """Kill a process that has written everything but the notice, which comes last, and has committed nothing."""
    with psycopg.connect(database.url) as holder, ExitStack() as stack:
        holder.execute("LOCK TABLE teams_notification IN EXCLUSIVE MODE")
        process = acting(database, stack, what, who, go)
        go.touch()
        until(lambda: waiting(database) != [], within=60, what=f"{what} waits for the lock")
        [session] = waiting(database)
        process.send(signal.SIGKILL)
        assert process.ended() == -signal.SIGKILL
        # A session that waits for a lock learns only afterwards that nobody is there any more.
        holder.rollback()
        until(lambda: not is_there(database, session), within=60, what="its transaction ends")


def waiting(database: FreshDatabase) -> list[int]:
    """Return the sessions of a database that wait for a lock."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    with psycopg.connect(database.url) as asking:
        return [pid for (pid,) in asking.execute(query, [database.name])]


def is_there(database: FreshDatabase, session: int) -> bool:
    """Say whether a session has not ended."""
    with psycopg.connect(database.url) as asking:
        return asking.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [session]).fetchone() is not None
