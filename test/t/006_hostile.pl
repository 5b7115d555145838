# Hostile neighbours: what others in the same database may do must not matter.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use POSIX ();
use Registry;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_registry('hostile', bare => 1);
my $superuser = getpwuid $>;
my $owner = connect_to($node);

# How long something takes, in seconds.
sub seconds
{
	my ($code) = @_;
	my $began = time;

	$code->();
	return time - $began;
}

note 'Planted before the installation';

$owner->run('CREATE EXTENSION pgcrypto; CREATE SCHEMA partreg');
fails_with($owner, '42P06', 'a schema of that name stops the installation', 'CREATE EXTENSION partition_registry');
is_deeply($owner->rows("SELECT extname FROM pg_extension WHERE extname = 'partition_registry'"),
	[], 'nothing is installed');
$owner->run('DROP SCHEMA partreg');

# A neighbour who may create what he likes, and puts it first.  Each of his
# functions ends in an error, so whatever reaches one fails.
$owner->run(<<'EOT');
CREATE ROLE mallory LOGIN;
CREATE SCHEMA evil AUTHORIZATION mallory;
GRANT CREATE, USAGE ON SCHEMA public TO mallory;
EOT

my $mallory = connect_to($node, user => 'mallory');

$mallory->run("SET client_min_messages = error");
$mallory->run($_) for (
	(   map { "CREATE FUNCTION $_ LANGUAGE plpgsql AS \$\$BEGIN RAISE EXCEPTION 'hijacked'; END\$\$" }
		  'public.gen_random_bytes(bigint) RETURNS bytea',
		'public.gen_random_bytes(VARIADIC int[]) RETURNS bytea',
		'evil.gen_random_bytes(int) RETURNS bytea',
		'evil.now() RETURNS timestamptz',
		'evil.clock_timestamp() RETURNS timestamptz',
		'evil.lower(anyrange) RETURNS anyelement',
		'evil.upper(anyrange) RETURNS anyelement',
		'evil.tstzrange(timestamptz, timestamptz) RETURNS tstzrange',
		'evil.int4range(int, int, text) RETURNS int4range',
		'evil.format(text, VARIADIC text[]) RETURNS text',
		'evil.array_position(text[], text) RETURNS int',
		'evil.pg_extension_config_dump(regclass, text) RETURNS void',
		'evil.same(text, text) RETURNS boolean',
		'evil.same(int, int) RETURNS boolean',
		'evil.same(smallint, smallint) RETURNS boolean',
		'evil.same(timestamptz, timestamptz) RETURNS boolean',
		'evil.same(name, name) RETURNS boolean',
		'evil.same(name, text) RETURNS boolean',
		'evil.same(oid, oid) RETURNS boolean',
		'evil.same(bytea, bytea) RETURNS boolean',
		'evil.same(tstzrange, tstzrange) RETURNS boolean',
		'evil.same(int4range, int4range) RETURNS boolean',
		'evil.plus(bigint, int) RETURNS bigint',
		'evil.plus(timestamptz, interval) RETURNS timestamptz',
		'evil.assign(text, tstzrange) RETURNS tstzrange'),
	(   map {
			my ($name, $types) = @$_;
			map { "CREATE OPERATOR evil.$name (LEFTARG = $_, RIGHTARG = $_, FUNCTION = evil.same)" } split ' ', $types
		  } [ '=', 'text int smallint timestamptz name oid bytea tstzrange' ],
		[ '<>', 'text int smallint timestamptz name' ],
		[ '<', 'text int smallint timestamptz' ],
		[ '<=', 'text int timestamptz' ],
		[ '>', 'text int timestamptz' ],
		[ '>=', 'text int timestamptz' ],
		[ '&&', 'tstzrange int4range' ],
		[ '@>', 'tstzrange' ]),
	'CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.same)',
	'CREATE OPERATOR evil.+ (LEFTARG = bigint, RIGHTARG = int, FUNCTION = evil.plus)',
	'CREATE OPERATOR evil.+ (LEFTARG = timestamptz, RIGHTARG = interval, FUNCTION = evil.plus)',
	(   map { ("CREATE TABLE evil.$_ (planted int)", "CREATE TEMP TABLE $_ (planted int)") }
		  qw(source provider partition lock coverage event registry pg_class pg_proc pg_roles pg_namespace pg_type _routine_level)),
	(map { "CREATE DOMAIN evil.$_ AS int" } qw(text timestamptz tstzrange obstacle)));

