"""Every rule of the ledger, and the ways round it that people have tried elsewhere: plain SQL, one line a way.

Names in `%(…)s` are rows of `tests.ledger.test_bypass.world`.
"""

from dataclasses import dataclass

APP, OWNER = "tank_app", "owner"
NO_RIGHT = "permission denied|must be owner"
THIS_ENTRY = "currval(pg_get_serial_sequence('ledger_journalentry', 'id'))"
TOMORROW = "((now() AT TIME ZONE 'UTC')::date + 1)"

# [3] What is only ever added to; each with a column that can be set to itself.
HISTORY = {
    "teams_auditevent": "id",
    "ledger_journalentry": "id",
    "ledger_posting": "id",
    "ledger_seal": "seq",
    "ledger_usagerecord": "id",
    "ledger_usageposting": "id",
    "ledger_usagearchive": "id",
    "ledger_routing": "id",
    "ledger_correctionleg": "id",
    "ledger_closeacceptance": "id",
    "ledger_exchangerate": "id",
}
# Rows of these change state by their own rules, and none ever goes.
STATEFUL = (
    "ledger_account",
    "ledger_period",
    "ledger_rate",
    "ledger_correction",
    "ledger_periodreopening",
    "ledger_providerinvoice",
)
# What the database alone writes.
DERIVED = {"ledger_accountbalance": "account_id", "ledger_usagehour": "id", "ledger_usageday": "id"}


@dataclass(frozen=True)
class Attack:
    """A way round a rule: statements, and the words with which the last of them is refused."""

    rule: int
    way: str
    statements: tuple[str, ...]
    refused: str
    by: tuple[str, ...] = (APP, OWNER)


def entry(kind: str, *legs: tuple[str, str], currency: str = "USD", **columns: str) -> tuple[str, ...]:
    """Write an entry and its postings by hand; a leg is the name of an account and an SQL amount."""
    given = {
        "kind": f"'{kind}'",
        "source": "'raw'",
        "key": "gen_random_uuid()::text",
        "fingerprint": "''",
        "period_id": "%(period)s",
        "effective_on": "(now() AT TIME ZONE 'UTC')::date",
        "actor_id": "%(hana)s",
        "reason": "''",
        "memo": "''",
    } | columns
    head = f"INSERT INTO ledger_journalentry ({', '.join(given)}) VALUES ({', '.join(given.values())})"  # noqa: S608
    return (head, *(posting(account, amount, currency=currency) for account, amount in legs))


def posting(account: str, amount: str, *, of: str = THIS_ENTRY, currency: str = "USD") -> str:
    """Write one posting by hand."""
    values = f"{of}, %({account})s, '{currency}', {amount}"
    return f"INSERT INTO ledger_posting (entry_id, account_id, currency, amount) VALUES ({values})"  # noqa: S608


def usage_posting(entry: str, records: str) -> str:
    """Write by hand that an entry covers usage of the hour that was posted first."""
    return (
        "INSERT INTO ledger_usageposting (entry_id, account_id, provider_id, hour, records, charged, overage, digest)"  # noqa: S608
        f" SELECT {entry}, account_id, provider_id, hour, {records}, 99, 0, '' FROM ledger_usageposting LIMIT 1"
    )


AWARD = (("committed", "5"), ("pool", "-5"))
MIRROR = (("committed", "-5"), ("pool", "5"))
REVERSAL = {"reason": "'Mistake'", "approved_by_id": "%(lou)s", "reverses_id": "%(award)s"}

