-- Settling by rows: voids, what cost more than was held, what a person settles, and what spools bring back. A live
-- process settles its other calls in meter.sql.
SET check_function_bodies = off;

-- The tokens that a settle charges: all input classes and the output, which holds the reasoning.
CREATE OR REPLACE FUNCTION allocations_tokens(s allocations_settle) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT s.input_tokens + s.cache_read_tokens + s.cache_write_5m_tokens + s.cache_write_1h_tokens + s.output_tokens
$$;

-- Settle calls whose cost is within their hold, and voids, set-wise. A request that is already recorded changes
-- nothing: its acknowledgement was lost, not its settle. A hold gives back what it still has: of one that was settled by
-- hand while its process was away, nothing is left.
CREATE OR REPLACE FUNCTION allocations_settle_within(p_settles json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH s AS MATERIALIZED (
        SELECT * FROM json_populate_recordset(null::allocations_settle, p_settles)
    ), fresh AS (
        INSERT INTO ledger_usagerecord (
            request_id, sent_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
            model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens,
            cache_write_1h_tokens, output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind,
            service_tier, upstream_id, tags, served_because)
        SELECT s.request_id, s.sent_at, s.account_id, s.team_id, s.key_id, s.provider_id, s.model_id, s.rate_id,
               s.model_asked, s.model_returned, s.surface, s.streamed, s.input_tokens, s.cache_read_tokens,
               s.cache_write_5m_tokens, s.cache_write_1h_tokens, s.output_tokens, s.reasoning_tokens, a.currency,
               s.cost, s.cost, 0, s.settle_kind, s.service_tier, s.upstream_id, s.tags,
               coalesce(s.served_because, '')
          FROM s JOIN ledger_account a ON a.id = s.account_id
         WHERE NOT void
        ON CONFLICT (request_id) DO NOTHING
        RETURNING request_id
    ), due AS MATERIALIZED (
        SELECT q.id AS quota_id, s.worker, sum(CASE WHEN s.void THEN 0 ELSE s.cost END) AS cost,
               sum(s.bound) AS bound, sum(s.tokens_bound)::bigint AS tokens_bound, count(*) AS calls,
               sum(CASE WHEN s.void THEN 0 ELSE s.input_tokens + s.cache_read_tokens + s.cache_write_5m_tokens
                                                + s.cache_write_1h_tokens + s.output_tokens END)::bigint AS tokens
          FROM s CROSS JOIN LATERAL unnest(s.quotas) q (id)
         WHERE s.void OR s.request_id IN (SELECT request_id FROM fresh)
         GROUP BY 1, 2
    ), freed AS MATERIALIZED (
        SELECT d.*, least(d.bound, coalesce(h.amount, 0)) AS amount,
               least(d.tokens_bound, coalesce(h.tokens, 0)) AS tokens_freed
          FROM due d LEFT JOIN allocations_hold h ON h.worker_id = d.worker AND h.quota_id = d.quota_id
    ), charged AS (
        -- A minute's tokens were counted at the bound: what was not used is given back to the rate.
        UPDATE allocations_quota q
           SET spent = q.spent + f.cost, held = q.held - f.amount, tokens_spent = q.tokens_spent + f.tokens,
               tokens_held = q.tokens_held - f.tokens_freed,
               tokens_until = q.tokens_until
                   - coalesce((f.tokens_bound - f.tokens) * 60.0 / q.tokens_per_minute, 0)::float8
          FROM (SELECT quota_id, sum(cost) AS cost, sum(amount) AS amount, sum(tokens)::bigint AS tokens,
                       sum(tokens_freed)::bigint AS tokens_freed, sum(tokens_bound)::bigint AS tokens_bound
                  FROM freed GROUP BY 1) f
         WHERE q.id = f.quota_id
    )
    UPDATE allocations_hold h
       SET amount = h.amount - f.amount, tokens = h.tokens - f.tokens_freed, calls = greatest(h.calls - f.calls, 0)
      FROM freed f WHERE h.worker_id = f.worker AND h.quota_id = f.quota_id;
END $$;

-- Settle a call that cost more than its hold: what still fits every quota is charged, the rest is overage.
-- Tokens beyond what fits are counted nowhere but in the usage record. Returns the overage; of a request that is already recorded, the one recorded.
CREATE OR REPLACE FUNCTION allocations_settle_beyond(s allocations_settle) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    fits numeric;
    tokens_fit numeric;
    counted numeric := allocations_tokens(s);
    beyond numeric;
BEGIN
    SELECT overage INTO beyond FROM ledger_usagerecord WHERE request_id = s.request_id;
    IF FOUND THEN
        RETURN beyond;
    END IF;
    SELECT min(q."limit" - q.spent - q.held + least(s.bound, coalesce(h.amount, 0))),
           coalesce(min(q.token_limit - q.tokens_spent - q.tokens_held
                        + least(s.tokens_bound, coalesce(h.tokens, 0)))::numeric, 'Infinity')
      INTO fits, tokens_fit
      FROM allocations_quota q LEFT JOIN allocations_hold h ON h.quota_id = q.id AND h.worker_id = s.worker
     WHERE q.id = ANY (s.quotas);
    beyond := greatest(s.cost - fits, 0);
    INSERT INTO ledger_usagerecord (
        request_id, sent_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
        model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens,
        cache_write_1h_tokens, output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind,
        service_tier, upstream_id, tags, served_because)
    SELECT s.request_id, s.sent_at, s.account_id, s.team_id, s.key_id, s.provider_id, s.model_id, s.rate_id,
           s.model_asked, s.model_returned, s.surface, s.streamed, s.input_tokens, s.cache_read_tokens,
           s.cache_write_5m_tokens, s.cache_write_1h_tokens, s.output_tokens, s.reasoning_tokens, a.currency,
           s.cost, s.cost - beyond, beyond, s.settle_kind, s.service_tier, s.upstream_id, s.tags,
           coalesce(s.served_because, '')
      FROM ledger_account a WHERE a.id = s.account_id;
    UPDATE allocations_quota q
       SET spent = q.spent + s.cost - beyond, held = q.held - least(s.bound, coalesce(h.amount, 0)),
           tokens_spent = q.tokens_spent + least(counted, greatest(tokens_fit, 0)),
           tokens_held = q.tokens_held - least(s.tokens_bound, coalesce(h.tokens, 0))
      FROM unnest(s.quotas) u (id)
      LEFT JOIN allocations_hold h ON h.quota_id = u.id AND h.worker_id = s.worker
     WHERE q.id = u.id;
    UPDATE allocations_hold
       SET amount = greatest(amount - s.bound, 0), tokens = greatest(tokens - s.tokens_bound, 0),
           calls = greatest(calls - 1, 0)
     WHERE worker_id = s.worker AND quota_id = ANY (s.quotas);
    IF (beyond > 0 OR counted > tokens_fit) AND s.settle_kind <> 'by_hand' THEN
        -- The key admits nothing more; the sweep suspends it by name and tells people.
        UPDATE allocations_quota SET is_open = false WHERE id = ANY (s.quotas) AND key_id IS NOT NULL;
    END IF;
    RETURN beyond;
END $$;

-- A person settles what a process that is gone held for one key on one line: p_settle says what it cost and by which
-- rate, NULL that nothing was used. p_held is what the person saw; when it is another by now, nothing happens. A process
-- that went away without a word may come back, so it has to be gone for an hour. What the hold and the limits do not
-- take is overage. The key's day and month that p_settle was sent in are charged; others, of a process that held past
-- midnight, get back what they hold, because a day spends what its own calls cost. Returns the overage.
CREATE OR REPLACE FUNCTION allocations_settle_by_hand(
    p_worker uuid, p_line bigint, p_key bigint, p_held numeric, p_settle json
) RETURNS numeric LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s allocations_settle := json_populate_record(null::allocations_settle, coalesce(p_settle, '{}'));
    lost int;
    beyond numeric := 0;
    day date := (s.sent_at AT TIME ZONE 'UTC')::date;
    charged bigint[];
    given_back bigint[];
    touched bigint[];
BEGIN
    PERFORM 1 FROM allocations_meterworker
      WHERE id = p_worker
        AND (state = 'stopped' OR (state = 'lapsed' AND heartbeat_at < clock_timestamp() - interval '1 hour'))
        FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'process % may still settle this itself', p_worker USING ERRCODE = 'TK011';
    END IF;
    SELECT coalesce(array_agg(w.id) FILTER (WHERE w.is_its_day), '{}'),
           coalesce(array_agg(w.id) FILTER (WHERE NOT w.is_its_day), '{}')
      INTO charged, given_back
      FROM (SELECT w.id, coalesce(day >= w.starts_on AND day < w.starts_on + ('1 ' || w."window")::interval,
                                  false) AS is_its_day
              FROM allocations_quota w
              JOIN allocations_quota k ON k.key_id = w.window_of_id
              JOIN allocations_hold h ON h.quota_id = w.id AND h.worker_id = p_worker
             WHERE k.id = p_key) w;
    charged := ARRAY[p_line, p_key] || charged;
    touched := charged || given_back;
    IF p_settle IS NULL THEN
        given_back := touched;
    END IF;
    PERFORM 1 FROM allocations_quota WHERE id = ANY (touched) ORDER BY id FOR NO KEY UPDATE;
    SELECT least(lh.amount, kh.amount), least(lh.tokens, kh.tokens), least(lh.calls, kh.calls), l.account_id,
           o.team_id, k.id
      INTO s.bound, s.tokens_bound, lost, s.account_id, s.team_id, s.key_id
      FROM allocations_quota lq JOIN allocations_allocationline l ON l.id = lq.line_id
      JOIN allocations_allocation o ON o.id = l.allocation_id
      JOIN allocations_quotakey k ON k.allocation_id = o.id
      JOIN allocations_quota kq ON kq.key_id = k.id
      JOIN allocations_hold lh ON lh.quota_id = lq.id AND lh.worker_id = p_worker AND lh.state = 'unsettled'
      JOIN allocations_hold kh ON kh.quota_id = kq.id AND kh.worker_id = p_worker AND kh.state = 'unsettled'
     WHERE lq.id = p_line AND kq.id = p_key;
    IF NOT FOUND OR s.bound = 0 OR s.bound <> p_held THEN
        RAISE EXCEPTION 'the hold is % by now, not %', coalesce(s.bound, 0), p_held USING ERRCODE = 'TK012';
    END IF;
    UPDATE allocations_quota q
       SET held = q.held - least(s.bound, h.amount), tokens_held = q.tokens_held - least(s.tokens_bound, h.tokens)
      FROM allocations_hold h
     WHERE h.worker_id = p_worker AND h.quota_id = q.id AND q.id = ANY (given_back);
    UPDATE allocations_hold
       SET amount = amount - least(s.bound, amount), tokens = tokens - least(s.tokens_bound, tokens)
     WHERE worker_id = p_worker AND quota_id = ANY (given_back);
    IF p_settle IS NOT NULL THEN
        s.worker := p_worker;
        s.settle_kind := 'by_hand';
        s.quotas := charged;
        beyond := allocations_settle_beyond(s);
        lost := lost - 1;
    END IF;
    UPDATE allocations_hold SET calls = greatest(calls - lost, 0) WHERE worker_id = p_worker AND quota_id = ANY (touched);
    -- A hold without money has no call left that could use its tokens.
    UPDATE allocations_quota q SET tokens_held = q.tokens_held - h.tokens
      FROM allocations_hold h
     WHERE h.worker_id = p_worker AND h.quota_id = q.id AND q.id = ANY (touched) AND h.amount = 0 AND h.tokens > 0;
    DELETE FROM allocations_hold WHERE worker_id = p_worker AND quota_id = ANY (touched) AND amount = 0;
    RETURN beyond;
END $$;

-- Say whether processes still hold what calls that are not recorded yet have to give back.
CREATE OR REPLACE FUNCTION allocations_are_held(p_settles json) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(bool_and(due.bound <= coalesce(h.amount, 0)), true)
      FROM (SELECT s.worker, q.id AS quota_id, sum(s.bound) AS bound
              FROM json_populate_recordset(null::allocations_settle, p_settles) s
             CROSS JOIN LATERAL unnest(s.quotas) q (id)
             WHERE NOT EXISTS (SELECT 1 FROM ledger_usagerecord r WHERE r.request_id = s.request_id)
             GROUP BY 1, 2) due
      LEFT JOIN allocations_hold h ON h.worker_id = due.worker AND h.quota_id = due.quota_id
$$;

-- Settle calls of processes that are gone, from their spools. Of a process whose holds were settled by hand meanwhile no
-- call is lost: what fits is charged, the rest is overage.
CREATE OR REPLACE FUNCTION allocations_replay(p_quotas bigint[], p_within json, p_beyond json) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    beyond allocations_settle;
BEGIN
    PERFORM 1 FROM allocations_quota WHERE id = ANY (p_quotas) ORDER BY id FOR NO KEY UPDATE;
    IF p_within IS NOT NULL AND allocations_are_held(p_within) THEN
        PERFORM allocations_settle_within(p_within);
        p_within := NULL;
    END IF;
    FOR beyond IN SELECT * FROM json_populate_recordset(null::allocations_settle, coalesce(p_within, '[]'))
        UNION ALL SELECT * FROM json_populate_recordset(null::allocations_settle, coalesce(p_beyond, '[]')) LOOP
        PERFORM allocations_settle_beyond(beyond);
    END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION
    allocations_tokens(allocations_settle), allocations_settle_within(json),
    allocations_settle_beyond(allocations_settle), allocations_are_held(json),
    allocations_settle_by_hand(uuid, bigint, bigint, numeric, json), allocations_replay(bigint[], json, json) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    allocations_settle_by_hand(uuid, bigint, bigint, numeric, json), allocations_replay(bigint[], json, json) TO tank_app;
RESET check_function_bodies;
