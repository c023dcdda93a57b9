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

-- Put what no month held aside, with an empty table in its place: the owner's tables change, no row and no trigger does.
-- Metering waits for it, so it gives up rather than wait itself for a long report.
CREATE FUNCTION ledger_usage_other_aside() RETURNS void LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
BEGIN
    ALTER TABLE ledger_usagerecord DETACH PARTITION ledger_usagerecord_other;
    ALTER TABLE ledger_usagerecord_other RENAME TO ledger_usagerecord_aside;
    CREATE TABLE ledger_usagerecord_other PARTITION OF ledger_usagerecord DEFAULT;
    PERFORM ledger_usage_guard('ledger_usagerecord_other');
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_other_aside() FROM PUBLIC;

-- Make the partitions of the months from one day to another; those that exist stay. Returns how many are new.
-- Records that came before their month had a table move into it.
CREATE FUNCTION ledger_usage_partitions(p_from date, p_to date) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    month date := date_trunc('month', p_from);
    following date;
    first uuid;
    after uuid;
    relation text;
    is_aside boolean := false;
    made int := 0;
BEGIN
    IF p_to > p_from + 3700 THEN
        RAISE EXCEPTION 'partitions for more than ten years at once are a mistake: % to %', p_from, p_to;
    END IF;
    PERFORM pg_advisory_xact_lock(7246884);
    WHILE month <= p_to LOOP
        following := month + interval '1 month';
        relation := format('ledger_usagerecord_%s', to_char(month, 'YYYY_MM'));
        IF to_regclass('public.' || relation) IS NULL THEN
            first := ledger_uuid_floor(month::timestamp AT TIME ZONE 'UTC');
            after := ledger_uuid_floor(following::timestamp AT TIME ZONE 'UTC');
            IF EXISTS (SELECT FROM ledger_usagerecord_other WHERE request_id >= first AND request_id < after) THEN
                PERFORM ledger_usage_other_aside();
                is_aside := true;
            END IF;
            EXECUTE format('CREATE TABLE %I (LIKE ledger_usagerecord INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', relation);
            -- ATTACH waits for no reader and no writer of the other months, CREATE ... PARTITION OF would.
            EXECUTE format('ALTER TABLE ledger_usagerecord ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', relation,
                           first, after);
            PERFORM ledger_usage_guard(relation::regclass);
            made := made + 1;
        END IF;
        month := following;
    END LOOP;
    IF is_aside THEN
        INSERT INTO ledger_usagerecord SELECT * FROM public.ledger_usagerecord_aside;
        DROP TABLE public.ledger_usagerecord_aside;
    END IF;
    RETURN made;
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_partitions(date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_usage_partitions(date, date) TO tank_app;
SELECT ledger_usage_partitions((now() - interval '1 month')::date, (now() + interval '3 months')::date);

-- From here on every record of a detached month was settled: roll-ups before it are history.
CREATE FUNCTION ledger_usage_horizon() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(settled_before), '-infinity') FROM ledger_usagearchive
$$;

-- Add facts up into hours or days: sums that are not there yet come in, those that count fewer facts are replaced.
-- `facts` is a query with the columns of the sums; `span` is the column with their hour or day, from $1 to before $2.
CREATE FUNCTION ledger_usage_add(relation regclass, span text, since timestamptz, until timestamptz, facts text)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    key constant text[] := ARRAY[span, 'account_id', 'key_id', 'model_id', 'rate_id', 'tags_digest'];
    of_key constant text[] := ARRAY['team_id', 'provider_id', 'currency'];
    sums constant text[] := ARRAY[
        'records', 'estimated', 'input_tokens', 'cache_read_tokens', 'cache_write_5m_tokens', 'cache_write_1h_tokens',
        'output_tokens', 'reasoning_tokens', 'cost', 'charged', 'overage'];
    written constant text[] := key || 'tags'::text || of_key || sums;
    changed int;
BEGIN
    EXECUTE format($merge$
        MERGE INTO %1$s AS old USING (
            SELECT %2$s, account_id, key_id, model_id, rate_id, tags, md5(tags::text) AS tags_digest, %4$s, %5$s
              FROM (%3$s) facts GROUP BY %2$s, account_id, key_id, model_id, rate_id, tags) AS new
           ON %6$s AND old.%2$s >= $1 AND old.%2$s < $2  -- the bounds keep it to a part of the index
         WHEN MATCHED AND old.records < new.records THEN UPDATE SET %7$s
         WHEN NOT MATCHED THEN INSERT (%8$s) VALUES (%9$s)$merge$,
        relation, span, facts,
        (SELECT string_agg(format('min(%1$s) AS %1$s', name), ', ') FROM unnest(of_key) name),
        (SELECT string_agg(format('sum(%1$s) AS %1$s', name), ', ') FROM unnest(sums) name),
        (SELECT string_agg(format('old.%1$s = new.%1$s', name), ' AND ') FROM unnest(key) name),
        (SELECT string_agg(format('%1$s = new.%1$s', name), ', ') FROM unnest(sums) name),
        array_to_string(written, ', '),
        (SELECT string_agg(format('new.%s', name), ', ') FROM unnest(written) name))
      USING since, until;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END $$;
REVOKE EXECUTE ON FUNCTION ledger_usage_add(regclass, text, timestamptz, timestamptz, text) FROM PUBLIC;

-- Add up the records settled since an hour into their hours and days; what is there already stays as it is.
-- Only grows: a record is never changed, and hours before the horizon are not touched. Returns the hours changed.
-- It goes week by week, so that what it adds up fits into memory whatever the time it goes over.
CREATE FUNCTION ledger_usage_roll(p_since timestamptz) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC' SET work_mem = '64MB' SET jit = off AS $$
DECLARE
    since timestamptz := greatest(date_trunc('hour', p_since), ledger_usage_horizon());
    until timestamptz;
    found int;
    changed int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7246883);
    LOOP
        since := date_trunc('hour', min(settled_at)) FROM ledger_usagerecord WHERE settled_at >= since;
        EXIT WHEN since IS NULL;
        until := date_trunc('day', since) + interval '7 days';
        found := ledger_usage_add('ledger_usagehour', 'hour', since, until, $facts$
            SELECT *, date_trunc('hour', settled_at) AS hour, 1 AS records, (settle_kind <> 'exact')::int AS estimated
              FROM ledger_usagerecord WHERE settled_at >= $1 AND settled_at < $2$facts$);
        IF found > 0 THEN
            PERFORM ledger_usage_add('ledger_usageday', 'day', date_trunc('day', since), until, $facts$
                SELECT *, hour::date AS day FROM ledger_usagehour WHERE hour >= $1 AND hour < $2$facts$);
        END IF;
        changed := changed + found;
        since := until;
    END LOOP;
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
    PERFORM pg_advisory_xact_lock(7246884);
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
      FROM (SELECT hour, account_id, provider_id, sum(cost) AS cost FROM ledger_usagehour
             WHERE hour < held.settled_before GROUP BY 1, 2, 3) h
     WHERE h.cost > coalesce((SELECT max(p.charged + p.overage) FROM ledger_usageposting p
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