# The superuser installs with the same search_path, in a database where
# somebody logs all commands by an event trigger.
$owner->run(<<'EOT');
CREATE TABLE public.commands (tag text, query text);
CREATE FUNCTION public.log_command() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS
$$BEGIN INSERT INTO public.commands VALUES (tg_tag, current_query()); END$$;
CREATE EVENT TRIGGER log_start ON ddl_command_start EXECUTE FUNCTION public.log_command();
CREATE EVENT TRIGGER log_end ON ddl_command_end EXECUTE FUNCTION public.log_command();
SET search_path = evil, pg_temp, public, pg_catalog;
CREATE EXTENSION partition_registry;
EOT
is_deeply(
	$owner->rows(<<'EOT'),
SELECT x.extname::pg_catalog.text, d.refobjid::pg_catalog.regprocedure::pg_catalog.text
  FROM pg_catalog.pg_depend d
  LEFT JOIN pg_catalog.pg_depend e ON e.classid OPERATOR(pg_catalog.=) d.refclassid AND e.objid OPERATOR(pg_catalog.=) d.refobjid
        AND e.deptype OPERATOR(pg_catalog.=) 'e'
  LEFT JOIN pg_catalog.pg_extension x ON x.oid OPERATOR(pg_catalog.=) e.refobjid
 WHERE d.objid OPERATOR(pg_catalog.=) 'partreg._random_bytes()'::pg_catalog.regprocedure
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
EOT
	[ [ 'pgcrypto', 'public.gen_random_bytes(integer)' ] ],
	'random bytes come from pgcrypto and nobody else');
is_deeply(
	$owner->rows(<<'EOT'),
SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p
 WHERE p.pronamespace OPERATOR(pg_catalog.=) 'partreg'::pg_catalog.regnamespace AND p.prosecdef
   AND NOT coalesce('search_path=pg_catalog, pg_temp' OPERATOR(pg_catalog.=) ANY (p.proconfig), false)
EOT
	[], 'every definer function pins the search_path, pg_temp last');

note 'In the way of every call';

$owner->run('RESET search_path');
$owner->run(<<'EOT');
CREATE ROLE job LOGIN;
CREATE ROLE reading LOGIN;
CREATE ROLE managing LOGIN;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC;
EOT

my $managing = connect_to($node, user => 'managing');
my $job = connect_to($node, user => 'job');
my $reading = connect_to($node, user => 'reading');

for my $client ($owner, $managing, $job, $reading)
{
	$client->run("CREATE TEMP TABLE $_ (planted int)")
	  for qw(source provider partition lock coverage event registry pg_class pg_proc pg_roles pg_namespace);
	$client->run('SET search_path = evil, pg_temp, pg_catalog');
}
$owner->value("SELECT partreg.grant_privileges('reading', 'reader')");
$owner->value("SELECT partreg.grant_privileges('job', 'writer')");
$owner->value("SELECT partreg.grant_privileges('managing', 'admin')");

my ($source_token, $token) = source_and_provider($managing, 's', 'p');
my $trusting = $managing->value('SELECT partreg.register_provider($1, $2, $3)', 'q', $source_token, 'job');
my $day = '[2024-01-01 00:00+00,2024-01-02 00:00+00)';
my $hours = '[2024-01-01 00:00+00,2024-01-01 06:00+00)';

