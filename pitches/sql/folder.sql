-- A pitch's folder: attachments, the thread of questions, what a pitch continues, and the words that earlier pitches
-- are found by. Error codes: TK001 append-only, TK021 conflict of interest, TK023 fixed. All triggers are ENABLE ALWAYS.

-- What a file is called, how large it is and what it is told by are facts of its bytes.
ALTER TABLE pitches_attachment
    ADD CONSTRAINT attachment_digest_is_its_contents CHECK (sha256 = encode(sha256(content), 'hex')),
    ADD CONSTRAINT attachment_size_is_its_contents CHECK (size = octet_length(content)),
    ADD CONSTRAINT attachment_name_is_plain CHECK (name <> '' AND name !~ '[[:cntrl:]/\\]');
ALTER TABLE pitches_attachment ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE FUNCTION pitches_attachment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM 1 FROM pitches_pitch p WHERE p.id = NEW.pitch_id FOR NO KEY UPDATE;
        IF (SELECT count(*) FROM pitches_attachment a
             WHERE a.pitch_id = NEW.pitch_id AND a.removed_at IS NULL) >= 10 THEN
            RAISE EXCEPTION 'pitch % has ten attachments already', NEW.pitch_id USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT 1 FROM pitches_revisionattachment r WHERE r.attachment_id = OLD.id) THEN
            RAISE EXCEPTION 'attachment % was submitted with a revision', OLD.id USING ERRCODE = 'TK001';
        END IF;
        RETURN OLD;
    END IF;
    -- The digest stands for the content: a constraint ties them.
    IF OLD.removed_at IS NOT NULL
       OR (NEW.id, NEW.pitch_id, NEW.name, NEW.kind, NEW.size, NEW.sha256, NEW.added_by_id, NEW.added_at)
          IS DISTINCT FROM
          (OLD.id, OLD.pitch_id, OLD.name, OLD.kind, OLD.size, OLD.sha256, OLD.added_by_id, OLD.added_at) THEN
        RAISE EXCEPTION 'attachment % never changes', OLD.id USING ERRCODE = 'TK001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER attachment_guard BEFORE INSERT OR UPDATE OR DELETE ON pitches_attachment
    FOR EACH ROW EXECUTE FUNCTION pitches_attachment_guard();
ALTER TABLE pitches_attachment ENABLE ALWAYS TRIGGER attachment_guard;
REVOKE UPDATE, TRUNCATE ON pitches_attachment FROM tank_app;
GRANT UPDATE (removed_at, removed_by_id) ON pitches_attachment TO tank_app;

-- A revision pins what its own pitch had when it was submitted.
CREATE FUNCTION pitches_pin_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pitches_attachment a JOIN pitches_pitchrevision r ON r.pitch_id = a.pitch_id
                    WHERE a.id = NEW.attachment_id AND r.id = NEW.revision_id AND a.removed_at IS NULL) THEN
        RAISE EXCEPTION 'attachment % is not in the folder of the pitch of revision %', NEW.attachment_id,
            NEW.revision_id USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pin_guard BEFORE INSERT ON pitches_revisionattachment
    FOR EACH ROW EXECUTE FUNCTION pitches_pin_guard();
ALTER TABLE pitches_revisionattachment ENABLE ALWAYS TRIGGER pin_guard;
CREATE TRIGGER part_of_revision BEFORE INSERT ON pitches_revisionattachment
    FOR EACH ROW EXECUTE FUNCTION pitches_part_of_revision();
ALTER TABLE pitches_revisionattachment ENABLE ALWAYS TRIGGER part_of_revision;
SELECT tank_make_append_only('pitches_revisionattachment');

