# Notifications: what they say, when they come, and who may switch them off.
use strict;
use warnings FATAL => 'all';
use utf8;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use Registry;
use Test::More;

my $node = new_registry('notify', conf => 'max_prepared_transactions = 10');
my $writer = connect_to($node);
my $listener = connect_to($node);
my ($source_token, $token) = source_and_provider($writer, 'some.source', 'job');

$listener->run('LISTEN partreg');
# The payload must not depend on it.
$writer->run("SET TimeZone = 'America/New_York'");

sub call
{
	my ($function, @arguments) = @_;

	return $writer->value(
		"SELECT partreg.$function(" . join(', ', map { "\$$_" } 1 .. @arguments) . ')', @arguments);
}

sub last_event
{
	return $writer->value('SELECT max(event_id) FROM partreg.events');
}

note 'What they say';

my $noon = '[2024-01-01 12:00+00,2024-01-01 13:00+00)';
my $noon_json = '"start":"2024-01-01T12:00:00.000000Z","end":"2024-01-01T13:00:00.000000Z"';
my $whose_json = '"source":"some.source","provider":"job"';

call('register_partition', 'some.source', 'job', $noon, $token);
my $events = last_event();
is_deeply(
	[ $listener->notifications(1) ],
	[ qq({"v":1,"event":"register_partition",$whose_json,$noon_json,"event_id":$events}) ],
	'register_partition');
for my $state (qw(lock fail unlock))
{
	call("${state}_partition", 'some.source', 'job', $noon, $token);
	$events = last_event();
	is_deeply(
		[ $listener->notifications(1) ],
		[ qq({"v":1,"event":"$state",$whose_json,$noon_json,"event_id":$events}) ],
		"${state}_partition");
}
is(call('unlock_partition', 'some.source', 'job', $noon, $token), 'f', 'unlocked already');
is_deeply([ $listener->notifications(0) ], [], 'a call that changes nothing is silent');

call('register_source', 'other', 'owner');
$events = last_event();
is_deeply(
	[ $listener->notifications(1) ],
	[   qq({"v":1,"event":"register_source","source":"other","provider":null,)
		  . qq("start":null,"end":null,"event_id":$events}) ],
	'what has no provider and no time says null');
