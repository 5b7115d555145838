-- 10,000 sources, a year of minutes, and a picture of many pieces.
SET timezone = 'UTC';
DO $$
DECLARE
    token text;
    job text;
BEGIN
    FOR i IN 1..10000 LOOP
        token := partreg.register_source('team' || i % 40 || '.table_' || i, 'team' || i % 40);
        job := partreg.register_provider('loader', token);
        PERFORM partreg.unlock_partition('team' || i % 40 || '.table_' || i, 'loader',
            tstzrange('2024-01-01', '2024-02-01'::timestamptz + i % 130 * interval '1 hour'), job, register => true);
        IF i % 20 = 0 THEN
            PERFORM partreg.lock_partition('team' || i % 40 || '.table_' || i, 'loader',
                '[2024-03-01, 2024-03-02)', job, 'etl/' || i, '0', register => true);
        END IF;
    END LOOP;

    -- 525,600 minutes, a quarter of them there, of which one has failed and one
    -- is missing.
    token := partreg.register_source('all.minutes', 'ops');
    job := partreg.register_provider('collector', token);
    PERFORM partreg.register_partitions('all.minutes', 'collector', '[2025-01-01, 2026-01-01)', '1 minute', job);
    PERFORM partreg.unlock_partitions('all.minutes', 'collector', '[2025-01-01, 2025-04-01)', job);
    PERFORM partreg.fail_partition('all.minutes', 'collector', '[2025-03-01 00:10, 2025-03-01 00:11)', job);
    PERFORM partreg.retire_partition('all.minutes', 'collector', '[2025-02-01 00:10, 2025-02-01 00:11)', job);

    -- More pieces than a picture has columns.
    token := partreg.register_source('many.pieces', 'ops');
    job := partreg.register_provider('collector', token);
    PERFORM partreg.unlock_partition('many.pieces', 'collector', tstzrange(h, h + interval '5 minutes'), job, register => true),
            partreg.register_partition('many.pieces', 'collector', tstzrange(h + interval '20 minutes', h + interval '40 minutes'), job)
       FROM generate_series('2025-01-01'::timestamptz, '2025-12-31 23:00', '1 hour') h;
END $$;
ANALYZE;
