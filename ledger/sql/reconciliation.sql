-- Feeds and reconciliation: how figures come in, and what of them never changes.

-- Where the rows of a fetch are put together before they count. Unlogged: after a crash the fetch is made again.
CREATE UNLOGGED TABLE ledger_feedstage (
    fetch_id bigint NOT NULL, page int NOT NULL, row_id text NOT NULL, day date NOT NULL,
    provider_key text NOT NULL, project text NOT NULL, model_name text NOT NULL, service_tier text NOT NULL,
    is_batch boolean NOT NULL, charge text NOT NULL, token_class text NOT NULL, detail text NOT NULL,
    currency text NOT NULL, requests bigint NOT NULL, input_tokens bigint NOT NULL, cache_read_tokens bigint NOT NULL,
    cache_write_5m_tokens bigint NOT NULL, cache_write_1h_tokens bigint NOT NULL, output_tokens bigint NOT NULL,
    amount numeric NOT NULL
);
CREATE INDEX feedstage_by_fetch ON ledger_feedstage (fetch_id);
GRANT SELECT, INSERT, DELETE ON ledger_feedstage TO tank_app;

-- Let the figures of a whole fetch count: for each of its days the provider's figures are what it said and nothing else.
-- A row that came on several pages counts once, as its last page has it; rows of one set of dimensions are added up.
-- Returns how many figures are new or other than before. Figures that say the same as before stay as they are.
CREATE FUNCTION ledger_feed_apply(p_fetch bigint) RETURNS int LANGUAGE plpgsql
SET search_path = public, pg_temp SET timezone = 'UTC' SET work_mem = '64MB' SET jit = off AS $$
DECLARE
    f ledger_feedfetch;
    gone int;
    came int;
BEGIN
    SELECT * INTO f FROM ledger_feedfetch WHERE id = p_fetch;
    IF EXISTS (SELECT FROM ledger_feedstage WHERE fetch_id = p_fetch AND day NOT BETWEEN f.first_day AND f.last_day) THEN
        RAISE EXCEPTION 'fetch % has figures of days that it does not cover', p_fetch USING ERRCODE = 'TK001';
    END IF;
    CREATE TEMP TABLE feed_said ON COMMIT DROP AS
    SELECT day, md5(jsonb_build_array(provider_key, project, model_name, service_tier, is_batch, charge, token_class,
                                      detail, currency)::text) AS identity,
           provider_key, project, model_name, service_tier, is_batch, charge, token_class, detail, currency,
           sum(requests)::bigint AS requests, sum(input_tokens)::bigint AS input_tokens,
           sum(cache_read_tokens)::bigint AS cache_read_tokens, sum(cache_write_5m_tokens)::bigint AS cache_write_5m_tokens,
           sum(cache_write_1h_tokens)::bigint AS cache_write_1h_tokens, sum(output_tokens)::bigint AS output_tokens,
           sum(amount) AS amount
      FROM (SELECT DISTINCT ON (day, row_id) * FROM ledger_feedstage WHERE fetch_id = p_fetch
             ORDER BY day, row_id, page DESC) once
     GROUP BY day, provider_key, project, model_name, service_tier, is_batch, charge, token_class, detail, currency
    HAVING sum(requests) <> 0 OR sum(amount) <> 0 OR sum(input_tokens + cache_read_tokens + cache_write_5m_tokens
                                                       + cache_write_1h_tokens + output_tokens) <> 0;
    -- Whatever the planner has heard of the figures by now, what was said is found by its key.
    CREATE UNIQUE INDEX ON feed_said (day, identity);
    ANALYZE feed_said;
    UPDATE ledger_feedfigure g SET superseded_by_id = p_fetch
     WHERE g.feed_id = f.feed_id AND g.day BETWEEN f.first_day AND f.last_day AND g.superseded_by_id IS NULL
       AND NOT EXISTS (
           SELECT FROM feed_said s WHERE (s.day, s.identity) = (g.day, g.identity)
              AND (s.requests, s.input_tokens, s.cache_read_tokens, s.cache_write_5m_tokens, s.cache_write_1h_tokens,
                   s.output_tokens, s.amount)
                = (g.requests, g.input_tokens, g.cache_read_tokens, g.cache_write_5m_tokens, g.cache_write_1h_tokens,
                   g.output_tokens, g.amount));
    GET DIAGNOSTICS gone = ROW_COUNT;
    INSERT INTO ledger_feedfigure (feed_id, fetch_id, day, identity, provider_key, project, model_name, service_tier,
        is_batch, charge, token_class, detail, currency, requests, input_tokens, cache_read_tokens, cache_write_5m_tokens,
        cache_write_1h_tokens, output_tokens, amount)
    SELECT f.feed_id, p_fetch, s.day, s.identity, s.provider_key, s.project, s.model_name, s.service_tier, s.is_batch,
           s.charge, s.token_class, s.detail, s.currency, s.requests, s.input_tokens, s.cache_read_tokens,
           s.cache_write_5m_tokens, s.cache_write_1h_tokens, s.output_tokens, s.amount
      FROM feed_said s
     WHERE NOT EXISTS (SELECT FROM ledger_feedfigure g WHERE g.feed_id = f.feed_id AND g.superseded_by_id IS NULL
                          AND (g.day, g.identity) = (s.day, s.identity))
     ORDER BY s.day, s.identity;
    GET DIAGNOSTICS came = ROW_COUNT;
    INSERT INTO ledger_feedday AS d (feed_id, day, fetch_id, changed_by_id, is_complete)
    SELECT f.feed_id, day::date, p_fetch, p_fetch,
           coalesce(f.complete_until, f.begun_at) >= (day + interval '1 day')
      FROM generate_series(f.first_day::timestamp, f.last_day::timestamp, interval '1 day') day
    ON CONFLICT (feed_id, day) DO UPDATE SET fetch_id = excluded.fetch_id, is_complete = excluded.is_complete,
        changed_by_id = CASE WHEN EXISTS (
            SELECT FROM ledger_feedfigure g WHERE g.feed_id = f.feed_id AND g.day = excluded.day
               AND (g.fetch_id = p_fetch OR g.superseded_by_id = p_fetch))
          OR d.is_complete IS DISTINCT FROM excluded.is_complete THEN p_fetch ELSE d.changed_by_id END;
    DELETE FROM ledger_feedstage WHERE fetch_id = p_fetch;
    DROP TABLE feed_said;
    RETURN greatest(gone, came);
