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