call('set_readiness_rule', 'some.source', 'all', $source_token);
like(($listener->notifications(1))[0], qr/^\{"v":1,"event":"change_rule","source":"some.source",/,
	'change_rule');
call('set_readiness_rule', 'some.source', 'any', $source_token);
$listener->notifications(1);

for my $case (
	[ 'BC', '[0044-03-15 12:00:00.000001+00 BC,0001-01-01 00:00+00)',
		'-0043-03-15T12:00:00.000001Z', '0001-01-01T00:00:00.000000Z' ],
	[ 'the first timestamp', '[4714-11-24 00:00+00 BC,0001-12-31 23:59:59.999999+00 BC)',
		'-4713-11-24T00:00:00.000000Z', '0000-12-31T23:59:59.999999Z' ],
	[ 'the last one', '[9999-12-31 23:59:59+00,294276-12-31 23:59:59.999999+00)',
		'9999-12-31T23:59:59.000000Z', '294276-12-31T23:59:59.999999Z' ])
{
	my ($name, $during, $start, $end) = @$case;

	call('register_partition', 'some.source', 'job', $during, $token);
	like(($listener->notifications(1))[0], qr/"start":"\Q$start\E","end":"\Q$end\E"/, $name);
}

for my $case (
	[ 'quotes', '"' x 200 ],
	[ 'backslashes', '\\' x 200 ],
	[ 'two bytes each', 'é' x 100 ],
	[ 'four bytes each', "\x{1F600}" x 50 ],
	[ 'all sorts', join('', map { ("'", '"', '\\', "\x{2028}", '{', '}', '$') } 1 .. 22) ])
{
	my ($name, $text) = @$case;
	my $bytes = $text;

	utf8::encode($bytes);
	my ($opener) = source_and_provider($writer, $text, $text);
	my @payloads = $listener->notifications(2);

	is(scalar @payloads, 2, "names of ${\ length $bytes} bytes, $name: notified");
	cmp_ok(length $payloads[1], '<', 8000, "names, $name: fits");
	is(decode_json($payloads[1])->{$_}, $text, "names, $name: $_ survives") for qw(source provider);
}

note 'When they come';

$writer->run('BEGIN');
call('lock_partition', 'some.source', 'job', $noon, $token);
is_deeply([ $listener->notifications(0) ], [], 'nothing before the commit');
$writer->run('COMMIT');
is(scalar(my @after_commit = $listener->notifications(1)), 1, 'one at the commit');

$writer->run('BEGIN');
call('unlock_partition', 'some.source', 'job', $noon, $token);
$writer->run('ROLLBACK');
$writer->run('BEGIN; SAVEPOINT a');
call('unlock_partition', 'some.source', 'job', $noon, $token);
$writer->run('ROLLBACK TO a; COMMIT');
is_deeply([ $listener->notifications(0) ], [], 'nothing of what is rolled back');

note 'A bulk call';

my $morning = '[2024-02-01 00:00+00,2024-02-01 06:00+00)';
call('register_partitions', 'some.source', 'job', $morning, '1 hour', $token);
for my $case ([ 'lock_partitions', 'lock' ], [ 'unlock_partitions', 'unlock' ])
{
	my ($function, $event) = @$case;

	$listener->notifications(1);
	call($function, 'some.source', 'job', $morning, $token);
	my @payloads = $listener->notifications(1);

	is(scalar @payloads, 1, "$function sends one");
	like(
		$payloads[0],
		qr/^\{"v":1,"event":"$event",$whose_json,"start":"2024-02-01T00:00:00\.000000Z","end":"2024-02-01T06:00:00\.000000Z","event_id":\d+,"count":6\}$/,
		"$function: overall start and end, and a count");
}

note 'partreg.notify';

# What each level lets through, of one lock and one unlock.
sub let_through
{
	my ($client) = @_;

	$client->rows('SELECT partreg.lock_partition($1, $2, $3, $4)', 'some.source', 'job', $noon, $token);
	$client->rows('SELECT partreg.unlock_partition($1, $2, $3, $4)', 'some.source', 'job', $noon, $token);
	return join ' ', map { decode_json($_)->{event} } $listener->notifications(0);
}

call('unlock_partition', 'some.source', 'job', $noon, $token);
$listener->notifications(1);
is(let_through($writer), 'lock unlock', 'all is the default');
$writer->run("SET partreg.notify = 'ready'");
is(let_through($writer), 'unlock', 'ready: only what can make something ready');
call('register_provider', 'another', $source_token);
call('register_partition', 'some.source', 'job', '[2024-03-01,2024-03-02)', $token);
is_deeply([ $listener->notifications(0) ], [], 'and nobody new, nothing new');
call('retire_partition', 'some.source', 'job', '[2024-03-01,2024-03-02)', $token);
call('set_readiness_rule', 'some.source', $_, $source_token) for qw(all any);
is(join(' ', map { decode_json($_)->{event} } $listener->notifications(3)),
	'retire change_rule change_rule', 'what takes an obstacle away');
$writer->run("SET partreg.notify = 'off'");
is(let_through($writer), '', 'off');
fails_with($writer, '22023', 'no other level', "SET partreg.notify = 'some'");
$writer->run('RESET partreg.notify');

$writer->run(<<'EOT');
CREATE ROLE plain LOGIN;
CREATE ROLE quiet LOGIN;
SELECT partreg.grant_privileges('plain', 'writer');
SELECT partreg.grant_privileges('quiet', 'writer');
ALTER ROLE quiet SET partreg.notify = 'ready';
EOT

my $plain = connect_to($node, user => 'plain');
is($plain->query("SET partreg.notify = 'off'")->{error}, undef,
	'before the library is loaded anybody can set the name');
$plain->value('SELECT partreg.check_readiness($1, $2)', 'some.source', $noon);
is($plain->query("SET partreg.notify = 'off'")->{error}, undef, 'and before the first call that writes');
is(let_through($plain), 'lock unlock', 'to no effect');
is($plain->value('SHOW partreg.notify'), 'all', 'that call defines the setting, and what was set is dropped');
fails_with($plain, '42501', 'nobody but a superuser switches it', "SET partreg.notify = 'off'");
fails_with(connect_to($node, user => 'plain'), '42501', 'nor for all of his sessions',
	"ALTER ROLE plain SET partreg.notify = 'off'");

is(let_through(connect_to($node, user => 'quiet')), 'unlock', 'ALTER ROLE ... SET by a superuser holds');
my $fresh = connect_to($node);
$fresh->run("BEGIN; SET LOCAL partreg.notify = 'off'");
is(let_through($fresh), '', 'so does SET LOCAL of one, before the first call that writes');
$fresh->run('COMMIT');
is($fresh->value('SHOW partreg.notify'), 'all', 'until the end of the transaction');
$fresh = connect_to($node);
$fresh->run("LOAD 'partition_registry'");
is($fresh->value('SHOW partreg.notify'), 'all', 'LOAD defines the setting');
fails_with($fresh, '42602', 'and no other of the prefix can be set', 'SET partreg.notfy = 1');

# A worker that knew the setting would refuse what its leader hands over.
$writer->run(<<'EOT');
CREATE TABLE many AS
	SELECT tstzrange(to_timestamp(2 * n), to_timestamp(2 * n + 1)) AS during FROM generate_series(1, 20000) n;
ANALYZE many;
GRANT SELECT ON many TO plain;
EOT
$fresh = connect_to($node, user => 'plain');
$fresh->run(<<'EOT');
SET partreg.notify = 'off';
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EOT
my $in_parallel = 'SELECT partreg.coalesce_ranges(during) IS NOT NULL FROM many';
is($fresh->query($in_parallel)->{error}, undef, 'what a session may not set is no hindrance to parallel workers');
like($fresh->value("EXPLAIN (FORMAT JSON) $in_parallel"), qr/"Workers Planned": [1-9]/, 'of which there are some');
$writer->run("ALTER DATABASE postgres SET partreg.notify = 'off'");
is(let_through(connect_to($node, user => 'plain')), '', 'so does ALTER DATABASE ... SET');
is(let_through(connect_to($node, user => 'quiet')), 'unlock', 'and the role wins over the database');
$writer->run('ALTER DATABASE postgres RESET partreg.notify');

note 'Two-phase commit';

$writer->run('BEGIN');
call('lock_partition', 'some.source', 'job', $noon, $token);
fails_with($writer, '0A000', 'a transaction that notified is not prepared', "PREPARE TRANSACTION 'one'");
$writer->run('ROLLBACK');
$writer->run("SET partreg.notify = 'off'; BEGIN");
call('lock_partition', 'some.source', 'job', $noon, $token);
$writer->run("PREPARE TRANSACTION 'two'");
is(call('check_readiness', 'some.source', $noon), 't', 'prepared: not locked yet');
$writer->run("COMMIT PREPARED 'two'");
is(call('check_readiness', 'some.source', $noon), 'f', 'committed: locked');
$writer->run('BEGIN');
call('unlock_partition', 'some.source', 'job', $noon, $token);
$writer->run("PREPARE TRANSACTION 'three'");
$node->restart;
$writer = connect_to($node);
is(call('check_readiness', 'some.source', $noon), 'f', 'a restart keeps what is prepared');
$writer->run("ROLLBACK PREPARED 'three'");
is(call('unlock_partition', 'some.source', 'job', $noon, $token), 't', 'rolled back: to be unlocked again');
is(call('check_readiness', 'some.source', $noon), 't', 'ready');

done_testing();
