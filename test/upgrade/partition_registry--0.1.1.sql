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
    old_token_until  timestamptz
) USING heap;
-- register_provider finds the source by its token.  Not unique, as the message
-- of a violation would print the digest.
CREATE INDEX source_token_digest_idx ON partreg.source (token_digest);
CREATE INDEX source_old_token_digest_idx ON partreg.source (old_token_digest);
COMMENT ON COLUMN partreg.source.rule IS 'any or all';
COMMENT ON TABLE partreg.source IS 'internal: data sets, their owners, rules and token digests';
COMMENT ON COLUMN partreg.source.old_token_until IS 'the token before the last rotation is good until then';

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
    UNIQUE (source_id, name),
    -- What takes availability away counts epoch up.  As part of a unique key
    -- this conflicts with the FOR KEY SHARE of every writer, and a REPEATABLE
    -- READ transaction notices it afterwards.
    UNIQUE (id, epoch)
) USING heap;
COMMENT ON TABLE partreg.provider IS 'internal: jobs that fill a source; the row is the parent that every writer locks FOR KEY SHARE';
COMMENT ON COLUMN partreg.provider.epoch IS 'counted up by whatever takes availability away or asks for more of it';
COMMENT ON COLUMN partreg.provider.effective IS 'the time for which rule "all" asks this provider; [start, end), no bound meaning for ever';

-- length_class is the smallest c with end - start <= 2^c microseconds.  What
-- overlaps [a, b) in class c starts in (a - 2^c, b): a btree finds it without
-- a GiST index, which would make bulk registration several times slower.
CREATE TABLE partreg.partition (
    provider_id       integer NOT NULL,
    length_class      smallint NOT NULL,
    start_at          timestamptz NOT NULL,
    end_at            timestamptz NOT NULL CHECK (end_at > start_at),
    registered_at     timestamptz NOT NULL,
    first_unlocked_at timestamptz,
    -- Room for the second entry of a row whose first unlock is not a HOT update:
    -- without it each page of the index splits, and stays half empty.
    PRIMARY KEY (provider_id, length_class, start_at, end_at) WITH (fillfactor = 65)
) USING heap;
COMMENT ON TABLE partreg.partition IS 'internal: which provider supplies which interval, and since when it has';
COMMENT ON COLUMN partreg.partition.length_class IS 'the smallest c with end_at - start_at <= 2^c microseconds';

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
    PRIMARY KEY (source_id, length_class, start_at, end_at, provider_id)
) USING heap WITH (fillfactor = 70);
COMMENT ON COLUMN partreg.lock.state IS 'locked or failed';
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
    timeline      integer NOT NULL
) USING heap;
COMMENT ON TABLE partreg.event IS 'internal: history, append-only; it outlives the sources it speaks of, hence the names';
COMMENT ON COLUMN partreg.event.id IS 'drawn after the lock on the partition, so that the events of a partition are in order';
COMMENT ON COLUMN partreg.event.xid IS 'the top-level transaction that wrote it';
COMMENT ON COLUMN partreg.event.system_id IS 'with timeline: the era in which xid means something';

COMMENT ON SEQUENCE partreg.source_id_seq IS 'internal: numbers sources';
COMMENT ON SEQUENCE partreg.provider_id_seq IS 'internal: numbers providers';
COMMENT ON SEQUENCE partreg.event_id_seq IS 'internal: numbers events';

-- What pg_dump takes along: each table and each sequence.
SELECT pg_extension_config_dump('partreg.source', '');
SELECT pg_extension_config_dump('partreg.source_id_seq', '');
SELECT pg_extension_config_dump('partreg.provider', '');
SELECT pg_extension_config_dump('partreg.provider_id_seq', '');
SELECT pg_extension_config_dump('partreg.partition', '');
SELECT pg_extension_config_dump('partreg.lock', '');
SELECT pg_extension_config_dump('partreg.coverage', '');
SELECT pg_extension_config_dump('partreg.event', '');
SELECT pg_extension_config_dump('partreg.event_id_seq', '');
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
-- Sources, providers, their tokens and rules (src/registry.c, src/withdraw.c).
-- SET enable_seqscan: see 40_partition.sql.

CREATE FUNCTION partreg.register_source(source_name text, owner text, rule text DEFAULT 'any')
    RETURNS text
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_source(text, text, text) IS
    'registers a data set; returns its source token, once; 42710 when the name is known';

