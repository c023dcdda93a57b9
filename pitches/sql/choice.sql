-- What the choice refuses. Error codes: TK020 cap of a round, of a team or of the frontier tier, TK021 conflict of
-- interest, TK023 fixed once signed or published, TK024 overrides beyond their share. All triggers are ENABLE ALWAYS.

-- What an option, an override or a result points at belongs to its pitch.
ALTER TABLE pitches_pitchoption
    ADD CONSTRAINT option_of_pitch_target UNIQUE (pitch_id, id),
    ADD CONSTRAINT option_revision_is_its_pitchs
    FOREIGN KEY (pitch_id, revision_id) REFERENCES pitches_pitchrevision (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE pitches_override
    ADD CONSTRAINT override_option_is_its_pitchs
    FOREIGN KEY (pitch_id, option_id) REFERENCES pitches_pitchoption (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE pitches_result
    ADD CONSTRAINT result_option_is_its_pitchs
    FOREIGN KEY (pitch_id, option_id) REFERENCES pitches_pitchoption (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;

-- What is stored is what was hashed.
ALTER TABLE pitches_selection
    ADD CONSTRAINT selection_inputs_match_their_hash
    CHECK (encode(sha256(convert_to(inputs_text, 'UTF8')), 'hex') = inputs_sha256),
    ADD CONSTRAINT selection_result_matches_its_hash
    CHECK (encode(sha256(convert_to(result_text, 'UTF8')), 'hex') = result_sha256);

-- The round's row is locked first, so two decisions at once are summed one after the other.
CREATE OR REPLACE FUNCTION pitches_require_cap(decision bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    the_round pitches_round;
    the_team bigint;
    decided numeric;
    of_team numeric;
    of_frontier numeric;
BEGIN
    SELECT r.* INTO the_round FROM pitches_round r JOIN pitches_pitch p ON p.round_id = r.id
      JOIN pitches_decision d ON d.pitch_id = p.id WHERE d.id = decision FOR NO KEY UPDATE OF r;
    SELECT p.team_id INTO the_team FROM pitches_pitch p JOIN pitches_decision d ON d.pitch_id = p.id
     WHERE d.id = decision;
    SELECT coalesce(sum(l.amount), 0),
           coalesce(sum(l.amount) FILTER (WHERE p.team_id = the_team), 0),
           coalesce(sum(l.amount) FILTER (WHERE l.tier = 'frontier'), 0)
      INTO decided, of_team, of_frontier
      FROM pitches_decisionline l JOIN pitches_decision d ON d.id = l.decision_id
      JOIN pitches_pitch p ON p.id = d.pitch_id
     WHERE p.round_id = the_round.id AND d.outcome = 'fund';
    IF decided > the_round.cap - the_round.cap * the_round.reserve_share THEN
        RAISE EXCEPTION 'decisions of round % sum to %, more than the % that can be awarded', the_round.name,
            trim_scale(decided), trim_scale(the_round.cap - the_round.cap * the_round.reserve_share)
            USING ERRCODE = 'TK020';
    END IF;
    IF of_team > the_round.cap * the_round.team_cap THEN
        RAISE EXCEPTION 'decisions of round % give one team %, more than the % that a team can be awarded',
            the_round.name, trim_scale(of_team), trim_scale(the_round.cap * the_round.team_cap)
            USING ERRCODE = 'TK020';
    END IF;
    IF of_frontier > the_round.cap * the_round.frontier_cap THEN
        RAISE EXCEPTION 'decisions of round % give frontier %, more than the % that the tier can be awarded',
            the_round.name, trim_scale(of_frontier), trim_scale(the_round.cap * the_round.frontier_cap)
            USING ERRCODE = 'TK020';
    END IF;
END $$;

-- An override is proposed and signed by two members without a conflict; signed, only its withdrawal may follow, and
-- all that stand move at most five percent of the cap together.
CREATE FUNCTION pitches_override_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    the_round pitches_round;
    moved numeric;
BEGIN
    SELECT r.* INTO the_round FROM pitches_round r JOIN pitches_pitch p ON p.round_id = r.id
     WHERE p.id = NEW.pitch_id FOR NO KEY UPDATE OF r;
    IF NEW.round_id <> the_round.id THEN
        RAISE EXCEPTION 'override % is of another round than its pitch', NEW.id USING ERRCODE = 'TK023';
    END IF;
    IF the_round.state <> 'deciding' THEN
        RAISE EXCEPTION 'overrides of round % are closed: it is %', the_round.name, the_round.state
            USING ERRCODE = 'TK023';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.withdrawn_at IS NOT NULL THEN
            RAISE EXCEPTION 'override % is withdrawn and final', OLD.id USING ERRCODE = 'TK023';
        END IF;
        IF (NEW.pitch_id, NEW.force, NEW.option_id, NEW.category, NEW.reason, NEW.proposed_by_id, NEW.proposed_at)
           IS DISTINCT FROM
           (OLD.pitch_id, OLD.force, OLD.option_id, OLD.category, OLD.reason, OLD.proposed_by_id, OLD.proposed_at)
           OR OLD.signed_by_id IS NOT NULL
              AND (NEW.price, NEW.cost, NEW.signed_by_id, NEW.signed_at)
                  IS DISTINCT FROM (OLD.price, OLD.cost, OLD.signed_by_id, OLD.signed_at) THEN
            RAISE EXCEPTION 'what override % says is fixed', OLD.id USING ERRCODE = 'TK023';
        END IF;
    END IF;
    IF NEW.withdrawn_at IS NOT NULL THEN
        RETURN NEW;
    END IF;
    PERFORM pitches_refuse_conflict(NEW.pitch_id, NEW.proposed_by_id);
    IF NEW.signed_by_id IS NOT NULL THEN
        PERFORM pitches_refuse_conflict(NEW.pitch_id, NEW.signed_by_id);
        SELECT coalesce(sum(o.cost), 0) + NEW.cost INTO moved FROM pitches_override o
         WHERE o.round_id = the_round.id AND o.signed_by_id IS NOT NULL AND o.withdrawn_at IS NULL
           AND o.id IS DISTINCT FROM NEW.id;
        IF moved > the_round.cap * 0.05 THEN
            RAISE EXCEPTION 'signed overrides of round % move %, more than the % that they may', the_round.name,
                trim_scale(moved), trim_scale(the_round.cap * 0.05) USING ERRCODE = 'TK024';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER override_guard BEFORE INSERT OR UPDATE ON pitches_override
    FOR EACH ROW EXECUTE FUNCTION pitches_override_guard();
ALTER TABLE pitches_override ENABLE ALWAYS TRIGGER override_guard;

SELECT tank_make_append_only('pitches_pitchoption');
SELECT tank_make_append_only('pitches_optionline');
SELECT tank_make_append_only('pitches_resolvedclaim');
SELECT tank_make_append_only('pitches_selection');
SELECT tank_make_append_only('pitches_adoption');
SELECT tank_make_append_only('pitches_result');
REVOKE DELETE ON pitches_override FROM tank_app;