# Name, client, answer, function, arguments
my @calls = (
	[ $job, 't', 'register_partition', 's', 'p', $day, $token ],
	[ $job, '6', 'register_partitions', 's', 'p', $hours, '1 hour', $token ],
	[ $job, 't', 'lock_partition', 's', 'p', $day, $token, 'me', '1 hour', 'why' ],
	[ $job, '1', 'renew_leases', 's', 'p', $day, '1 hour', $token, 'me' ],
	[ $job, 't', 'fail_partition', 's', 'p', $day, $token, 'me', 'why' ],
	[ $job, 't', 'unlock_partition', 's', 'p', $day, $token, undef, 'f', '{"rows": 1}' ],
	[ $job, '6', 'fail_partitions', 's', 'p', $hours, $token, undef, 'why' ],
	[ $job, '6', 'lock_partitions', 's', 'p', $hours, $token, 'me', '1 hour', 'why' ],
	[ $job, '6', 'unlock_partitions', 's', 'p', $hours, $token, 'me' ],
	[ $reading, 't', 'check_readiness', 's', $day ],
	[ $reading, undef, 'explain_readiness', 's', $day ],
	[ $reading, 't', 'assert_ready', 's', $day ],
	[ $reading, '2024-01-02 00:00:00+00', 'ready_until', 's', '2024-01-01 00:00+00' ],
	[ $reading, '{["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00")}', 'ready_ranges', 's', '(,)' ],
	[ $reading, 't', 'all_ready', '{s}', $day ],
	[ $reading, undef, 'verify', 's' ],
	[ $job, 't', 'register_partition', 's', 'q', $day, undef ],
	[ $job, 't', 'retire_partition', 's', 'p', $day, $token ],
	[ $job, '6', 'retire_partitions', 's', 'p', $hours, $token ],
	[ $reading, '["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00")', 'day_range', '2024-01-01', 'UTC' ],
	[ $reading, '["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00")', 'step_ranges', $day, '1 day', 'UTC' ],
	[ $managing, '', 'rename_provider', 's', 'q', 'q2', $source_token ],
	[ $managing, '', 'rename_provider', 's', 'q2', 'q', $source_token ],
	[ $managing, '', 'set_effective', 's', 'q', '[2024-01-01,)', $source_token ],
	[ $managing, '', 'set_deadline', 's', 'q', '1 hour', $source_token ],
	[ $managing, '', 'set_calendar', 's', 'q', '1 day', '2024-01-01 00:00+00', $source_token, 'UTC', '{}' ],
	[ $managing, '', 'set_trusted_role', 's', 'q', undef, $source_token ],
	[ $managing, '', 'set_owner', 's', 'owner', $source_token ],
	[ $managing, '', 'set_readiness_rule', 's', 'all', $source_token ],
	[ $managing, '', 'set_readiness_rule', 's', 'any', $source_token ],
	[ $managing, '', 'revoke_provider', 's', 'q', $source_token ]);

fails_with($reading, 'P0001', 'what is planted is found by those who do not look', 'SELECT now()');
fails_with($reading, '42703', 'tables too', 'SELECT oid FROM pg_class');
$_->run("SET TimeZone = 'UTC'") for $reading, $job;
for my $call (@calls)
{
	my ($client, $answer, $function, @arguments) = @$call;
	my $result = $client->query(
		"SELECT * FROM partreg.$function(" . join(', ', map { "\$$_" } 1 .. @arguments) . ')', @arguments);

	is($result->{error} ? $result->{error}{M} : $result->{rows}[0] && $result->{rows}[0][0],
		$answer, "$function reaches nothing planted");
}
for my $question (
	"history('s', '(,)', 'p')",
	"latest_details('s', '(,)')",
	"readiness_as_of('s', '$day', pg_catalog.clock_timestamp())",
	"ready_since('s', '$day')",
	"provider_states('s', '$day')",
	"timeline('s', '$day')",
	'feed_position()',
	"changes_since(partreg.feed_position(), 10, '{s}')",
	"changed_ranges('s', '(,)', partreg.feed_position())")
{
	is($reading->query("SELECT pg_catalog.count(*) FROM partreg.$question")->{error}, undef, "$question neither");
}
fails_with($reading, '55P03', 'wait_until_ready neither', "CALL partreg.wait_until_ready('s', '$day', '0')");
is($owner->query("SELECT partreg.purge_history('-infinity')")->{error}, undef, 'purge_history neither');
for my $view (qw(sources providers partitions locks events late_partitions stats privileges))
{
	is($reading->query("SELECT pg_catalog.count(*) FROM partreg.$view")->{error}, undef, "the view $view neither");
}
is($owner->query("SELECT partreg.reset_access_token('s', 'p')")->{error}, undef, 'reset_access_token neither');
$token = $managing->value('SELECT partreg.rotate_access_token($1, $2, $3)', 's', 'p', $source_token);
like($token, qr/^prp_/, 'rotate_access_token neither');
is($managing->value("SELECT pg_catalog.count(*) FROM (SELECT partreg.drop_source('t', partreg.register_source('t', 'o'))) x"),
	1, 'drop_source neither');
