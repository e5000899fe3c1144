-- The tables and the functions of a database. {schema} stands for the quoted name of its schema.

CREATE TABLE {schema}.record (
    key bytea PRIMARY KEY,      -- compared byte by byte, so the index is the key order
    value bytea NOT NULL,
    revision bigint NOT NULL
);
ALTER TABLE {schema}.record ALTER COLUMN value SET STORAGE EXTERNAL;  -- layers compress, not we

CREATE TABLE {schema}.head (
    revision bigint NOT NULL,   -- of the newest commit
    lineage text NOT NULL,
    format integer NOT NULL,
    era text NOT NULL,          -- which history of which server the revisions belong to
    unflushed text              -- start of the server that may hold acknowledged, unflushed commits
) WITH (fillfactor = 10);       -- one row, written by every commit: room for its versions

CREATE TABLE {schema}.receipt (
    batch_id bytea PRIMARY KEY,
    revision bigint NOT NULL,
    forget_at timestamptz NOT NULL
);
CREATE INDEX receipt_forget_at ON {schema}.receipt (forget_at);

-- One commit at a time, until its end. An advisory lock, not one of the row: a batch of checks
-- alone then writes nothing and flushes nothing.
CREATE FUNCTION {schema}.take_turn() RETURNS void LANGUAGE sql AS $holdfast$
    SELECT pg_advisory_xact_lock(
        1752132708,  -- "hold": apart from locks of others
        ('{schema}.head'::regclass::oid::bigint - 2147483648)::integer
    )
$holdfast$;

-- One commit: all checks on the state before it, then all writes. Operations come as parallel
-- arrays, a letter and its arguments each:
--   k key revision (null: absent)    r key end revision count      (checks; key, end null: open)
--   p key value    w key value (the revision stays)    d key             D key end    a key (the prefix) value
-- outcome: 'done' | 'known' (the id is remembered) | 'lineage' (it is another one)
--   | 'moved' (it had to meet the head `met`, with nothing since `since` but this transaction)
--   | 'conflict' (operation `failed`; of a key `seen` is its revision; of a range `seen` counts
--   its keys, or `newer` is a later revision)
CREATE FUNCTION {schema}.commit_batch(
    expected text, met bigint, since bigint, id bytea, remember integer, wants_previous boolean,
    kinds text, keys bytea[], ends bytea[], values_ bytea[], revisions bigint[], counts bigint[],
    OUT outcome text, OUT revision bigint, OUT failed integer, OUT seen bigint, OUT newer bigint,
    OUT previous_keys bytea[], OUT previous_values bytea[], OUT previous_revisions bigint[]
) LANGUAGE plpgsql AS $holdfast$
#variable_conflict use_column
DECLARE
    current bigint;
    begun text := current_setting('holdfast.begun', true);  -- the head before this transaction
    lineage text;
    stamp bytea;
    appends integer := 0;
    writes boolean := kinds ~ '[pwdDa]';
    kind text;
    standing {schema}.record%ROWTYPE;
    appended bytea;
BEGIN
    -- Every statement below sees all commits before this one, because under READ COMMITTED each
    -- takes its own view, after the lock was had.
    PERFORM {schema}.take_turn();
    SELECT h.revision, h.lineage INTO current, lineage FROM {schema}.head h;
    IF lineage IS DISTINCT FROM expected THEN
        outcome := 'lineage';
        RETURN;
    END IF;

    IF id IS NOT NULL THEN
        SELECT r.revision INTO revision FROM {schema}.receipt r
        WHERE r.batch_id = id AND r.forget_at > now();
        IF FOUND THEN
            outcome := 'known';
            RETURN;
        END IF;
    END IF;

    IF coalesce(begun, '') = '' THEN
        begun := current::text;
        PERFORM set_config('holdfast.begun', begun, true);
    END IF;
    IF met <> current OR (met IS NOT NULL AND since <> begun::bigint) THEN
        outcome := 'moved';
        seen := current;
        RETURN;
    END IF;

    outcome := 'conflict';
    FOR i IN 1 .. length(kinds) LOOP
        kind := substr(kinds, i, 1);
        failed := i;
        IF kind = 'k' THEN
            SELECT r.revision INTO seen FROM {schema}.record r WHERE r.key = keys[i];
            IF seen IS DISTINCT FROM revisions[i] THEN
                RETURN;
            END IF;
        ELSIF kind = 'r' AND revisions[i] < current THEN
            -- Two statements: an open end inside one would keep the index from bounding the walk.
            IF ends[i] IS NULL THEN
                SELECT count(*), max(r.revision) INTO seen, newer FROM {schema}.record r
                WHERE r.key >= coalesce(keys[i], ''::bytea);
            ELSE
                SELECT count(*), max(r.revision) INTO seen, newer FROM {schema}.record r
                WHERE r.key >= coalesce(keys[i], ''::bytea) AND r.key < ends[i];
            END IF;
            IF seen <> counts[i] OR newer > revisions[i] THEN
                newer := CASE WHEN newer > revisions[i] THEN newer END;
                RETURN;
            END IF;
        END IF;
    END LOOP;
    outcome := 'done';
    failed := NULL; seen := NULL; newer := NULL;

    IF NOT writes THEN
        revision := current;
        RETURN;
    END IF;

    IF wants_previous THEN
        FOR i IN 1 .. length(kinds) LOOP
            IF substr(kinds, i, 1) IN ('p', 'd')
                AND NOT coalesce(keys[i] = ANY (previous_keys), false)
            THEN
                SELECT * INTO standing FROM {schema}.record r WHERE r.key = keys[i];
                previous_keys := previous_keys || keys[i];
                previous_values := previous_values || standing.value;
                previous_revisions := previous_revisions || standing.revision;
            END IF;
        END LOOP;
    END IF;

    revision := current + 1;
    stamp := int8send(revision);
    UPDATE {schema}.head SET revision = current + 1;
    FOR i IN 1 .. length(kinds) LOOP
        kind := substr(kinds, i, 1);
        IF kind = 'p' THEN
            INSERT INTO {schema}.record VALUES (keys[i], values_[i], current + 1)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision;
        ELSIF kind = 'w' THEN
            UPDATE {schema}.record r SET value = values_[i] WHERE r.key = keys[i];
        ELSIF kind = 'a' THEN
            appended := keys[i] || stamp || int4send(appends);
            INSERT INTO {schema}.record VALUES (appended, values_[i], current + 1)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision;
            appends := appends + 1;
        ELSIF kind = 'd' THEN
            DELETE FROM {schema}.record r WHERE r.key = keys[i];
        ELSIF kind = 'D' AND ends[i] IS NULL THEN
            DELETE FROM {schema}.record r WHERE r.key >= coalesce(keys[i], ''::bytea);
        ELSIF kind = 'D' THEN
            DELETE FROM {schema}.record r
            WHERE r.key >= coalesce(keys[i], ''::bytea) AND r.key < ends[i];
        END IF;
    END LOOP;

    IF id IS NOT NULL THEN
        IF revision % 64 = 0 THEN
            DELETE FROM {schema}.receipt r WHERE r.forget_at <= now();
        END IF;
        INSERT INTO {schema}.receipt VALUES (id, current + 1, now() + make_interval(secs => remember))
        ON CONFLICT (batch_id) DO UPDATE
        SET revision = excluded.revision, forget_at = excluded.forget_at;
    END IF;
END
$holdfast$;
