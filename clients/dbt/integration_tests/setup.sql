-- Days 1 to 3 of January 2024: orders are there, none of them ready.
CREATE EXTENSION partition_registry CASCADE;
CREATE SCHEMA sales;
CREATE SCHEMA marts;
CREATE TABLE sales.orders (happened_at timestamptz, amount int);
INSERT INTO sales.orders SELECT g, 1 FROM generate_series('2024-01-01 00:00+00'::timestamptz, '2024-01-03 23:00+00', '1 hour') g;
GRANT ALL ON SCHEMA sales, marts TO :"role";
GRANT ALL ON ALL TABLES IN SCHEMA sales TO :"role";
GRANT CREATE ON DATABASE :"DBNAME" TO :"role";
SELECT partreg.grant_privileges(:'role', 'writer');
SELECT partreg.register_provider('dbt', partreg.register_source(s, 'o'), trusted_role => :'role') IS NULL
  FROM unnest('{sales.orders,marts.revenue,marts.broken,marts.tested,marts.below,marts.batched}'::text[]) s;