is( $reading->value("SELECT partreg.coalesce_ranges(r) FROM (VALUES (pg_catalog.tstzrange('2024-01-01', '2024-01-02'))) v (r)"),
	'{["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00")}',
	'coalesce_ranges neither');
is_deeply(
	$owner->rows(
		"SELECT DISTINCT tag COLLATE \"C\" FROM public.commands WHERE query OPERATOR(pg_catalog.~) '\\mpr[sp]_[0-9a-f]{8}'"),
	[],
	'an event trigger sees no token');
# Those who log commands see the commands.
is($owner->value("SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 FROM public.commands WHERE tag OPERATOR(pg_catalog.=) 'GRANT'"),
	't', 'but it was there');
$_->run('RESET search_path; DISCARD TEMP') for $owner, $managing, $job, $reading;
$owner->run('DROP EVENT TRIGGER log_start; DROP EVENT TRIGGER log_end');

note 'Roles without rights';

# Whatever a role has on anything of ours; readers have what ends in nothing.
sub rights_of
{
	my ($role) = @_;

	return [ map { $_->[0] } @{ $owner->rows(<<'EOT', $role) } ];
SELECT 'schema ' || p FROM unnest(ARRAY['USAGE', 'CREATE']) p WHERE has_schema_privilege($1, 'partreg', p)
UNION ALL
SELECT 'EXECUTE ' || oid::regprocedure FROM pg_proc
 WHERE pronamespace = 'partreg'::regnamespace AND has_function_privilege($1, oid, 'EXECUTE')
UNION ALL
SELECT p || ' ' || oid::regclass FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
 WHERE relnamespace = 'partreg'::regnamespace AND relkind IN ('r', 'v') AND has_table_privilege($1, oid, p)
UNION ALL
SELECT p || ' a column of ' || oid::regclass FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p
 WHERE relnamespace = 'partreg'::regnamespace AND relkind IN ('r', 'v') AND has_any_column_privilege($1, oid, p)
   AND NOT has_table_privilege($1, oid, p)
UNION ALL
SELECT p || ' ' || oid::regclass FROM pg_class, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p
 WHERE relnamespace = 'partreg'::regnamespace AND relkind = 'S' AND has_sequence_privilege($1, oid, p)
UNION ALL
SELECT 'USAGE of type ' || oid::regtype FROM pg_type
 WHERE typnamespace = 'partreg'::regnamespace AND typcategory <> 'A' AND has_type_privilege($1, oid, 'USAGE')
EOT
}

is_deeply(rights_of('mallory'), [], 'a role without grants has nothing');
$owner->value("SELECT partreg.grant_privileges('mallory', 'admin')");
isnt(scalar @{ rights_of('mallory') }, 0, 'with a level it has something');
$owner->value("SELECT partreg.grant_privileges('mallory', 'none')");
is_deeply(rights_of('mallory'), [], 'and after level none nothing again');
fails_with($mallory, '42501', 'it cannot even ask', 'SELECT partreg.check_readiness($1, $2)', 's', $day);

my @tables = map { $_->[0] }
  @{ $owner->rows("SELECT oid::regclass FROM pg_class WHERE relnamespace = 'partreg'::regnamespace AND relkind = 'r'") };
my @views = map { $_->[0] }
  @{  $owner->rows(
		"SELECT oid::regclass FROM pg_class WHERE relnamespace = 'partreg'::regnamespace AND relkind = 'v' AND relname NOT LIKE '\\_%'")
  };
my @modes = (
	'ROW SHARE', 'ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE', 'SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE');

# All attempts together, as there are many: what got through.
sub not_refused
{
	my ($client, @statements) = @_;
	my @through;

	for my $statement (@statements)
	{
		$client->run('BEGIN');
		my $error = $client->query($statement)->{error};
		push @through, $statement . ($error ? " $error->{C}" : '')
		  unless $error && $error->{C} =~ /^(42501|55000)$/;
		$client->run('ROLLBACK');
	}
	return \@through;
}

