"""Checks that what refuses a change is still there: triggers that are always on, and rights that nobody has."""

from ledger.checks.base import Check

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
        5,
        "closed periods are guarded",
        """
        SELECT format('trigger %s is missing or switched off', wanted),
               format('psql: SELECT tgrelid::regclass, tgenabled FROM pg_trigger WHERE tgname = %L', wanted)
          FROM unnest(ARRAY['period_guard', 'entry_begin', 'posting_apply', 'entry_complete']) wanted
         WHERE NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgname = wanted AND t.tgenabled = 'A')
        """,
    ),
)
