-- The usage subledger's storage: monthly partitions, hourly and daily roll-ups, retention by detaching.

-- Partitioned by the request's own id, a UUIDv7 whose first 48 bits are its milliseconds: so the id is unique
-- across all partitions by one ordinary constraint, which a partition by a separate time column could not give.
CREATE FUNCTION ledger_uuid_floor(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT rpad(lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;

ALTER TABLE ledger_usagerecord RENAME TO ledger_usagerecord_plain;
CREATE TABLE ledger_usagerecord (LIKE ledger_usagerecord_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE (request_id);
DROP TABLE ledger_usagerecord_plain;
CREATE SEQUENCE ledger_usagerecord_id_seq OWNED BY ledger_usagerecord.id;
ALTER TABLE ledger_usagerecord
    ALTER COLUMN id SET DEFAULT nextval('ledger_usagerecord_id_seq'),
    ADD PRIMARY KEY (request_id),
    ADD FOREIGN KEY (account_id) REFERENCES ledger_account (id),
    ADD FOREIGN KEY (team_id) REFERENCES teams_team (id),
    ADD FOREIGN KEY (provider_id) REFERENCES ledger_provider (id),
    ADD FOREIGN KEY (model_id) REFERENCES ledger_aimodel (id),
    ADD FOREIGN KEY (rate_id) REFERENCES ledger_rate (id);
CREATE INDEX usage_by_line ON ledger_usagerecord (account_id, settled_at);
CREATE INDEX usage_by_time ON ledger_usagerecord (settled_at);
CREATE INDEX usage_by_key ON ledger_usagerecord (key_id, id DESC);
-- Ids grow with time, so a block range finds one record without the price of a tree on every insert.
CREATE INDEX usage_by_id ON ledger_usagerecord USING brin (id) WITH (autosummarize = on);
SELECT tank_make_append_only('ledger_usagerecord');
REVOKE INSERT ON ledger_usagerecord FROM tank_app;

-- A row trigger of the parent comes to every partition by itself; TRUNCATE and rights are each table's own.
CREATE FUNCTION ledger_usage_guard(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION tank_refuse_change()', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only_table', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only_row', relation);
    EXECUTE format('REVOKE ALL ON %s FROM tank_app', relation);
    EXECUTE format('GRANT SELECT ON %s TO tank_app', relation);
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_guard(regclass) FROM PUBLIC;

-- What no month holds still gets in: a metered call must never fail for want of a partition.
CREATE TABLE ledger_usagerecord_other PARTITION OF ledger_usagerecord DEFAULT;
SELECT ledger_usage_guard('ledger_usagerecord_other');

-- Make the partitions of the months from one day to another; those that exist stay. Returns how many are new.
CREATE FUNCTION ledger_usage_partitions(p_from date, p_to date) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    month date := date_trunc('month', p_from);
    following date;
    relation text;
    made int := 0;
BEGIN
    IF p_to > p_from + 3700 THEN
        RAISE EXCEPTION 'partitions for more than ten years at once are a mistake: % to %', p_from, p_to;
    END IF;
    PERFORM pg_advisory_xact_lock(7246884);
    WHILE month <= p_to LOOP
        following := month + interval '1 month';
        relation := format('ledger_usagerecord_%s', to_char(month, 'YYYY_MM'));
        IF to_regclass(relation) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE ledger_usagerecord INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', relation);
            -- ATTACH waits for no reader and no writer of the other months, CREATE ... PARTITION OF would.
            EXECUTE format('ALTER TABLE ledger_usagerecord ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', relation,
                           ledger_uuid_floor(month::timestamp AT TIME ZONE 'UTC'),
                           ledger_uuid_floor(following::timestamp AT TIME ZONE 'UTC'));
            PERFORM ledger_usage_guard(relation::regclass);
            made := made + 1;
        END IF;
        month := following;
    END LOOP;
    RETURN made;
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_partitions(date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_usage_partitions(date, date) TO tank_app;
SELECT ledger_usage_partitions((now() - interval '1 month')::date, (now() + interval '3 months')::date);

-- From here on every record of a detached month was settled: roll-ups before it are history.
CREATE FUNCTION ledger_usage_horizon() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(settled_before), '-infinity') FROM ledger_usagearchive
$$;

-- Add up the records settled since an hour into their hours and days; what is there already stays as it is.
-- Only grows: a record is never changed, and hours before the horizon are not touched. Returns the rows changed.
CREATE FUNCTION ledger_usage_roll(p_since timestamptz) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET work_mem = '64MB' AS $$
DECLARE
    since timestamptz := greatest(date_trunc('hour', p_since, 'UTC'), ledger_usage_horizon());
    changed int;
BEGIN
    PERFORM pg_advisory_xact_lock(7246883);
    CREATE TEMP TABLE IF NOT EXISTS ledger_usage_days (day date) ON COMMIT DROP;
    TRUNCATE ledger_usage_days;
    WITH sums AS (
        SELECT date_trunc('hour', settled_at, 'UTC') AS hour, account_id, min(team_id) AS team_id, key_id,
               min(provider_id) AS provider_id, model_id, rate_id, min(currency) AS currency, tags,
               count(*) AS records, count(*) FILTER (WHERE settle_kind <> 'exact') AS estimated,
               sum(input_tokens) AS input_tokens, sum(cache_read_tokens) AS cache_read_tokens,
               sum(cache_write_5m_tokens) AS cache_write_5m_tokens, sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
               sum(output_tokens) AS output_tokens, sum(reasoning_tokens) AS reasoning_tokens,
               sum(cost) AS cost, sum(charged) AS charged, sum(overage) AS overage
          FROM ledger_usagerecord WHERE settled_at >= since
         GROUP BY 1, account_id, key_id, model_id, rate_id, tags
    ), written AS (
        INSERT INTO ledger_usagehour AS h (
            hour, account_id, team_id, key_id, provider_id, model_id, rate_id, currency, tags, tags_digest, records,
            estimated, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
            reasoning_tokens, cost, charged, overage)
        SELECT hour, account_id, team_id, key_id, provider_id, model_id, rate_id, currency, tags, md5(tags::text), records,
               estimated, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
               reasoning_tokens, cost, charged, overage
          FROM sums
        ON CONFLICT (hour, account_id, key_id, model_id, rate_id, tags_digest) DO UPDATE SET
            records = excluded.records, estimated = excluded.estimated, input_tokens = excluded.input_tokens,
            cache_read_tokens = excluded.cache_read_tokens, cache_write_5m_tokens = excluded.cache_write_5m_tokens,
            cache_write_1h_tokens = excluded.cache_write_1h_tokens, output_tokens = excluded.output_tokens,
            reasoning_tokens = excluded.reasoning_tokens, cost = excluded.cost, charged = excluded.charged,
            overage = excluded.overage
         WHERE h.records < excluded.records
        RETURNING (hour AT TIME ZONE 'UTC')::date AS day
    ) INSERT INTO ledger_usage_days SELECT day FROM written;
    GET DIAGNOSTICS changed = ROW_COUNT;
    INSERT INTO ledger_usageday AS d (
        day, account_id, team_id, key_id, provider_id, model_id, rate_id, currency, tags, tags_digest, records,
        estimated, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
        reasoning_tokens, cost, charged, overage)
    SELECT days.day, account_id, min(team_id), key_id, min(provider_id), model_id, rate_id, min(currency),
           (array_agg(tags))[1], tags_digest, sum(records), sum(estimated), sum(input_tokens), sum(cache_read_tokens),
           sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(output_tokens), sum(reasoning_tokens),
           sum(cost), sum(charged), sum(overage)
      FROM (SELECT DISTINCT day FROM ledger_usage_days) days
      JOIN ledger_usagehour h ON h.hour >= days.day::timestamp AT TIME ZONE 'UTC'
                             AND h.hour < (days.day + 1)::timestamp AT TIME ZONE 'UTC'
     GROUP BY days.day, account_id, key_id, model_id, rate_id, tags_digest
    ON CONFLICT (day, account_id, key_id, model_id, rate_id, tags_digest) DO UPDATE SET
        records = excluded.records, estimated = excluded.estimated, input_tokens = excluded.input_tokens,
        cache_read_tokens = excluded.cache_read_tokens, cache_write_5m_tokens = excluded.cache_write_5m_tokens,
        cache_write_1h_tokens = excluded.cache_write_1h_tokens, output_tokens = excluded.output_tokens,
        reasoning_tokens = excluded.reasoning_tokens, cost = excluded.cost, charged = excluded.charged,
        overage = excluded.overage
     WHERE d.records < excluded.records;
    RETURN changed;
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_roll(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_usage_roll(timestamptz) TO tank_app;
REVOKE INSERT, UPDATE, DELETE ON ledger_usagehour, ledger_usageday FROM tank_app;
SELECT tank_make_append_only('ledger_usagearchive');
REVOKE INSERT ON ledger_usagearchive FROM tank_app;

-- Detach the records of one month; the owner's alone. Its sums stay in roll-ups, postings and the archive's row.
-- Refuses while a period up to its end is not closed, or an hour of it is not posted.
CREATE FUNCTION ledger_usage_detach(p_month date) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', p_month);
    last date := (date_trunc('month', p_month) + interval '1 month - 1 day')::date;
    relation text := format('ledger_usagerecord_%s', to_char(p_month, 'YYYY_MM'));
    held ledger_usagearchive;
    waiting text;
BEGIN
    IF to_regclass(relation) IS NULL OR NOT EXISTS (
            SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass(relation) AND inhparent = 'ledger_usagerecord'::regclass) THEN
        RAISE EXCEPTION 'there is no attached partition of %', to_char(p_month, 'YYYY-MM') USING ERRCODE = 'TK005';
    END IF;
    EXECUTE format('SELECT count(*), coalesce(sum(cost), 0), coalesce(sum(charged), 0), coalesce(sum(overage), 0),
               coalesce(date_trunc(''hour'', max(settled_at), ''UTC'') + interval ''1 hour'', %L),
               encode(sha256(convert_to(coalesce(string_agg(request_id::text || '' '' || trim_scale(cost)::text, '',''
                                                            ORDER BY request_id), ''''), ''UTF8'')), ''hex'')
          FROM %I', first::timestamp AT TIME ZONE 'UTC', relation)
        INTO held.records, held.cost, held.charged, held.overage, held.settled_before, held.digest;
    SELECT to_char(min(starts_on), 'YYYY-MM') INTO waiting FROM ledger_period
     WHERE starts_on <= greatest(last, (held.settled_before AT TIME ZONE 'UTC')::date) AND state <> 'closed';
    IF waiting IS NOT NULL THEN
        RAISE EXCEPTION 'period % is not closed', waiting USING ERRCODE = 'TK005', HINT = 'Close the periods first.';
    END IF;
    PERFORM ledger_usage_roll(ledger_usage_horizon());
    SELECT format('%s of account %s', h.hour, h.account_id) INTO waiting
      FROM (SELECT hour, account_id, provider_id, sum(records) AS records FROM ledger_usagehour
             WHERE hour < held.settled_before GROUP BY 1, 2, 3) h
     WHERE h.records > coalesce((SELECT max(p.records) FROM ledger_usageposting p
            WHERE (p.hour, p.account_id, p.provider_id) = (h.hour, h.account_id, h.provider_id)), 0)
     ORDER BY h.hour LIMIT 1;
    IF waiting IS NOT NULL THEN
        RAISE EXCEPTION 'the usage of % is not posted', waiting USING ERRCODE = 'TK005', HINT = 'Run post_usage first.';
    END IF;
    INSERT INTO ledger_usagearchive (partition, starts_on, ends_on, settled_before, records, cost, charged, overage, digest)
    VALUES (relation, first, last, held.settled_before, held.records, held.cost, held.charged, held.overage, held.digest);
    EXECUTE format('ALTER TABLE ledger_usagerecord DETACH PARTITION %I', relation);
    EXECUTE format('DROP TRIGGER IF EXISTS append_only_table ON %I', relation);
    PERFORM tank_make_append_only(relation::regclass);
    RETURN held.records;
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_detach(date) FROM PUBLIC;
