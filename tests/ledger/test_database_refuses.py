"""What the database itself refuses, whatever the code above it does: raw SQL as the run-time role and as the owner."""

from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from ledger.models import JournalEntry
from tests import databases
from tests.ledger.books import Books, open_books


@pytest.fixture(scope="module")
def books(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> Iterator[Books]:
    """Open one set of books for all these stories: most of them end in a rollback."""
    with server_databases.cloned() as name, django_db_blocker.unblock(), databases.used_by_django(name):
        yield open_books()


@pytest.fixture
def app(books: Books, app_connection: psycopg.Connection) -> psycopg.Connection:
    return app_connection


@pytest.fixture
def owner(books: Books, owner_connection: psycopg.Connection) -> psycopg.Connection:
    return owner_connection


def enter(connection: psycopg.Connection, books: Books, *amounts: tuple[int, str], kind: str = "award") -> int:
    """Insert an entry and its postings with plain SQL."""
    row = connection.execute(
        """INSERT INTO ledger_journalentry
           (kind, source, key, fingerprint, period_id, effective_on, actor_id, reason, memo)
           SELECT %s, 'raw', gen_random_uuid()::text, '', id, starts_on, %s, '', '' FROM ledger_period
            WHERE state = 'open' AND now()::date BETWEEN starts_on AND ends_on RETURNING id""",
        (kind, books.actor.pk),
    ).fetchone()
    assert row is not None
    for account, amount in amounts:
        connection.execute(
            "INSERT INTO ledger_posting (entry_id, account_id, currency, amount) VALUES (%s, %s, 'USD', %s)",
            (row[0], account, Decimal(amount)),
        )
    return int(row[0])


def test_a_plain_balanced_entry_commits_and_is_sealed(app: psycopg.Connection, books: Books) -> None:
    entry = enter(app, books, (books.committed.pk, "5"), (books.pool.pk, "-5"))
    app.commit()
    posted = JournalEntry.objects.get(pk=entry)
    assert posted.seal.seq == JournalEntry.objects.count()
    assert [posting.amount for posting in posted.postings.order_by("id")] == [5, -5]


@pytest.mark.parametrize("amounts", [[], ["5"], ["5", "-4.99"], ["5", "-5.000000000001"]])
def test_an_entry_that_does_not_balance_cannot_commit(
    app: psycopg.Connection, books: Books, amounts: list[str]
) -> None:
    accounts = [books.committed.pk, books.pool.pk]
    enter(app, books, *zip(accounts, amounts, strict=False))
    with pytest.raises(psycopg.Error, match=r"does not balance|at least two are needed"):
        app.commit()


def test_nothing_can_be_added_to_an_entry_of_an_earlier_transaction(app: psycopg.Connection, books: Books) -> None:
    entry = enter(app, books, (books.committed.pk, "5"), (books.pool.pk, "-5"))
    app.commit()
    with pytest.raises(psycopg.Error, match="nothing can be added"):
        app.execute(
            "INSERT INTO ledger_posting (entry_id, account_id, currency, amount) VALUES (%s, %s, 'USD', 1)",
            (entry, books.committed.pk),
        )


def test_nothing_can_be_added_after_the_checks_were_forced_early(app: psycopg.Connection, books: Books) -> None:
    entry = enter(app, books, (books.committed.pk, "5"), (books.pool.pk, "-5"))
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(psycopg.Error, match="nothing can be added"):
        app.execute(
            "INSERT INTO ledger_posting (entry_id, account_id, currency, amount) VALUES (%s, %s, 'USD', 1)",
            (entry, books.committed.pk),
        )


def test_copy_is_held_to_the_same_rules(app: psycopg.Connection, books: Books) -> None:
    entry = enter(app, books, (books.committed.pk, "5"), (books.pool.pk, "-5"))
    with (
        app.cursor() as cursor,
        cursor.copy("COPY ledger_posting (entry_id, account_id, currency, amount) FROM STDIN") as copy,
    ):
        copy.write_row((entry, books.pool.pk, "USD", "-1"))
    with pytest.raises(psycopg.Error, match="does not balance"):
        app.commit()


def test_an_envelope_cannot_be_overdrawn(app: psycopg.Connection, books: Books) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="account_not_overdrawn"):
        enter(app, books, (books.committed.pk, "400.01"), (books.pool.pk, "-400.01"))


def test_a_posting_has_its_accounts_currency(app: psycopg.Connection, books: Books) -> None:
    entry = enter(app, books)
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="posting_currency_is_the_accounts"):
        app.execute(
            "INSERT INTO ledger_posting (entry_id, account_id, currency, amount) VALUES (%s, %s, 'EUR', 1)",
            (entry, books.pool.pk),
        )


def test_a_thirteenth_decimal_place_is_refused_not_rounded(app: psycopg.Connection, books: Books) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="posting_amount_scale"):
        enter(app, books, (books.committed.pk, "0.0000000000001"))


