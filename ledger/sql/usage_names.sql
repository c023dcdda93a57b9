-- What a usage record names exists, and stays. Five foreign keys asked that once a record and key, which was half of what
-- a metered call cost in the database; here it is asked once a statement, of what the statement's records name between
-- them. In turn who deletes a row that may be named makes sure that no record names it. The file can be run again.

ALTER TABLE ledger_usagerecord
    DROP CONSTRAINT IF EXISTS ledger_usagerecord_account_id_fkey,
    DROP CONSTRAINT IF EXISTS ledger_usagerecord_team_id_fkey,
    DROP CONSTRAINT IF EXISTS ledger_usagerecord_provider_id_fkey,
    DROP CONSTRAINT IF EXISTS ledger_usagerecord_model_id_fkey,
    DROP CONSTRAINT IF EXISTS ledger_usagerecord_rate_id_fkey;

CREATE OR REPLACE FUNCTION ledger_usage_names() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    missing text;
BEGIN
    SELECT concat_ws(', ', CASE WHEN a.id IS NULL THEN 'account ' || f.account_id END,
                     CASE WHEN t.id IS NULL THEN 'team ' || f.team_id END,
                     CASE WHEN p.id IS NULL THEN 'provider ' || f.provider_id END,
                     CASE WHEN m.id IS NULL THEN 'model ' || f.model_id END,
                     CASE WHEN r.id IS NULL THEN 'rate ' || f.rate_id END)
      INTO missing
      FROM (SELECT DISTINCT account_id, team_id, provider_id, model_id, rate_id FROM fresh) f
      LEFT JOIN ledger_account a ON a.id = f.account_id
      LEFT JOIN teams_team t ON t.id = f.team_id
      LEFT JOIN ledger_provider p ON p.id = f.provider_id
      LEFT JOIN ledger_aimodel m ON m.id = f.model_id
      LEFT JOIN ledger_rate r ON r.id = f.rate_id
     WHERE a.id IS NULL OR t.id IS NULL OR p.id IS NULL OR m.id IS NULL OR r.id IS NULL
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a usage record names what does not exist: %', missing USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_names() FROM PUBLIC;

-- A statement's trigger is that of the table that the statement names, so every partition has its own.
CREATE OR REPLACE FUNCTION ledger_usage_names_in(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER usage_names AFTER INSERT ON %s REFERENCING NEW TABLE AS fresh
                    FOR EACH STATEMENT EXECUTE FUNCTION ledger_usage_names()', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER usage_names', relation);
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_names_in(regclass) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ledger_usage_guard(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION tank_refuse_change()', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only_table', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only_row', relation);
    PERFORM ledger_usage_names_in(relation);
    EXECUTE format('REVOKE ALL ON %s FROM tank_app', relation);
    EXECUTE format('GRANT SELECT ON %s TO tank_app', relation);
END $$;

SELECT ledger_usage_names_in('ledger_usagerecord');
SELECT ledger_usage_names_in(inhrelid) FROM pg_inherits WHERE inhparent = 'ledger_usagerecord'::regclass;

-- Refuse to delete what usage records name by the column that the trigger says. Records that are on their way meanwhile
-- are waited for: they were settled within the hour. Their lock is taken late and briefly, since metering waits for it.
CREATE OR REPLACE FUNCTION ledger_usage_named() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    query constant text := format('SELECT EXISTS (SELECT FROM ledger_usagerecord u JOIN gone ON u.%I = gone.id
                                                   WHERE u.settled_at >= $1)', TG_ARGV[0]);
    is_named boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM gone) THEN
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows of % are deleted in read committed transactions', TG_TABLE_NAME
            USING ERRCODE = 'feature_not_supported';
    END IF;
    EXECUTE query INTO is_named USING '-infinity'::timestamptz;
    IF NOT is_named THEN
        LOCK TABLE ledger_usagerecord IN SHARE MODE;
        EXECUTE query INTO is_named USING clock_timestamp() - interval '1 hour';
    END IF;
    IF is_named THEN
        RAISE EXCEPTION 'usage records name this row of %', TG_TABLE_NAME USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_named() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ledger_usage_renamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the id of a row of % never changes, and they are not all deleted at once: usage records name them',
        TG_TABLE_NAME USING ERRCODE = 'foreign_key_violation';
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_renamed() FROM PUBLIC;

DO $$
DECLARE
    named record;
BEGIN
    FOR named IN SELECT * FROM (VALUES ('ledger_account', 'account_id'), ('teams_team', 'team_id'), ('ledger_rate', 'rate_id'),
                                       ('ledger_provider', 'provider_id'), ('ledger_aimodel', 'model_id')) n (relation, name)
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER usage_named AFTER DELETE ON %I REFERENCING OLD TABLE AS gone
                        FOR EACH STATEMENT EXECUTE FUNCTION ledger_usage_named(%L)', named.relation, named.name);
        EXECUTE format('CREATE OR REPLACE TRIGGER usage_named_id BEFORE UPDATE OF id ON %I FOR EACH ROW
                        WHEN (OLD.id IS DISTINCT FROM NEW.id) EXECUTE FUNCTION ledger_usage_renamed()', named.relation);
        EXECUTE format('CREATE OR REPLACE TRIGGER usage_named_all BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION ledger_usage_renamed()', named.relation);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER usage_named', named.relation);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER usage_named_id', named.relation);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER usage_named_all', named.relation);
    END LOOP;
END $$;