END $$;
REVOKE EXECUTE ON FUNCTION ledger_feed_apply(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_feed_apply(bigint) TO tank_app;
CREATE INDEX figure_by_fetch ON ledger_feedfigure (feed_id, day, fetch_id);

-- A figure is what a provider said: it is superseded once, by a later fetch, and otherwise stays.
CREATE FUNCTION ledger_figure_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.superseded_by_id IS NOT NULL OR NEW.superseded_by_id IS NULL
            OR to_jsonb(NEW) - 'superseded_by_id' <> to_jsonb(OLD) - 'superseded_by_id' THEN
        RAISE EXCEPTION 'figure % is what the provider said and is not changed', OLD.id
            USING ERRCODE = 'TK001', HINT = 'A later fetch supersedes it.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER figure_guard BEFORE UPDATE OR DELETE ON ledger_feedfigure
    FOR EACH ROW EXECUTE FUNCTION ledger_figure_guard();
ALTER TABLE ledger_feedfigure ENABLE ALWAYS TRIGGER figure_guard;
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON ledger_feedfigure
    FOR EACH STATEMENT EXECUTE FUNCTION tank_refuse_change();
ALTER TABLE ledger_feedfigure ENABLE ALWAYS TRIGGER append_only_table;
REVOKE UPDATE, DELETE ON ledger_feedfigure FROM tank_app;
GRANT UPDATE (superseded_by_id) ON ledger_feedfigure TO tank_app;

-- A fetch ends once.
CREATE FUNCTION ledger_fetch_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'running' OR (NEW.feed_id, NEW.begun_at, NEW.begun_by_id)
            IS DISTINCT FROM (OLD.feed_id, OLD.begun_at, OLD.begun_by_id) THEN
        RAISE EXCEPTION 'fetch % has ended and stays as it ended', OLD.id USING ERRCODE = 'TK001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fetch_guard BEFORE UPDATE OR DELETE ON ledger_feedfetch
    FOR EACH ROW EXECUTE FUNCTION ledger_fetch_guard();
ALTER TABLE ledger_feedfetch ENABLE ALWAYS TRIGGER fetch_guard;
REVOKE DELETE ON ledger_feedfetch, ledger_feed, ledger_feedday, ledger_providerkey FROM tank_app;

-- A decision is decided once, and stays as it was proposed.
CREATE FUNCTION ledger_line_decision_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'proposed'
            OR (NEW.provider_id, NEW.attribution, NEW.reason, NEW.to_variance, NEW.proposed_by_id, NEW.proposed_at)
               IS DISTINCT FROM (OLD.provider_id, OLD.attribution, OLD.reason, OLD.to_variance, OLD.proposed_by_id,
                                 OLD.proposed_at) THEN
        RAISE EXCEPTION 'decision % is decided once and never changed', OLD.id USING ERRCODE = 'TK001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER line_decision_guard BEFORE UPDATE OR DELETE ON ledger_linedecision
    FOR EACH ROW EXECUTE FUNCTION ledger_line_decision_guard();
ALTER TABLE ledger_linedecision ENABLE ALWAYS TRIGGER line_decision_guard;

-- What a person has sent to Variance of a provider alone, in the calendar month (UTC) of a moment.
CREATE FUNCTION ledger_alone_to_variance(p_provider bigint, p_person bigint, p_at timestamptz) RETURNS numeric
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(to_variance), 0) FROM ledger_linedecision
     WHERE provider_id = p_provider AND proposed_by_id = p_person AND state = 'approved' AND decided_by_id IS NULL
       AND date_trunc('month', decided_at, 'UTC') = date_trunc('month', p_at, 'UTC')
