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
