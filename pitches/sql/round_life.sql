-- What a round's life refuses. Error codes: TK001 append-only, TK020 cap, TK021 conflict of interest, TK023 fixed once
-- opened, TK024 sealed or not feasible. All triggers are ENABLE ALWAYS.

-- The seal opens once: when a regular round closes for pitches, and when a fast lane opens, whoever moves it.
CREATE FUNCTION pitches_round_unseal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.unsealed_at IS NOT NULL THEN
        IF NEW.unsealed_at IS DISTINCT FROM OLD.unsealed_at THEN
            NEW.unsealed_at := OLD.unsealed_at;
        END IF;
    ELSIF NEW.state IN ('reviewing', 'voting', 'deciding', 'published', 'settled')
          OR (NEW.state = 'open' AND NEW.kind = 'fast_lane') THEN
        NEW.unsealed_at := coalesce(NEW.unsealed_at, now());
    ELSE
        NEW.unsealed_at := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER round_unseal BEFORE INSERT OR UPDATE ON pitches_round
    FOR EACH ROW EXECUTE FUNCTION pitches_round_unseal();
ALTER TABLE pitches_round ENABLE ALWAYS TRIGGER round_unseal;

-- How a round decides is fixed when it opens, as its cap is.
CREATE FUNCTION pitches_round_kind_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'draft'
       AND (NEW.kind, NEW.fast_lane_limit, NEW.reviews_per_pitch, NEW.repeats_id, NEW.cloned_from_id)
           IS DISTINCT FROM (OLD.kind, OLD.fast_lane_limit, OLD.reviews_per_pitch, OLD.repeats_id, OLD.cloned_from_id)
    THEN
        RAISE EXCEPTION 'kind, limit, reviews per pitch and origin of round % are fixed since it opened', OLD.name
            USING ERRCODE = 'TK023';
    END IF;
    IF OLD.state = 'open' AND NEW.state = 'published' AND NEW.kind <> 'fast_lane' THEN
        RAISE EXCEPTION 'round % is no fast lane: it is reviewed and voted on first', OLD.name USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER round_kind_guard BEFORE UPDATE ON pitches_round
    FOR EACH ROW EXECUTE FUNCTION pitches_round_kind_guard();
ALTER TABLE pitches_round ENABLE ALWAYS TRIGGER round_kind_guard;

CREATE FUNCTION pitches_criterion_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM pitches_round r
                WHERE r.id = CASE TG_OP WHEN 'INSERT' THEN NEW.round_id ELSE OLD.round_id END AND r.state <> 'draft')
       OR (TG_OP = 'UPDATE' AND NEW.round_id <> OLD.round_id) THEN
        RAISE EXCEPTION 'the criteria of a round are fixed since it opened' USING ERRCODE = 'TK023';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER criterion_guard BEFORE INSERT OR UPDATE OR DELETE ON pitches_criterion
    FOR EACH ROW EXECUTE FUNCTION pitches_criterion_guard();
ALTER TABLE pitches_criterion ENABLE ALWAYS TRIGGER criterion_guard;

-- No pitch of a fast lane is awarded more than the lane's limit.
CREATE FUNCTION pitches_fast_lane_limit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    most numeric;
    decided numeric;
BEGIN
    SELECT r.fast_lane_limit INTO most FROM pitches_round r JOIN pitches_pitch p ON p.round_id = r.id
      JOIN pitches_decision d ON d.pitch_id = p.id WHERE d.id = NEW.decision_id FOR NO KEY UPDATE OF r;
    SELECT sum(amount) INTO decided FROM pitches_decisionline WHERE decision_id = NEW.decision_id;
    IF decided > most THEN
        RAISE EXCEPTION 'decision % awards %, more than the % of its fast lane', NEW.decision_id,
            trim_scale(decided), trim_scale(most) USING ERRCODE = 'TK020';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fast_lane_limit AFTER INSERT OR UPDATE ON pitches_decisionline
    FOR EACH ROW EXECUTE FUNCTION pitches_fast_lane_limit();
ALTER TABLE pitches_decisionline ENABLE ALWAYS TRIGGER fast_lane_limit;

