-- Secrets in what people can read: reasons and details.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';

SELECT partreg.register_source('secrets', 'team') AS source_token \gset
SELECT partreg.register_provider('loader', :'source_token') AS token \gset
SELECT partreg.register_partition('secrets', 'loader', '[2024-01-01, 2024-01-02)', :'token');

-- What is kept of a reason, and of details.
CREATE FUNCTION pg_temp.kept(reason text, token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM partreg.lock_partition('secrets', 'loader', '[2024-01-01, 2024-01-02)', token, 'x', reason => $1);
    RETURN (SELECT l.reason FROM partreg.locks l WHERE source_name = 'secrets');
END;
$$;
CREATE FUNCTION pg_temp.details(details jsonb, token text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM partreg.unlock_partition('secrets', 'loader', '[2024-01-01, 2024-01-02)', token, details => $1);
    RETURN (SELECT e.details FROM partreg.events e WHERE source_name = 'secrets' AND event = 'unlock' ORDER BY event_id DESC LIMIT 1);
END;
$$;

-- Stars stand for the password in each of these, and for nothing else: S... is
-- the password, all of it and no more.
CREATE TABLE pg_temp.secret (n int GENERATED ALWAYS AS IDENTITY, given text);
INSERT INTO pg_temp.secret (given) VALUES
    ('postgresql://loader:S3cretPassw0rd@dwh.example/db'),
    ('cannot connect to postgresql+psycopg2://loader:S3cr3t@dwh:5432/db?sslmode=require; giving up'),
    ('redis://:Secret@cache:6379/0'),
    ('amqp://u:S:e:c@mq//vhost'),
    ('https://u:S@@cret@host/x@y'),
    ('https://u:S%40cret@host'),
    ('postgres%3A%2F%2Floader%3ASecret%40dwh%2Fdb'),
    ('sqlalchemy.exc: (postgres://u:S/cr?t#@host/db) at 12:30'),
    ('"mysql://u:S''c"ret@h/db"'),
    ('two: ftp://a:S1@h and sftp://b:S2@h'),
    ('postgres://u:S@[::1]:5432/db'),
    ('host=h user=u password=Secret dbname=d'),
    ('host=h user=u password = Secret dbname=d'),
    ('password=''S \'' cret'' dbname=d'),
    ('password=''S''''cret'' dbname=d'),
    ('PASSWORD="Secret", user="u"'),
    ('PGPASSWORD=Secret psql -c x'),
    ('--password=Secret --user=u'),
    ('jdbc:postgresql://h/db?user=u&password=S%26cret&ssl=true'),
    ('jdbc:postgresql://h/db?password=S,c;r&user=u'),
    ('Server=h;Uid=u;Password=Secret;Database=d'),
    ('Server=h;Password={S;cret};Database=d'),
    ('sslpassword=S@cret, sslkey=k'),
    ('password%3DSecret%26ssl%3Dtrue'),
    ('{"user": "u", "password": "S\"cret", "port": 5432}'),
    ('{''user'': ''u'', ''db_password'': ''Secret''}'),
    ('{\"password\": \"Secret\", \"port\": 5432}'),
    ('connect(user=''u'', password=''Secret'')'),
    ('dict(password=>''Secret'')'),
    ('passwd=Secret'),
    ('call(password := ''Secret'', x := 1)'),
    ('https://me@corp.example:S3cret@host/x@y'),
    ('postgresql://user@server:Secret@server.example:5432/db'),
    ('{"dsn":"postgresql:\/\/u:S3cret@h:5432\/db@x"}'),
    ('"{\"dsn\":\"postgresql:\\/\\/u:S3cret@h\\/db\"}"'),
    ('{"dsn":"jdbc:postgresql://h/db?user\u003du\u0026password\u003dS3cret\u0026ssl\u003dtrue"}'),
    ('{"dsn":"postgresql\u003A\u002F\u002Fu\u003aS3cret\u0040h"}'),
    (E'password=S\u00e4cret\nnext line');
SELECT n, pg_temp.kept(given, :'token') FROM pg_temp.secret ORDER BY n;

-- These hold none.
SELECT given, pg_temp.kept(given, :'token') = given AS kept
FROM unnest(ARRAY[
    'write to alice@example.com or bob@example.org:25',
    'at 12:30:45, 2024-01-01T00:00:00Z',
    'C:\data\file and /srv/data:/mnt@2/x',
    'git@github.com:org/repo.git',
    'https://host:8443/path@v2?x=1',
    'https://user@host/path:1',
    'ssh://git@host.example:22/org/repo@v1 and https://me@host.example:8443?a@b',
    'git+ssh://git@host.example:org/repo.git@v1.0',
    'C:\\share\u00e4\/x, a :\/ b',
    'http://[::1]:8080/a@b',
    's3://bucket/key:part@1',
    'file:///tmp/a:b@c',
    'FATAL: password authentication failed for user "loader"',
    'the password, or its hash, is wrong: try again',
    'wrong password: a@b.example may not connect',
    'passwords are kept elsewhere; user=u', 'word=value',
    'a = b, c == d, x@y']) given;

-- Masked before it is cut: whatever lies across the cut, nothing of it is left.
SELECT n, octet_length(kept) AS bytes, ltrim(kept, '.') AS kept
FROM (SELECT n, pg_temp.kept(repeat('.', at) || given, :'token') AS kept
      FROM (VALUES (1, 1990, 'a://b:' || repeat('S', 40) || '@h'),
                   (2, 1990, 'a://b:' || repeat('S', 4000) || '@h'),
                   (3, 1985, 'password=' || repeat('S', 40)),
                   (4, 1985, 'password="' || repeat('S', 4000) || '"'),
                   (5, 1995, 'password=Secret')) v (n, at, given)) x
ORDER BY n;
SELECT repeat('.', 1995) || 'passw' = pg_temp.kept(repeat('.', 1995) || 'password=' || repeat('S', 4000), :'token') AS cut_in_the_word;

-- Of what is stored compressed, or elsewhere, likewise.
CREATE TABLE pg_temp.stored (reason text);
INSERT INTO pg_temp.stored VALUES ('password=Secret ' || repeat('.', 1000000)),
    ((SELECT 'password=Secret ' || string_agg(md5(i::text), ' ') FROM generate_series(1, 10000) i));
SELECT left(pg_temp.kept(reason, :'token'), 30), octet_length(pg_temp.kept(reason, :'token')) FROM pg_temp.stored ORDER BY 1;

SELECT partreg.unlock_partition('secrets', 'loader', '[2024-01-01, 2024-01-02)', :'source_token');

-- Details: strings at any depth, and what stands under a key that says so.
SELECT pg_temp.details(jsonb_build_object('dsn', 'postgresql://loader:S3cret@dwh/db', 'rows', 12, 'token', :'token'::text,
                                          'steps', jsonb_build_array('PGPASSWORD=Secret psql', null, true, jsonb_build_object('x', 'password = Secret')),
                                          'db_password', 'Secret', 'note', 'nothing'), :'source_token') IS NOT NULL AS kept;
SELECT jsonb_pretty(regexp_replace(details::text, 'pr(.)_\*+', 'pr\1_*')::jsonb)
FROM partreg.events WHERE source_name = 'secrets' AND details IS NOT NULL;
SELECT pg_temp.details('{}', :'source_token'), pg_temp.details('{"a": "b"}', :'source_token');
-- Keys are masked as values are; two that are alike then are one.
SELECT regexp_replace(pg_temp.details(details, :'source_token')::text, 'pr(.)_\*+', 'pr\1_*', 'g')
FROM (VALUES (jsonb_build_object(:'token'::text, 1)),
             (jsonb_build_object('a', jsonb_build_array(jsonb_build_object('x ' || :'token'::text, 1)))),
             ('{"postgresql://u:Secret@h/db": "in use", "password=Secret": true}'),
             ('{"password=One": 1, "password=Two": 2}')) v (details);
-- Under a key that says so: numbers too, and what is in arrays; no more.
SELECT pg_temp.details(details::jsonb, :'source_token')
FROM unnest(ARRAY['{"password": 123456, "x": 1}', '{"password": [1, "Secret", ["Secret"], null], "x": ["y", 1]}',
                  '{"a": [{"password": "Secret"}, "y", ["z"]]}', '{"password": {"in": "vault", "since": 2024}, "x": "y"}',
                  '{"password": [{"at": "vault"}, -1.5], "password_file": "f", "db_password": true}',
                  '{"DB_PASSWD": "", "x": {"password": []}, "y": ["z"]}']) details;

-- Only an object, and a short one.
CREATE FUNCTION pg_temp.refused(details jsonb, token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    condition text;
    detail text;
BEGIN
    RETURN left(pg_temp.details($1, $2)::text, 20);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS condition = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' | ', SQLSTATE, condition, SQLERRM, nullif(detail, ''));
END;
$$;
SELECT what, pg_temp.refused(details, :'source_token')
FROM (VALUES
    (1, 'array', '[]'::jsonb), (2, 'string', '"x"'), (3, 'number', '1'), (4, 'null', 'null'),
    (5, '8,000 bytes', jsonb_build_object('a', repeat('x', 8000 - 9))),
    (6, '8,001 bytes', jsonb_build_object('a', repeat('x', 8000 - 8))),
    (7, 'most as jsonb', jsonb_build_object('a', (SELECT jsonb_agg(0) FROM generate_series(1, 2664)))),
    (8, 'one more', jsonb_build_object('a', (SELECT jsonb_agg(0) FROM generate_series(1, 2665)))),
    (9, 'huge', jsonb_build_object('a', repeat('x', 10000000)))
) v (n, what, details) ORDER BY n;

-- Names are not masked, but refused when they look like a token: test/sql/token.
SELECT partreg.register_provider('password=x', :'source_token') IS NOT NULL AS registered;
SELECT provider_name FROM partreg.providers WHERE source_name = 'secrets' ORDER BY 1;
