-- A finding that is carried over to a newer revision says what was found about an earlier one of the same pitch, by the
-- same person in the same words. What is infeasible is looked at again.
CREATE FUNCTION pitches_screening_carried() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pitches_screening s JOIN pitches_pitchrevision was ON was.id = s.revision_id
                     JOIN pitches_pitchrevision now ON now.id = NEW.revision_id
                    WHERE s.id = NEW.carried_from_id AND was.pitch_id = now.pitch_id AND was.number < now.number
                      AND s.finding <> 'infeasible'
                      AND (s.aspect, s.finding, s.reason, s.by_id)
                        = (NEW.aspect, NEW.finding, NEW.reason, NEW.by_id)) THEN
        RAISE EXCEPTION 'screening % is not what is carried over to revision %', NEW.carried_from_id, NEW.revision_id
            USING ERRCODE = 'TK024';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER screening_carried BEFORE INSERT ON pitches_screening
    FOR EACH ROW WHEN (NEW.carried_from_id IS NOT NULL) EXECUTE FUNCTION pitches_screening_carried();
ALTER TABLE pitches_screening ENABLE ALWAYS TRIGGER screening_carried;