CREATE FUNCTION partreg.register_provider(provider_name text, access_token text, trusted_role text DEFAULT NULL, effective tstzrange DEFAULT '(,)')
    RETURNS text
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_provider(text, text, text, tstzrange) IS
    'registers a job that fills the source of the given source token; returns its provider token, once; 42710 when the name is known';

CREATE FUNCTION partreg.set_owner(source_name text, owner text, access_token text)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_owner(text, text, text) IS
    'changes who owns a source; needs the source token';

CREATE FUNCTION partreg.set_readiness_rule(source_name text, rule text, access_token text)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_readiness_rule(text, text, text) IS
    'sets whether "any" provider makes an instant available or "all" have to; needs the source token';

CREATE FUNCTION partreg.set_effective(source_name text, provider_name text, effective tstzrange, access_token text)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_effective(text, text, tstzrange, text) IS
    'sets the time for which rule "all" asks a provider; waits for its open writers; needs the source token';

CREATE FUNCTION partreg.set_trusted_role(source_name text, provider_name text, trusted_role text, access_token text)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_trusted_role(text, text, text, text) IS
    'sets the role whose members write for a provider without a token (NULL: none); needs the source token';

CREATE FUNCTION partreg.reset_access_token(source_name text, provider_name text DEFAULT NULL)
    RETURNS text
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.reset_access_token(text, text) IS
    'makes a new token where the old one was lost; the old one dies at once; for the owner of the extension';

CREATE FUNCTION partreg.rotate_access_token(source_name text, provider_name text, access_token text, grace interval DEFAULT '0')
    RETURNS text
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.rotate_access_token(text, text, text, interval) IS
    'makes a new token for a provider, or (provider_name NULL) for the source; the old one dies after grace';

CREATE FUNCTION partreg.revoke_provider(source_name text, provider_name text, access_token text)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.revoke_provider(text, text, text) IS
    'ends a provider: its tokens and trusted role die, its locks become failed; what it supplied stays; needs the source token';

CREATE FUNCTION partreg.drop_source(source_name text, access_token text)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.drop_source(text, text) IS
    'removes a source and all that belongs to it, but its history; needs the source token';
-- Partitions and their states (src/partition.c, src/bulk.c, src/withdraw.c).
--
-- Plans are kept for the life of a session, while a table may grow from nothing
-- to millions of rows before it is analyzed; so every function that writes
-- says that rows are found by index.

CREATE FUNCTION partreg.register_partition(source_name text, provider_name text, during tstzrange,
                                           access_token text DEFAULT NULL, if_not_exists boolean DEFAULT false)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_partition(text, text, tstzrange, text, boolean) IS
    'registers an interval that a provider supplies; true: it is new; known: 42710, or false with if_not_exists';

CREATE FUNCTION partreg.lock_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                       lease interval DEFAULT NULL, reason text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.lock_partition(text, text, tstzrange, text, text, interval, text) IS
    'locks a partition while its data changes; true: it is newly yours; held by another: 55006';

