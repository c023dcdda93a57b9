-- What rounds and pitches refuse, kept by the database itself. Error codes: TK001 append-only, TK020 cap of a round,
-- TK021 conflict of interest, TK022 ballot, TK023 fixed once opened or published. All triggers are ENABLE ALWAYS.

-- A revision that a pitch, decision or offer points at is one of that pitch.
ALTER TABLE pitches_pitch
    ADD CONSTRAINT pitch_current_is_its_own
    FOREIGN KEY (id, current_id) REFERENCES pitches_pitchrevision (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE pitches_decision
    ADD CONSTRAINT decision_revision_is_its_pitchs
    FOREIGN KEY (pitch_id, revision_id) REFERENCES pitches_pitchrevision (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE pitches_offer
    ADD CONSTRAINT offer_revision_is_its_pitchs
    FOREIGN KEY (pitch_id, revision_id) REFERENCES pitches_pitchrevision (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;

-- The seed that is shown is the one that was committed to.
ALTER TABLE pitches_round
    ADD CONSTRAINT round_seed_matches_its_hash
    CHECK (seed = '' OR encode(sha256(convert_to(seed, 'UTF8')), 'hex') = seed_hash);

-- A revision is whole when it commits: its rows come in its own transaction, and nothing joins later.
ALTER TABLE pitches_pitchrevision ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE pitches_offer ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id();

CREATE FUNCTION pitches_revision_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.xact := pg_current_xact_id();
    NEW.submitted_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER revision_begin BEFORE INSERT ON pitches_pitchrevision
    FOR EACH ROW EXECUTE FUNCTION pitches_revision_begin();
ALTER TABLE pitches_pitchrevision ENABLE ALWAYS TRIGGER revision_begin;

CREATE FUNCTION pitches_part_of_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pitches_pitchrevision r
                    WHERE r.id = NEW.revision_id AND r.xact = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'revision % is complete: nothing can be added to it', NEW.revision_id
            USING ERRCODE = 'TK001', HINT = 'Submit a new revision.';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION pitches_part_of_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pitches_offer o
                    WHERE o.id = NEW.offer_id AND o.xact = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'offer % is complete: nothing can be added to it', NEW.offer_id USING ERRCODE = 'TK001';
    END IF;
    RETURN NEW;
END $$;

DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['pitches_lineitem', 'pitches_milestone', 'pitches_quoteline'] LOOP
        EXECUTE format('CREATE TRIGGER part_of_revision BEFORE INSERT ON %I
                        FOR EACH ROW EXECUTE FUNCTION pitches_part_of_revision()', relation);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER part_of_revision', relation);
    END LOOP;
END $$;
CREATE TRIGGER part_of_offer BEFORE INSERT ON pitches_offerline
    FOR EACH ROW EXECUTE FUNCTION pitches_part_of_offer();
ALTER TABLE pitches_offerline ENABLE ALWAYS TRIGGER part_of_offer;

-- What a decision rests on is fixed when the round opens.
CREATE FUNCTION pitches_round_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state <> 'draft' THEN
            RAISE EXCEPTION 'round % was opened and cannot be deleted', OLD.name USING ERRCODE = 'TK023';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.state <> 'draft'
       AND (NEW.cap, NEW.reserve_share, NEW.hurdle, NEW.quorum, NEW.seed_hash, NEW.seed_sealed, NEW.pool_id,
            NEW.starts_on, NEW.months)
           IS DISTINCT FROM
           (OLD.cap, OLD.reserve_share, OLD.hurdle, OLD.quorum, OLD.seed_hash, OLD.seed_sealed, OLD.pool_id,
            OLD.starts_on, OLD.months) THEN
        RAISE EXCEPTION 'cap, reserve, hurdle, quorum, seed and period of round % are fixed since it opened', OLD.name
            USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER round_guard BEFORE UPDATE OR DELETE ON pitches_round
    FOR EACH ROW EXECUTE FUNCTION pitches_round_guard();
ALTER TABLE pitches_round ENABLE ALWAYS TRIGGER round_guard;

-- Nobody decides on their own pitch. The rules are facts of the moment (owner, team, head of its unit); what was
-- declared, or found earlier, is a recusal row.
CREATE FUNCTION pitches_has_conflict(pitch bigint, person bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM pitches_recusal r
                    WHERE r.pitch_id = pitch AND r.member_id = person AND r.state = 'recused')
        OR EXISTS (SELECT 1 FROM pitches_pitch p
                     JOIN teams_team t ON t.id = p.team_id
                     JOIN teams_businessunit u ON u.id = t.business_unit_id
                    WHERE p.id = pitch
                      AND (p.owner_id = person OR u.head_id = person
                           OR EXISTS (SELECT 1 FROM teams_membership m WHERE m.team_id = t.id AND m.user_id = person)))
$$;

CREATE FUNCTION pitches_refuse_conflict(pitch bigint, person bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF pitches_has_conflict(pitch, person) THEN
        RAISE EXCEPTION 'person % has a conflict of interest about pitch %', person, pitch USING ERRCODE = 'TK021';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pitches_pitch p JOIN pitches_committeeseat s ON s.round_id = p.round_id
                    WHERE p.id = pitch AND s.user_id = person) THEN
        RAISE EXCEPTION 'person % has no seat in the committee of pitch %', person, pitch USING ERRCODE = 'TK021';
    END IF;
END $$;

CREATE FUNCTION pitches_review_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pitches_refuse_conflict((SELECT pitch_id FROM pitches_pitchrevision WHERE id = NEW.revision_id),
                                    NEW.reviewer_id);
    RETURN NEW;
END $$;
CREATE TRIGGER review_guard BEFORE INSERT OR UPDATE ON pitches_review
    FOR EACH ROW EXECUTE FUNCTION pitches_review_guard();
ALTER TABLE pitches_review ENABLE ALWAYS TRIGGER review_guard;

-- An envelope changes only while voting, and opens once, after voting has closed.
CREATE FUNCTION pitches_ballot_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    round_state text := (SELECT r.state FROM pitches_round r JOIN pitches_pitch p ON p.round_id = r.id
                          WHERE p.id = NEW.pitch_id FOR SHARE OF r);
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.revealed_at IS NOT NULL
                             OR (NEW.pitch_id, NEW.member_id) IS DISTINCT FROM (OLD.pitch_id, OLD.member_id)) THEN
        RAISE EXCEPTION 'ballot % is final', OLD.id USING ERRCODE = 'TK022';
    END IF;
    IF NEW.revealed_at IS NOT NULL THEN
        IF TG_OP = 'INSERT' OR round_state <> 'deciding' OR NEW.sealed IS DISTINCT FROM OLD.sealed THEN
            RAISE EXCEPTION 'ballots are opened when voting has closed, as they were cast' USING ERRCODE = 'TK022';
        END IF;
        RETURN NEW;
    END IF;
    IF round_state <> 'voting' THEN
        RAISE EXCEPTION 'ballots are cast while the round is voting; it is %', round_state USING ERRCODE = 'TK022';
    END IF;
    PERFORM pitches_refuse_conflict(NEW.pitch_id, NEW.member_id);
    RETURN NEW;
END $$;
CREATE TRIGGER ballot_guard BEFORE INSERT OR UPDATE ON pitches_ballot
    FOR EACH ROW EXECUTE FUNCTION pitches_ballot_guard();
ALTER TABLE pitches_ballot ENABLE ALWAYS TRIGGER ballot_guard;

-- Decisions: by an unconflicted member, within the cap, and final once published.
CREATE FUNCTION pitches_decision_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.published_at IS NOT NULL THEN
        RAISE EXCEPTION 'decision % is published and final', OLD.id USING ERRCODE = 'TK023';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    PERFORM pitches_refuse_conflict(NEW.pitch_id, NEW.decided_by_id);
    RETURN NEW;
END $$;
CREATE TRIGGER decision_guard BEFORE INSERT OR UPDATE OR DELETE ON pitches_decision
    FOR EACH ROW EXECUTE FUNCTION pitches_decision_guard();
ALTER TABLE pitches_decision ENABLE ALWAYS TRIGGER decision_guard;

CREATE FUNCTION pitches_decision_line_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM pitches_decision d
                WHERE d.id = CASE TG_OP WHEN 'DELETE' THEN OLD.decision_id ELSE NEW.decision_id END
                  AND d.published_at IS NOT NULL) THEN
        RAISE EXCEPTION 'a published decision is final' USING ERRCODE = 'TK023';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER decision_line_guard BEFORE INSERT OR UPDATE OR DELETE ON pitches_decisionline
    FOR EACH ROW EXECUTE FUNCTION pitches_decision_line_guard();
ALTER TABLE pitches_decisionline ENABLE ALWAYS TRIGGER decision_line_guard;

-- The round's row is locked first, so two decisions at once are summed one after the other.
CREATE FUNCTION pitches_require_cap(decision bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    the_round pitches_round;
    decided numeric;
BEGIN
    SELECT r.* INTO the_round FROM pitches_round r JOIN pitches_pitch p ON p.round_id = r.id
      JOIN pitches_decision d ON d.pitch_id = p.id WHERE d.id = decision FOR NO KEY UPDATE OF r;
    SELECT coalesce(sum(l.amount), 0) INTO decided
      FROM pitches_decisionline l JOIN pitches_decision d ON d.id = l.decision_id
      JOIN pitches_pitch p ON p.id = d.pitch_id
     WHERE p.round_id = the_round.id AND d.outcome = 'fund';
    IF decided > the_round.cap - the_round.cap * the_round.reserve_share THEN
        RAISE EXCEPTION 'decisions of round % sum to %, more than the % that can be awarded', the_round.name,
            trim_scale(decided), trim_scale(the_round.cap - the_round.cap * the_round.reserve_share)
            USING ERRCODE = 'TK020';
    END IF;
END $$;

CREATE FUNCTION pitches_decision_cap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pitches_require_cap(NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER decision_cap AFTER INSERT OR UPDATE ON pitches_decision
    FOR EACH ROW EXECUTE FUNCTION pitches_decision_cap();
ALTER TABLE pitches_decision ENABLE ALWAYS TRIGGER decision_cap;

CREATE FUNCTION pitches_decision_line_cap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pitches_require_cap(NEW.decision_id);
    RETURN NULL;
END $$;
CREATE TRIGGER decision_line_cap AFTER INSERT OR UPDATE ON pitches_decisionline
    FOR EACH ROW EXECUTE FUNCTION pitches_decision_line_cap();
ALTER TABLE pitches_decisionline ENABLE ALWAYS TRIGGER decision_line_cap;

-- What an offer offers never changes, and its answer is final.
CREATE FUNCTION pitches_offer_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.xact := pg_current_xact_id();
        RETURN NEW;
    END IF;
    IF OLD.state <> 'open' THEN
        RAISE EXCEPTION 'offer % is % and final', OLD.id, OLD.state USING ERRCODE = 'TK023';
    END IF;
    IF (NEW.pitch_id, NEW.revision_id, NEW.decision_id, NEW.xact)
       IS DISTINCT FROM (OLD.pitch_id, OLD.revision_id, OLD.decision_id, OLD.xact) THEN
        RAISE EXCEPTION 'offer % is for another pitch', OLD.id USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER offer_guard BEFORE INSERT OR UPDATE ON pitches_offer
    FOR EACH ROW EXECUTE FUNCTION pitches_offer_guard();
ALTER TABLE pitches_offer ENABLE ALWAYS TRIGGER offer_guard;

SELECT tank_make_append_only('pitches_pitchrevision');
SELECT tank_make_append_only('pitches_lineitem');
SELECT tank_make_append_only('pitches_milestone');
SELECT tank_make_append_only('pitches_quoteline');
SELECT tank_make_append_only('pitches_offerline');
REVOKE DELETE ON pitches_pitch, pitches_recusal, pitches_ballot, pitches_offer FROM tank_app;
