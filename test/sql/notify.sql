-- Notifications on the channel "partreg", and the setting partreg.notify.
-- psql prints them; sed takes out what differs from run to run.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'Asia/Tokyo';
\set VERBOSITY sqlstate
\set tidy '|sed -E -e /^[^A]/d -e /^$/d -e ''s/^Asynchronous notification/notified on/; s/"event_id":[0-9]+/"event_id":N/; s/ received from .*//'''

CREATE ROLE regress_notify;
SELECT partreg.grant_privileges('regress_notify', 'admin');
SELECT partreg.register_source('notify', 'team') AS source_token \gset
LISTEN partreg;
SET SESSION AUTHORIZATION regress_notify;

-- By default each event is notified, at commit.
SHOW partreg.notify;
\o :tidy
SELECT partreg.register_source('notify 2', 'team') AS other_token \gset
SELECT partreg.register_provider('the "1st" \', :'source_token') AS token \gset
SELECT partreg.register_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
SELECT partreg.register_partition('notify', 'the "1st" \', '(2024-01-01 00:00+00, 2024-01-01 00:00:00.5+00)', :'token');
SELECT partreg.register_partition('notify', 'the "1st" \', '[0001-03-15 00:00+00 BC, 10000-01-01 00:00+00)', :'token');
SELECT partreg.lock_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token', 'a', '0', 'secret reason');
SELECT partreg.lock_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token', 'b');
SELECT partreg.fail_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token', 'b', 'why');
SELECT partreg.unlock_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
SELECT partreg.set_readiness_rule('notify', 'all', :'source_token');
SELECT partreg.set_effective('notify', 'the "1st" \', 'empty', :'source_token');
SELECT partreg.retire_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
SELECT partreg.rotate_access_token('notify', NULL, :'source_token') AS source_token \gset
SELECT partreg.drop_source('notify 2', :'other_token');
\o

-- What changes nothing is not notified, nor what fails or is rolled back.
\o :tidy
SELECT partreg.register_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
SELECT partreg.unlock_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
SELECT partreg.unlock_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
SELECT partreg.register_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
BEGIN;
SELECT partreg.lock_partition('notify', 'the "1st" \', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
ROLLBACK;
\o

-- A bulk call sends one, with how far it all reaches and the count, be it 1.
\o :tidy
SELECT partreg.register_provider('bulk', :'source_token') AS bulk_token \gset
SELECT partreg.register_partitions('notify', 'bulk', '[2024-02-01 00:00+00, 2024-03-01 00:00+00)', '1 day', :'bulk_token');
SELECT partreg.lock_partitions('notify', 'bulk', '[2024-02-05 00:00+00, 2024-02-08 00:00+00)', :'bulk_token');
SELECT partreg.lock_partitions('notify', 'bulk', '[2024-02-07 00:00+00, 2024-02-09 00:00+00)', :'bulk_token');
SELECT partreg.unlock_partitions('notify', 'bulk', '[2024-02-01 00:00+00, 2024-02-11 00:00+00)', :'bulk_token');
SELECT partreg.unlock_partitions('notify', 'bulk', '[2024-02-01 00:00+00, 2024-02-11 00:00+00)', :'bulk_token');
\o

-- Longest names.
\o :tidy
RESET SESSION AUTHORIZATION;
SELECT length(partreg.register_source(repeat('"', 200), 'team'));
\o

-- Who may set it; what it may be.
SET partreg.notify = 'some';
SET SESSION AUTHORIZATION regress_notify;
SET partreg.notify = 'off';
RESET SESSION AUTHORIZATION;

-- "ready": only what can make something ready.
SET partreg.notify = 'ready';
SET SESSION AUTHORIZATION regress_notify;
\o :tidy
SELECT partreg.register_source('notify 3', 'team') AS source_token \gset
SELECT partreg.register_provider('a', :'source_token') AS token \gset
SELECT partreg.register_partition('notify 3', 'a', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
SELECT partreg.lock_partition('notify 3', 'a', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token', lease => '0');
SELECT partreg.lock_partition('notify 3', 'a', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token', 'b');
SELECT partreg.fail_partition('notify 3', 'a', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token', 'b');
SELECT partreg.unlock_partition('notify 3', 'a', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
SELECT partreg.register_partitions('notify 3', 'a', '[2024-02-01 00:00+00, 2024-03-01 00:00+00)', '1 day', :'token');
SELECT partreg.unlock_partitions('notify 3', 'a', '[2024-02-01 00:00+00, 2024-03-01 00:00+00)', :'token');
SELECT partreg.set_readiness_rule('notify 3', 'all', :'source_token');
SELECT partreg.set_effective('notify 3', 'a', 'empty', :'source_token');
SELECT partreg.retire_partition('notify 3', 'a', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'token');
SELECT partreg.revoke_provider('notify 3', 'a', :'source_token');
SELECT partreg.register_provider('a', :'source_token') AS token \gset
SELECT partreg.rename_source('notify 3', 'notify 3b', :'source_token');
-- Nothing of this does.
SELECT partreg.rename_provider('notify 3b', 'a', 'b', :'source_token');
SELECT partreg.set_trusted_role('notify 3b', 'b', 'regress_notify', :'source_token');
SELECT partreg.set_trusted_role('notify 3b', NULL, 'regress_notify', :'source_token');
SELECT partreg.set_deadline('notify 3b', 'b', '1 day', :'source_token');
SELECT partreg.set_calendar('notify 3b', 'b', '1 day', '2024-01-01 00:00+00', :'source_token');
SELECT partreg.drop_source('notify 3b', :'source_token');
\o
RESET SESSION AUTHORIZATION;

-- "off": nothing.  (Two-phase commit, which needs that, is tried in test/t.)
SET partreg.notify = 'off';
\o :tidy
SELECT partreg.register_source('notify 4', 'team') AS source_token \gset
SELECT partreg.register_provider('a', :'source_token') AS token \gset
SELECT partreg.register_partitions('notify 4', 'a', '[2024-02-01 00:00+00, 2024-03-01 00:00+00)', '1 day', :'token');
SELECT partreg.unlock_partitions('notify 4', 'a', '[2024-02-01 00:00+00, 2024-03-01 00:00+00)', :'token');
\o
RESET partreg.notify;
SELECT event, count(*) FROM partreg.events WHERE source_name = 'notify 4' GROUP BY 1 ORDER BY 1;
UNLISTEN partreg;

SET client_min_messages = error;
DROP OWNED BY regress_notify;
DROP ROLE regress_notify;