CREATE FUNCTION partreg.unlock_partition(source_name text, provider_name text, during tstzrange,
                                         access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.unlock_partition(text, text, tstzrange, text, text) IS
    'says that a partition may be read, locked before or not; true: its state changed; held by another: 55006';

CREATE FUNCTION partreg.fail_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, reason text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.fail_partition(text, text, tstzrange, text, text, text) IS
    'says that the job of a partition gave up: it blocks until unlocked or retired; true: its state changed';

CREATE FUNCTION partreg.retire_partition(source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.retire_partition(text, text, tstzrange, text) IS
    'removes a partition: what only it made available is so no longer, and a lock on it goes too; waits for open writers of the provider';

CREATE FUNCTION partreg.register_partitions(source_name text, provider_name text, during tstzrange, step interval,
                                            access_token text DEFAULT NULL, time_zone text DEFAULT 'UTC')
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_partitions(text, text, tstzrange, interval, text, text) IS
    'registers a range cut into steps of the calendar of a time zone; returns how many partitions are new';

CREATE FUNCTION partreg.lock_partitions(source_name text, provider_name text, during tstzrange,
                                        access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                        lease interval DEFAULT NULL, reason text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.lock_partitions(text, text, tstzrange, text, text, interval, text) IS
    'locks every partition of a provider that lies within a range, or none; returns how many are newly yours';

CREATE FUNCTION partreg.unlock_partitions(source_name text, provider_name text, during tstzrange,
                                          access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.unlock_partitions(text, text, tstzrange, text, text) IS
    'unlocks every partition of a provider that lies within a range, or none; returns how many changed';
-- Questions (src/readiness.c, src/obstacle.c).  STABLE and invoker's: they
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
-- verify(): does everything derived agree with the partitions?  It reads the
-- tables, so it runs as the owner of the extension.

CREATE TYPE partreg.problem AS (
    source_name text,
    problem     text
);
COMMENT ON TYPE partreg.problem IS 'something derived that does not agree with the partitions';

CREATE FUNCTION partreg._length_class(start_at timestamptz, end_at timestamptz)
    RETURNS smallint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._length_class(timestamptz, timestamptz) IS
    'internal: the smallest c with end_at - start_at <= 2^c microseconds';

CREATE FUNCTION partreg._problems(wanted integer)
    RETURNS TABLE (source_id integer, problem text)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        -- Who does not belong to anybody
        SELECT p.source_id, format('provider %s belongs to no source', p.name)
          FROM partreg.provider p
         WHERE wanted IS NULL
           AND NOT EXISTS (SELECT FROM partreg.source s WHERE s.id = p.source_id)
        UNION ALL
        SELECT NULL::integer, format('partition [%s, %s) of provider number %s belongs to no provider',
                                   p.start_at, p.end_at, p.provider_id)
          FROM partreg.partition p
         WHERE wanted IS NULL
           AND NOT EXISTS (SELECT FROM partreg.provider v WHERE v.id = p.provider_id)
        UNION ALL
        SELECT c.source_id, format('span [%s, %s) of provider number %s belongs to no provider of the source',
                                   c.span_start, c.span_end, c.provider_id)
          FROM partreg.coverage c
         WHERE (wanted IS NULL OR c.source_id = wanted)
           AND NOT EXISTS (SELECT FROM partreg.provider v
                            WHERE v.id = c.provider_id AND v.source_id = c.source_id)
        UNION ALL
        SELECT l.source_id, format('lock on [%s, %s) of provider number %s belongs to no partition of the source',
                                   l.start_at, l.end_at, l.provider_id)
          FROM partreg.lock l
         WHERE (wanted IS NULL OR l.source_id = wanted)
           AND NOT EXISTS (SELECT FROM partreg.partition p
                             JOIN partreg.provider v ON v.id = p.provider_id
                            WHERE p.provider_id = l.provider_id AND p.length_class = l.length_class
                              AND p.start_at = l.start_at AND p.end_at = l.end_at
                              AND v.source_id = l.source_id)
        UNION ALL
        -- What the tables' own constraints do not refuse
        SELECT s.id, format('the rule of the source is %L', s.rule)
          FROM partreg.source s
         WHERE (wanted IS NULL OR s.id = wanted) AND s.rule NOT IN ('any', 'all')
        UNION ALL
        SELECT l.source_id, format('lock on [%s, %s) of provider number %s has the state %L',
                                   l.start_at, l.end_at, l.provider_id, l.state)
          FROM partreg.lock l
         WHERE (wanted IS NULL OR l.source_id = wanted) AND l.state NOT IN ('locked', 'failed')
        UNION ALL
        SELECT c.source_id, format('span [%s, %s) of provider number %s holds nothing',
                                   c.span_start, c.span_end, c.provider_id)
          FROM partreg.coverage c
         WHERE (wanted IS NULL OR c.source_id = wanted) AND c.span_end <= c.span_start
        UNION ALL
        -- Where no index scan would find it
        SELECT v.source_id, format('partition %s of provider %s is filed under a wrong length class',
                                   tstzrange(p.start_at, p.end_at), v.name)
          FROM partreg.partition p
          JOIN partreg.provider v ON v.id = p.provider_id
         WHERE (wanted IS NULL OR v.source_id = wanted)
           AND p.length_class <> partreg._length_class(p.start_at, p.end_at)
        UNION ALL
        -- Spans against what has been unlocked
        SELECT a.source_id, format('spans %s and %s of provider %s overlap',
                                   tstzrange(a.span_start, a.span_end),
                                   tstzrange(b.span_start, b.span_end), v.name)
          FROM (SELECT c.source_id, c.provider_id, c.span_start, c.span_end,
                       lead(c.span_start) OVER w AS next_start, lead(c.span_end) OVER w AS next_end
                  FROM partreg.coverage c
                 WHERE (wanted IS NULL OR c.source_id = wanted) AND c.span_end > c.span_start
                WINDOW w AS (PARTITION BY c.provider_id ORDER BY c.span_start)) a
          CROSS JOIN LATERAL (VALUES (a.next_start, a.next_end)) AS b (span_start, span_end)
          JOIN partreg.provider v ON v.id = a.provider_id
         WHERE a.span_end > b.span_start
        UNION ALL
        SELECT v.source_id, format('%s was unlocked by provider %s but is not in its spans', piece, v.name)
          FROM partreg.provider v
          JOIN (SELECT p.provider_id, partreg.coalesce_ranges(tstzrange(p.start_at, p.end_at)) AS ranges
                  FROM partreg.partition p
                 WHERE p.first_unlocked_at IS NOT NULL
                   AND (wanted IS NULL OR p.provider_id IN
                        (SELECT o.id FROM partreg.provider o WHERE o.source_id = wanted))
                 GROUP BY p.provider_id) unlocked ON unlocked.provider_id = v.id
          LEFT JOIN (SELECT c.source_id, c.provider_id, partreg.coalesce_ranges(tstzrange(c.span_start, c.span_end)) AS ranges
                  FROM partreg.coverage c
                 WHERE (wanted IS NULL OR c.source_id = wanted) AND c.span_end > c.span_start
                 GROUP BY c.source_id, c.provider_id) covered
            ON covered.source_id = v.source_id AND covered.provider_id = v.id
         CROSS JOIN LATERAL unnest(unlocked.ranges - coalesce(covered.ranges, '{}')) AS piece
        UNION ALL
        SELECT v.source_id, format('%s is in the spans of provider %s but was not unlocked by it', piece, v.name)
          FROM partreg.provider v
          JOIN (SELECT c.source_id, c.provider_id, partreg.coalesce_ranges(tstzrange(c.span_start, c.span_end)) AS ranges
                  FROM partreg.coverage c
                 WHERE (wanted IS NULL OR c.source_id = wanted) AND c.span_end > c.span_start
                 GROUP BY c.source_id, c.provider_id) covered
            ON covered.source_id = v.source_id AND covered.provider_id = v.id
          LEFT JOIN (SELECT p.provider_id, partreg.coalesce_ranges(tstzrange(p.start_at, p.end_at)) AS ranges
                  FROM partreg.partition p
                 WHERE p.first_unlocked_at IS NOT NULL
                   AND (wanted IS NULL OR p.provider_id IN
                        (SELECT o.id FROM partreg.provider o WHERE o.source_id = wanted))
                 GROUP BY p.provider_id) unlocked ON unlocked.provider_id = v.id
         CROSS JOIN LATERAL unnest(covered.ranges - coalesce(unlocked.ranges, '{}')) AS piece;
    END;
COMMENT ON FUNCTION partreg._problems(integer) IS 'internal: what verify() reports of a source, or (NULL) of all';

CREATE FUNCTION partreg.verify(source_name text DEFAULT NULL)
    RETURNS SETOF partreg.problem
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    wanted integer;
BEGIN
    IF source_name IS NOT NULL THEN
        SELECT s.id INTO wanted FROM partreg.source s WHERE s.name = source_name;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_object',
                MESSAGE = 'the source to be verified does not exist',
                HINT = 'The view partreg.sources lists the sources.';
        END IF;
    END IF;
    RETURN QUERY
        SELECT s.name, p.problem
          FROM partreg._problems(wanted) p
          LEFT JOIN partreg.source s ON s.id = p.source_id
         ORDER BY 1, 2;
END;
$$;
COMMENT ON FUNCTION partreg.verify(text) IS
    'what of a source (NULL: of all) does not agree with its partitions; no row means that all is well';
-- Views: what there is, for people and dashboards.  None shows a digest.

CREATE VIEW partreg.sources AS
    SELECT s.name AS source_name, s.owner, s.rule, s.registered_at, s.token_changed_at
      FROM partreg.source s;
COMMENT ON VIEW partreg.sources IS 'data sets, who owns them and their readiness rule';

CREATE VIEW partreg.providers AS
    SELECT s.name AS source_name, p.name AS provider_name, p.trusted_role, p.effective, p.deadline,
           p.registered_at, p.token_changed_at, p.old_token_until, p.revoked_at
      FROM partreg.provider p
      JOIN partreg.source s ON s.id = p.source_id;
COMMENT ON VIEW partreg.providers IS 'jobs that fill the sources';

CREATE VIEW partreg.partitions AS
    SELECT s.name AS source_name, v.name AS provider_name, p.start_at, p.end_at,
           CASE WHEN l.state IS NOT NULL THEN l.state
                WHEN p.first_unlocked_at IS NOT NULL THEN 'unlocked'
                ELSE 'registered'
           END AS state,
           p.registered_at, p.first_unlocked_at
      FROM partreg.partition p
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
           e.at, e.actor, e.holder, e.reason
      FROM partreg.event e;
COMMENT ON VIEW partreg.events IS 'what happened, to what, by whom and when';
-- Privileges.  PUBLIC has nothing; grant_privileges() gives a role one level.

-- The level that each public routine belongs to.  Routines that are not here
-- (reset_access_token, grant_privileges, everything with a leading _) are for
-- the owner of the extension and superusers alone.
CREATE VIEW partreg._routine_level (routine, level) AS
    VALUES ('check_readiness'::name, 'reader'::text),
           ('explain_readiness', 'reader'),
           ('assert_ready', 'reader'),
           ('coalesce_ranges', 'reader'),
           ('all_ready', 'reader'),
           ('ready_until', 'reader'),
           ('ready_ranges', 'reader'),
           ('verify', 'reader'),
           ('register_provider', 'writer'),
           ('register_partition', 'writer'),
           ('lock_partition', 'writer'),
           ('unlock_partition', 'writer'),
           ('fail_partition', 'writer'),
           ('register_partitions', 'writer'),
           ('lock_partitions', 'writer'),
           ('unlock_partitions', 'writer'),
           ('retire_partition', 'writer'),
           ('rotate_access_token', 'writer'),
           ('revoke_provider', 'writer'),
           ('set_owner', 'writer'),
           ('set_readiness_rule', 'writer'),
           ('set_effective', 'writer'),
           ('set_trusted_role', 'writer'),
           ('register_source', 'admin'),
           ('drop_source', 'admin');
COMMENT ON VIEW partreg._routine_level IS 'internal: which level of grant_privileges() a routine belongs to';

CREATE FUNCTION partreg._grant_level(grantee text, level text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    -- In ascending order; each level has what the ones before it have.
    levels CONSTANT text[] := ARRAY['reader', 'writer', 'admin'];
    target record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA partreg TO %I', grantee);
    FOR target IN
        SELECT p.oid::regprocedure AS routine
          FROM pg_proc p
          JOIN partreg._routine_level l ON l.routine = p.proname
         WHERE p.pronamespace = 'partreg'::regnamespace
           AND array_position(levels, l.level) <= array_position(levels, _grant_level.level)
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

CREATE FUNCTION partreg.grant_privileges(grantee text, level text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    levels CONSTANT text[] := ARRAY['none', 'reader', 'writer', 'admin'];
    target record;
BEGIN
    IF grantee IS NULL OR level IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null',
                             CASE WHEN grantee IS NULL THEN 'grantee' ELSE 'level' END);
    END IF;
    IF level <> ALL (levels) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'unknown level of privileges',
            HINT = 'The levels are none, reader, writer and admin.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = grantee) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = 'the role to be granted privileges does not exist',
            HINT = 'The name is taken as it is written, without folding its case.';
    END IF;

    IF EXISTS (SELECT FROM pg_extension e JOIN pg_roles r ON r.oid = e.extowner
                WHERE e.extname = 'partition_registry' AND r.rolname = grantee) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the owner of the extension has all privileges, and keeps them';
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
    'gives a role exactly one level: none, reader, writer or admin; for the owner of the extension';

CREATE FUNCTION partreg._is_of_this_transaction(row_xmin xid)
    RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._is_of_this_transaction(xid) IS
    'internal: did the current transaction, or one of its subtransactions, write the row that has this xmin?';

-- Which level a role has: the highest one of which, and of all levels below it,
-- it may call every routine that anybody but the owner may call.  What an
-- upgrade, in this transaction, has just added does not count; its membership
-- tells, as a GRANT would write the row of pg_proc anew.  A role to which
-- somebody granted single routines by hand has none.
CREATE VIEW partreg._granted_level (grantee, level) AS
    WITH granted AS (
        SELECT array_position(ARRAY['reader', 'writer', 'admin'], l.level) AS rank,
               l.level, p.oid AS routine, a.grantee
          FROM pg_proc p
          JOIN partreg._routine_level l ON l.routine = p.proname
          JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
         CROSS JOIN LATERAL aclexplode(p.proacl) a
         WHERE p.pronamespace = 'partreg'::regnamespace AND a.grantee NOT IN (0, p.proowner)
           AND NOT partreg._is_of_this_transaction(d.xmin)
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
COMMENT ON VIEW partreg._granted_level IS 'internal: which level of grant_privileges() each role has';

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
