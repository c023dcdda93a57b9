-- Admitting calls: what fits is held, first come first served.
SET check_function_bodies = off;

-- What stops a call at one quota, and in how many seconds a rate would let it pass; NULL when nothing does. Rates are
-- leaky buckets that hold a minute (GCRA, ITU-T I.371): a single call larger than the bucket passes when it is empty.
CREATE OR REPLACE FUNCTION allocations_rate_stop(
    q allocations_quota, clock float8, calls int, requests_until float8, tokens_until float8, tokens bigint,
    OUT reason text, OUT seconds float8
) LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF calls >= q.calls_at_once THEN
        reason := 'calls_at_once';
        seconds := 1;
    ELSIF greatest(requests_until, clock) + 60.0 / q.requests_per_minute > clock + 60 THEN
        reason := 'requests_per_minute';
        seconds := requests_until + 60.0 / q.requests_per_minute - clock - 60;
    ELSIF tokens_until > clock AND tokens_until + tokens * 60.0 / q.tokens_per_minute > clock + 60 THEN
        reason := 'tokens_per_minute';
        seconds := least(tokens_until + tokens * 60.0 / q.tokens_per_minute - clock - 60, tokens_until - clock);
    END IF;
END $$;

-- Admit calls one after the other: for a batch in which not all may fit, or in which rates count. What is said of a quota
-- is at its place in p_ids: its room, how many calls the batch ends, how many tokens these held and did not use. Returns
-- granted: [[amount, tokens] or null]; blockers: [[quota id, reason, seconds] or null]; and what is added, by quota.
-- Reasons: closed, money, tokens, calls_at_once, requests_per_minute, tokens_per_minute.
CREATE OR REPLACE FUNCTION allocations_admit_in_turn(
    p_ids bigint[], p_room numeric[], p_token_room numeric[], p_ended int[], p_unused bigint[],
    p_chains json, p_chain int[], p_bounds numeric[], p_leasts numeric[], p_tokens bigint[], p_least_tokens bigint[],
    OUT granted json, OUT blockers json, OUT adding numeric[], OUT token_adding bigint[], OUT calls int[],
    OUT request_due float8[], OUT token_due float8[]
) LANGUAGE plpgsql AS $$
DECLARE
    clock constant float8 := extract(epoch FROM clock_timestamp());
    rows allocations_quota[] := ARRAY(SELECT q FROM allocations_quota q WHERE q.id = ANY (p_ids) ORDER BY q.id);
    in_flight int[];
    grants jsonb[] := '{}';
    stops jsonb[] := '{}';
    chain bigint[];
    quota bigint;
    place int;
    least_room numeric;
    least_tokens numeric;
    blocker bigint;
    token_blocker bigint;
    stop text;
    wait float8;
    amount numeric;
    amount_tokens bigint;
BEGIN
    adding := array_fill(0::numeric, ARRAY[cardinality(p_ids)]);
    token_adding := array_fill(0::bigint, ARRAY[cardinality(p_ids)]);
    calls := array_fill(0, ARRAY[cardinality(p_ids)]);
    in_flight := ARRAY(
        SELECT coalesce(sum(h.calls), 0) - coalesce(ended, 0)
          FROM unnest(p_ids, p_ended) WITH ORDINALITY q (id, ended, place)
          LEFT JOIN allocations_hold h ON h.quota_id = q.id AND h.state = 'active'
         GROUP BY q.place, q.ended ORDER BY q.place);
    SELECT array_agg(q.requests_until ORDER BY q.id),
           array_agg(q.tokens_until - coalesce(u.unused * 60.0 / q.tokens_per_minute, 0)::float8 ORDER BY q.id)
      INTO request_due, token_due
      FROM unnest(p_ids, p_unused) u (id, unused) JOIN allocations_quota q USING (id);
    FOR i IN 1 .. cardinality(p_chain) LOOP
        chain := ARRAY(SELECT json_array_elements_text(p_chains -> p_chain[i])::bigint);
        least_room := 'Infinity';
        least_tokens := 'Infinity';
        blocker := null;
        token_blocker := null;
        stop := null;
        wait := null;
        FOREACH quota IN ARRAY chain LOOP
            place := array_position(p_ids, quota);
            IF place IS NULL OR NOT rows[place].is_open THEN
                stop := 'closed';
                blocker := quota;
                EXIT;
            END IF;
            IF p_room[place] - adding[place] < least_room THEN
                least_room := p_room[place] - adding[place];
                blocker := quota;
            END IF;
            IF p_token_room[place] - token_adding[place] < least_tokens THEN
                least_tokens := p_token_room[place] - token_adding[place];
                token_blocker := quota;
            END IF;
        END LOOP;
        IF stop IS NULL THEN
            amount := CASE WHEN least_room >= p_bounds[i] THEN p_bounds[i]
                           WHEN least_room >= p_leasts[i] THEN least_room END;
            amount_tokens := CASE WHEN least_tokens >= p_tokens[i] THEN p_tokens[i]
                                  WHEN least_tokens >= p_least_tokens[i] THEN least_tokens END;
            IF amount IS NULL THEN
                stop := 'money';
            ELSIF amount_tokens IS NULL THEN
                stop := 'tokens';
                blocker := token_blocker;
            ELSE
                FOREACH quota IN ARRAY chain LOOP
                    place := array_position(p_ids, quota);
                    SELECT * INTO stop, wait FROM allocations_rate_stop(rows[place], clock,
                        in_flight[place] + calls[place], request_due[place], token_due[place], amount_tokens);
                    blocker := quota;
                    EXIT WHEN stop IS NOT NULL;
                END LOOP;
            END IF;
        END IF;
        IF stop IS NOT NULL THEN
            grants := grants || 'null'::jsonb;
            stops := stops || jsonb_build_array(blocker, stop, wait);
            CONTINUE;
        END IF;
        FOREACH quota IN ARRAY chain LOOP
            place := array_position(p_ids, quota);
            adding[place] := adding[place] + amount;
            token_adding[place] := token_adding[place] + amount_tokens;
            calls[place] := calls[place] + 1;
            request_due[place] := greatest(request_due[place], clock)
                + coalesce(60.0 / rows[place].requests_per_minute, 0);
            token_due[place] := greatest(token_due[place], clock)
                + coalesce(amount_tokens * 60.0 / rows[place].tokens_per_minute, 0);
        END LOOP;
        grants := grants || jsonb_build_array(amount::text, amount_tokens);
        stops := stops || 'null'::jsonb;
    END LOOP;
    granted := to_json(grants);
    blockers := to_json(stops);
END $$;

REVOKE EXECUTE ON FUNCTION
    allocations_rate_stop(allocations_quota, float8, int, float8, float8, bigint),
    allocations_admit_in_turn(bigint[], numeric[], numeric[], int[], bigint[], json, int[], numeric[], numeric[], bigint[],
                              bigint[]) FROM PUBLIC;
RESET check_function_bodies;
