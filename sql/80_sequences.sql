-- Sequences that are behind the numbers in use: after logical replication, which
-- does not replicate them, or after a load of tables alone.

CREATE FUNCTION partreg.advance_sequences()
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    behind name;
BEGIN
    FOR behind IN SELECT q.name FROM partreg._sequence q WHERE q.next <= q.greatest LOOP
        -- Each of these statements changes nothing, but takes the lock that
        -- nextval() conflicts with: whoever has drawn a number has committed,
        -- or waits.  So between the look and setval() nothing moves.
        CASE behind
            WHEN 'source_id_seq' THEN ALTER SEQUENCE partreg.source_id_seq NO CYCLE;
            WHEN 'provider_id_seq' THEN ALTER SEQUENCE partreg.provider_id_seq NO CYCLE;
            WHEN 'event_id_seq' THEN ALTER SEQUENCE partreg.event_id_seq NO CYCLE;
        END CASE;
        -- setval() is written to the WAL before any row that has a number drawn
        -- after it; so no crash leaves such a row and a sequence behind it.
        PERFORM setval(format('partreg.%I', q.name)::regclass, q.greatest)
           FROM partreg._sequence q
          WHERE q.name = behind AND q.next <= q.greatest;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION partreg.advance_sequences() IS
    'advances the sequences that are behind the numbers that tables and history mention; none goes back; for the owner of the extension';
