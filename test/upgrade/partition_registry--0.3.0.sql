-- partition_registry: install script, joined from sql/NN_*.sql by the Makefile.
\echo Use "CREATE EXTENSION partition_registry CASCADE" to load this file. \quit

-- The schema is made here, not by CREATE EXTENSION, so that one that was
-- planted under this name beforehand makes the installation fail.
CREATE SCHEMA partreg;
COMMENT ON SCHEMA partreg IS 'partition_registry: which time intervals of which data are ready to be read';

-- The one statement that resolves a name by the search_path which CREATE
-- EXTENSION sets up (pg_catalog, the schema of pgcrypto, pg_temp): pgcrypto
-- may live in any schema, and a BEGIN ATOMIC body binds it once and for all.
CREATE FUNCTION partreg._random_bytes() RETURNS bytea
    LANGUAGE sql VOLATILE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT gen_random_bytes(32);
    END;
COMMENT ON FUNCTION partreg._random_bytes() IS 'internal: 256 random bits for a new token, from pgcrypto';

SET LOCAL search_path = pg_catalog, pg_temp;
-- Tables.  Internal: no role is granted anything on them; they are written by
-- the SECURITY DEFINER functions and read by C scans (src/catalog.h holds the
-- attribute numbers, which must match the order of the columns here).
--
-- What a question reads (source, provider, lock, coverage) has no CHECK
-- constraints: each would cost every new connection a scan of pg_constraint
-- before its first answer.  Only the functions write here, and the exclusion
-- constraint on coverage refuses what is worse than a wrong word.
--
-- Every table says USING heap, because src/catalog.c reads heap pages.  There
-- are no foreign keys: their hidden row locks would come in the wrong order
-- (docs/design.md, "Locks"); verify() looks for orphans instead.

CREATE TABLE partreg.source (
    id               integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text COLLATE "C" NOT NULL UNIQUE,
    rule             text COLLATE "C" NOT NULL,
    owner            text NOT NULL,
    registered_at    timestamptz NOT NULL,
    token_digest     bytea NOT NULL,
    token_changed_at timestamptz NOT NULL,
    old_token_digest bytea,
    old_token_until  timestamptz,
    trusted_role     text,
    trusted_role_oid oid,
    trusted_role_system bigint,
    trusted_role_database oid
) USING heap;
-- register_provider finds the source by its token.  Not unique, as the message
-- of a violation would print the digest.
CREATE INDEX source_token_digest_idx ON partreg.source (token_digest);
CREATE INDEX source_old_token_digest_idx ON partreg.source (old_token_digest);
COMMENT ON COLUMN partreg.source.rule IS 'any or all';
COMMENT ON TABLE partreg.source IS 'internal: data sets, their owners, rules and token digests';
COMMENT ON COLUMN partreg.source.old_token_until IS 'the token before the last rotation is good until then';
COMMENT ON COLUMN partreg.source.trusted_role IS 'its name when it was set';
COMMENT ON COLUMN partreg.source.trusted_role_oid IS 'means something in the database of trusted_role_database, of the cluster of trusted_role_system; elsewhere, after a restore, the name counts';

CREATE TABLE partreg.provider (
    id               integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id        integer NOT NULL,
    name             text COLLATE "C" NOT NULL,
    effective        tstzrange NOT NULL,
    epoch            bigint NOT NULL DEFAULT 0,
    trusted_role     text,
    registered_at    timestamptz NOT NULL,
    token_digest     bytea,
    token_changed_at timestamptz NOT NULL,
    old_token_digest bytea,
    old_token_until  timestamptz,
    revoked_at       timestamptz,
    deadline         interval,
    calendar_step    interval,
    calendar_start   timestamptz,
    calendar_zone    text,
    calendar_closed  tstzmultirange,
    trusted_role_oid oid,
    trusted_role_system bigint,
    trusted_role_database oid,
    UNIQUE (source_id, name),
    -- What takes availability away counts epoch up.  As part of a unique key
    -- this conflicts with the FOR KEY SHARE of every writer, and a REPEATABLE
    -- READ transaction notices it afterwards.
    UNIQUE (id, epoch)
) USING heap;
COMMENT ON TABLE partreg.provider IS 'internal: jobs that fill a source; the row is the parent that every writer locks FOR KEY SHARE';
COMMENT ON COLUMN partreg.provider.epoch IS 'counted up by whatever takes availability away or asks for more of it';
COMMENT ON COLUMN partreg.provider.trusted_role IS 'its name when it was set';
COMMENT ON COLUMN partreg.provider.trusted_role_oid IS 'as in partreg.source';
COMMENT ON COLUMN partreg.provider.effective IS 'the time for which rule "all" asks this provider; [start, end), no bound meaning for ever';

-- A partition is in one of two tables: in pending until it is first unlocked, in
-- partition from then on.  So what is outstanding is small and found at once,
-- and a first unlock moves a row instead of leaving a dead version, and a second
-- entry of the index, in the large table.
--
-- length_class is the smallest c with end - start <= 2^c microseconds.  What
-- overlaps [a, b) in class c starts in (a - 2^c, b): a btree finds it without
-- a GiST index, which would make bulk registration several times slower.
CREATE TABLE partreg.pending (
    provider_id       integer NOT NULL,
    length_class      smallint NOT NULL,
    start_at          timestamptz NOT NULL,
    end_at            timestamptz NOT NULL CHECK (end_at > start_at),
    registered_at     timestamptz NOT NULL,
    PRIMARY KEY (provider_id, length_class, start_at, end_at)
) USING heap;
COMMENT ON TABLE partreg.pending IS 'internal: partitions that have never been unlocked: which provider is to supply which interval';

-- Eight columns: with one more, each row with a null has eight bytes more.
CREATE TABLE partreg.partition (
    provider_id       integer NOT NULL,
    length_class      smallint NOT NULL,
    start_at          timestamptz NOT NULL,
    end_at            timestamptz NOT NULL CHECK (end_at > start_at),
    registered_at     timestamptz NOT NULL,
    first_unlocked_at timestamptz NOT NULL,
    unlocked_at       timestamptz,
    unlocked_by       text COLLATE "C",
    PRIMARY KEY (provider_id, length_class, start_at, end_at)
) USING heap;
COMMENT ON TABLE partreg.partition IS 'internal: partitions that have been unlocked: which provider has supplied which interval';
COMMENT ON COLUMN partreg.partition.length_class IS 'the smallest c with end_at - start_at <= 2^c microseconds';
COMMENT ON COLUMN partreg.partition.unlocked_at IS 'last; NULL: at first_unlocked_at';
COMMENT ON COLUMN partreg.partition.unlocked_by IS 'the holder that unlocked it last; NULL: that is not remembered';

CREATE TABLE partreg.lock (
    source_id        integer NOT NULL,
    length_class     smallint NOT NULL,
    start_at         timestamptz NOT NULL,
    end_at           timestamptz NOT NULL,
    provider_id      integer NOT NULL,
    state            text COLLATE "C" NOT NULL,
    since            timestamptz NOT NULL,
    holder           text NOT NULL,
    lease_expires_at timestamptz,
    reason           text,
    change           text COLLATE "C",
    PRIMARY KEY (source_id, length_class, start_at, end_at, provider_id)
) USING heap WITH (fillfactor = 70);
COMMENT ON COLUMN partreg.lock.state IS 'locked or failed';
COMMENT ON COLUMN partreg.lock.change IS 'what was done last, as events call it: lock, take_over, fail, force_fail or revoke; NULL: that is not remembered';
COMMENT ON TABLE partreg.lock IS 'internal: partitions that are locked or failed; what is not here does not block';

CREATE TABLE partreg.coverage (
    source_id   integer NOT NULL,
    provider_id integer NOT NULL,
    span_start  timestamptz NOT NULL,
    span_end    timestamptz NOT NULL,
    PRIMARY KEY (source_id, provider_id, span_start) INCLUDE (span_end),
    -- int4range(id, id, '[]') lets core's range_ops hold an integer, so that
    -- no further extension is needed.
    CONSTRAINT coverage_spans_are_disjoint EXCLUDE USING gist (
        int4range(provider_id, provider_id, '[]') WITH &&,
        tstzrange(span_start, span_end) WITH &&)
) USING heap WITH (fillfactor = 70);
COMMENT ON TABLE partreg.coverage IS 'internal: disjoint spans of what each provider has unlocked at least once';

CREATE TABLE partreg.event (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event         text COLLATE "C" NOT NULL,
    source_id     integer NOT NULL,
    provider_id   integer,
    source_name   text COLLATE "C" NOT NULL,
    provider_name text COLLATE "C",
    start_at      timestamptz,
    end_at        timestamptz,
    at            timestamptz NOT NULL,
    actor         name NOT NULL,
    holder        text,
    reason        text,
    xid           xid8 NOT NULL,
    system_id     bigint NOT NULL,
    timeline      integer NOT NULL,
    credential    "char",
    details       jsonb,
    state_before  "char",
    length_class  smallint
) USING heap;
-- What the last unlock of a partition said.
CREATE INDEX event_details_idx ON partreg.event (provider_id, start_at, end_at, id)
    WHERE details IS NOT NULL;
-- The feed: the first number that a transaction has drawn.
CREATE INDEX event_xid_idx ON partreg.event (xid, id);
-- changed_ranges(): what a source's transactions have changed.  A registration
-- changes no data, so a bulk one pays nothing for it.
CREATE INDEX event_change_idx ON partreg.event (source_id, xid, start_at, end_at)
    WHERE event <> 'register_partition';
-- The history of a range, found by length class as partitions are.
CREATE INDEX event_during_idx ON partreg.event (source_id, length_class, start_at, end_at);
COMMENT ON TABLE partreg.event IS 'internal: history, append-only; it outlives the sources it speaks of, hence the names';
COMMENT ON COLUMN partreg.event.id IS 'drawn after the lock on the partition, so that the events of a partition are in order';
COMMENT ON COLUMN partreg.event.xid IS 'the top-level transaction that wrote it';
COMMENT ON COLUMN partreg.event.system_id IS 'with timeline: the era in which xid means something';

COMMENT ON COLUMN partreg.event.credential IS 'what entitled the actor: s source token, p provider token, o old token, t trusted role, x operator, w owner of the extension; NULL: nothing is needed, or it is not known';

COMMENT ON COLUMN partreg.event.state_before IS 'what the partition was before: n not known, r registered, u unlocked; l locked and f failed, never unlocked; L locked and F failed, once unlocked; NULL: that is not remembered';
COMMENT ON COLUMN partreg.event.length_class IS 'of start_at and end_at, as in partreg.partition; NULL where they are';

-- What this registry is, for positions: a row, and after a restore one more,
-- that CREATE EXTENSION made there; the oldest counts.
CREATE TABLE partreg.registry (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    history_since  timestamptz NOT NULL DEFAULT '-infinity',
    purged_id      bigint NOT NULL DEFAULT 0,
    purged_at      timestamptz NOT NULL DEFAULT '-infinity',
    purged_xid     xid8 NOT NULL DEFAULT '0',
    purged_system  bigint NOT NULL DEFAULT 0
) USING heap;
INSERT INTO partreg.registry DEFAULT VALUES;
COMMENT ON TABLE partreg.registry IS 'internal: which registry this is, and how far back its history reaches; the oldest row counts';
COMMENT ON COLUMN partreg.registry.history_since IS 'what was so at an instant before is not known';
COMMENT ON COLUMN partreg.registry.purged_id IS 'the greatest number of an event that purge_history() has removed; 0: none';
COMMENT ON COLUMN partreg.registry.purged_at IS 'of that event';
COMMENT ON COLUMN partreg.registry.purged_xid IS 'the greatest transaction whose events it has removed, in the cluster of purged_system';

COMMENT ON SEQUENCE partreg.source_id_seq IS 'internal: numbers sources';
COMMENT ON SEQUENCE partreg.provider_id_seq IS 'internal: numbers providers';
COMMENT ON SEQUENCE partreg.event_id_seq IS 'internal: numbers events';