for my $client ([ 'a reader', $reading ], [ 'a writer', $job ], [ 'an admin', $managing ])
{
	my ($who, $session) = @$client;

	is_deeply(
		not_refused(
			$session,
			(map { my $table = $_; map { "LOCK TABLE $table IN $_ MODE" } 'ACCESS SHARE', @modes } @tables),
			(map { my $view = $_; map { "LOCK TABLE $view IN $_ MODE" } @modes } @views)),
		[], "$who locks no table");
	is_deeply(
		not_refused(
			$session,
			(map { ("SELECT FROM $_", "SELECT FROM $_ FOR UPDATE", "COPY $_ TO STDOUT") } @tables),
			(map { ("DELETE FROM $_", "INSERT INTO $_ DEFAULT VALUES") } @tables, @views),
			(map { "TRUNCATE $_" } @tables),
			(map { "SELECT FROM $_ FOR KEY SHARE" } @views),
			'UPDATE partreg.sources SET owner = $$me$$',
			'CREATE TABLE partreg.mine ()',
			'SELECT nextval($$partreg.event_id_seq$$)',
			'SELECT partreg._random_bytes()',
			'SELECT partreg._event_time($$now$$, $$3$$, 0)',
			'SELECT partreg.purge_history($$-infinity$$)',
			'SELECT partreg.reset_access_token($$s$$)',
			'SELECT partreg.grant_privileges($$mallory$$, $$admin$$)'),
		[], "$who reaches no row but by the functions and views");
}
is_deeply(
	$owner->rows(<<'EOT'),
SELECT p.proname::text FROM pg_proc p
 WHERE pronamespace = 'partreg'::regnamespace AND provolatile = 'v' AND prokind = 'f'
   AND has_function_privilege('reading', oid, 'EXECUTE')
EOT
	[], 'a reader executes nothing that writes');

note 'Borrowed names';

# A definer function lends its owner's rights, and not his name.
$owner->run(<<'EOT');
SELECT partreg.grant_privileges('mallory', 'writer');
CREATE FUNCTION public.as_job(during tstzrange) RETURNS boolean LANGUAGE sql SECURITY DEFINER
    AS $$SELECT partreg.lock_partition('s', 'r', during)$$;
ALTER FUNCTION public.as_job(tstzrange) OWNER TO job;
EOT
$managing->rows('SELECT partreg.register_provider($1, $2, $3)', 'r', $source_token, 'job');
$job->rows("SELECT partreg.register_partition('s', 'r', \$1)", $day);
fails_with($mallory, '42501', 'a function of a trusted role does not trust its caller', 'SELECT public.as_job($1)', $day);
is($job->value('SELECT public.as_job($1)', $day), 't', 'the trusted role itself may');
fails_with($owner, '42501', 'to be a superuser is not enough', "SELECT partreg.unlock_partition('s', 'r', \$1)", $day);
is($owner->value('SELECT actor FROM partreg.events WHERE event_id = (SELECT max(event_id) FROM partreg.events)'),
	'job', 'and the history names who it was');

# A trusted role is the role that was meant, whatever its name is.
my $held = "SELECT partreg.unlock_partition('s', 'r', \$1, NULL, 'job')";
$owner->run('ALTER ROLE job RENAME TO job_of_before');
is($job->value("SELECT partreg.lock_partition('s', 'r', \$1, NULL, 'job')", $day), 'f', 'renamed, it is trusted still');
$owner->run("CREATE ROLE job; SELECT partreg.grant_privileges('job', 'writer')");
is($owner->query("SET SESSION AUTHORIZATION job")->{error}, undef, 'another one takes the name');
fails_with($owner, '42501', 'and is not trusted', $held, $day);
$owner->run("RESET SESSION AUTHORIZATION; SELECT partreg.grant_privileges('job', 'none'); DROP ROLE job; ALTER ROLE job_of_before RENAME TO job");
is($job->value($held, $day), 't', 'the first one is, named as before');

note 'Others who hold things';

my $noon = hour(12);
$job->rows('SELECT partreg.register_partition($1, $2, $3, $4)', 's', 'p', $noon, $token);
$job->run("SET lock_timeout = '3s'");

# Seconds for so many locks and unlocks.
sub work
{
	my ($times) = @_;

	return seconds(
		sub {
			for (1 .. $times)
			{
				$job->rows('SELECT partreg.lock_partition($1, $2, $3, $4)', 's', 'p', $noon, $token);
				$job->rows('SELECT partreg.unlock_partition($1, $2, $3, $4)', 's', 'p', $noon, $token);
			}
		});
}

work(200);
my $alone = work(500);