-- A question is asked by a member without a conflict; a reply hangs on a question of the same pitch.
ALTER TABLE pitches_threadmessage
    ADD CONSTRAINT thread_revision_is_its_pitchs
    FOREIGN KEY (pitch_id, revision_id) REFERENCES pitches_pitchrevision (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION pitches_thread_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind <> 'answer' THEN
        PERFORM pitches_refuse_conflict(NEW.pitch_id, NEW.author_id);
    END IF;
    IF NEW.question_id IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM pitches_threadmessage q
                        WHERE q.id = NEW.question_id AND q.pitch_id = NEW.pitch_id AND q.kind = 'question') THEN
        RAISE EXCEPTION 'message % is no question about pitch %', NEW.question_id, NEW.pitch_id
            USING ERRCODE = 'TK023';
    END IF;
    NEW.at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER thread_guard BEFORE INSERT ON pitches_threadmessage
    FOR EACH ROW EXECUTE FUNCTION pitches_thread_guard();
ALTER TABLE pitches_threadmessage ENABLE ALWAYS TRIGGER thread_guard;
SELECT tank_make_append_only('pitches_threadmessage');

-- What a pitch continues is said when it begins.
CREATE FUNCTION pitches_continues_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what pitch % continues is fixed', OLD.id USING ERRCODE = 'TK023';
END $$;
CREATE TRIGGER continues_guard BEFORE UPDATE ON pitches_pitch
    FOR EACH ROW WHEN (OLD.continues_id IS DISTINCT FROM NEW.continues_id)
    EXECUTE FUNCTION pitches_continues_guard();
ALTER TABLE pitches_pitch ENABLE ALWAYS TRIGGER continues_guard;

-- The words of a revision: title before summary and problem before the names of its workflows.
ALTER TABLE pitches_pitchrevision DISABLE TRIGGER append_only_row;
UPDATE pitches_pitchrevision r
   SET workflows = coalesce((SELECT string_agg(i.workflow, E'\n' ORDER BY i.position)
                               FROM pitches_lineitem i WHERE i.revision_id = r.id), '');
ALTER TABLE pitches_pitchrevision ENABLE ALWAYS TRIGGER append_only_row;

