-- The columns of the tables, and of the indexes that C walks, are those that
-- src/catalog.h counts.
\set columns `sed -n 's/^[[:space:]]*Anum_\([a-z_]*\).*/\1/p' "$PG_ABS_SRCDIR/../src/catalog.h" | paste -sd ' '`
CREATE EXTENSION partition_registry CASCADE;
WITH counted AS (
    SELECT t.name AS table_name,
           substr(c.word, length(t.name) + 2) AS column_name,
           row_number() OVER (PARTITION BY t.name ORDER BY c.n) AS number
    FROM regexp_split_to_table(:'columns', ' ') WITH ORDINALITY AS c (word, n)
    JOIN (VALUES ('source'), ('provider'), ('partition'), ('lock'), ('coverage'), ('event'), ('registry')) AS t (name)
      ON c.word LIKE t.name || '\_%'
), actual AS (
    SELECT c.relname::text AS table_name, a.attname::text AS column_name, a.attnum::bigint AS number
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'partreg'::regnamespace AND c.relkind = 'r' AND c.relname <> 'pending'
      AND a.attnum > 0
)
SELECT table_name, column_name, c.number AS in_c, a.number AS in_table
FROM counted c
FULL JOIN actual a USING (table_name, column_name)
WHERE c.number IS DISTINCT FROM a.number
ORDER BY table_name, a.number;
SELECT count(*) > 60 AS words_were_found FROM regexp_split_to_table(:'columns', ' ') w WHERE w <> '';

-- pending has the first columns of partition.
SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) AS pending,
       string_agg(a.attname, ', ' ORDER BY a.attnum) = (
           SELECT string_agg(b.attname, ', ' ORDER BY b.attnum)
           FROM pg_attribute b
           WHERE b.attrelid = 'partreg.partition'::regclass AND b.attnum BETWEEN 1 AND 5) AS same
FROM pg_attribute a
WHERE a.attrelid = 'partreg.pending'::regclass AND a.attnum > 0;

SELECT c.relname AS index, string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_attribute a ON a.attrelid = i.indexrelid
WHERE c.relnamespace = 'partreg'::regnamespace
  AND c.relname IN ('source_pkey', 'source_name_key', 'source_token_digest_idx', 'source_old_token_digest_idx',
                    'provider_pkey', 'provider_source_id_name_key', 'pending_pkey', 'partition_pkey', 'lock_pkey',
                    'coverage_pkey', 'event_pkey', 'event_details_idx', 'event_xid_idx', 'event_change_idx',
                    'event_during_idx', 'registry_pkey')
GROUP BY c.relname
ORDER BY c.relname COLLATE "C";
