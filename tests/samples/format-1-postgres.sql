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
--   p key value    d key             D key end    a key (the prefix) value
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
    writes boolean := kinds ~ '[pdDa]';
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

-- What the version that made these tables wrote through them.

INSERT INTO {schema}.head VALUES (9, '01a2213bb980001d2651981deb93d868', 1, '', NULL);
INSERT INTO {schema}.record VALUES
    ('\x46000000000000000300000000', '\x03000000012f033ea1f179541f106563495daeb1a900be7fa74e0a53c5e2cd75fa4586e8f01ab72ed316ca13a97c832aad2b99c73747be88833fd3c167b97ff157527f8f7fafb94deb024868bc42e512aa0629e29830b63bb20dfa75f52fdd646e1577', 3),
    ('\x46000000000000000400000000', '\x03000000012f033ea1f179541f1065634902cdfd601e56511c3e4894bf8ae03435749863771bb13d1ceb32b95c67318fbc5498c2d3326f83962fe5f0745d1d61b8690e0d4e6709e6135e004c35059eb48bee0e3fb229eef72d36d4af446a84a6191253', 4),
    ('\x46000000000000000500000000', '\x03000000012f033ea1f179541f1065634903f42f2150e22ff1d6868bd1a0b88dee2566a63f3c6e27695dc810e9088fa15a335b8e3add372741058cd2434aea08c7aa5e7d4ec27ae0353a4aef1b08d8425fcffd5a153ec74331e26b1c779b911960ec63', 5),
    ('\x46000000000000000600000000', '\x03000000012f033ea1f179541f1065634965208ff54c1a3dc0f4d099f2eeb839552c6db6f5997f70355a0b069c7cf398107b2822ace68b3953bafffb92010eb6fa52baf83a0c5a88606adbeb83261d52833a978e0bbf3485b2fe820ccad3b526', 6),
    ('\x46000000000000000700000000', '\x03000000012f033ea1f179541f1065634935efe5f46440fb3cc21200f3c6c6a0951f8bc94566c3fd39287e24dbc4e4586a98c1cdc354c3b8ef6ec3be5b264dc1822b095cefcd9f40f51135385fb4e84b101537c9c73374d66a40b9673f006a50', 7),
    ('\x46000000000000000900000000', '\x03000000012f033ea1f179541f106563491e80e205d3396bdfe9ab9691868a74361e016d99c3589b1ea4fbc384030c3bd4bd7c647866e26bf2d388c5e1db1babd359cccc94a7d1c3', 9),
    ('\x4b00000001442063697469657300203000', '\x02000000012f033ea1f179541f106563495daeb1a900be7fa74e0a53c49997c5fc8c40074deee7aa5ff2eb98d1c1cecfb06cf25aa7cccdc168b2a161ed35dd54130b5d6ca4b716f6efdf383f56e0500bc2c5ecb83746f59e23d3fe7098c76aff9054939f3ca4bf0280d5bd673b1bbec83fd6b146c312d78b96a8c8ce606a0178ef49ad866de5539a11e8f40e96a62f193d45', 3),
    ('\x4b00000001442063697469657300203100', '\x02000000012f033ea1f179541f1065634965208ff54c1a3dc0f4d099f0286980eb87666e0ed127e0eb621f62a6dc3cfc6f6599852bfde5d95d660bffa464ad8a35ffc94d18ee4e3888de76a021ddc8d14e5759263f7fac29f0790e4df511ff3f1c388167f731d0214462f04b59aebf2c5f818c2d9cfb81d41665a53a82360abb36d058a85fb43ac9f436221eacdcc7b4e9a16c3ab28bce13316e3b77', 6),
    ('\x4b00000001472063697469657300203200', '\x02000000012f033ea1f179541f1065634935efe5f46440fb3cc21200f269faee006de4d5be2615af7f8e911ec768d3897f0f7fb6aa1f243df3f31536680d03d0a5660f9baad28cb60028', 7),
    ('\x4b000000014801a2213bb9a3001d2b51981deb93d868000000010000000000000001', '\x02000000012f033ea1f179541f1065634965208ff54c1a3dc0f4d099f134485cf0aea37b99231ef9ec214ae1e5bc823b259e7871dd366b4fef472dc7fbd76bcc5c7aa024d76cf4f62bfd5a42c8aba63fff9da934f3ea4a12e397203716de8abf506630b0cf85b6454930d6153a585f15ef38420c82e99f0f19147221cd16293462d05d11031ee725e07a434d22a77d5d5b1fb0293f3406cdfc7aae98', 6),
    ('\x4b000000014801a2213bb9a5001d2d51981deb93d868000000010000000000000001', '\x02000000012f033ea1f179541f1065634935efe5f46440fb3cc21200f1202a7a49d129098eb011a72e380c57eed809a2fe3bcc05715c25a02bf326771d3092b76a1e23b02d7b1e30c36e35fedd2125025987370fe6d4118d2ec49e70d4d14b3512e073e1800a446474d5593a9cc323a85ff56fe760692376f36583c490336d2681b52d3c3c117875dd2449404fb94a6c25f217f570448baa5ed6de8a0a1b99ed269ae735c580b42cc8bf14cccfd486', 7),
    ('\x4b0000000154206361706974616c002063697469657300203100', '\x', 6),
    ('\x4b000000024462616c616e6365', '\x02000000012f033ea1f179541f106563491e80e205d3396bdfe9ab9690189ba9b20f08ca076a8469e6666e4d3918bfcdbc11', 9),
    ('\x53656e6372797074696f6e', '\x686f6c6466617374206b65797368699adea47a12a43a47f5737efc251b97075ae0b8419ef5f99abb6b2c1dd557940101c420845f539c9ff4f5055596b432abb673c49df46344506645563402ea5156f39587c0', 1),
    ('\x53656e6372797074696f6e206b65792000000001', '\x9701a8646174616261736501a6616374697665cf000001a2213bb990a131c448ed8187b0437736448a475bffd24e37e3c0717fb53938ddb8c46cc433bb5cc6d4b2f8275291750ac3d6ddbb6fd4359705d616e7d7ae7226ee7efc6720deb8ca8a2d9944c34fec2003', 1),
    ('\x53666f726d6174', '\x686f6c6466617374920291aa656e6372797074696f6e', 1),
    ('\x536b657973706163652020656e74726965730020656e747269657300', '\x02000000012f033ea1f179541f10656349b0b8e9d678fa29841f27d4abc9930c83b2bd3d4dab2ee10d3956a68f2b490ff23efd99793381a0fb4780cb013dfab36538e692983e6fa796bc59c488495ad39128256a55e3bfde2e6d9d', 2),
    ('\x536b65797370616365202073746f72657300206c656467657200', '\x02000000012f033ea1f179541f1065634976b747261f767229d580fb2c48165a688ef99b12260a7442f90f74b92047d38066de86a97017e40b42b356d87cd0847ad8d454d6b2bd71ef4ed6764f36fcea44', 8),
    ('\x536b6579737061636573', '\x02000000012f033ea1f179541f1065634976b747261f767229d580fb2d64dd3fb652156b9340aeeeccbdb54b48f45705ce', 8);
