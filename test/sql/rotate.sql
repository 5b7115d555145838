-- rotate_access_token: who may, and how long the old token lives.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set VERBOSITY sqlstate

CREATE ROLE regress_rotate;
SELECT partreg.grant_privileges('regress_rotate', 'admin');
SET SESSION AUTHORIZATION regress_rotate;
SELECT partreg.register_source('rotate', 'team') AS s1 \gset
SELECT partreg.register_provider('a', :'s1') AS a1 \gset
SELECT partreg.register_provider('b', :'s1') AS b1 \gset
-- Which tokens are good: of the source, and of provider a.
CREATE FUNCTION pg_temp.opens(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    opens text := '';
BEGIN
    BEGIN
        PERFORM partreg.set_owner('rotate', 'team', token);
        opens := opens || 'source ';
    EXCEPTION WHEN insufficient_privilege THEN
    END;
    BEGIN
        PERFORM partreg.register_partition('rotate', 'a', '[2024-01-01, 2024-01-02)', token, true);
        opens := opens || 'a ';
    EXCEPTION WHEN insufficient_privilege THEN
    END;
    BEGIN
        PERFORM length(partreg.register_provider(gen_random_uuid()::text, token));
        opens := opens || 'new ';
    EXCEPTION WHEN insufficient_privilege THEN
    END;
    RETURN opens;
END;
$$;
SELECT pg_temp.opens(:'s1') AS s1, pg_temp.opens(:'a1') AS a1, pg_temp.opens(:'b1') AS b1;

-- By default the old token dies at once.
SELECT partreg.rotate_access_token('rotate', 'a', :'a1') AS a2 \gset
SELECT pg_temp.opens(:'a1') AS a1, pg_temp.opens(:'a2') AS a2, :'a2' ~ '^prp_[0-9a-f]{72}$' AS is_provider_token;
SELECT partreg.rotate_access_token('rotate', NULL, :'s1') AS s2 \gset
SELECT pg_temp.opens(:'s1') AS s1, pg_temp.opens(:'s2') AS s2, pg_temp.opens(:'a2') AS a2, :'s2' ~ '^prs_[0-9a-f]{72}$' AS is_source_token;
SELECT partreg.rotate_access_token('rotate', 'a', :'a2', NULL) AS a3 \gset
SELECT pg_temp.opens(:'a2') AS a2, pg_temp.opens(:'a3') AS a3;

-- The source token rotates any of its providers; nobody else does.
SELECT partreg.rotate_access_token('rotate', 'a', :'s2') AS a4 \gset
SELECT pg_temp.opens(:'a3') AS a3, pg_temp.opens(:'a4') AS a4;
SELECT partreg.rotate_access_token('rotate', 'a', :'b1');
SELECT partreg.rotate_access_token('rotate', NULL, :'a4');
SELECT partreg.rotate_access_token('rotate', 'a', :'a1');
SELECT partreg.rotate_access_token('rotate', NULL, :'s1');
SELECT partreg.rotate_access_token('rotate', 'nobody', :'s2');

-- With a grace both are good; one old token at most; the oldest dies.
SELECT partreg.rotate_access_token('rotate', 'a', :'a4', '1 day') AS a5 \gset
SELECT pg_temp.opens(:'a4') AS a4, pg_temp.opens(:'a5') AS a5;
SELECT old_token_until - token_changed_at AS grace FROM partreg.providers WHERE source_name = 'rotate' AND provider_name = 'a';
SELECT partreg.rotate_access_token('rotate', 'a', :'a5', '1 hour') AS a6 \gset
SELECT pg_temp.opens(:'a4') AS a4, pg_temp.opens(:'a5') AS a5, pg_temp.opens(:'a6') AS a6;
-- A token in its grace rotates nothing, itself neither: a thief would have a new
-- one without end.  After the next rotation the oldest is dead.
SELECT partreg.rotate_access_token('rotate', 'a', :'a5', '1 hour');
SELECT partreg.rotate_access_token('rotate', 'a', :'a6', '1 hour') AS a7 \gset
SELECT pg_temp.opens(:'a5') AS a5, pg_temp.opens(:'a6') AS a6, pg_temp.opens(:'a7') AS a7;
-- No grace ends the one before as well.
SELECT partreg.rotate_access_token('rotate', 'a', :'a7') AS a8 \gset
SELECT pg_temp.opens(:'a6') AS a6, pg_temp.opens(:'a7') AS a7, pg_temp.opens(:'a8') AS a8;
SELECT old_token_until FROM partreg.providers WHERE source_name = 'rotate' AND provider_name = 'a';

-- The same for the source: both of its tokens register providers.
SELECT partreg.rotate_access_token('rotate', NULL, :'s2', '1 day') AS s3 \gset
SELECT pg_temp.opens(:'s2') AS s2, pg_temp.opens(:'s3') AS s3;
SELECT partreg.rotate_access_token('rotate', NULL, :'s3', '1 day') AS s4 \gset
SELECT pg_temp.opens(:'s2') AS s2, pg_temp.opens(:'s3') AS s3, pg_temp.opens(:'s4') AS s4;

-- In its grace it rotates nothing, neither the source's own nor a provider's.
SELECT partreg.rotate_access_token('rotate', NULL, :'s3', '1 day');
SELECT partreg.rotate_access_token('rotate', 'a', :'s3');

-- Grace ends by the clock, also within one transaction.
BEGIN;
SELECT partreg.rotate_access_token('rotate', 'a', :'a8', '100 milliseconds') AS a9,
       partreg.rotate_access_token('rotate', NULL, :'s4', '100 milliseconds') AS s5 \gset
SELECT pg_sleep(0.2);
SELECT pg_temp.opens(:'a8') AS a8, pg_temp.opens(:'a9') AS a9, pg_temp.opens(:'s4') AS s4, pg_temp.opens(:'s5') AS s5;
COMMIT;

-- A rollback leaves the old one good.
BEGIN;
SELECT partreg.rotate_access_token('rotate', 'a', :'a9') AS never \gset
SELECT pg_temp.opens(:'a9') AS a9, pg_temp.opens(:'never') AS never;
ROLLBACK;
SELECT pg_temp.opens(:'a9') AS a9, pg_temp.opens(:'never') AS never;

-- Graces that are none.
SELECT partreg.rotate_access_token('rotate', 'a', :'a9', '-1 second');
SELECT partreg.rotate_access_token('rotate', 'a', :'a9', '1 month');
SELECT partreg.rotate_access_token('rotate', 'a', :'a9', '300000 years');
SELECT partreg.rotate_access_token('rotate', 'a', :'a9', '2147483647 days');

-- Resetting ends old ones, too.
SELECT partreg.rotate_access_token('rotate', 'a', :'a9', '1 day') AS a10 \gset
RESET SESSION AUTHORIZATION;
SELECT partreg.reset_access_token('rotate', 'a') AS a11 \gset
SELECT pg_temp.opens(:'a9') AS a9, pg_temp.opens(:'a10') AS a10, pg_temp.opens(:'a11') AS a11;

SELECT event, provider_name, count(*) FROM partreg.events WHERE source_name = 'rotate' AND event = 'rotate' GROUP BY 1, 2 ORDER BY 2;
SET client_min_messages = error;
DROP OWNED BY regress_rotate;
DROP ROLE regress_rotate;