$$;

-- Beyond the threshold one person alone sends nothing to Variance, whatever a program says: not in one decision, and
-- not in many of one month. The policy's row makes decisions of one moment take turns.
CREATE FUNCTION ledger_line_decision_people() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    threshold numeric;
BEGIN
    IF NEW.state <> 'approved' OR NEW.decided_by_id IS NOT NULL THEN
        RETURN NEW;
    END IF;
    SELECT second_person_above INTO threshold FROM ledger_reconciliationpolicy
     WHERE provider_id = NEW.provider_id FOR NO KEY UPDATE;
    NEW.decided_at := now();
    IF ledger_alone_to_variance(NEW.provider_id, NEW.proposed_by_id, NEW.decided_at) + NEW.to_variance
            > coalesce(threshold, 0) THEN
        RAISE EXCEPTION 'decision % sends % to Variance: a second person approves that', NEW.id, NEW.to_variance
            USING ERRCODE = 'TK002';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER line_decision_people BEFORE INSERT OR UPDATE ON ledger_linedecision
    FOR EACH ROW EXECUTE FUNCTION ledger_line_decision_people();
ALTER TABLE ledger_linedecision ENABLE ALWAYS TRIGGER line_decision_people;

SELECT tank_make_append_only('ledger_feedbody');
SELECT tank_make_append_only('ledger_feedpage');
SELECT tank_make_append_only('ledger_linerevision');
SELECT tank_make_append_only('ledger_decidedline');
SELECT tank_make_append_only('ledger_reconciliationposting');
SELECT ledger_require_finite('ledger_feedfigure', 'figure', 'amount');
SELECT ledger_require_finite('ledger_reconciliationline', 'reconciliation_line', 'metered', 'reported', 'unexplained');
SELECT ledger_require_finite('ledger_lineattribution', 'attribution', 'amount');
SELECT ledger_require_finite('ledger_reconciliationposting', 'reconciliation_posting', 'amount', 'overage');

-- Calls that were settled on another day than they were sent on: providers count them on the day that they were sent.
CREATE INDEX usage_over_midnight ON ledger_usagerecord (provider_id, sent_at)
    WHERE (sent_at AT TIME ZONE 'UTC')::date <> (settled_at AT TIME ZONE 'UTC')::date;

