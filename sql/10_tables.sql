-- Tables.  Internal: no role is granted anything on them; they are written by
-- the SECURITY DEFINER functions and read by C scans (src/catalog.h holds the
-- attribute numbers, which must match the order of the columns here).
--
-- The tables that questions read (source, provider, lock, coverage) have no CHECK
-- constraints: each constraint would cost every new connection a scan of
-- pg_constraint before its first answer.  Only the functions write here, and the
-- exclusion constraint on coverage refuses the worst damage, overlapping spans.
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
    -- A call that takes availability away increments epoch.  As epoch is part of
    -- a unique key, this conflicts with the FOR KEY SHARE of every writer, and a
    -- REPEATABLE READ transaction notices it afterwards.
    UNIQUE (id, epoch)
) USING heap;
COMMENT ON TABLE partreg.provider IS 'internal: jobs that fill a source; the row is the parent that every writer locks FOR KEY SHARE';
COMMENT ON COLUMN partreg.provider.epoch IS 'counted up by whatever takes availability away or asks for more of it';
COMMENT ON COLUMN partreg.provider.trusted_role IS 'its name when it was set';
COMMENT ON COLUMN partreg.provider.trusted_role_oid IS 'as in partreg.source';
COMMENT ON COLUMN partreg.provider.effective IS 'the time for which rule "all" asks this provider; [start, end), no bound meaning for ever';

-- A partition is in one of two tables: in pending until it is first unlocked, and
-- in partition from then on.  So partitions that were never unlocked are in a
-- small table, and are found at once.  And a first unlock moves a row; it leaves
-- no dead version, and no second entry of the index, in the large table.
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

-- The identity of this registry, for positions.  It is one row.  After a restore
-- there is a second row, made by CREATE EXTENSION there; the oldest row counts.
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
