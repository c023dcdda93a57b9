-- What the pitch form keeps. Error codes: TK001 append-only, TK023 fixed once opened, TK024 tie to another pitch.

-- Rounds that are there already asked the checklist that every round asked so far.
INSERT INTO pitches_checklistitem (round_id, code, text, explain_no, position)
SELECT r.id, line.code, line.text, true, line.position
  FROM pitches_round r
 CROSS JOIN (VALUES
    (1, 'minimised', 'Prompts carry only the data that the task needs.'),
    (2, 'permitted', 'The team may use this data for this purpose.'),
    (3, 'checked', 'A person checks results before they reach a customer or change a record.'),
    (4, 'retained', 'Prompts and answers are deleted on the same schedule as their source.')
 ) AS line (position, code, text);
SET CONSTRAINTS ALL IMMEDIATE;

-- What a round asks is fixed when it opens: everybody answers the same questions.
CREATE FUNCTION pitches_terms_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    the_round bigint := CASE TG_OP WHEN 'DELETE' THEN OLD.round_id ELSE NEW.round_id END;
    round_state text;
BEGIN
    SELECT state INTO round_state FROM pitches_round WHERE id = the_round FOR SHARE;
    IF round_state <> 'draft' OR (TG_OP = 'UPDATE' AND NEW.round_id <> OLD.round_id) THEN
        RAISE EXCEPTION 'questions and checklist of round % are fixed since it opened', the_round
            USING ERRCODE = 'TK023';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER terms_guard BEFORE INSERT OR UPDATE OR DELETE ON pitches_roundquestion
    FOR EACH ROW EXECUTE FUNCTION pitches_terms_guard();
ALTER TABLE pitches_roundquestion ENABLE ALWAYS TRIGGER terms_guard;
CREATE TRIGGER terms_guard BEFORE INSERT OR UPDATE OR DELETE ON pitches_checklistitem
    FOR EACH ROW EXECUTE FUNCTION pitches_terms_guard();
ALTER TABLE pitches_checklistitem ENABLE ALWAYS TRIGGER terms_guard;

-- The new rows of a revision come in its own transaction too.
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['pitches_coapplicant', 'pitches_revisionquality', 'pitches_pitchlink'] LOOP
        EXECUTE format('CREATE TRIGGER part_of_revision BEFORE INSERT ON %I
                        FOR EACH ROW EXECUTE FUNCTION pitches_part_of_revision()', relation);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER part_of_revision', relation);
    END LOOP;
END $$;

-- A choice is made within a round, so a tie to a pitch of another round could never be kept.
CREATE FUNCTION pitches_link_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pitches_pitchrevision r
                     JOIN pitches_pitch own ON own.id = r.pitch_id
                     JOIN pitches_pitch other ON other.id = NEW.other_id
                    WHERE r.id = NEW.revision_id AND other.id <> own.id AND other.round_id = own.round_id) THEN
        RAISE EXCEPTION 'revision % can be tied only to another pitch of its own round', NEW.revision_id
            USING ERRCODE = 'TK024';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER link_guard BEFORE INSERT ON pitches_pitchlink
    FOR EACH ROW EXECUTE FUNCTION pitches_link_guard();
ALTER TABLE pitches_pitchlink ENABLE ALWAYS TRIGGER link_guard;

SELECT tank_make_append_only('pitches_coapplicant');
SELECT tank_make_append_only('pitches_revisionquality');
SELECT tank_make_append_only('pitches_pitchlink');
REVOKE DELETE ON pitches_draftapplicant FROM tank_app;