$mallory->run(<<'EOT');
SELECT pg_advisory_lock(n), pg_advisory_lock(0, n::int) FROM generate_series(-200, 200) n;
SELECT pg_advisory_lock(oid::bigint), pg_advisory_lock(oid::int, 1) FROM pg_catalog.pg_class WHERE relname IN
    ('source', 'provider', 'partition', 'lock', 'coverage', 'event', 'source_pkey', 'provider_pkey');
SELECT pg_advisory_lock(hashtext(w)), pg_advisory_lock(hashtextextended(w, 0))
  FROM unnest(ARRAY['partreg', 'partition_registry', 's', 'p']) w;
EOT
is($job->query('SELECT partreg.lock_partition($1, $2, $3, $4)', 's', 'p', $noon, $token)->{error},
	undef, 'a thousand advisory locks of somebody are in nobody\'s way: lock');
is($job->query('SELECT partreg.unlock_partition($1, $2, $3, $4)', 's', 'p', $noon, $token)->{error}, undef, 'unlock');
is($job->query('SELECT partreg.register_partition($1, $2, $3, $4)', 's', 'p', hour(13), $token)->{error},
	undef, 'register');
is_deeply(
	$owner->rows(
		"SELECT DISTINCT prosrc FROM pg_proc WHERE pronamespace = 'partreg'::regnamespace AND prosrc ~ 'advisory'"),
	[], 'no function speaks of them');
$mallory->run('SELECT pg_advisory_unlock_all()');

# A listener that stays in a transaction keeps what it did not hear in the
# queue.  (Its size is bounded: docs/security.md.)
$mallory->run('LISTEN partreg');
$mallory->run('BEGIN; SELECT 1');
my $unheard = work(500);
cmp_ok($owner->value('SELECT pg_notification_queue_usage()'), '>', 0, 'a listener that does not hear fills the queue');
cmp_ok($unheard, '<', 5 * $alone + 1, sprintf 'and is no hindrance (%.0f against %.0f us a call)', $unheard * 1000, $alone * 1000);
$owner->run("ALTER ROLE job SET partreg.notify = 'off'");
my $usage = $owner->value('SELECT pg_notification_queue_usage()');
my $quiet = connect_to($node, user => 'job');
$quiet->rows('SELECT partreg.lock_partition($1, $2, $3, $4)', 's', 'p', $noon, $token);
$quiet->rows('SELECT partreg.unlock_partition($1, $2, $3, $4)', 's', 'p', $noon, $token);
is($owner->value('SELECT pg_notification_queue_usage()'), $usage, 'switched off, nothing is added to it');
$mallory->run('ROLLBACK; UNLISTEN *');

note 'Wrong tokens';