def test_a_balanced_entry_between_the_wrong_accounts_is_refused(app: psycopg.Connection, books: Books) -> None:
    enter(app, books, (books.line.pk, "5"), (books.reserve.pk, "-5"))
    with pytest.raises(psycopg.Error, match=r"an? award entry may not debit line against reserve"):
        app.commit()


def test_a_closed_period_takes_nothing_and_stays_closed(app: psycopg.Connection, books: Books) -> None:
    with pytest.raises(psycopg.Error, match="has to be closing before"), app.transaction():
        app.execute("UPDATE ledger_period SET state = 'closed' WHERE now()::date BETWEEN starts_on AND ends_on")
    for state in ("closing", "closed"):
        app.execute("UPDATE ledger_period SET state = %s WHERE now()::date BETWEEN starts_on AND ends_on", (state,))
    with pytest.raises(psycopg.Error, match="stays closed"), app.transaction():
        app.execute("UPDATE ledger_period SET state = 'open' WHERE now()::date BETWEEN starts_on AND ends_on")
    with pytest.raises(psycopg.Error, match=r"period \d{4}-\d\d-01 is closed"):
        app.execute(
            """INSERT INTO ledger_journalentry
               (kind, source, key, fingerprint, period_id, effective_on, actor_id, reason, memo)
               SELECT 'award', 'raw', 'k', '', id, starts_on, %s, '', '' FROM ledger_period
                WHERE now()::date BETWEEN starts_on AND ends_on""",
            (books.actor.pk,),
        )


def test_the_time_of_recording_cannot_be_chosen(app: psycopg.Connection, books: Books) -> None:
    entry = app.execute(
        """INSERT INTO ledger_journalentry
           (kind, source, key, fingerprint, period_id, effective_on, recorded_at, actor_id, reason, memo)
           SELECT 'award', 'raw', 'k', '', id, starts_on, '2001-01-01', %s, '', '' FROM ledger_period
            WHERE now()::date BETWEEN starts_on AND ends_on RETURNING recorded_at = now()""",
        (books.actor.pk,),
    ).fetchone()
    assert entry == (True,)


def test_a_reversal_must_mirror_its_entry(app: psycopg.Connection, books: Books) -> None:
    entry = books.award("5")
    mirror = app.execute(
        """INSERT INTO ledger_journalentry
           (kind, source, key, fingerprint, period_id, effective_on, actor_id, reason, memo, reverses_id)
           SELECT 'reversal', 'raw', 'k', '', period_id, effective_on, actor_id, 'Mistake', '', id
             FROM ledger_journalentry WHERE id = %s RETURNING id""",
        (entry.pk,),
    ).fetchone()
    assert mirror is not None
    app.execute(
        "INSERT INTO ledger_posting (entry_id, account_id, currency, amount)"
        " VALUES (%s, %s, 'USD', -4), (%s, %s, 'USD', 4)",
        (mirror[0], books.committed.pk, mirror[0], books.pool.pk),
    )
    with pytest.raises(psycopg.Error, match="does not mirror"):
        app.commit()


def test_the_approver_of_an_entry_is_not_its_author(app: psycopg.Connection, books: Books) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="entry_approver_is_another"):
        app.execute(
            """INSERT INTO ledger_journalentry
               (kind, source, key, fingerprint, period_id, effective_on, actor_id, approved_by_id, reason, memo)
               SELECT 'award', 'raw', 'k', '', id, starts_on, %s, %s, '', '' FROM ledger_period
                WHERE now()::date BETWEEN starts_on AND ends_on""",
            (books.actor.pk, books.actor.pk),
        )


def test_a_conversion_has_a_second_person(app: psycopg.Connection, books: Books) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="entry_conversion_is_approved"):
        app.execute(
            """INSERT INTO ledger_journalentry
               (kind, source, key, fingerprint, period_id, effective_on, actor_id, reason, memo)
               SELECT 'conversion', 'raw', 'k', '', id, starts_on, %s, 'Euro', '' FROM ledger_period
                WHERE now()::date BETWEEN starts_on AND ends_on""",
            (books.actor.pk,),
        )


def test_an_approved_rate_never_changes(owner: psycopg.Connection, books: Books) -> None:
    owner.execute(
        """WITH p AS (INSERT INTO ledger_provider (name, dialect, base_url, credential_encrypted, is_enabled)
                      VALUES ('p', 'sandbox', '', '', true) RETURNING id),
                m AS (INSERT INTO ledger_aimodel (provider_id, name, tier, context_window, default_output_cap,
                                                  least_output_cap, is_enabled)
                      SELECT id, 'm', 'standard', 1000, 100, 1, true FROM p RETURNING id)
           INSERT INTO ledger_rate (model_id, valid_from, currency, input, cache_read, cache_write_5m, cache_write_1h,
                                    output, source, note, proposed_by_id, approved_by_id, approved_at)
           SELECT id, now(), 'USD', 1, 1, 1, 1, 1, 'negotiated', '', %(actor)s, %(actor)s, now() FROM m""",
        {"actor": books.actor.pk},
    )
    with pytest.raises(psycopg.Error, match="approved and never changes"):
        owner.execute("UPDATE ledger_rate SET input = 2")
