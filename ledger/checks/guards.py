"""Checks that what refuses a change is still there: triggers that are always on, and rights that nobody has."""

from ledger.checks.base import Check

# Rules by table: what stands here is asked for by name, so that one that was dropped is missed.
USAGE_NAMED = ["usage_named", "usage_named_id", "usage_named_all"]
TRIGGERS = {
    "ledger_period": ["period_guard"],
    "ledger_account": ["account_guard", "account_open", *USAGE_NAMED],
    "ledger_journalentry": ["entry_begin", "entry_complete"],
    "ledger_posting": ["posting_apply"],
    "ledger_usageposting": ["usage_posting_begin"],
    "ledger_rate": ["rate_guard", *USAGE_NAMED],
    "ledger_aimodel": USAGE_NAMED,
    "ledger_provider": USAGE_NAMED,
    "teams_team": USAGE_NAMED,
    "ledger_usagerecord": ["usage_names"],
    "ledger_correction": ["correction_guard", "append_only_table"],
    "ledger_correctionleg": ["correction_leg_guard"],
    "ledger_periodreopening": ["reopening_guard", "append_only_table"],
    "ledger_closeacceptance": ["acceptance_guard"],
    "ledger_providerinvoice": ["invoice_guard", "append_only_table"],
    "ledger_feedbody": ["body_guard", "append_only_table"],
}
CONSTRAINTS = {
    "ledger_account": ["account_envelope_no_overdraft", "account_class_known"],
    "ledger_accountbalance": ["account_not_overdrawn"],
    "ledger_journalentry": [
        "entry_idempotency_key",
        "entry_approver_is_another",
        "entry_adjustment_is_approved",
        "entry_correction_has_a_reason",
        "entry_reversal_names_its_entry",
        "ledger_journalentry_reverses_id_key",
    ],
    "ledger_posting": [
        "posting_account_version",
        "posting_amount_finite",
        "posting_amount_not_zero",
        "posting_amount_scale",
        "posting_currency_is_the_accounts",
    ],
    "ledger_period": ["period_no_overlap", "period_state_known"],
    "ledger_correction": ["correction_decided_by_another", "correction_approved_is_posted"],
    "ledger_periodreopening": ["reopening_decided_by_another"],
    "ledger_providerinvoice": ["invoice_decided_by_another", "invoice_amount_scale", "invoice_finite"],
    "ledger_usagerecord": ["usage_cost_is_charged_plus_overage", "usage_cost_scale"],
    "ledger_usageposting": ["usage_posting_unique"],
}
# SHA-256 over the routes that the files in ledger/sql write; a new route is a new digest, so that it takes a commit.
ROUTES = "c7494636bc24d30e1ca3c22a844203ad82ab6b63c0ae51b6ea985072aea0e3bf"


def _rows(names: dict[str, list[str]]) -> str:
    return ", ".join(f"('{relation}', '{name}')" for relation, found in names.items() for name in found)


CHECKS = (
    Check(
        4,
        "history cannot be changed",
        # The partitions of the usage records are tables of their own, each with its own triggers and rights, and a
        # month that was detached is no partition any more.
        """
        SELECT format('%s: %s', c.relname, fault), format('psql: \\d+ %s', c.relname)
          FROM pg_class c CROSS JOIN LATERAL (
              SELECT 'its append-only triggers are missing or switched off' AS fault
               WHERE (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled = 'A'
                         AND t.tgname IN ('append_only_row', 'append_only_table')) < 2
              UNION ALL
              SELECT 'tank_app may change it' WHERE has_table_privilege('tank_app', c.oid, 'UPDATE')
                  OR has_table_privilege('tank_app', c.oid, 'DELETE')
                  OR has_table_privilege('tank_app', c.oid, 'TRUNCATE')
          ) faults
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND (
                   c.relname IN ('teams_auditevent', 'ledger_journalentry', 'ledger_posting', 'ledger_seal',
                                 'ledger_usagerecord', 'ledger_usageposting', 'ledger_usagearchive', 'ledger_routing',
                                 'ledger_correctionleg', 'ledger_closeacceptance', 'ledger_exchangerate')
                OR c.relname ~ '^ledger_usagerecord_\\d{4}_\\d{2}$'
                OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'ledger_usagerecord'::regclass))
         ORDER BY 1
        """,
    ),
    Check(
        4,
        "sums and balances are written by the database alone",
        """
        SELECT format('%s: tank_app may change it', c.relname), format('psql: \\dp %s', c.relname)
          FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace
           AND c.relname IN ('ledger_accountbalance', 'ledger_usagehour', 'ledger_usageday')
           AND (has_table_privilege('tank_app', c.oid, 'INSERT') OR has_table_privilege('tank_app', c.oid, 'UPDATE')
             OR has_table_privilege('tank_app', c.oid, 'DELETE') OR has_table_privilege('tank_app', c.oid, 'TRUNCATE'))
         ORDER BY 1
        """,
    ),
    Check(
        4,
        "the rules are switched on",
        f"""
        SELECT format('trigger %s on %s is missing or switched off', wanted.name, wanted.relation),
               format('psql: \\d+ %s', wanted.relation)
          FROM (VALUES {_rows(TRIGGERS)}) wanted (relation, name)
         WHERE NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = to_regclass('public.' || wanted.relation)
                              AND t.tgname = wanted.name AND t.tgenabled = 'A')
         UNION ALL
        SELECT format('constraint %s on %s is missing or not validated', wanted.name, wanted.relation),
               format('psql: \\d+ %s', wanted.relation)
          FROM (VALUES {_rows(CONSTRAINTS)}) wanted (relation, name)
         WHERE NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conrelid = to_regclass('public.' || wanted.relation)
                              AND c.conname = wanted.name AND c.convalidated)
         ORDER BY 1
        """,  # noqa: S608 - names from above
    ),
    Check(
        4,
        "money goes the routes that the migrations wrote",
        f"""
        SELECT format('the table of routes has %s rows and the digest %s', count(*), digest),
               'psql: TABLE ledger_routing'
          FROM ledger_routing, (
              SELECT encode(sha256(convert_to(string_agg(
                         format('%s %s/%s', kind, debit_class, credit_class), ',' ORDER BY kind COLLATE "C",
                         debit_class COLLATE "C", credit_class COLLATE "C"), 'UTF8')), 'hex') AS digest
                FROM ledger_routing) d
         GROUP BY digest HAVING digest <> '{ROUTES}'
        """,  # noqa: S608 - the digest above
    ),
)