my $foreign = $managing->value("SELECT partreg.register_source('foreign', 'owner')");
my @wrong = ('', 'prp_', 'x' x 76, $token =~ s/.$//r, $foreign, $source_token =~ s/^prs/prp/r, 'prp_' . '0' x 72);

# Somebody tries them in a loop, within the server, so fast as it goes.
my $attacker = connect_to($node, user => 'mallory');
my $attack = <<'EOT';
DO $$
BEGIN
    FOR n IN 1 .. %d LOOP
        BEGIN
            PERFORM partreg.lock_partition('s', 'p', 'empty', 'prp_' || pg_catalog.md5(n::text) || pg_catalog.md5('x' || n) || '00000000');
        EXCEPTION WHEN insufficient_privilege THEN
        END;
        BEGIN
            PERFORM partreg.lock_partition('s', 'p', 'empty', '%s');
        EXCEPTION WHEN insufficient_privilege THEN
        END;
    END LOOP;
END $$
EOT
my $before = work(500);
$attacker->start_simple(sprintf $attack, 5000, $foreign);
my $began = time;
my $during = work(500);
my $result = $attacker->finish;
my $elapsed = time - $began;
is($result->{error}, undef, 'ten thousand wrong tokens are refused, each with 42501');
note sprintf '%.0f a second', 10000 / $elapsed;
cmp_ok($during, '<', 5 * $before + 1,
	sprintf 'the rightful are not held up (%.0f against %.0f us a call)', $during * 1000, $before * 1000);

# By single calls, as memory that is freed with a transaction does not count.
sub memory_of
{
	my ($client) = @_;

	return $client->value('SELECT sum(total_bytes) FROM pg_backend_memory_contexts');
}

$owner->run('GRANT EXECUTE ON FUNCTION pg_get_backend_memory_contexts() TO mallory; GRANT SELECT ON pg_backend_memory_contexts TO mallory');
sub attack
{
	for my $n (1 .. $_[0])
	{
		my $error = $attacker->query('SELECT partreg.lock_partition($1, $2, $3, $4)', 's', 'p', $noon, $wrong[ $n % @wrong ])->{error};

		die 'a wrong token got through' unless $error && $error->{C} eq '42501';
	}
}
attack(500);
my $memory = memory_of($attacker);
attack(5000);
my $growth = memory_of($attacker) - $memory;
cmp_ok($growth, '<', 65536, "5000 wrong tokens leave no memory behind ($growth bytes)");

# Strangers wait for nobody, and so hold up nobody.
$managing->run('BEGIN');
$managing->rows("SELECT partreg.set_effective('s', 'p', '[2024-01-01,)', \$1)", $source_token);
$attacker->run("SET lock_timeout = '2s'");
fails_with($attacker, '42501', 'a wrong token does not wait for a lock',
	'SELECT partreg.lock_partition($1, $2, $3, $4)', 's', 'p', $noon, $foreign);
$managing->run('ROLLBACK');

note 'Control characters';

# U+009B begins an escape sequence, as ESC [ does.  In WIN1252 that byte is a
# letter, U+203A.
for my $case ([qw(UTF8 009b 22023)], [qw(LATIN1 009b 22023)], [qw(ISO_8859_5 009b 22023)], [qw(WIN1252 203a 00000)])
{
	my ($encoding, $character, $sqlstate) = @$case;

	$node->safe_psql('postgres', "CREATE DATABASE encoded ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	my $client = connect_to($node, dbname => 'encoded');
	$client->run('CREATE EXTENSION pgcrypto; CREATE EXTENSION partition_registry');
	my $error = $client->query("SELECT partreg.register_source(U&'a\\${character}b', 'o')")->{error};
	is($error ? $error->{C} : '00000', $sqlstate, "U+$character in a name, $encoding");
	$client->close_session;
	$node->safe_psql('postgres', 'DROP DATABASE encoded');
}

note 'Huge input';

my $huge = 'a' x 5_000_000;
my @huge = (
	[ '42501', 'lock_partition', $huge, 'p', $noon, $token ],
	[ '42501', 'lock_partition', 's', $huge, $noon, $token ],
	[ '42704', 'lock_partition', 's', $huge, $noon, $source_token ],
	[ '42501', 'lock_partition', 's', 'p', $noon, $huge ],
	[ '22023', 'lock_partition', 's', 'p', $noon, $token, $huge ],
	[ '22023', 'fail_partition', 's', 'p', $noon, $token, $huge ],
	[ '00000', 'fail_partition', 's', 'p', $noon, $token, undef, $huge ],
	[ '22023', 'register_provider', $huge, $source_token ],
	[ '42501', 'register_provider', 'x', $huge ],
	[ '22023', 'set_readiness_rule', 's', $huge, $source_token ],
	[ '22023', 'set_owner', 's', $huge, $source_token ],
	[ '42704', 'set_trusted_role', 's', 'p', $huge, $source_token ],
	[ '42704', 'check_readiness', $huge, $noon ],
	[ '42704', 'explain_readiness', $huge, $noon ]);

for my $case (@huge)
{
	my ($sqlstate, $function, @arguments) = @$case;
	my $where = 1 + (grep { length($arguments[$_] // "") > 1000 } 0 .. $#arguments)[0];
	my $error;
	my $took = seconds(
		sub {
			$error = $job->query(
				"SELECT partreg.$function(" . join(', ', map { "\$$_" } 1 .. @arguments) . ')', @arguments)->{error};
		});

	is($error ? $error->{C} : '00000', $sqlstate, "5 MB as argument $where of $function");
	cmp_ok($took, '<', 3, sprintf 'soon (%.2f s)', $took);
	cmp_ok(length join('', %{ $error || {} }), '<', 1000, 'and not echoed');
}
is($owner->value("SELECT max(octet_length(reason)) FROM partreg.locks"), 2000, 'a reason is cut');

done_testing();
