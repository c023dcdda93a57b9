"""A choice that is asked for: one run for all who ask, computed in the background, whole or not at all."""

import signal
import sys

import pytest
from django.db import DatabaseError, connection, transaction

from pitches import services
from pitches.models import ChoiceRun, Force, OverrideCategory, Pitch, Selection
from pitches.services.locks import round_locked
from pitches.services.selection import computed
from teams.errors import NotAllowed
from tests.cast import Company, build_company
from tests.conftest import FreshDatabase
from tests.pages import page_of
from tests.pitches.endpoints import LONG
from tests.pitches.stage import Stage, open_stage
from tests.pitches.test_api_committee import read, send
from tests.pitches.test_overrides import put
from tests.processes import start_process, until

WORKER = (sys.executable, "-m", "marketplace.runtime.worker")


def ask(stage: Stage) -> ChoiceRun:
    return services.choice_ask(actor=stage.company.gil, round_=stage.round)


def left_out(stage: Stage, pitch: Pitch) -> None:
    """Change what a choice rests on: an override that two members sign."""
    override = services.override_propose(
        actor=stage.company.gil, pitch=pitch, force=Force.OUT, category=OverrideCategory.LAW, reason=LONG
    )
    services.override_sign(actor=stage.company.dee, override=override)


@pytest.mark.django_db
def test_two_who_ask_at_once_get_one_run_and_it_is_made_once(stage: Stage) -> None:
    stage.to_decide(stage.submitted())

    run = ask(stage)

    assert ask(stage) == run
    assert (run.state, Selection.objects.count()) == ("queued", 0)
    assert [services.choices_make_due(), services.choices_make_due()] == [1, 0]
    run.refresh_from_db()
    assert run.selection is not None
    assert (run.state, run.attempts, run.error) == ("done", 1, "")
    assert run.selection.result_text == computed(run.inputs_text)
    assert (run.selection.created_by, ask(stage)) == (stage.company.gil, run)


@pytest.mark.django_db
def test_what_was_chosen_before_is_not_computed_again(stage: Stage) -> None:
    stage.to_decide(stage.submitted())
    selection = services.selection_run(actor=stage.company.gil, round_=stage.round)

    run = ask(stage)

    assert (run.state, run.selection, services.choices_make_due()) == ("done", selection, 0)


@pytest.mark.django_db
def test_a_choice_of_what_changed_meanwhile_is_not_stored(stage: Stage) -> None:
    [pitch] = put(stage, good="9000")
    run = ask(stage)
    left_out(stage, pitch)

    assert services.choices_make_due() == 1

    run.refresh_from_db()
    assert (run.state, run.error_code, Selection.objects.count()) == ("failed", "changed", 0)
    page = stage.company.client(stage.company.gil).get(f"/admin/pitches/round/{stage.round.pk}/decide/")
    assert "changed while it was computed: run it again" in page_of(page).text


@pytest.mark.django_db
def test_asked_again_after_a_change_the_first_run_gives_way(stage: Stage) -> None:
    [pitch] = put(stage, good="9000")
    first = ask(stage)
    left_out(stage, pitch)

    second = ask(stage)

    assert second != first
    first.refresh_from_db()
    assert (first.state, first.error_code, services.choices_make_due()) == ("failed", "superseded", 1)
    second.refresh_from_db()
    assert second.state == "done"


@pytest.mark.django_db
def test_what_breaks_off_again_and_again_is_given_up(stage: Stage) -> None:
    stage.to_decide(stage.submitted())
    run = ask(stage)
    ChoiceRun.objects.filter(pk=run.pk).update(state="running", attempts=5)

    services.choices_make_due()

    run.refresh_from_db()
    assert (run.state, run.error_code) == ("failed", "broke_off")


@pytest.mark.django_db
def test_only_the_chair_asks(stage: Stage, company: Company) -> None:
    stage.to_decide(stage.submitted())

    for name in ("dee", "ana", "hana", "ivo", "jo"):
        with pytest.raises(NotAllowed):
            services.choice_ask(actor=company.person(name), round_=stage.round)


@pytest.mark.django_db
def test_the_page_says_how_far_it_is_and_ends_by_itself(stage: Stage, company: Company) -> None:
    stage.to_decide(stage.submitted())
    gil, path = company.client(company.gil), f"/admin/pitches/round/{stage.round.pk}"

    asked = gil.post(f"{path}/choose/", follow=True)
    ChoiceRun.objects.update(state="running", done=3, total=7)
    meanwhile = gil.get(f"{path}/choosing/")
    services.choices_make_due()
    after = gil.get(f"{path}/choosing/")

    assert "Waiting to be computed." in page_of(asked).text
    assert "Being computed: 3 of 7 pitches are explained." in meanwhile.content.decode()
    assert ("HX-Refresh" in meanwhile.headers, after.headers["HX-Refresh"]) == (False, "true")
    assert "Proved: no set of offers that fits is worth more." in page_of(gil.get(f"{path}/decide/")).text


@pytest.mark.django_db
def test_programs_get_an_address_to_look_at(stage: Stage, company: Company) -> None:
    [pitch] = put(stage, good="9000")
    gil, dee, at = company.client(company.gil), company.client(company.dee), f"rounds/{stage.round.pk}/choice/"

    asked = send(gil, at)
    place = asked.headers["Location"].removeprefix("/api/v1/")
    told = [read(dee, place)["state"]]
    left_out(stage, pitch)
    services.choices_make_due()

    assert (asked.status_code, asked.json()["url"]) == (202, f"/api/v1/{place}")
    assert [*told, read(dee, place)["state"], read(dee, place)["error"]] == ["queued", "failed", None]
    assert read(gil, place)["error"]["code"] == "changed"
    send(gil, at)
    services.choices_make_due()
    again = send(gil, at)
    assert (again.status_code, again.json()["state"], again.json()["choice"]) == (200, "done", 1)
    assert gil.get(f"/api/v1/{at}runs/999999/").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pitches_choicerun SET state = 'queued', ended_at = NULL, selection_id = NULL",
        "UPDATE pitches_choicerun SET inputs_text = '{}'",
        "DELETE FROM pitches_choicerun",
    ],
)
def test_a_run_that_ended_stays_so(stage: Stage, change: str) -> None:
    stage.to_decide(stage.submitted())
    ask(stage)
    services.choices_make_due()

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_killed_before_it_stores_a_worker_leaves_nothing_and_the_next_one_makes_it(
    fresh_database: FreshDatabase,
) -> None:
    stage = open_stage(build_company())
    stage.to_decide(stage.submitted())
    run = ask(stage)

    with start_process(WORKER, fresh_database.env) as worker:
        with transaction.atomic():
            round_locked(stage.round)  # so that what is computed waits to be stored
            until(is_waited_for, within=120)
            worker.send(signal.SIGKILL)
            worker.ended()
        run.refresh_from_db()
        assert (run.state, run.attempts, Selection.objects.count()) == ("running", 1, 0)
    with start_process(WORKER, fresh_database.env):
        until(lambda: not ChoiceRun.objects.get().is_open, within=120)

    run.refresh_from_db()
    assert (run.state, run.attempts, Selection.objects.count()) == ("done", 2, 1)


def is_waited_for() -> bool:
    """Say whether another session waits for a lock of this one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))")
        return bool(cursor.fetchone()[0])