ATTACKS = [
    # 1. An entry balances.
    Attack(1, "no posting", entry("award"), "at least two are needed"),
    Attack(1, "one posting", entry("award", ("committed", "5")), "at least two are needed"),
    Attack(1, "a cent too little", entry("award", ("committed", "5"), ("pool", "-4.99")), "does not balance"),
    Attack(1, "the last place", entry("award", ("committed", "5"), ("pool", "-5.000000000001")), "does not balance"),
    Attack(
        1,
        "one currency against another",
        (*entry("conversion", ("reserve", "-5"), approved_by_id="%(lou)s"), posting("euros", "5", currency="EUR")),
        "does not balance",
    ),
    Attack(1, "no number at all", entry("award", ("committed", "'NaN'"), ("pool", "'NaN'")), "posting_amount_finite"),
    # 2. An entry is complete when it commits.
    Attack(2, "one more posting", (posting("pool", "1", of="%(award)s"),), "nothing can be added"),
    Attack(
        2,
        "after the checks were forced early",
        (*entry("award", *AWARD), "SET CONSTRAINTS ALL IMMEDIATE", posting("pool", "1")),
        "nothing can be added",
    ),
    Attack(
        2,
        "a transaction that says that it is the old one",
        (
            *entry("award", *AWARD, xact="'7'::xid8"),
            "UPDATE ledger_journalentry SET xact = '7' WHERE source = 'raw'",
        ),
        f"append-only|{NO_RIGHT}",
    ),
    Attack(
        2,
        "usage that joins an old entry",
        (usage_posting("%(award)s", "99"),),
        "nothing can be added",
    ),
    # 4. Exact amounts.
    Attack(4, "a thirteenth place", entry("award", ("committed", "0.0000000000001")), "posting_amount_scale"),
    Attack(4, "a float", entry("award", ("committed", "1e-13::float8")), "posting_amount_scale"),
    Attack(4, "nothing", entry("award", ("committed", "0")), "posting_amount_not_zero"),
    Attack(
        4,
        "a finer price",
        ("UPDATE ledger_rate SET input = 0.0000001 WHERE id = %(proposed_rate)s",),
        "rate_input_scale",
    ),
    Attack(4, "a price that is none", ("UPDATE ledger_rate SET input = 'NaN' WHERE id = %(proposed_rate)s",), "finite"),
    # 5. One currency per account.
    Attack(5, "euros on a dollar account", entry("award", ("committed", "5"), currency="EUR"), "currency_is_the_acc"),
    Attack(5, "another currency", ("UPDATE ledger_account SET currency = 'EUR' WHERE id = %(pool)s",), "are fixed"),
    # 6. Routing.
    Attack(6, "straight to a line", entry("award", ("line", "5"), ("reserve", "-5")), "may not debit line against"),
    Attack(6, "past the authority", entry("fund", ("pool", "5"), ("authority", "-5")), "may not debit pool against"),
    Attack(
        6,
        "an adjustment of the authority",
        entry("adjustment", ("line", "5"), ("authority", "-5"), reason="'x'", approved_by_id="%(lou)s"),
        "may not debit line against authority",
    ),
    Attack(6, "another class", ("UPDATE ledger_account SET account_class = 'pool' WHERE id = %(line)s",), "are fixed"),
    Attack(
        6, "one more route", ("INSERT INTO ledger_routing VALUES (999, 'award', 'line', 'pool')",), NO_RIGHT, (APP,)
    ),
    # 7. Stored balances.
    Attack(7, "more than there is", entry("award", ("committed", "1e9"), ("pool", "-1e9")), "account_not_overdrawn"),
    Attack(7, "leave to overdraw", ("UPDATE ledger_account SET no_overdraft = false",), "are fixed"),
    Attack(7, "a better balance", ("UPDATE ledger_accountbalance SET debits = 1e9",), NO_RIGHT, (APP,)),
    Attack(
        7,
        "a running balance of one's own",
        (
            *entry("award", *AWARD),
            "UPDATE ledger_posting SET balance_after = 1e9",
        ),
        f"append-only|{NO_RIGHT}",
    ),
    Attack(7, "an account that goes", ("DELETE FROM ledger_account WHERE id = %(pool)s",), f"be deleted|{NO_RIGHT}"),
    Attack(
        7,
        "a line's limit beside the ledger",
        ('UPDATE allocations_quota SET "limit" = 1e9 WHERE line_id IS NOT NULL',),
        "is what the ledger put into its line",
        (APP,),
    ),
    Attack(7, "spent nothing", ("UPDATE allocations_quota SET spent = 0",), NO_RIGHT, (APP,)),
    Attack(7, "holds nothing", ("UPDATE allocations_hold SET amount = 0",), NO_RIGHT, (APP,)),
    Attack(7, "more than the limit", ("UPDATE allocations_quota SET spent = 1e9",), f"quota_is_hard|{NO_RIGHT}"),
    # 8. Idempotency.
    Attack(
        8,
        "the same key again",
        (*entry("award", *AWARD, key="'k'"), *entry("award", *AWARD, key="'k'")),
        "entry_idempotency_key",
    ),
    Attack(
        8,
        "without the rule",
        ("ALTER TABLE ledger_journalentry DROP CONSTRAINT entry_idempotency_key",),
        NO_RIGHT,
        (APP,),
    ),
    # 9. Periods.
    Attack(9, "into a closed period", entry("award", *AWARD, period_id="%(closed)s"), "is closed"),
    Attack(9, "open it", ("UPDATE ledger_period SET state = 'open' WHERE id = %(closed)s",), "stays closed"),
    Attack(
        9,
        "open it, with a request of one's own making",
        (
            "CREATE TEMP TABLE ledger_periodreopening (period_id bigint, state text, granted_xact xid8)",
            "INSERT INTO pg_temp.ledger_periodreopening VALUES (%(closed)s, 'granted', pg_current_xact_id())",
            "UPDATE ledger_period SET state = 'open' WHERE id = %(closed)s",
        ),
        "stays closed",
    ),
    Attack(
        9,
        "grant one's own request",
        (
            "INSERT INTO ledger_periodreopening (period_id, reason, asked_by_id, state)"
            " VALUES (%(closed)s, 'x', %(hana)s, 'granted')",
            "UPDATE ledger_periodreopening SET state = 'granted', decided_by_id = %(hana)s, decided_at = now()",
        ),
        "reopening_decided_by_another",
    ),
    Attack(
        9,
        "close without closing",
        ("UPDATE ledger_period SET state = 'closed' WHERE id = %(period)s",),
        "has to be closing",
    ),
    Attack(9, "other dates", ("UPDATE ledger_period SET ends_on = ends_on - 1 WHERE id = %(period)s",), "are fixed"),
    Attack(9, "no period", ("DELETE FROM ledger_period WHERE id = %(closed)s",), f"be deleted|{NO_RIGHT}"),
    Attack(
        9,
        "a second period for the same days",
        (
            "INSERT INTO ledger_period (fiscal_year_id, starts_on, ends_on, state)"
            " SELECT fiscal_year_id, starts_on + 1, ends_on, 'open' FROM ledger_period WHERE id = %(closed)s",
        ),
        "period_no_overlap",
    ),
    Attack(
        9,
        "from the future",
        entry("award", *AWARD, effective_on=TOMORROW, period_id="%(last_period)s"),
        "lies in the future",
    ),
    Attack(
        9,
        "dated after its period",
        (*entry("award", *AWARD, period_id="%(earlier)s"),),
        "lies after period",
    ),
    Attack(
        9,
        "an item accepted after the close",
        (
            "INSERT INTO ledger_closeacceptance (period_id, item, found, reason, accepted_by_id)"
            " VALUES (%(closed)s, 'usage_accrued', 'x', 'x', %(hana)s)",
        ),
        "is not closing",
    ),
    Attack(9, "another fiscal year", ("UPDATE ledger_fiscalyear SET ends_on = ends_on + 400",), NO_RIGHT, (APP,)),
    # 10. Reversal.
    Attack(10, "half of it", entry("reversal", ("committed", "-4"), ("pool", "4"), **REVERSAL), "does not mirror"),
    Attack(
        10, "twice", (*entry("reversal", *MIRROR, **REVERSAL), *entry("reversal", *MIRROR, **REVERSAL)), "reverses_id"
    ),
    Attack(
        10,
        "of usage",
        entry("reversal", ("metered", "-2"), ("line", "2"), **REVERSAL | {"reverses_id": "%(usage)s"}),
        "a usage entry cannot be reversed",
    ),
    Attack(
        10,
        "of a reversal",
        entry("reversal", *AWARD, **REVERSAL | {"reverses_id": "%(reversal)s"}),
        "a reversal entry cannot be reversed",
    ),
    Attack(10, "of nothing", entry("reversal", *MIRROR, reason="'x'", approved_by_id="%(lou)s"), "names_its_entry"),
    # 11. Seal.
    Attack(11, "a seal by hand", ("INSERT INTO ledger_seal (seq) VALUES (999)",), NO_RIGHT, (APP,)),
    # 12. Separation of duties.
    Attack(
        12, "no second person", entry("reversal", *MIRROR, **REVERSAL | {"approved_by_id": "NULL"}), "second person"
    ),
    Attack(12, "one's own approver", entry("award", *AWARD, approved_by_id="%(hana)s"), "entry_approver_is_another"),
    Attack(12, "an adjustment without approval", entry("adjustment", *AWARD, reason="'x'"), "entry_adjustment_is_app"),
    Attack(12, "no reason", entry("adjustment", *AWARD, approved_by_id="%(lou)s"), "entry_correction_has_a_reason"),
    Attack(
        12,
        "approve one's own correction",
        (
            "UPDATE ledger_correction SET state = 'approved', decided_by_id = %(hana)s, decided_at = now(),"
            " entry_id = %(award)s WHERE id = %(proposed)s",
        ),
        "correction_decided_by_another",
    ),
    Attack(
        12,
        "one more leg while it waits",
        ("INSERT INTO ledger_correctionleg (correction_id, account_id, amount) VALUES (%(proposed)s, %(pool)s, 1)",),
        "nothing can be added",
    ),
    Attack(
        12,
        "one more leg after the decision",
        ("INSERT INTO ledger_correctionleg (correction_id, account_id, amount) VALUES (%(decided)s, %(pool)s, 1)",),
        "nothing can be added",
    ),
    Attack(
        12, "decide again", ("UPDATE ledger_correction SET state = 'refused' WHERE id = %(decided)s",), "decided once"
    ),
    Attack(
        12, "another reason", ("UPDATE ledger_correction SET reason = 'y' WHERE id = %(proposed)s",), "decided once"
    ),
    Attack(
        12, "another amount of an invoice", ("UPDATE ledger_providerinvoice SET amount = amount + 1",), "decided once"
    ),
    Attack(
        12,
        "agree to one's own invoice",
        ("UPDATE ledger_providerinvoice SET state = 'agreed', decided_by_id = entered_by_id, decided_at = now()",),
        "invoice_decided_by_another",
    ),
    Attack(
        12,
        "an invoice that is another kind of entry",
        (
            "UPDATE ledger_providerinvoice SET state = 'agreed', decided_by_id = %(lou)s, decided_at = now(),"
            " entry_id = %(award)s",
        ),
        "not a provider's figure",
    ),
    Attack(12, "no correction", ("DELETE FROM ledger_correction WHERE id = %(decided)s",), "decided once"),
    Attack(
        12,
        "born approved",
        (
            "INSERT INTO ledger_correction (reason, memo, effective_on, state, proposed_by_id, decision_reason)"
            " VALUES ('x', '', now(), 'approved', %(hana)s, '')",
            "UPDATE ledger_correction SET state = 'approved', decided_by_id = %(lou)s WHERE reason = 'x'",
        ),
        "correction_approved_is_posted",
    ),
    # 13. Usage.
    Attack(13, "a record by hand", ("INSERT INTO ledger_usagerecord DEFAULT VALUES",), NO_RIGHT, (APP,)),
    Attack(13, "a record in a partition", ("INSERT INTO ledger_usagerecord_other DEFAULT VALUES",), NO_RIGHT, (APP,)),
    Attack(
        13,
        "one request in two records",
        (
            "CREATE TEMP TABLE twin AS SELECT * FROM ledger_usagerecord LIMIT 1",
            "UPDATE twin SET id = 0, charged = charged",
            "INSERT INTO ledger_usagerecord SELECT * FROM twin",
        ),
        f"already exists|{NO_RIGHT}",
    ),
    Attack(
        13,
        "a posted sum for the same records again",
        (
            *entry("award", *AWARD),
            usage_posting(THIS_ENTRY, "records"),
        ),
        "usage_posting_unique",
    ),
    Attack(13, "an hour of one's own", ("UPDATE ledger_usagehour SET charged = 0",), NO_RIGHT, (APP,)),
    Attack(13, "take a month away", ("SELECT ledger_usage_detach(now()::date)",), NO_RIGHT, (APP,)),
    Attack(13, "take a month away", ("SELECT ledger_usage_detach(now()::date)",), "is not closed", (OWNER,)),
    Attack(13, "another price", ("UPDATE ledger_rate SET input = 2 WHERE id = %(rate)s",), "never changes"),
    Attack(13, "no price", ("DELETE FROM ledger_rate WHERE id = %(rate)s",), "never changes"),
]

# The rules themselves, as the run-time role would change them.
CHANGES = [
    "ALTER TABLE {} DISABLE TRIGGER ALL",
    "ALTER TABLE {} ADD COLUMN x int",
    "ALTER TABLE {} OWNER TO tank_app",
    "DROP TABLE {}",
    "CREATE TRIGGER aaa BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION tank_refuse_change()",
    "CREATE RULE nothing AS ON INSERT TO {} DO INSTEAD NOTHING",
]
OTHER_CHANGES = [
    "CREATE OR REPLACE FUNCTION tank_refuse_change() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE public.ledger_usagerecord_2099_01 ()",
    "SELECT tank_make_append_only('ledger_period')",
    "SELECT ledger_usage_guard('ledger_usagerecord_other')",
    "SELECT allocations_settle_within('[]')",
    "ALTER TABLE ledger_usagerecord DETACH PARTITION ledger_usagerecord_other",
    "SET session_replication_role = replica",
    "ALTER TABLE ledger_posting ENABLE REPLICA TRIGGER append_only_row",
    "DROP TRIGGER append_only_row ON ledger_posting",
]