-- A revision that a peek or remark points at is one of its pitch.
ALTER TABLE pitches_peek
    ADD CONSTRAINT peek_revision_is_its_pitchs
    FOREIGN KEY (pitch_id, revision_id) REFERENCES pitches_pitchrevision (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE pitches_remark
    ADD CONSTRAINT remark_revision_is_its_pitchs
    FOREIGN KEY (pitch_id, revision_id) REFERENCES pitches_pitchrevision (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;

-- Who screens a pitch has no conflict about it, and reads it after the seal was opened.
CREATE FUNCTION pitches_screening_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    its_pitch bigint := (SELECT pitch_id FROM pitches_pitchrevision WHERE id = NEW.revision_id);
BEGIN
    IF pitches_has_conflict(its_pitch, NEW.by_id) THEN
        RAISE EXCEPTION 'person % has a conflict of interest about pitch %', NEW.by_id, its_pitch
            USING ERRCODE = 'TK021';
    END IF;
    IF EXISTS (SELECT 1 FROM pitches_pitch p JOIN pitches_round r ON r.id = p.round_id
                WHERE p.id = its_pitch AND r.unsealed_at IS NULL) THEN
        RAISE EXCEPTION 'pitch % is sealed', its_pitch USING ERRCODE = 'TK024';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER screening_guard BEFORE INSERT ON pitches_screening
    FOR EACH ROW EXECUTE FUNCTION pitches_screening_guard();
ALTER TABLE pitches_screening ENABLE ALWAYS TRIGGER screening_guard;

-- What the newest screening of an aspect found infeasible goes on no ballot and gets no offer.
CREATE FUNCTION pitches_is_infeasible(revision bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM (SELECT DISTINCT ON (s.aspect) s.finding FROM pitches_screening s
                                   WHERE s.revision_id = revision ORDER BY s.aspect, s.id DESC) newest
                    WHERE newest.finding = 'infeasible')
$$;
CREATE FUNCTION pitches_pitch_feasible() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IN ('shortlisted', 'offered') AND NEW.state <> OLD.state AND pitches_is_infeasible(NEW.current_id) THEN
        RAISE EXCEPTION 'pitch % was found infeasible', NEW.id USING ERRCODE = 'TK024';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pitch_feasible BEFORE UPDATE ON pitches_pitch
    FOR EACH ROW EXECUTE FUNCTION pitches_pitch_feasible();
ALTER TABLE pitches_pitch ENABLE ALWAYS TRIGGER pitch_feasible;

-- Assignments begin for members without a conflict, end once, and change in nothing else.
CREATE FUNCTION pitches_assignment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pitches_refuse_conflict(NEW.pitch_id, NEW.member_id);
        RETURN NEW;
    END IF;
    IF OLD.ended_at IS NOT NULL
       OR (NEW.pitch_id, NEW.member_id, NEW.at) IS DISTINCT FROM (OLD.pitch_id, OLD.member_id, OLD.at) THEN
        RAISE EXCEPTION 'assignment % is final', OLD.id USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER assignment_guard BEFORE INSERT OR UPDATE ON pitches_assignment
    FOR EACH ROW EXECUTE FUNCTION pitches_assignment_guard();
ALTER TABLE pitches_assignment ENABLE ALWAYS TRIGGER assignment_guard;

CREATE FUNCTION pitches_remark_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pitches_refuse_conflict(NEW.pitch_id, NEW.author_id);
    RETURN NEW;
END $$;
CREATE TRIGGER remark_guard BEFORE INSERT ON pitches_remark
    FOR EACH ROW EXECUTE FUNCTION pitches_remark_guard();
ALTER TABLE pitches_remark ENABLE ALWAYS TRIGGER remark_guard;

SELECT tank_make_append_only('pitches_peek');
SELECT tank_make_append_only('pitches_screening');
SELECT tank_make_append_only('pitches_remark');
REVOKE DELETE ON pitches_assignment FROM tank_app;

-- Rounds that closed for pitches before there were seals.
UPDATE pitches_round SET state = state;