CREATE FUNCTION pitches_words(title text, body text, workflows text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
    SELECT setweight(to_tsvector('pg_catalog.english', title), 'A')
        || setweight(to_tsvector('pg_catalog.english', body), 'B')
        || setweight(to_tsvector('pg_catalog.english', workflows), 'C')
$$;
ALTER TABLE pitches_pitchrevision ADD COLUMN search tsvector
    GENERATED ALWAYS AS (pitches_words(title, summary || ' ' || problem, workflows)) STORED;
CREATE INDEX revision_by_words ON pitches_pitchrevision USING gin (search);
CREATE INDEX revision_by_title ON pitches_pitchrevision USING gin (pitches_words(title, '', ''));

-- What can be found: the current revisions of some pitches, and the drafts of those never submitted, as typed so far;
-- of others, the titles alone. What is not to be read is not looked at, for what is found would tell what it says.
CREATE FUNCTION pitches_documents(known bigint[], titled bigint[], query tsquery)
    RETURNS TABLE (pitch bigint, title text, body text, workflows text, search tsvector) LANGUAGE sql STABLE AS $$
    SELECT p.id, r.title::text, r.summary || ' ' || r.problem, r.workflows, r.search
      FROM pitches_pitchrevision r JOIN pitches_pitch p ON p.current_id = r.id
     WHERE r.search @@ query AND p.id = ANY (known)
     UNION ALL
    SELECT d.id, d.title, d.body, d.workflows, v.search
      FROM (SELECT p.id, p.title::text AS title,
                   concat_ws(' ', p.draft ->> 'summary', p.draft ->> 'problem') AS body,
                   (SELECT coalesce(string_agg(value, E'\n' ORDER BY key), '') FROM jsonb_each_text(p.draft)
                     WHERE key ~ '^items-[0-9]+-workflow$') AS workflows
              FROM pitches_pitch p WHERE p.current_id IS NULL AND p.id = ANY (known)) d,
           LATERAL (SELECT pitches_words(d.title, d.body, d.workflows) AS search) v
     WHERE v.search @@ query
     UNION ALL
    SELECT p.id, r.title::text, NULL, NULL, pitches_words(r.title, '', '')
      FROM pitches_pitchrevision r JOIN pitches_pitch p ON p.current_id = r.id
     WHERE pitches_words(r.title, '', '') @@ query AND p.id = ANY (titled)
$$;

-- A passage with the words that were found between two characters that no passage keeps; callers escape the rest.
-- Of a title alone there is none.
CREATE FUNCTION pitches_headline(passage text, query tsquery) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT ts_headline('pg_catalog.english', translate(passage, E'\x02\x03', ''), query,
                       E'StartSel="\x02", StopSel="\x03", MaxFragments=2, MaxWords=16, MinWords=6,'
                       || ' FragmentDelimiter=" … "')
$$;

CREATE FUNCTION pitches_search(words text, known bigint[], titled bigint[], most integer)
    RETURNS TABLE (pitch bigint, headline text) LANGUAGE sql STABLE AS $$
    WITH wanted AS (SELECT websearch_to_tsquery('pg_catalog.english', words) AS query),
    best AS (
        SELECT d.*, wanted.query, ts_rank_cd('{0.1, 0.2, 0.4, 1}', d.search, wanted.query, 1) AS rank
          FROM wanted, LATERAL pitches_documents(known, titled, wanted.query) d
         ORDER BY rank DESC, d.pitch DESC LIMIT most)
    SELECT pitch, pitches_headline(title || '. ' || body || ' ' || workflows, query)
      FROM best ORDER BY rank DESC, pitch DESC
$$;

-- How alike two pitches are: the Sørensen-Dice coefficient of their sets of word stems, of the whole text or of the
-- titles; of the titles where nothing else may be read. The words that are used most often stand for a text in the
-- search: a query of all would take long to rank.
CREATE FUNCTION pitches_similar(
        their_title text, their_body text, their_workflows text, known bigint[], titled bigint[], at_least numeric,
        most integer)
    RETURNS TABLE (pitch bigint, alike numeric, headline text) LANGUAGE sql STABLE AS $$
    WITH said AS (
        SELECT pitches_words(their_title, their_body, their_workflows) AS search,
               tsvector_to_array(to_tsvector('pg_catalog.english', their_title)) AS title_words),
    wanted AS (
        SELECT tsvector_to_array(said.search) AS words, said.title_words, coalesce((
                   SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')
                     FROM (SELECT lexeme FROM unnest(said.search)
                            ORDER BY 'A' = ANY (weights) DESC, cardinality(positions) DESC, lexeme LIMIT 40) often
               ), '')::tsquery AS query
          FROM said),
    ranked AS (
        SELECT d.*, wanted.*, ts_rank_cd('{0.1, 0.2, 0.4, 1}', d.search, wanted.query, 1) AS rank,
               tsvector_to_array(d.search) AS own_words,
               tsvector_to_array(to_tsvector('pg_catalog.english', d.title)) AS own_title
          FROM wanted, LATERAL pitches_documents(known, titled, wanted.query) d
         ORDER BY rank DESC, d.pitch LIMIT 40),
    shared AS (
        SELECT ranked.*, cardinality(words) + cardinality(own_words) AS both_words,
               cardinality(title_words) + cardinality(own_title) AS both_titles,
               cardinality(ARRAY(SELECT unnest(words) INTERSECT SELECT unnest(own_words))) AS common,
               cardinality(ARRAY(SELECT unnest(title_words) INTERSECT SELECT unnest(own_title))) AS title_common
          FROM ranked),
    -- One word in common says nothing of two titles, unless it is all that both say.
    measured AS (
        SELECT shared.*, greatest(CASE WHEN body IS NOT NULL THEN 2.0 * common / both_words END,
                                  CASE WHEN title_common >= 2 OR title_common > 0 AND 2 * title_common = both_titles
                                       THEN 2.0 * title_common / both_titles END) AS closeness
          FROM shared),
    best AS (SELECT * FROM measured WHERE closeness >= at_least ORDER BY closeness DESC, rank DESC, pitch LIMIT most)
    SELECT pitch, round(closeness, 2), pitches_headline(title || '. ' || body || ' ' || workflows, query)
      FROM best ORDER BY closeness DESC, rank DESC, pitch
$$;
