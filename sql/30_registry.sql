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