-- What pg_dump takes along: each table and each sequence.
SELECT pg_extension_config_dump('partreg.source', '');
SELECT pg_extension_config_dump('partreg.source_id_seq', '');
SELECT pg_extension_config_dump('partreg.provider', '');
SELECT pg_extension_config_dump('partreg.provider_id_seq', '');
SELECT pg_extension_config_dump('partreg.pending', '');
SELECT pg_extension_config_dump('partreg.partition', '');
SELECT pg_extension_config_dump('partreg.lock', '');
SELECT pg_extension_config_dump('partreg.coverage', '');
SELECT pg_extension_config_dump('partreg.event', '');
SELECT pg_extension_config_dump('partreg.event_id_seq', '');
SELECT pg_extension_config_dump('partreg.registry', 'WHERE created_at = (SELECT min(created_at) FROM partreg.registry)');
-- coalesce_ranges: the union of ranges, as range_agg gives it.  The state and
-- its formats are explained at the head of src/coalesce.c.

CREATE FUNCTION partreg._coalesce_ranges_add(state internal, during tstzrange)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_add(internal, tstzrange) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_add(internal, tstzrange) IS
    'internal: one more row of coalesce_ranges';

CREATE FUNCTION partreg._coalesce_ranges_combine(state internal, other internal)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_combine(internal, internal) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_combine(internal, internal) IS
    'internal: two states of coalesce_ranges made one';

CREATE FUNCTION partreg._coalesce_ranges_serialize(state internal)
RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_serialize(internal) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_serialize(internal) IS
    'internal: a state of coalesce_ranges on its way to the leader of a parallel query';

CREATE FUNCTION partreg._coalesce_ranges_deserialize(bytes bytea, state internal)
RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_deserialize(bytea, internal) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_deserialize(bytea, internal) IS
    'internal: a state of coalesce_ranges received by the leader of a parallel query';

CREATE FUNCTION partreg._coalesce_ranges_final(state internal)
RETURNS tstzmultirange
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_final(internal) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_final(internal) IS
    'internal: the result of coalesce_ranges';

CREATE AGGREGATE partreg.coalesce_ranges(during tstzrange) (
    SFUNC = partreg._coalesce_ranges_add,
    STYPE = internal,
    FINALFUNC = partreg._coalesce_ranges_final,
    COMBINEFUNC = partreg._coalesce_ranges_combine,
    SERIALFUNC = partreg._coalesce_ranges_serialize,
    DESERIALFUNC = partreg._coalesce_ranges_deserialize,
    PARALLEL = SAFE
);

REVOKE ALL ON FUNCTION partreg.coalesce_ranges(tstzrange) FROM PUBLIC;
COMMENT ON AGGREGATE partreg.coalesce_ranges(tstzrange) IS
    'the union of all ranges, as range_agg gives it';
-- Sources, providers, their tokens and rules (src/registry.c, src/rename.c,
-- src/rotate.c, src/withdraw.c).  SET enable_seqscan: see 40_partition.sql.

CREATE FUNCTION partreg.register_source(source_name text, owner text, rule text DEFAULT 'any', trusted_role text DEFAULT NULL, if_not_exists boolean DEFAULT false)
    RETURNS text
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_source(text, text, text, text, boolean) IS
    'registers a data set and returns its source token, which is shown this once; a source that exists is an error, or NULL with if_not_exists';

CREATE FUNCTION partreg.register_provider(provider_name text, access_token text DEFAULT NULL, trusted_role text DEFAULT NULL, effective tstzrange DEFAULT '(,)', source_name text DEFAULT NULL, if_not_exists boolean DEFAULT false)
    RETURNS text
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_provider(text, text, text, tstzrange, text, boolean) IS
    'registers a job that fills a source and returns its provider token, which is shown this once; a provider that exists is an error, or NULL with if_not_exists; a revoked one is revived';

