-- The metering hook's ground: rights, and what the functions in the other files are about. They are run together, in
-- this order, and can be run again over an earlier version of themselves, and before later tables and columns exist:
--   metering.sql, settling.sql, admitting.sql, meter.sql, workers.sql
-- meter.sql is the door. The CHECK constraints quota_is_hard and quota_tokens_are_hard are the last word, whatever the
-- functions do. Error codes: TK010 worker not alive, TK011 worker may still come back, TK012 hold is not what was seen.
SET check_function_bodies = off;

ALTER TABLE allocations_quota SET (fillfactor = 40);
ALTER TABLE allocations_hold SET (fillfactor = 40);
ALTER TABLE allocations_meterworker SET (fillfactor = 40);

REVOKE INSERT, UPDATE, DELETE ON allocations_hold FROM tank_app;
REVOKE UPDATE, DELETE ON allocations_quota FROM tank_app;
GRANT UPDATE ("limit", is_open) ON allocations_quota TO tank_app;
REVOKE INSERT ON ledger_usagerecord FROM tank_app;
REVOKE DELETE ON allocations_allocation, allocations_allocationline, allocations_quotakey,
    allocations_keysecret, allocations_meterworker FROM tank_app;

-- Gateways keep keys, models and rates in memory; any change to them empties that memory everywhere.
CREATE OR REPLACE FUNCTION allocations_catalogue_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tank_catalogue', TG_TABLE_NAME);
    RETURN NULL;
END $$;
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['allocations_quotakey', 'allocations_keysecret', 'allocations_allocation',
        'allocations_allocationline', 'ledger_provider', 'ledger_aimodel', 'ledger_modelalias', 'ledger_rate'] LOOP
        IF to_regclass(relation) IS NOT NULL THEN
            EXECUTE format('CREATE OR REPLACE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON %I
                            FOR EACH STATEMENT EXECUTE FUNCTION allocations_catalogue_changed()', relation);
        END IF;
    END LOOP;
END $$;

DROP FUNCTION IF EXISTS allocations_meter(uuid, int, bigint[], json, json, json);
DROP TYPE IF EXISTS allocations_admit CASCADE;
DROP TYPE IF EXISTS allocations_settle CASCADE;
DROP TYPE IF EXISTS allocations_kind CASCADE;
CREATE TYPE allocations_settle AS (
    request_id uuid, worker uuid, quotas bigint[], bound numeric, tokens_bound bigint, cost numeric, void boolean,
    sent_at timestamptz, account_id bigint, team_id bigint, key_id bigint, provider_id bigint, model_id bigint,
    rate_id bigint, model_asked text, model_returned text, surface text, streamed boolean, input_tokens bigint,
    cache_read_tokens bigint, cache_write_5m_tokens bigint, cache_write_1h_tokens bigint, output_tokens bigint,
    reasoning_tokens bigint, settle_kind text, service_tier text, upstream_id text, tags jsonb,
    served_because text
);

-- What many calls have in common, so that it travels once: their chain of quotas and who called what, where and why.
CREATE TYPE allocations_kind AS (
    quotas bigint[], account_id bigint, team_id bigint, key_id bigint, provider_id bigint, model_id bigint,
    rate_id bigint, model_asked text, model_returned text, surface text, streamed boolean, settle_kind text,
    service_tier text, served_because text, tags jsonb
);

-- The quota of a key's day or month, made when it is first asked for with the cap that the key has then. NULL for a
-- key that is not there.
CREATE OR REPLACE FUNCTION allocations_window(p_key bigint, p_window text, p_starts_on date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    quota bigint;
BEGIN
    SELECT id INTO quota FROM allocations_quota
     WHERE (window_of_id, "window", starts_on) = (p_key, p_window, p_starts_on);
    IF NOT FOUND THEN
        INSERT INTO allocations_quota (window_of_id, "window", starts_on, currency, is_open, "limit", token_limit)
        SELECT k.id, p_window, p_starts_on, q.currency, true,
               CASE p_window WHEN 'day' THEN k.day_cap ELSE k.month_cap END,
               CASE p_window WHEN 'day' THEN k.day_tokens ELSE k.month_tokens END
          FROM allocations_quotakey k JOIN allocations_quota q ON q.key_id = k.id WHERE k.id = p_key
        ON CONFLICT (window_of_id, "window", starts_on) DO NOTHING;
        SELECT id INTO quota FROM allocations_quota
         WHERE (window_of_id, "window", starts_on) = (p_key, p_window, p_starts_on);
    END IF;
    RETURN quota;
END $$;

REVOKE EXECUTE ON FUNCTION allocations_window(bigint, text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION allocations_window(bigint, text, date) TO tank_app;
RESET check_function_bodies;