CREATE FUNCTION partreg.rename_source(source_name text, new_name text, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.rename_source(text, text, text) IS
    'gives a source another name; its partitions, tokens and history stay with it';

CREATE FUNCTION partreg.rename_provider(source_name text, provider_name text, new_name text, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.rename_provider(text, text, text, text) IS
    'gives a provider another name; its partitions, tokens and history stay with it; waits for its open writers; needs the source token or the source''s trusted role';

CREATE FUNCTION partreg.set_owner(source_name text, owner text, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_owner(text, text, text) IS
    'changes who owns a source; needs the source token or the source''s trusted role';

CREATE FUNCTION partreg.set_readiness_rule(source_name text, rule text, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_readiness_rule(text, text, text) IS
    'sets whether any provider makes an instant available, or all of them have to; needs the source token or the source''s trusted role';

CREATE FUNCTION partreg.set_effective(source_name text, provider_name text, effective tstzrange, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_effective(text, text, tstzrange, text) IS
    'sets the time for which a provider is required under rule all; waits for its open writers; needs the source token or the source''s trusted role';

CREATE FUNCTION partreg.set_trusted_role(source_name text, provider_name text, trusted_role text, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_trusted_role(text, text, text, text) IS
    'sets the role whose members need no token for a provider or, where provider_name is NULL, for the source; NULL means no role; needs the source token or the source''s trusted role';

CREATE FUNCTION partreg.reset_access_token(source_name text, provider_name text DEFAULT NULL)
    RETURNS text
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.reset_access_token(text, text) IS
    'replaces a lost token and returns the new one, which is shown this once; the old one dies at once; for the owner of the extension';

CREATE FUNCTION partreg.rotate_access_token(source_name text, provider_name text, access_token text, grace interval DEFAULT '0')
    RETURNS text
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.rotate_access_token(text, text, text, interval) IS
    'replaces the token of a provider or, where provider_name is NULL, of the source, and returns the new one, which is shown this once; the old one dies after grace';

CREATE FUNCTION partreg.revoke_provider(source_name text, provider_name text, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.revoke_provider(text, text, text) IS
    'ends a provider: its tokens and trusted role die, its locks become failed, what it supplied stays; waits for its open writers; needs the source token or the source''s trusted role';

CREATE FUNCTION partreg.drop_source(source_name text, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.drop_source(text, text) IS
    'removes a source and all that belongs to it except its history; waits for its open writers; needs the source token or the source''s trusted role';
-- Partitions and their states (src/partition.c, src/bulk.c, src/withdraw.c).
--
-- Plans are kept for the life of a session, while a table may grow from nothing
-- to millions of rows before it is analyzed; so every function that runs SQL
-- statements says that rows are found by index.

CREATE FUNCTION partreg.register_partition(source_name text, provider_name text, during tstzrange,
                                           access_token text DEFAULT NULL, if_not_exists boolean DEFAULT false)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_partition(text, text, tstzrange, text, boolean) IS
    'registers an interval that a provider is to supply; true if it is new; error 42710 if it is known, or false with if_not_exists';

CREATE FUNCTION partreg.register_partitions(source_name text, provider_name text, during tstzrange, step interval,
                                            access_token text DEFAULT NULL, time_zone text DEFAULT 'UTC')
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_partitions(text, text, tstzrange, interval, text, text) IS
    'registers a range cut into steps by the wall clock of a time zone; returns how many partitions are new';

CREATE FUNCTION partreg.lock_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                       lease interval DEFAULT NULL, reason text DEFAULT NULL,
                                       register boolean DEFAULT false)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.lock_partition(text, text, tstzrange, text, text, interval, text, boolean) IS
    'locks a partition while its data changes; true if the lock is newly yours; error 55006 if another holder has it; register: registers it first where it is not known';

CREATE FUNCTION partreg.lock_partitions(source_name text, provider_name text, during tstzrange,
                                        access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                        lease interval DEFAULT NULL, reason text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.lock_partitions(text, text, tstzrange, text, text, interval, text) IS
    'locks every partition of a provider that lies within a range, or none; returns how many are newly yours';

CREATE FUNCTION partreg.renew_lease(source_name text, provider_name text, during tstzrange, lease interval,
                                    access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS timestamptz
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.renew_lease(text, text, tstzrange, interval, text, text) IS
    'gives the lock of a holder another lease, and never takes a lock; returns when it ends; error 55006 if the holder does not have the lock';

CREATE FUNCTION partreg.renew_leases(source_name text, provider_name text, during tstzrange, lease interval,
                                     access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.renew_leases(text, text, tstzrange, interval, text, text) IS
    'gives every lock of a holder within a range another lease; returns how many there are; error 55006 if there is none';

CREATE FUNCTION partreg.unlock_partition(source_name text, provider_name text, during tstzrange,
                                         access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                         register boolean DEFAULT false, details jsonb DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.unlock_partition(text, text, tstzrange, text, text, boolean, jsonb) IS
    'says that a partition may be read; true if its state changed; a holder that is named has to have the lock: error 55006 if not, 55000 if it has unlocked already';

CREATE FUNCTION partreg.unlock_partitions(source_name text, provider_name text, during tstzrange,
                                          access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                          details jsonb DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.unlock_partitions(text, text, tstzrange, text, text, jsonb) IS
    'unlocks every partition of a provider that lies within a range, or none; returns how many changed';

CREATE FUNCTION partreg.fail_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                       reason text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.fail_partition(text, text, tstzrange, text, text, text) IS
    'says that the job of a partition has given up: it blocks until it is unlocked or retired; true if its state changed; a holder that is named has to have the lock: error 55006 if not';

CREATE FUNCTION partreg.fail_partitions(source_name text, provider_name text, during tstzrange,
                                        access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                        reason text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.fail_partitions(text, text, tstzrange, text, text, text) IS
    'fails every partition of a provider that lies within a range, or none; returns how many changed';

CREATE FUNCTION partreg.force_fail_partition(source_name text, provider_name text, during tstzrange, reason text)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.force_fail_partition(text, text, tstzrange, text) IS
    'fails a partition whoever holds it, without a token; true if its state changed; for operators';

CREATE FUNCTION partreg.retire_partition(source_name text, provider_name text, during tstzrange,
                                         access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.retire_partition(text, text, tstzrange, text, text) IS
    'removes a partition, with what only it made available and with its lock; waits for the provider''s open writers; error 55006 if another holder has the lock';

CREATE FUNCTION partreg.retire_partitions(source_name text, provider_name text, during tstzrange,
                                          access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.retire_partitions(text, text, tstzrange, text, text) IS
    'retires every partition of a provider that lies within a range, or none; returns how many there were';
-- Dates and steps by the wall clock of a time zone (src/calendar.c).

CREATE FUNCTION partreg.day_range(day date, time_zone text DEFAULT 'UTC')
    RETURNS tstzrange
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.day_range(date, text) IS
    'a local date, from its first instant to that of the next one; error 22023 where the zone has no such date';

CREATE FUNCTION partreg.step_ranges(during tstzrange, step interval, time_zone text DEFAULT 'UTC')
    RETURNS SETOF tstzrange
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.step_ranges(tstzrange, interval, text) IS
    'the partitions that register_partitions() would register, in order';
-- Deadlines and calendars: who is late with what (src/schedule.c, src/lateness.c,
-- src/expectation.c), and how far each source is ready (src/stats.c).  SET
-- enable_seqscan: see 40_partition.sql.

CREATE FUNCTION partreg.set_deadline(source_name text, provider_name text, within interval, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_deadline(text, text, interval, text) IS
    'sets how long after its end a partition that was not unlocked is late; NULL means never; needs the source token or the source''s trusted role';

CREATE FUNCTION partreg.set_calendar(source_name text, provider_name text, step interval, start_at timestamptz, access_token text DEFAULT NULL, time_zone text DEFAULT 'UTC', closed tstzmultirange DEFAULT '{}')
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_calendar(text, text, interval, timestamptz, text, text, tstzmultirange) IS
    'sets which partitions are expected of a provider: steps by the wall clock of a time zone, none that overlaps what is closed; step NULL means none; needs the source token or the source''s trusted role';

CREATE TYPE partreg._late AS (
    source_id   integer,
    provider_id integer,
    during      tstzrange,
    state       text,
    due_at      timestamptz
);
COMMENT ON TYPE partreg._late IS 'internal: what a provider has not supplied by its deadline';

-- Behind the views late_partitions and stats, whose readers have to be allowed
-- to call it.
CREATE FUNCTION partreg._list_late()
    RETURNS SETOF partreg._late
    LANGUAGE c STABLE PARALLEL SAFE ROWS 100
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._list_late() IS
    'internal: for the view late_partitions: what is late of all providers';

CREATE TYPE partreg._ready_end AS (
    source_id integer,
    ready_to  timestamptz
);
COMMENT ON TYPE partreg._ready_end IS 'internal: the end of the last ready stretch of a source';

CREATE FUNCTION partreg._list_ready_ends()
    RETURNS SETOF partreg._ready_end
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._list_ready_ends() IS
    'internal: for the view stats: how far each source is ready';
-- Questions (src/readiness.c, src/explain.c).  STABLE and invoker's: they
-- answer from the caller's snapshot, and EXECUTE on them is the gate.

CREATE FUNCTION partreg.check_readiness(source_name text, during tstzrange)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.check_readiness(text, tstzrange) IS
    'is every instant of the range available, and nothing in it locked or failed?  never NULL';

CREATE FUNCTION partreg.check_readiness(source_name text, start_at timestamptz, end_at timestamptz)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'check_readiness_between';
COMMENT ON FUNCTION partreg.check_readiness(text, timestamptz, timestamptz) IS
    'is every instant of [start_at, end_at) available, and nothing in it locked or failed?  never NULL';

CREATE TYPE partreg.obstacle AS (
    during           tstzrange,
    state            text,
    provider_name    text,
    since            timestamptz,
    holder           text,
    lease_expires_at timestamptz,
    reason           text
);
COMMENT ON TYPE partreg.obstacle IS 'what keeps a piece of a range from being ready: locked, failed, registered (never unlocked) or missing';

CREATE FUNCTION partreg.explain_readiness(source_name text, during tstzrange)
    RETURNS SETOF partreg.obstacle
    LANGUAGE c STABLE PARALLEL SAFE ROWS 10
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.explain_readiness(text, tstzrange) IS
    'what keeps the range from being ready, piece by piece; no row means ready';

CREATE FUNCTION partreg.assert_ready(source_name text, during tstzrange)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.assert_ready(text, tstzrange) IS
    'true when the range is ready, else error 55000 with the first five obstacles in its DETAIL';

CREATE FUNCTION partreg.all_ready(source_names text[], during tstzrange)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.all_ready(text[], tstzrange) IS
    'is the range ready in each of the sources?  never NULL';

CREATE FUNCTION partreg.ready_until(source_name text, since timestamptz)
    RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.ready_until(text, timestamptz) IS
    'the first instant from since on that is not ready; NULL when since itself is not';

CREATE FUNCTION partreg.ready_ranges(source_name text, during tstzrange)
    RETURNS tstzmultirange
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.ready_ranges(text, tstzrange) IS
    'the part of a range, which may be unbounded, that is ready';

CREATE TYPE partreg.provider_state AS (
    provider_name text,
    state         text,
    ranges        tstzmultirange
);
COMMENT ON TYPE partreg.provider_state IS 'where a provider''s partitions are in a state: failed, locked, unlocked, late or registered';

CREATE FUNCTION partreg.provider_states(source_name text, during tstzrange)
    RETURNS SETOF partreg.provider_state
    LANGUAGE c STABLE PARALLEL SAFE ROWS 10
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.provider_states(text, tstzrange) IS
    'for pictures: of each provider, where in the range it has which state; each instant has the first of failed, locked, unlocked, late, registered';
-- The change feed (src/feed.c), what has changed since (src/changed.c), and the
-- positions that both go by (src/position.c, src/judge.c).

CREATE TYPE partreg.change AS (
    event_id      bigint,
    event         text,
    source_name   text,
    provider_name text,
    during        tstzrange,
    at            timestamptz,
    actor         name,
    holder        text,
    reason        text,
    details       jsonb,
    next_position text
);
COMMENT ON TYPE partreg.change IS 'an event, and the position after it';

CREATE FUNCTION partreg.feed_position()
    RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.feed_position() IS
    'a position for changes_since() and changed_ranges(): exactly what the caller''s snapshot sees';

CREATE FUNCTION partreg.changes_since(since text, max_events integer DEFAULT 1000, source_names text[] DEFAULT NULL)
    RETURNS SETOF partreg.change
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1000
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.changes_since(text, integer, text[]) IS
    'the events after a position (NULL: all that are kept), each once; the last row''s next_position goes on';

CREATE FUNCTION partreg.changed_ranges(source_name text, during tstzrange, since text)
    RETURNS tstzmultirange
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.changed_ranges(text, tstzrange, text) IS
    'the parts of a range, which may be unbounded, whose data may have changed since a position';
-- History (src/event.c, src/asof.c): what happened, what was ready at an earlier
-- instant, and how history is cut off.

CREATE FUNCTION partreg.history(source_name text, during tstzrange, provider_name text DEFAULT NULL,
                                max_events integer DEFAULT 1000)
    RETURNS SETOF partreg.change
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.history(text, tstzrange, text, integer) IS
    'what happened to the partitions that overlap a range, of one provider or of all, the newest first';

CREATE TYPE partreg.supplied AS (
    during        tstzrange,
    provider_name text,
    unlocked_at   timestamptz,
    details       jsonb
);
COMMENT ON TYPE partreg.supplied IS 'an unlocked partition, and what its last unlock said of it';

CREATE FUNCTION partreg.latest_details(source_name text, during tstzrange)
    RETURNS SETOF partreg.supplied
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.latest_details(text, tstzrange) IS
    'of each unlocked partition that overlaps a range, when it was unlocked last, and what that said of it, as long as history keeps it';

CREATE FUNCTION partreg.readiness_as_of(source_name text, during tstzrange, as_of timestamptz)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.readiness_as_of(text, tstzrange, timestamptz) IS
    'was the range ready at an earlier instant?  never NULL; error 55000 before what history keeps';

CREATE FUNCTION partreg.ready_since(source_name text, during tstzrange)
    RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.ready_since(text, tstzrange) IS
    'when the range became ready last; NULL when it is not, or was so before what history keeps';

CREATE FUNCTION partreg._event_time(at timestamptz, xid xid8, system_id bigint)
    RETURNS timestamptz
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._event_time(timestamptz, xid8, bigint) IS
    'internal: when an event took effect: at its commit, where the server knows when that was';

CREATE FUNCTION partreg.purge_history(before timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    registry partreg.registry.id%TYPE;
    gone     record;
BEGIN
    IF before IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            CONSTRAINT = 'bad_argument',
            MESSAGE = 'argument "before" must not be null',
            HINT = 'Only arguments that have a default may be null or left out.';
    END IF;
    -- Also where there is nothing to remove.
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
            MESSAGE = 'cannot execute purge_history() in a read-only transaction',
            HINT = 'Call it on the primary server, in a transaction that may write.';
    END IF;

    -- One purge at a time; the next one sees what this one has removed.
    SELECT r.id INTO registry
      FROM partreg.registry r ORDER BY r.created_at, r.id LIMIT 1 FOR UPDATE;

    -- An event that was called for before, and committed later, is needed to
    -- tell what was so in between.
    WITH removed AS (
        DELETE FROM partreg.event e
         WHERE e.at < before AND partreg._event_time(e.at, e.xid, e.system_id) < before
        RETURNING e.id, e.at, e.xid, e.system_id
    ), newest AS (
        SELECT r.id, r.at, r.system_id FROM removed r ORDER BY r.id DESC LIMIT 1
    )
    SELECT count(*) AS events, n.id, n.at, n.system_id,
           max(r.xid) FILTER (WHERE r.system_id = n.system_id) AS xid
      INTO gone
      FROM removed r, newest n
     GROUP BY n.id, n.at, n.system_id;

    -- A transaction that is open now may commit events of before, which then
    -- stay; of what comes after this call, nothing is missing.
    UPDATE partreg.registry r
       SET history_since = greatest(r.history_since, least(before, clock_timestamp()))
     WHERE r.id = registry;
    IF gone.events IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE partreg.registry r
       SET purged_id = greatest(r.purged_id, gone.id),
           purged_at = CASE WHEN r.purged_id < gone.id THEN gone.at ELSE r.purged_at END,
           purged_xid = CASE WHEN r.purged_system = gone.system_id THEN greatest(r.purged_xid, gone.xid)
                             WHEN r.purged_id < gone.id THEN gone.xid
                             ELSE r.purged_xid
                        END,
           purged_system = CASE WHEN r.purged_id < gone.id THEN gone.system_id ELSE r.purged_system END
     WHERE r.id = registry;
    -- History cannot tell who cut it off; the server's log does.
    RAISE LOG 'partreg.purge_history() removes % events of before %', gone.events, before;
    RETURN gone.events;
END;
$$;
COMMENT ON FUNCTION partreg.purge_history(timestamptz) IS
    'removes the events before an instant, and returns how many there were; what is ready does not change; for the owner of the extension';
-- Waiting (src/wait.c).  Neither SECURITY DEFINER nor SET: with either a
-- procedure may not end its transaction, and so would keep its snapshot.

CREATE PROCEDURE partreg.wait_until_ready(source_name text, during tstzrange, timeout interval, poll interval DEFAULT '1s')
    LANGUAGE c
    AS 'MODULE_PATHNAME';
COMMENT ON PROCEDURE partreg.wait_until_ready(text, tstzrange, interval, interval) IS
    'ends when the range is ready, asking once a poll; 55P03 when the timeout is over, 55000 when a failed partition is in the way';
-- A picture for psql (src/timeline.c).  Parallel restricted: a parallel worker
-- does not know the client's encoding.

CREATE FUNCTION partreg.timeline(source_name text, during tstzrange, width integer DEFAULT 72)
    RETURNS SETOF text
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.timeline(text, tstzrange, integer) IS
    'a picture of a range, in UTC: a lane for all providers together and one for each; no line is wider than width, 20 to 200';
-- verify(): does everything stored agree with everything else?
--
-- One view for each kind of damage, each with the columns (source_id, problem),
-- source_id NULL where it belongs to no source; _damage puts them together, and
-- verify() adds the names.  So what a later version finds besides is one view
-- more, or one that is replaced.  The views read tables that no role may read;
-- verify() runs as the owner of the extension.
--
-- All reads of verify() are in the caller's snapshot, so what open transactions
-- do meanwhile is seen as a whole or not at all.  Only sequences are read as
-- they are now: a number is drawn before its row can be seen, so they are never
-- behind what a snapshot sees.
--
-- A damaged table may hold anything.  So nothing here may fail on a value:
-- ranges are built where start < end is sure, and times are printed as they are.
--
-- What no query finds: an index that lacks an entry.  amcheck does
-- (bt_index_check with heapallindexed).

CREATE TYPE partreg.problem AS (
    source_name text,
    problem     text
);
COMMENT ON TYPE partreg.problem IS 'something stored that does not agree with the rest';

CREATE FUNCTION partreg._length_class(start_at timestamptz, end_at timestamptz)
    RETURNS smallint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._length_class(timestamptz, timestamptz) IS
    'internal: the smallest c with end_at - start_at <= 2^c microseconds';

CREATE FUNCTION partreg._is_name(name text)
    RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._is_name(text) IS
    'internal: does a text keep the rules for names of sources, providers, owners and holders?';

CREATE FUNCTION partreg._is_calendar(step interval, start_at timestamptz, time_zone text)
    RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._is_calendar(interval, timestamptz, text) IS
    'internal: can the steps of a stored calendar be told by this server?';

-- A time that somebody's clock may have shown.
CREATE FUNCTION partreg._is_past(at timestamptz)
    RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT at > '-infinity' AND at < statement_timestamp() + interval '1 day';
    END;
COMMENT ON FUNCTION partreg._is_past(timestamptz) IS
    'internal: is a time finite, and not in the future?  a day is granted for clocks that were set back';

-- What the kinds share

CREATE VIEW partreg._partition AS
    SELECT p.provider_id, p.length_class, p.start_at, p.end_at, p.registered_at,
           NULL::timestamptz AS first_unlocked_at, NULL::timestamptz AS unlocked_at, NULL::text COLLATE "C" AS unlocked_by,
           false AS unlocked
      FROM partreg.pending p
    UNION ALL
    SELECT p.provider_id, p.length_class, p.start_at, p.end_at, p.registered_at,
           p.first_unlocked_at, p.unlocked_at, p.unlocked_by, true
      FROM partreg.partition p;
COMMENT ON VIEW partreg._partition IS 'internal: partitions, from both of their tables';

CREATE VIEW partreg._unlocked AS
    SELECT v.source_id, p.provider_id,
           partreg.coalesce_ranges(tstzrange(p.start_at, p.end_at)) AS ranges
      FROM partreg.partition p
      JOIN partreg.provider v ON v.id = p.provider_id
     WHERE p.start_at < p.end_at
     GROUP BY v.source_id, p.provider_id;
COMMENT ON VIEW partreg._unlocked IS 'internal: what the partitions of each provider say that it has made available';

CREATE VIEW partreg._covered AS
    SELECT c.source_id, c.provider_id,
           partreg.coalesce_ranges(tstzrange(c.span_start, c.span_end)) AS ranges
      FROM partreg.coverage c
     WHERE c.span_start < c.span_end
     GROUP BY c.source_id, c.provider_id;
COMMENT ON VIEW partreg._covered IS 'internal: what the spans of each provider say that it has made available';

CREATE VIEW partreg._digest AS
    SELECT s.id AS source_id, 'the source' AS what, d.digest, d.nth
      FROM partreg.source s
     CROSS JOIN LATERAL (VALUES (s.token_digest, 'token'), (s.old_token_digest, 'old token')) d (digest, nth)
     WHERE d.digest IS NOT NULL
    UNION ALL
    SELECT v.source_id, format('provider %s', v.name), d.digest, d.nth
      FROM partreg.provider v
     CROSS JOIN LATERAL (VALUES (v.token_digest, 'token'), (v.old_token_digest, 'old token')) d (digest, nth)
     WHERE d.digest IS NOT NULL;
COMMENT ON VIEW partreg._digest IS 'internal: the digests of all tokens, the old ones too';

-- Where the OID means something, role_name is the name that it has now, NULL
-- where the role is gone; elsewhere the name is all there is.
CREATE VIEW partreg._trusted_role AS
    SELECT t.source_id, t.what, t.name,
           t.system = here.system AND t.database = here.database AND t.role IS NOT NULL AS is_bound,
           r.rolname AS role_name, namesake.oid IS NOT NULL AS name_exists
      FROM (SELECT s.id, 'the source', s.trusted_role, s.trusted_role_oid, s.trusted_role_system, s.trusted_role_database
              FROM partreg.source s
             WHERE s.trusted_role IS NOT NULL
             UNION ALL
            SELECT v.source_id, format('provider %s', v.name), v.trusted_role, v.trusted_role_oid, v.trusted_role_system, v.trusted_role_database
              FROM partreg.provider v
             WHERE v.trusted_role IS NOT NULL) t (source_id, what, name, role, system, database)
     CROSS JOIN (SELECT c.system_identifier, d.oid
                   FROM pg_control_system() c, pg_database d
                  WHERE d.datname = current_database()) here (system, database)
      LEFT JOIN pg_roles r ON r.oid = t.role
      LEFT JOIN pg_roles namesake ON namesake.rolname = t.name;
COMMENT ON VIEW partreg._trusted_role IS 'internal: trusted roles of sources and providers, and what roles there are';

-- One pass over all history and all partitions, in C: see src/verify.c.
CREATE FUNCTION partreg._suspects()
    RETURNS TABLE (what "char", event_id bigint, source_id integer, provider_id integer,
                   start_at timestamptz, end_at timestamptz)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 100
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._suspects() IS
    'internal: what looks wrong (r partition, s its state by history, e event), for the views to judge, and m whom history mentions';

-- What would be drawn next, and the greatest number that the tables have; what
-- history mentions besides is in _damage_history.
CREATE VIEW partreg._sequence (name, next, greatest) AS
    SELECT 'source_id_seq'::name, q.last_value + q.is_called::integer,
           greatest((SELECT max(s.id) FROM partreg.source s),
                    (SELECT max(v.source_id) FROM partreg.provider v), 0)::bigint
      FROM partreg.source_id_seq q
    UNION ALL
    SELECT 'provider_id_seq', q.last_value + q.is_called::integer,
           coalesce((SELECT max(v.id) FROM partreg.provider v), 0)
      FROM partreg.provider_id_seq q
    UNION ALL
    SELECT 'event_id_seq', q.last_value + q.is_called::integer,
           greatest((SELECT max(e.id) FROM partreg.event e), (SELECT max(r.purged_id) FROM partreg.registry r), 0)
      FROM partreg.event_id_seq q;
COMMENT ON VIEW partreg._sequence IS 'internal: sequences, and the greatest numbers in use';

-- The kinds

CREATE VIEW partreg._damage_parents (source_id, problem) AS
    SELECT v.source_id, format('provider %s belongs to no source', v.name)
      FROM partreg.provider v
     WHERE NOT EXISTS (SELECT FROM partreg.source s WHERE s.id = v.source_id)
    UNION ALL
    SELECT c.source_id, format('span [%s, %s) of provider number %s belongs to no provider of the source',
                               c.span_start, c.span_end, c.provider_id)
      FROM partreg.coverage c
     WHERE NOT EXISTS (SELECT FROM partreg.provider v
                        WHERE v.id = c.provider_id AND v.source_id = c.source_id)
    UNION ALL
    SELECT l.source_id, format('lock on [%s, %s) of provider number %s belongs to no partition of the source',
                               l.start_at, l.end_at, l.provider_id)
      FROM partreg.lock l
     WHERE NOT EXISTS (SELECT FROM partreg._partition p
                         JOIN partreg.provider v ON v.id = p.provider_id
                        WHERE p.provider_id = l.provider_id AND p.length_class = l.length_class
                          AND p.start_at = l.start_at AND p.end_at = l.end_at
                          AND v.source_id = l.source_id);
COMMENT ON VIEW partreg._damage_parents IS 'internal: rows that belong to nobody, or to somebody else';

CREATE VIEW partreg._damage_sources (source_id, problem) AS
    SELECT s.id, format('the rule of the source is %L', s.rule)
      FROM partreg.source s
     WHERE s.rule NOT IN ('any', 'all')
    UNION ALL
    SELECT s.id, format('%L is no name for a source', s.name)
      FROM partreg.source s
     WHERE NOT partreg._is_name(s.name)
    UNION ALL
    SELECT s.id, format('%L is no name for an owner', s.owner)
      FROM partreg.source s
     WHERE NOT partreg._is_name(s.owner)
    UNION ALL
    SELECT s.id, 'the source has a time that is infinite or in the future'
      FROM partreg.source s
     WHERE NOT (partreg._is_past(s.registered_at) AND partreg._is_past(s.token_changed_at))
        OR NOT isfinite(s.old_token_until);
COMMENT ON VIEW partreg._damage_sources IS 'internal: sources with words, names or times that mean nothing';

CREATE VIEW partreg._damage_providers (source_id, problem) AS
    SELECT v.source_id, format('%L is no name for a provider', v.name)
      FROM partreg.provider v
     WHERE NOT partreg._is_name(v.name)
    UNION ALL
    SELECT v.source_id, format('provider %s has a time that is infinite or in the future', v.name)
      FROM partreg.provider v
     WHERE NOT (partreg._is_past(v.registered_at) AND partreg._is_past(v.token_changed_at)
                AND coalesce(partreg._is_past(v.revoked_at), true))
        OR NOT isfinite(v.old_token_until) OR NOT isfinite(v.calendar_start)
    UNION ALL
    SELECT v.source_id, format('effective of provider %s is %s, which is not of the form [start, end)', v.name, v.effective)
      FROM partreg.provider v
     WHERE upper_inc(v.effective)
        OR NOT (isempty(v.effective) OR lower_inf(v.effective) OR lower_inc(v.effective))
        OR NOT isfinite(lower(v.effective)) OR NOT isfinite(upper(v.effective))
    UNION ALL
    SELECT v.source_id, format('provider %s is revoked and has a %s', v.name, has.what)
      FROM partreg.provider v
     CROSS JOIN LATERAL (VALUES (v.token_digest IS NOT NULL OR v.old_token_digest IS NOT NULL, 'token'),
                                (v.trusted_role IS NOT NULL OR v.trusted_role_oid IS NOT NULL, 'trusted role'),
                                (EXISTS (SELECT FROM partreg.lock l
                                          WHERE l.source_id = v.source_id AND l.provider_id = v.id AND l.state = 'locked'
                                            AND l.since < v.revoked_at),
                                 'locked partition')) has (it, what)
     WHERE v.revoked_at IS NOT NULL AND has.it
    UNION ALL
    SELECT v.source_id, format('provider %s is not revoked and has no token', v.name)
      FROM partreg.provider v
     WHERE v.revoked_at IS NULL AND v.token_digest IS NULL
    UNION ALL
    SELECT v.source_id, format('provider %s has half of a calendar', v.name)
      FROM partreg.provider v
     WHERE v.calendar_step IS NULL
       AND num_nonnulls(v.calendar_start, v.calendar_zone, v.calendar_closed) > 0;
COMMENT ON VIEW partreg._damage_providers IS 'internal: providers with names, times or ranges that mean nothing, or revoked by half';

CREATE VIEW partreg._damage_schedules (source_id, problem) AS
    SELECT v.source_id, format('the deadline of provider %s is %s, which is no length of time', v.name, v.deadline)
      FROM partreg.provider v
     WHERE extract(year FROM v.deadline) <> 0 OR extract(month FROM v.deadline) <> 0 OR v.deadline < '0'
    UNION ALL
    SELECT v.source_id,
           CASE WHEN partreg._is_calendar('1 day', '2000-01-01 00:00+00', v.calendar_zone)
                THEN format('the calendar of provider %s has a step or a start that means nothing', v.name)
                ELSE format('this server does not know the time zone %L of the calendar of provider %s, so what is missing cannot be told: set_calendar() sets another',
                            v.calendar_zone, v.name)
           END
      FROM partreg.provider v
     WHERE v.calendar_step IS NOT NULL
       AND NOT coalesce(partreg._is_calendar(v.calendar_step, v.calendar_start, v.calendar_zone), false);
COMMENT ON VIEW partreg._damage_schedules IS 'internal: deadlines and calendars by which nobody can tell what is late';

CREATE VIEW partreg._damage_tokens (source_id, problem) AS
    SELECT d.source_id, format('the %s of %s has a digest of %s bytes', d.nth, d.what, octet_length(d.digest))
      FROM partreg._digest d
     WHERE octet_length(d.digest) <> 32
    UNION ALL
    SELECT d.source_id, format('the %s of %s is also that of another source or provider', d.nth, d.what)
      FROM partreg._digest d
     WHERE d.digest IN (SELECT e.digest FROM partreg._digest e GROUP BY e.digest HAVING count(*) > 1)
    UNION ALL
    SELECT o.source_id, format('%s has an old token without an end, or an end without an old token', o.what)
      FROM (SELECT s.id, 'the source', s.old_token_digest, s.old_token_until FROM partreg.source s
             UNION ALL
            SELECT v.source_id, format('provider %s', v.name), v.old_token_digest, v.old_token_until FROM partreg.provider v)
           o (source_id, what, digest, until)
     WHERE (o.digest IS NULL) <> (o.until IS NULL);
COMMENT ON VIEW partreg._damage_tokens IS 'internal: digests that no token has, or more than one';

CREATE VIEW partreg._damage_trusted_roles (source_id, problem) AS
    SELECT t.source_id,
           CASE WHEN t.is_bound AND t.role_name IS NOT NULL AND t.name_exists
                THEN format('the trusted role %s of %s has the name %s now, and its name is that of another role, which is not trusted: set_trusted_role() sets what is meant',
                            t.name, t.what, t.role_name)
                WHEN t.is_bound AND t.role_name IS NOT NULL
                THEN format('the trusted role %s of %s has the name %s now: set_trusted_role() makes it known by that name',
                            t.name, t.what, t.role_name)
                WHEN t.is_bound AND t.name_exists
                THEN format('the trusted role %s of %s does not exist, and its name is that of another role, which is not trusted: set_trusted_role() sets what is meant',
                            t.name, t.what)
                WHEN t.name_exists
                THEN format('the trusted role %s of %s goes by name only: set_trusted_role() binds it to the role that has the name now',
                            t.name, t.what)
                ELSE format('the trusted role %s of %s does not exist', t.name, t.what)
           END
      FROM partreg._trusted_role t
     WHERE NOT coalesce(t.is_bound AND t.role_name = t.name, false);
COMMENT ON VIEW partreg._damage_trusted_roles IS 'internal: trusted roles that are gone, go by name only, or by another name';

CREATE VIEW partreg._damage_partitions (source_id, problem) AS
    SELECT v.source_id, format('partition [%s, %s) of provider %s is filed both as never unlocked and as unlocked',
                               p.start_at, p.end_at, v.name)
      FROM partreg.pending p
      JOIN partreg.partition u ON u.provider_id = p.provider_id AND u.length_class = p.length_class
                              AND u.start_at = p.start_at AND u.end_at = p.end_at
      JOIN partreg.provider v ON v.id = p.provider_id;
COMMENT ON VIEW partreg._damage_partitions IS 'internal: partitions that are in both tables';

CREATE VIEW partreg._damage_locks (source_id, problem) AS
    SELECT l.source_id, format('lock on [%s, %s) of provider number %s %s', l.start_at, l.end_at, l.provider_id, it.wrong)
      FROM partreg.lock l
     CROSS JOIN LATERAL (VALUES
            (l.state NOT IN ('locked', 'failed'), format('has the state %L', l.state)),
            (l.change NOT IN ('lock', 'take_over', 'fail', 'force_fail', 'revoke'), format('has the last change %L', l.change)),
            (l.state = 'locked' AND l.change IN ('fail', 'force_fail', 'revoke')
             OR l.state = 'failed' AND l.change IN ('lock', 'take_over'),
             format('has the state %L after the change %L', l.state, l.change)),
            (l.state = 'failed' AND l.lease_expires_at IS NOT NULL, 'is failed and has a lease'),
            (l.length_class <> partreg._length_class(l.start_at, l.end_at), 'is filed under a wrong length class'),
            (l.start_at >= l.end_at OR l.start_at = '-infinity' OR l.end_at = 'infinity', 'is empty or infinite'),
            (NOT partreg._is_past(l.since) OR NOT isfinite(l.lease_expires_at), 'has a time that is infinite or in the future'),
            (NOT partreg._is_name(l.holder), format('has the holder %L, which is no name', l.holder)))
           it (so, wrong)
     WHERE it.so;
COMMENT ON VIEW partreg._damage_locks IS 'internal: locks with words, names or times that mean nothing, or contradict each other';

CREATE VIEW partreg._damage_spans (source_id, problem) AS
    SELECT c.source_id, format('span [%s, %s) of provider number %s is empty or infinite', c.span_start, c.span_end, c.provider_id)
      FROM partreg.coverage c
     WHERE c.span_start >= c.span_end OR c.span_start = '-infinity' OR c.span_end = 'infinity'
    UNION ALL
    SELECT a.source_id, format('spans [%s, %s) and [%s, %s) of provider number %s overlap',
                               a.span_start, a.span_end, a.next_start, a.next_end, a.provider_id)
      FROM (SELECT c.source_id, c.provider_id, c.span_start, c.span_end,
                   lead(c.span_start) OVER later AS next_start, lead(c.span_end) OVER later AS next_end
              FROM partreg.coverage c
             WHERE c.span_start < c.span_end
            WINDOW later AS (PARTITION BY c.source_id, c.provider_id ORDER BY c.span_start, c.span_end)) a
     WHERE a.next_start < a.span_end
    UNION ALL
    SELECT v.source_id, m.problem
      FROM partreg.provider v
      LEFT JOIN partreg._unlocked u ON u.source_id = v.source_id AND u.provider_id = v.id
      LEFT JOIN partreg._covered c ON c.source_id = v.source_id AND c.provider_id = v.id
     CROSS JOIN LATERAL (SELECT format('%s was unlocked by provider %s but is not in its spans', piece, v.name)
                           FROM unnest(coalesce(u.ranges, '{}') - coalesce(c.ranges, '{}')) piece
                          UNION ALL
                         SELECT format('%s is in the spans of provider %s but was not unlocked by it', piece, v.name)
                           FROM unnest(coalesce(c.ranges, '{}') - coalesce(u.ranges, '{}')) piece) m (problem)
     WHERE u.ranges IS DISTINCT FROM c.ranges;
COMMENT ON VIEW partreg._damage_spans IS 'internal: spans that hold nothing, overlap, or do not agree with what was unlocked';

-- What the large tables hold, by itself and against each other.
--
-- History may have been purged, from the oldest event on.  So an event that is
-- there says something, and one that is not says something only where the
-- registration of the same partition is there.
--
-- Transactions of this cluster that are not over, or have not begun, cannot have
-- written what is seen here; but for the caller's own.
CREATE VIEW partreg._damage_history (source_id, problem) AS
    WITH suspect AS MATERIALIZED (
        SELECT u.what, u.event_id, u.source_id, u.provider_id, u.start_at, u.end_at FROM partreg._suspects() u
    ), last AS (
        SELECT e.source_id, e.provider_id, e.start_at, e.end_at,
               max(e.id) AS event,
               max(e.id) FILTER (WHERE e.event = 'register_partition') AS registered,
               max(e.id) FILTER (WHERE e.event IN ('lock', 'take_over')) AS locked,
               max(e.id) FILTER (WHERE e.event IN ('fail', 'force_fail', 'revoke')) AS failed,
               max(e.id) FILTER (WHERE e.event = 'unlock') AS unlocked,
               max(e.id) FILTER (WHERE e.event = 'retire') AS retired
          FROM suspect u
          JOIN partreg.event e ON e.provider_id = u.provider_id AND e.start_at = u.start_at AND e.end_at = u.end_at
         WHERE u.what = 's'
         GROUP BY e.source_id, e.provider_id, e.start_at, e.end_at
    ), mentioned AS (
        SELECT u.source_id, u.provider_id, u.event_id AS last FROM suspect u WHERE u.what = 'm'
    )
    SELECT v.source_id,
           CASE WHEN v.id IS NULL
                THEN format('partition [%s, %s) of provider number %s belongs to no provider', p.start_at, p.end_at, p.provider_id)
                ELSE format('partition [%s, %s) of provider %s %s', p.start_at, p.end_at, v.name, it.wrong)
           END
      FROM suspect u
      JOIN partreg._partition p ON p.provider_id = u.provider_id AND p.start_at = u.start_at AND p.end_at = u.end_at
      LEFT JOIN partreg.provider v ON v.id = p.provider_id
     CROSS JOIN LATERAL (VALUES
            (v.id IS NULL, NULL),
            (p.length_class <> partreg._length_class(p.start_at, p.end_at), 'is filed under a wrong length class'),
            (p.start_at >= p.end_at OR p.start_at = '-infinity' OR p.end_at = 'infinity', 'is empty or infinite'),
            (NOT partreg._is_past(p.registered_at) OR NOT partreg._is_past(p.first_unlocked_at) OR NOT partreg._is_past(p.unlocked_at),
             'was registered or unlocked at a time that is infinite or in the future'),
            (NOT partreg._is_name(p.unlocked_by), format('was unlocked by %L, which is no name', p.unlocked_by)))
           it (so, wrong)
     WHERE u.what = 'r' AND it.so
    UNION ALL
    SELECT v.source_id, format('partition [%s, %s) of provider %s %s', e.start_at, e.end_at, v.name, it.wrong)
      FROM last e
      JOIN partreg.provider v ON v.id = e.provider_id AND v.source_id = e.source_id
      LEFT JOIN partreg._partition p
             ON p.provider_id = e.provider_id AND p.start_at = e.start_at AND p.end_at = e.end_at
      LEFT JOIN partreg.lock l
             ON l.provider_id = e.provider_id AND l.start_at = e.start_at AND l.end_at = e.end_at
     CROSS JOIN LATERAL (SELECT
            CASE WHEN e.event = e.retired
                 THEN CASE WHEN p.provider_id IS NOT NULL
                           THEN format('exists, but event %s retired it', e.retired) END
                 WHEN p.provider_id IS NULL
                 THEN format('does not exist, but event %s is about it', e.event)
                 WHEN NOT p.unlocked AND e.unlocked > coalesce(e.retired, 0)
                 THEN format('is filed as never unlocked, but event %s unlocked it', e.unlocked)
                 WHEN p.unlocked AND e.registered > greatest(e.retired, e.unlocked, 0)
                 THEN format('is filed as unlocked, but no event did that after event %s registered it', e.registered)
                 WHEN l.state IS NULL AND e.event IN (e.locked, e.failed)
                 THEN format('is neither locked nor failed, but event %s made it so', e.event)
                 WHEN l.state <> 'locked' AND e.event = e.locked
                 THEN format('is not locked, but event %s locked it', e.event)
                 WHEN l.state <> 'failed' AND e.event = e.failed
                 THEN format('is not failed, but event %s made it so', e.event)
                 WHEN l.state IS NOT NULL AND e.event IN (e.registered, e.unlocked)
                 THEN format('is %s, but event %s made it not so', l.state, e.event)
            END) it (wrong)
     WHERE it.wrong IS NOT NULL
    UNION ALL
    SELECT s.id, format('event %s %s', e.id, it.wrong)
      FROM suspect u
      JOIN partreg.event e ON e.id = u.event_id
      LEFT JOIN partreg.source s ON s.id = e.source_id
     CROSS JOIN LATERAL (VALUES
            (e.event NOT IN ('register_source', 'register_provider', 'register_partition', 'lock', 'unlock', 'fail', 'retire',
                             'take_over', 'revoke', 'rotate', 'change_rule', 'change_provider', 'drop_source', 'force_fail', 'rename'),
             format('is of the kind %L', e.event)),
            (e.credential NOT IN ('s', 'p', 'o', 't', 'x', 'w'), format('has the credential %L', e.credential)),
            (e.state_before NOT IN ('n', 'r', 'u', 'l', 'f', 'L', 'F'), format('has the state before %L', e.state_before)),
            (NOT partreg._is_past(e.at), 'has a time that is infinite or in the future'),
            ((e.start_at IS NULL) <> (e.end_at IS NULL) OR e.start_at >= e.end_at
             OR e.start_at = '-infinity' OR e.end_at = 'infinity' OR (e.start_at IS NOT NULL AND e.provider_id IS NULL),
             'is about a range that no partition has'),
            (e.xid >= pg_snapshot_xmax(pg_current_snapshot())
             AND e.xid IS DISTINCT FROM pg_current_xact_id_if_assigned()
             AND e.system_id = (SELECT c.system_identifier FROM pg_control_system() c),
             format('is said to be of transaction %s, which has not written it', e.xid)))
           it (so, wrong)
     WHERE u.what = 'e' AND it.so
    UNION ALL
    SELECT NULL, format('source number %s does not exist, but event %s is about it, and none dropped it',
                        m.source_id, max(m.last))
      FROM mentioned m
     WHERE NOT EXISTS (SELECT FROM partreg.source s WHERE s.id = m.source_id)
     GROUP BY m.source_id
    HAVING NOT EXISTS (SELECT FROM partreg.event e WHERE e.id = max(m.last) AND e.event = 'drop_source')
    UNION ALL
    SELECT s.id, format('provider number %s does not exist, but event %s is about it', m.provider_id, m.last)
      FROM mentioned m
      JOIN partreg.source s ON s.id = m.source_id
     WHERE m.provider_id IS NOT NULL
       AND NOT EXISTS (SELECT FROM partreg.provider v WHERE v.id = m.provider_id)
    UNION ALL
    SELECT v.source_id, format('provider %s belonged to another source by event %s', v.name, m.last)
      FROM mentioned m
      JOIN partreg.provider v ON v.id = m.provider_id AND v.source_id <> m.source_id
    UNION ALL
    SELECT NULL, format('sequence partreg.%s is at %s, but event %s mentions number %s: partreg.advance_sequences() advances it',
                        q.name, q.next, max(m.last), max(m.number))
      FROM partreg._sequence q
      JOIN (SELECT 'source_id_seq'::name, m.source_id, m.last FROM mentioned m
             UNION ALL
            SELECT 'provider_id_seq' AS name, m.provider_id, m.last FROM mentioned m) m (name, number, last) ON m.name = q.name
     WHERE m.number >= q.next AND m.number > q.greatest
     GROUP BY q.name, q.next;
COMMENT ON VIEW partreg._damage_history IS
    'internal: partitions and events that mean nothing or contradict each other, sources and providers that history knows otherwise';

CREATE VIEW partreg._damage_holders (source_id, problem) AS
    SELECT l.source_id, format('lock on [%s, %s) of provider number %s has the holder %L, but event %s locked it for %L',
                               l.start_at, l.end_at, l.provider_id, l.holder, l.last, e.holder)
      FROM (SELECT k.source_id, k.provider_id, k.start_at, k.end_at, k.state, k.holder, max(o.id) AS last
              FROM partreg.lock k
              JOIN partreg.event o ON o.provider_id = k.provider_id AND o.start_at = k.start_at AND o.end_at = k.end_at
             GROUP BY k.source_id, k.provider_id, k.start_at, k.end_at, k.state, k.holder) l
      JOIN partreg.event e ON e.id = l.last
     WHERE l.state = 'locked' AND e.event IN ('lock', 'take_over') AND e.holder <> l.holder;
COMMENT ON VIEW partreg._damage_holders IS 'internal: locks that have another holder than history says';

-- What the tables have to have, by the names that PostgreSQL gives to it.  Kept
-- together with sql/10_tables.sql; test/sql/verify.sql compares them.
CREATE VIEW partreg._table (name, not_null) AS
    VALUES ('source'::name, '{id,name,rule,owner,registered_at,token_digest,token_changed_at}'::name[]),
           ('provider', '{id,source_id,name,effective,epoch,registered_at,token_changed_at}'),
           ('pending', '{provider_id,length_class,start_at,end_at,registered_at}'),
           ('partition', '{provider_id,length_class,start_at,end_at,registered_at,first_unlocked_at}'),
           ('lock', '{source_id,length_class,start_at,end_at,provider_id,state,since,holder}'),
           ('coverage', '{source_id,provider_id,span_start,span_end}'),
           ('event', '{id,event,source_id,source_name,at,actor,xid,system_id,timeline}'),
           ('registry', '{id,created_at,history_since,purged_id,purged_at,purged_xid,purged_system}');
COMMENT ON VIEW partreg._table IS 'internal: the tables, and their columns that are never null';

CREATE VIEW partreg._index (table_name, name, definition) AS
    VALUES ('source'::name, 'source_pkey'::name, 'UNIQUE btree (id)'),
           ('source', 'source_name_key', 'UNIQUE btree (name)'),
           ('source', 'source_token_digest_idx', 'btree (token_digest)'),
           ('source', 'source_old_token_digest_idx', 'btree (old_token_digest)'),
           ('provider', 'provider_pkey', 'UNIQUE btree (id)'),
           ('provider', 'provider_source_id_name_key', 'UNIQUE btree (source_id, name)'),
           ('provider', 'provider_id_epoch_key', 'UNIQUE btree (id, epoch)'),
           ('pending', 'pending_pkey', 'UNIQUE btree (provider_id, length_class, start_at, end_at)'),
           ('partition', 'partition_pkey', 'UNIQUE btree (provider_id, length_class, start_at, end_at)'),
           ('lock', 'lock_pkey', 'UNIQUE btree (source_id, length_class, start_at, end_at, provider_id)'),
           ('coverage', 'coverage_pkey', 'UNIQUE btree (source_id, provider_id, span_start) INCLUDE (span_end)'),
           ('coverage', 'coverage_spans_are_disjoint',
            'gist (int4range(provider_id, provider_id, ''[]''::text), tstzrange(span_start, span_end))'),
           ('event', 'event_pkey', 'UNIQUE btree (id)'),
           ('event', 'event_details_idx', 'btree (provider_id, start_at, end_at, id) WHERE (details IS NOT NULL)'),
           ('event', 'event_xid_idx', 'btree (xid, id)'),
           ('event', 'event_change_idx', 'btree (source_id, xid, start_at, end_at) WHERE (event <> ''register_partition''::text)'),
           ('event', 'event_during_idx', 'btree (source_id, length_class, start_at, end_at)'),
           ('registry', 'registry_pkey', 'UNIQUE btree (id)');
COMMENT ON VIEW partreg._index IS 'internal: the indexes of the tables';

CREATE VIEW partreg._constraint (table_name, name, kind) AS
    VALUES ('source'::name, 'source_pkey'::name, 'p'::"char"),
           ('source', 'source_name_key', 'u'),
           ('provider', 'provider_pkey', 'p'),
           ('provider', 'provider_source_id_name_key', 'u'),
           ('provider', 'provider_id_epoch_key', 'u'),
           ('pending', 'pending_check', 'c'),
           ('pending', 'pending_pkey', 'p'),
           ('partition', 'partition_check', 'c'),
           ('partition', 'partition_pkey', 'p'),
           ('lock', 'lock_pkey', 'p'),
           ('coverage', 'coverage_pkey', 'p'),
           ('coverage', 'coverage_spans_are_disjoint', 'x'),
           ('event', 'event_pkey', 'p'),
           ('registry', 'registry_pkey', 'p');
COMMENT ON VIEW partreg._constraint IS 'internal: the constraints of the tables, but for NOT NULL';

CREATE VIEW partreg._relation AS
    SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.relrowsecurity, c.relam, c.relowner, c.relacl
      FROM pg_class c
     WHERE c.relnamespace = 'partreg'::regnamespace;
COMMENT ON VIEW partreg._relation IS 'internal: pg_class, as far as it is about this extension';

CREATE VIEW partreg._damage_tables (problem) AS
    SELECT 'table partreg.registry is empty: positions and history are refused'
     WHERE NOT EXISTS (SELECT FROM partreg.registry)
    UNION ALL
    SELECT format('table partreg.%s %s', c.relname, it.wrong)
      FROM partreg._relation c
      JOIN partreg._table t ON t.name = c.relname
     CROSS JOIN LATERAL (VALUES
            (c.relpersistence <> 'p', 'is not logged: a crash empties it'),
            (c.relrowsecurity, 'has row security'),
            ((SELECT a.amname FROM pg_am a WHERE a.oid = c.relam) <> 'heap', 'is no heap'),
            (EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)), 'takes part in an inheritance'),
            (NOT EXISTS (SELECT FROM pg_extension x
                          WHERE x.extname = 'partition_registry' AND c.oid = ANY (x.extconfig)), 'is not taken along by pg_dump'))
           it (so, wrong)
     WHERE it.so
    UNION ALL
    SELECT format('sequence partreg.%s %s', c.relname, it.wrong)
      FROM partreg._relation c
     CROSS JOIN LATERAL (VALUES
            (c.relpersistence <> 'p', 'is not logged: a crash sets it back'),
            (NOT EXISTS (SELECT FROM pg_extension x
                          WHERE x.extname = 'partition_registry' AND c.oid = ANY (x.extconfig)), 'is not taken along by pg_dump'))
           it (so, wrong)
     WHERE c.relkind = 'S' AND it.so
    UNION ALL
    SELECT format('column %s of table partreg.%s may be null', a.attname, c.relname)
      FROM partreg._relation c
      JOIN partreg._table t ON t.name = c.relname
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (t.not_null)
     WHERE NOT a.attnotnull
    UNION ALL
    SELECT format('table partreg.%s has the trigger %s', c.relname, g.tgname)
      FROM partreg._relation c
      JOIN partreg._table t ON t.name = c.relname
      JOIN pg_trigger g ON g.tgrelid = c.oid
    UNION ALL
    SELECT format('table partreg.%s has the rule %s', c.relname, r.rulename)
      FROM partreg._relation c
      JOIN partreg._table t ON t.name = c.relname
      JOIN pg_rewrite r ON r.ev_class = c.oid;
COMMENT ON VIEW partreg._damage_tables IS 'internal: tables that lost or got what changes what is stored';

CREATE VIEW partreg._damage_indexes (problem) AS
    SELECT CASE WHEN i.indexrelid IS NULL
                THEN format('table partreg.%s has lost its index %s', w.table_name, w.name)
                WHEN NOT (i.indisvalid AND i.indisready AND i.indislive)
                THEN format('index partreg.%s is not valid: REINDEX INDEX partreg.%I builds it anew', w.name, w.name)
                ELSE format('index partreg.%s is not as it was made', w.name)
           END
      FROM partreg._index w
      LEFT JOIN partreg._relation t ON t.relname = w.table_name
      LEFT JOIN partreg._relation c ON c.relname = w.name
      LEFT JOIN pg_index i ON i.indexrelid = c.oid AND i.indrelid = t.oid
     WHERE i.indexrelid IS NULL OR NOT (i.indisvalid AND i.indisready AND i.indislive)
        -- Storage parameters are the administrator's to choose.
        OR regexp_replace(pg_get_indexdef(i.indexrelid),
                          '^CREATE (UNIQUE )?INDEX \S+ ON \S+ USING (.*?)(?: WITH \([^)]*\))?( WHERE .*)?$', '\1\2\3') <> w.definition
    UNION ALL
    SELECT format('table partreg.%s has a unique index that is not its own, %s', t.relname, c.relname)
      FROM partreg._relation t
      JOIN partreg._table w ON w.name = t.relname
      JOIN pg_index i ON i.indrelid = t.oid AND i.indislive AND i.indisvalid AND (i.indisunique OR i.indisexclusion)
      JOIN pg_class c ON c.oid = i.indexrelid
     WHERE NOT EXISTS (SELECT FROM partreg._index o WHERE o.table_name = w.name AND o.name = c.relname)
    UNION ALL
    SELECT format('table partreg.%s has lost its constraint %s', w.table_name, w.name)
      FROM partreg._constraint w
      LEFT JOIN partreg._relation t ON t.relname = w.table_name
      LEFT JOIN pg_constraint k ON k.conrelid = t.oid AND k.conname = w.name AND k.contype = w.kind
     WHERE NOT coalesce(k.convalidated AND NOT k.condeferrable, false)
    UNION ALL
    SELECT format('table partreg.%s has a constraint that is not its own, %s', t.relname, k.conname)
      FROM partreg._relation t
      JOIN partreg._table w ON w.name = t.relname
      JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype <> 'n'
     WHERE NOT EXISTS (SELECT FROM partreg._constraint o WHERE o.table_name = w.name AND o.name = k.conname);
COMMENT ON VIEW partreg._damage_indexes IS 'internal: keys, constraints and indexes that are gone, broken or strange';

CREATE VIEW partreg._damage_sequences (problem) AS
    SELECT format('sequence partreg.%s is at %s, but number %s is in use: partreg.advance_sequences() advances it',
                  q.name, q.next, q.greatest)
      FROM partreg._sequence q
     WHERE q.next <= q.greatest;
COMMENT ON VIEW partreg._damage_sequences IS 'internal: sequences that are behind';

-- Everything that can have privileges, with what stands for none recorded.
CREATE VIEW partreg._object (kind, name, acl) AS
    SELECT 'SCHEMA', n.nspname::text, coalesce(n.nspacl, acldefault('n', n.nspowner))
      FROM pg_namespace n
     WHERE n.nspname = 'partreg'
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('partreg.%I', c.relname),
           coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))
      FROM partreg._relation c
     WHERE c.relkind IN ('r', 'v', 'S')
    UNION ALL
    SELECT 'TABLE', format('partreg.%I', c.relname), a.attacl
      FROM partreg._relation c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL
    UNION ALL
    SELECT 'ROUTINE', p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
      FROM pg_proc p
     WHERE p.pronamespace = 'partreg'::regnamespace
    UNION ALL
    SELECT 'TYPE', format_type(t.oid, NULL), coalesce(t.typacl, acldefault('T', t.typowner))
      FROM pg_type t
     WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A';
COMMENT ON VIEW partreg._object IS 'internal: what belongs to the extension and can have privileges';

CREATE VIEW partreg._damage_grants (problem) AS
    SELECT DISTINCT format('PUBLIC has privileges on the %s %s: REVOKE ALL ON %s %s FROM PUBLIC takes them away',
                           lower(o.kind), o.name, o.kind, o.name)
      FROM partreg._object o
     CROSS JOIN LATERAL aclexplode(o.acl) a
     WHERE a.grantee = 0;
COMMENT ON VIEW partreg._damage_grants IS 'internal: what PUBLIC was granted';

CREATE VIEW partreg._damage (source_id, problem) AS
    SELECT source_id, problem FROM partreg._damage_parents
    UNION ALL SELECT source_id, problem FROM partreg._damage_sources
    UNION ALL SELECT source_id, problem FROM partreg._damage_providers
    UNION ALL SELECT source_id, problem FROM partreg._damage_schedules
    UNION ALL SELECT source_id, problem FROM partreg._damage_tokens
    UNION ALL SELECT source_id, problem FROM partreg._damage_trusted_roles
    UNION ALL SELECT source_id, problem FROM partreg._damage_partitions
    UNION ALL SELECT source_id, problem FROM partreg._damage_locks
    UNION ALL SELECT source_id, problem FROM partreg._damage_spans
    UNION ALL SELECT source_id, problem FROM partreg._damage_history
    UNION ALL SELECT source_id, problem FROM partreg._damage_holders
    UNION ALL SELECT NULL, problem FROM partreg._damage_tables
    UNION ALL SELECT NULL, problem FROM partreg._damage_indexes
    UNION ALL SELECT NULL, problem FROM partreg._damage_sequences
    UNION ALL SELECT NULL, problem FROM partreg._damage_grants;
COMMENT ON VIEW partreg._damage IS 'internal: damage of all kinds';

CREATE FUNCTION partreg.verify(source_name text DEFAULT NULL)
    RETURNS SETOF partreg.problem
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    -- Compiling the plan would take a hundred times as long as running it.
    SET jit = off
    AS $$
DECLARE
    wanted integer;
BEGIN
    IF source_name IS NULL THEN
        RETURN QUERY
            SELECT s.name, d.problem
              FROM partreg._damage d
              LEFT JOIN partreg.source s ON s.id = d.source_id
             ORDER BY s.name, d.problem;
        RETURN;
    END IF;

    -- A huge one is not unfolded for the look.
    IF octet_length(verify.source_name) <= 200 THEN
        SELECT s.id INTO wanted FROM partreg.source s WHERE s.name = verify.source_name;
    END IF;
    IF wanted IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            CONSTRAINT = 'unknown_source',
            MESSAGE = format('source "%s" does not exist', partreg._quotable(verify.source_name)),
            HINT = 'The view partreg.sources lists the sources.';
    END IF;
    RETURN QUERY
        SELECT verify.source_name, d.problem
          FROM partreg._damage d
         WHERE d.source_id = wanted
         ORDER BY d.problem;
END;
$$;
COMMENT ON FUNCTION partreg.verify(text) IS
    'what of a source (NULL: of all) does not agree with the rest of what is stored; no row means that all is well';
-- Views: what there is, for people and dashboards.  None shows a digest.
--
-- The functions in a view are checked against whoever reads it, the tables
-- against the owner of the view.  So only functions that everybody may call, or
-- every level, are used here.

CREATE VIEW partreg.sources AS
    SELECT s.name AS source_name, s.owner, s.rule, s.registered_at, s.token_changed_at,
           s.trusted_role, s.id AS source_id
      FROM partreg.source s;
COMMENT ON VIEW partreg.sources IS 'data sets, who owns them and their readiness rule';

CREATE VIEW partreg.providers AS
    SELECT s.name AS source_name, p.name AS provider_name, p.trusted_role, p.effective, p.deadline,
           p.calendar_step, p.calendar_start, p.calendar_zone, p.calendar_closed,
           p.registered_at, p.token_changed_at, p.old_token_until, p.revoked_at,
           p.source_id, p.id AS provider_id
      FROM partreg.provider p
      JOIN partreg.source s ON s.id = p.source_id;
COMMENT ON VIEW partreg.providers IS 'jobs that fill the sources';

CREATE VIEW partreg.partitions AS
    SELECT s.name AS source_name, v.name AS provider_name, p.start_at, p.end_at,
           CASE WHEN l.state IS NOT NULL THEN l.state
                WHEN p.unlocked THEN 'unlocked'
                ELSE 'registered'
           END AS state,
           p.registered_at, p.first_unlocked_at
      FROM partreg._partition p
      JOIN partreg.provider v ON v.id = p.provider_id
      JOIN partreg.source s ON s.id = v.source_id
      LEFT JOIN partreg.lock l
             ON l.source_id = v.source_id AND l.length_class = p.length_class
            AND l.start_at = p.start_at AND l.end_at = p.end_at AND l.provider_id = p.provider_id;
COMMENT ON VIEW partreg.partitions IS 'time intervals, who supplies them and their state';

CREATE VIEW partreg.locks AS
    SELECT s.name AS source_name, v.name AS provider_name, tstzrange(l.start_at, l.end_at) AS during,
           l.state, l.holder, l.since, l.lease_expires_at,
           l.state = 'locked' AND l.lease_expires_at IS NOT NULL
               AND l.lease_expires_at <= clock_timestamp() AS abandoned,
           l.reason
      FROM partreg.lock l
      JOIN partreg.provider v ON v.id = l.provider_id
      JOIN partreg.source s ON s.id = l.source_id;
COMMENT ON VIEW partreg.locks IS 'partitions that are locked or failed, by whom, and whether the lease has run out (abandoned)';

CREATE VIEW partreg.events AS
    SELECT e.id AS event_id, e.event, e.source_name, e.provider_name,
           CASE WHEN e.start_at IS NOT NULL THEN tstzrange(e.start_at, e.end_at) END AS during,
           e.at, e.actor, e.holder, e.reason, e.details,
           CASE e.credential
                WHEN 's' THEN 'source_token'
                WHEN 'p' THEN 'provider_token'
                WHEN 'o' THEN 'old_token'
                WHEN 't' THEN 'trusted_role'
                WHEN 'x' THEN 'operator'
                WHEN 'w' THEN 'owner'
           END AS credential
      FROM partreg.event e;
COMMENT ON VIEW partreg.events IS 'what happened, to what, by whom, by which right and when';

CREATE VIEW partreg.late_partitions AS
    SELECT s.name AS source_name, v.name AS provider_name, l.during, l.state, l.due_at
      FROM partreg._list_late() l
      JOIN partreg.provider v ON v.id = l.provider_id
      JOIN partreg.source s ON s.id = l.source_id;
COMMENT ON VIEW partreg.late_partitions IS 'partitions that were never unlocked and are past their deadline, and those that the calendar expects and nobody registered (missing); unknown: the server does not know the time zone of the calendar';

CREATE VIEW partreg.stats AS
    SELECT s.name AS source_name,
           coalesce(v.providers, 0) AS providers,
           coalesce(k.locked, 0) AS locked,
           coalesce(k.failed, 0) AS failed,
           coalesce(k.abandoned, 0) AS abandoned,
           coalesce(l.late, 0) AS late,
           k.oldest_lock_at,
           r.ready_to
      FROM partreg.source s
      LEFT JOIN (SELECT p.source_id, count(*) AS providers
                   FROM partreg.provider p
                  GROUP BY p.source_id) v ON v.source_id = s.id
      LEFT JOIN (SELECT x.source_id,
                        count(*) FILTER (WHERE x.state = 'locked') AS locked,
                        count(*) FILTER (WHERE x.state = 'failed') AS failed,
                        count(*) FILTER (WHERE x.state = 'locked'
                                           AND x.lease_expires_at <= clock_timestamp()) AS abandoned,
                        min(x.since) FILTER (WHERE x.state = 'locked') AS oldest_lock_at
                   FROM partreg.lock x
                  GROUP BY x.source_id) k ON k.source_id = s.id
      LEFT JOIN (SELECT x.source_id, count(*) AS late
                   FROM partreg._list_late() x
                  GROUP BY x.source_id) l ON l.source_id = s.id
      LEFT JOIN partreg._list_ready_ends() r ON r.source_id = s.id;
COMMENT ON VIEW partreg.stats IS 'for each source: how many providers it has, what is locked, failed, abandoned or late, and how far it is ready';
-- Sequences that are behind the numbers in use: after logical replication, which
-- does not replicate them, or after a load of tables alone.

CREATE FUNCTION partreg.advance_sequences()
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    target record;
BEGIN
    -- Also where nothing lags and nothing would be written.
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
            MESSAGE = 'cannot execute advance_sequences() in a read-only transaction',
            HINT = 'Call it on the primary server, in a transaction that may write.';
    END IF;
    FOR target IN
        SELECT q.name, greatest(q.greatest, m.number) AS greatest
          FROM partreg._sequence q
          JOIN (SELECT 'source_id_seq'::name, max(e.source_id)::bigint FROM partreg.event e
                 UNION ALL
                SELECT 'provider_id_seq', max(e.provider_id) FROM partreg.event e
                 UNION ALL
                SELECT 'event_id_seq', 0) m (name, number) ON m.name = q.name
         WHERE greatest(q.greatest, m.number) >= q.next
    LOOP
        -- Each of these statements changes nothing, but takes the lock that
        -- nextval() conflicts with: whoever has drawn a number has committed,
        -- or waits.  So between the look and setval() nothing moves.
        CASE target.name
            WHEN 'source_id_seq' THEN ALTER SEQUENCE partreg.source_id_seq NO CYCLE;
            WHEN 'provider_id_seq' THEN ALTER SEQUENCE partreg.provider_id_seq NO CYCLE;
            WHEN 'event_id_seq' THEN ALTER SEQUENCE partreg.event_id_seq NO CYCLE;
        END CASE;
        -- setval() is written to the WAL before any row that has a number drawn
        -- after it; so no crash leaves such a row and a sequence behind it.
        PERFORM setval(format('partreg.%I', q.name)::regclass, greatest(q.greatest, target.greatest))
           FROM partreg._sequence q
          WHERE q.name = target.name AND q.next <= greatest(q.greatest, target.greatest);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION partreg.advance_sequences() IS
    'advances the sequences that are behind the numbers that tables and history mention; none goes back; for the owner of the extension';
-- Privileges.  PUBLIC has nothing; grant_privileges() gives a role one level.

-- The levels, in ascending order; each has what the ones before it have.
CREATE VIEW partreg._level (rank, level) AS
    VALUES (1, 'reader'), (2, 'writer'), (3, 'admin'), (4, 'operator');
COMMENT ON VIEW partreg._level IS 'internal: the levels of grant_privileges(), but for none';

-- The level that each public routine belongs to.  Routines that are not here
-- (reset_access_token, grant_privileges, advance_sequences, purge_history,
-- all others with a leading _) are for the owner of the extension and
-- superusers alone.
CREATE VIEW partreg._routine_level (routine, level) AS
    VALUES ('check_readiness'::name, 'reader'::text),
           ('explain_readiness', 'reader'),
           ('assert_ready', 'reader'),
           ('coalesce_ranges', 'reader'),
           ('all_ready', 'reader'),
           ('ready_until', 'reader'),
           ('ready_ranges', 'reader'),
           ('feed_position', 'reader'),
           ('changes_since', 'reader'),
           ('changed_ranges', 'reader'),
           ('provider_states', 'reader'),
           ('_list_late', 'reader'),
           ('_list_ready_ends', 'reader'),
           ('wait_until_ready', 'reader'),
           ('timeline', 'reader'),
           ('day_range', 'reader'),
           ('step_ranges', 'reader'),
           ('history', 'reader'),
           ('latest_details', 'reader'),
           ('readiness_as_of', 'reader'),
           ('ready_since', 'reader'),
           ('verify', 'reader'),
           ('register_provider', 'writer'),
           ('register_partition', 'writer'),
           ('lock_partition', 'writer'),
           ('unlock_partition', 'writer'),
           ('fail_partition', 'writer'),
           ('renew_lease', 'writer'),
           ('renew_leases', 'writer'),
           ('register_partitions', 'writer'),
           ('lock_partitions', 'writer'),
           ('unlock_partitions', 'writer'),
           ('fail_partitions', 'writer'),
           ('retire_partition', 'writer'),
           ('retire_partitions', 'writer'),
           ('rotate_access_token', 'writer'),
           ('revoke_provider', 'writer'),
           ('rename_provider', 'writer'),
           ('set_owner', 'writer'),
           ('set_readiness_rule', 'writer'),
           ('set_effective', 'writer'),
           ('set_deadline', 'writer'),
           ('set_calendar', 'writer'),
           ('set_trusted_role', 'writer'),
           ('register_source', 'admin'),
           ('rename_source', 'admin'),
           ('drop_source', 'admin'),
           ('force_fail_partition', 'operator');
COMMENT ON VIEW partreg._routine_level IS 'internal: which level of grant_privileges() a routine belongs to';

CREATE VIEW partreg._routine AS
    SELECT p.oid AS routine, p.proowner AS owner, p.proacl AS acl, l.level, l.rank
      FROM pg_proc p
      JOIN partreg._routine_level r ON r.routine = p.proname
      JOIN partreg._level l ON l.level = r.level
     WHERE p.pronamespace = 'partreg'::regnamespace;
COMMENT ON VIEW partreg._routine IS 'internal: the routines that belong to a level';

CREATE VIEW partreg._routine_grant AS
    SELECT a.grantee, r.routine, r.level, r.rank
      FROM partreg._routine r
     CROSS JOIN LATERAL aclexplode(r.acl) a
     WHERE a.grantee NOT IN (0, r.owner);
COMMENT ON VIEW partreg._routine_grant IS 'internal: who was granted which of the routines that belong to a level';

CREATE FUNCTION partreg._grant_level(grantee text, level text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    target record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA partreg TO %I', grantee);
    FOR target IN
        SELECT r.routine::regprocedure AS routine
          FROM partreg._routine r
          JOIN partreg._level l ON r.rank <= l.rank
         WHERE l.level = _grant_level.level
    LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', target.routine, grantee);
    END LOOP;
    FOR target IN
        SELECT c.oid::regclass AS relation
          FROM pg_class c
         WHERE c.relnamespace = 'partreg'::regnamespace
           AND c.relkind = 'v' AND left(c.relname, 1) <> '_'
    LOOP
        EXECUTE format('GRANT SELECT ON TABLE %s TO %I', target.relation, grantee);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION partreg._grant_level(text, text) IS
    'internal: grants a role all of a level, and takes nothing away';

-- What a caller gave, as it may stand in a message: neither what looks like an
-- access token, nor what is too long for a name, as in C.
CREATE FUNCTION partreg._quotable(given text)
    RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._quotable(text) IS
    'internal: what a caller gave, as it may stand in a message';

CREATE FUNCTION partreg.grant_privileges(grantee text, level text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    levels CONSTANT text[] := ARRAY(SELECT l.level FROM partreg._level l ORDER BY l.rank);
    target record;
BEGIN
    IF grantee IS NULL OR level IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            CONSTRAINT = 'bad_argument',
            MESSAGE = format('argument "%s" must not be null',
                             CASE WHEN grantee IS NULL THEN 'grantee' ELSE 'level' END),
            HINT = 'Only arguments that have a default may be null or left out.';
    END IF;
    IF level <> ALL ('none'::text || levels) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            CONSTRAINT = 'bad_argument',
            MESSAGE = format('unrecognized level of privileges "%s"', partreg._quotable(level)),
            HINT = format('The levels are none, %s.', array_to_string(levels, ', '));
    END IF;
    -- A huge one is not unfolded for the look.
    IF octet_length(grantee) > 63 OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = grantee) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            CONSTRAINT = 'bad_argument',
            MESSAGE = format('role "%s" does not exist', partreg._quotable(grantee)),
            HINT = 'The name is taken as it is written, without folding its case.';
    END IF;

    IF EXISTS (SELECT FROM pg_extension e JOIN pg_roles r ON r.oid = e.extowner
                WHERE e.extname = 'partition_registry' AND r.rolname = grantee) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            CONSTRAINT = 'bad_argument',
            MESSAGE = format('role "%s" owns the extension and keeps all privileges on it', grantee),
            HINT = 'Grant a level to another role.';
    END IF;

    -- One at a time: GRANTs on one object at once fail with an internal error.
    LOCK TABLE partreg._routine_level IN ACCESS EXCLUSIVE MODE;

    EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA partreg FROM %I', grantee);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA partreg FROM %I', grantee);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA partreg FROM %I', grantee);
    FOR target IN
        SELECT t.oid::regtype AS type
          FROM pg_type t
         WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A'
    LOOP
        EXECUTE format('REVOKE ALL ON TYPE %s FROM %I', target.type, grantee);
    END LOOP;
    EXECUTE format('REVOKE ALL ON SCHEMA partreg FROM %I', grantee);
    IF level = 'none' THEN
        RETURN;
    END IF;

    PERFORM partreg._grant_level(grantee, level);
END;
$$;
COMMENT ON FUNCTION partreg.grant_privileges(text, text) IS
    'gives a role exactly one level: none, reader, writer, admin or operator; for the owner of the extension';

-- Whoever may call all routines of a level, and of those below it, has it.
CREATE VIEW partreg.privileges (grantee, level) AS
    SELECT r.rolname::text, (SELECT l.level FROM partreg._level l WHERE l.rank = min(missing.rank) - 1)
      FROM pg_roles r
      JOIN (SELECT g.grantee, l.rank
              FROM partreg._level l
             CROSS JOIN (SELECT DISTINCT x.grantee FROM partreg._routine_grant x) g
             WHERE EXISTS (SELECT x.routine FROM partreg._routine x WHERE x.rank = l.rank
                           EXCEPT
                           SELECT x.routine FROM partreg._routine_grant x WHERE x.grantee = g.grantee)
            UNION ALL
            -- Above the highest one everything is missing.
            SELECT DISTINCT x.grantee, (SELECT max(l.rank) + 1 FROM partreg._level l)
              FROM partreg._routine_grant x) missing ON missing.grantee = r.oid
     GROUP BY r.rolname
    HAVING min(missing.rank) > 1;
COMMENT ON VIEW partreg.privileges IS 'which level of grant_privileges() each role has';

CREATE FUNCTION partreg._is_of_this_transaction(row_xmin xid)
    RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._is_of_this_transaction(xid) IS
    'internal: did the current transaction, or one of its subtransactions, write the row that has this xmin?';

-- Which level a role had before an upgrade: the highest one of which, and of all
-- levels below it, it may call every routine that anybody but the owner may
-- call.  What the upgrade, in this transaction, has just added does not count;
-- its membership tells, as a GRANT would write the row of pg_proc anew.  A role
-- to which somebody granted single routines by hand has none.
CREATE VIEW partreg._granted_level (grantee, level) AS
    WITH granted AS (
        SELECT g.*
          FROM partreg._routine_grant g
          JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = g.routine AND d.deptype = 'e'
         WHERE NOT partreg._is_of_this_transaction(d.xmin)
    )
    SELECT DISTINCT ON (r.rolname) r.rolname::text, mine.level
      FROM granted mine
      JOIN pg_roles r ON r.oid = mine.grantee
     WHERE NOT EXISTS (SELECT FROM granted other
                        WHERE other.rank <= mine.rank
                          AND NOT EXISTS (SELECT FROM granted g
                                           WHERE g.grantee = mine.grantee AND g.routine = other.routine))
       AND (SELECT count(DISTINCT g.rank) FROM granted g
             WHERE g.grantee = mine.grantee AND g.rank <= mine.rank) = mine.rank
     ORDER BY r.rolname, mine.rank DESC;
COMMENT ON VIEW partreg._granted_level IS 'internal: which level of grant_privileges() each role had before this transaction';

CREATE FUNCTION partreg._extend_privileges()
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._extend_privileges() IS
    'internal: the end of every upgrade script; gives the roles that have a level what the upgrade added to it';

-- PUBLIC has nothing, and whatever ALTER DEFAULT PRIVILEGES gave to roles when
-- the objects above were made is taken back.
DO $$
DECLARE
    gone record;
BEGIN
    REVOKE ALL ON SCHEMA partreg FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA partreg FROM PUBLIC;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA partreg FROM PUBLIC;
    REVOKE ALL ON ALL ROUTINES IN SCHEMA partreg FROM PUBLIC;
    FOR gone IN
        SELECT t.oid::regtype AS type
          FROM pg_catalog.pg_type t
         WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A'
    LOOP
        EXECUTE format('REVOKE ALL ON TYPE %s FROM PUBLIC', gone.type);
    END LOOP;

    -- pg_dump has no use for the initial privileges of a table's row type, and
    -- would warn of each.
    DELETE FROM pg_catalog.pg_init_privs i
     USING pg_catalog.pg_type t, pg_catalog.pg_class c
     WHERE i.classoid = 'pg_catalog.pg_type'::regclass AND i.objoid = t.oid
       AND t.typnamespace = 'partreg'::regnamespace
       AND c.oid = t.typrelid AND c.relkind <> 'c';

    FOR gone IN
        SELECT o.kind, o.name, a.grantee::regrole AS grantee
          FROM (SELECT 'SCHEMA' AS kind, n.nspname::text AS name, n.nspacl AS acl, n.nspowner AS owner
                  FROM pg_catalog.pg_namespace n WHERE n.nspname = 'partreg'
                 UNION ALL
                SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                       c.oid::regclass::text, c.relacl, c.relowner
                  FROM pg_catalog.pg_class c
                 WHERE c.relnamespace = 'partreg'::regnamespace AND c.relkind IN ('r', 'v', 'S')
                 UNION ALL
                SELECT 'ROUTINE', p.oid::regprocedure::text, p.proacl, p.proowner
                  FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'partreg'::regnamespace
                 UNION ALL
                SELECT 'TYPE', t.oid::regtype::text, t.typacl, t.typowner
                  FROM pg_catalog.pg_type t
                 WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A') o
         CROSS JOIN LATERAL (SELECT DISTINCT x.grantee FROM aclexplode(o.acl) x) a
         WHERE a.grantee <> o.owner
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s', gone.kind, gone.name, gone.grantee);
    END LOOP;
END;
$$;

-- Whoever may drop pgcrypto, or the schema it is in, may with CASCADE drop what
-- depends on it: this extension, and all that is registered.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_extension e
                 JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
                 JOIN pg_catalog.pg_database d ON d.datname = current_database()
                 JOIN pg_catalog.pg_roles r
                   ON r.oid IN (e.extowner, CASE WHEN n.nspowner = 'pg_database_owner'::regrole
                                                 THEN d.datdba ELSE n.nspowner END)
                WHERE e.extname = 'pgcrypto' AND NOT r.rolsuper) THEN
        RAISE WARNING 'a role that is no superuser can drop pgcrypto, and with it partition_registry and all its data'
            USING HINT = 'Let a superuser create pgcrypto in a schema of its own before: CREATE SCHEMA pgcrypto; CREATE EXTENSION pgcrypto SCHEMA pgcrypto.';
    END IF;
END;
$$;
