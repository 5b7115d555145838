# A hot standby answers what the primary answered at the position that it has
# replayed, refuses to write, and goes on as a primary when it is promoted.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use POSIX ();
use Registry;
use Test::More;
use Time::HiRes qw(sleep time);

my $primary = new_registry('primary', init => [ allows_streaming => 1 ], conf => 'shared_buffers = 16MB');
my $standby = PostgreSQL::Test::Cluster->new('standby');
my $writer = connect_to($primary);
my ($source_token, $p_token) = source_and_provider($writer, 's', 'p');
my $q_token = $writer->value("SELECT partreg.register_provider('q', \$1)", $source_token);
my %token = (p => $p_token, q => $q_token);

$primary->backup('backup');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

my $reader = connect_to($standby);

sub partition_call
{
	my ($client, $call, $provider, $during) = @_;

	return $client->value("SELECT partreg.${call}_partition('s', \$1, \$2, \$3)",
		$provider, $during, $token{$provider});
}

# Everything that is asked, of every window of the first hours.
sub all_answers
{
	my ($client) = @_;
	my @answers;

	for my $from (0 .. 11)
	{
		push @answers, map { answers($client, 's', hour($from, $_)) } 1, 2, 5, 12 - $from;
	}
	push @answers, map {
		my $view = $_;
		map { "$view " . join ', ', map { defined $_ ? $_ : '-' } @$_ }
		  @{ $client->rows("SELECT * FROM partreg.$view t ORDER BY t::text COLLATE \"C\"") }
	} qw(sources providers partitions locks events late_partitions stats);
	return \@answers;
}

note 'The same answers';

partition_call($writer, 'register', 'p', hour($_)) for 0 .. 11;
partition_call($writer, 'register', 'q', hour($_, 3)) for 0, 3, 6, 9;
partition_call($writer, 'unlock', 'p', hour($_)) for 0 .. 6, 8 .. 10;
partition_call($writer, 'unlock', 'q', hour($_, 3)) for 0, 3;
partition_call($writer, 'lock', 'p', hour(2));
partition_call($writer, 'fail', 'q', hour(9, 3));
$primary->wait_for_catchup($standby);
is_deeply(all_answers($reader), all_answers($writer), 'rule any');

my $replayed = all_answers($reader);

$reader->rows('SELECT pg_wal_replay_pause()');
ok(eventually(sub { $reader->value('SELECT pg_get_wal_replay_pause_state()') eq 'paused' }),
	'replay is paused');
$writer->rows("SELECT partreg.set_readiness_rule('s', 'all', \$1)", $source_token);
partition_call($writer, 'unlock', 'p', hour(2));
partition_call($writer, 'lock', 'p', hour(0));
partition_call($writer, 'unlock', 'q', hour(6, 3));
$writer->rows("SELECT partreg.retire_partition('s', 'p', \$1, \$2)", hour(10), $p_token);
# Also what the visibility map says goes to the standby.
$primary->safe_psql('postgres', 'VACUUM FREEZE');

my $later = all_answers($writer);

isnt("@$later", "@$replayed", 'the primary goes on');
is_deeply(all_answers($reader), $replayed, 'the standby answers for the position that it has replayed');
$reader->rows('SELECT pg_wal_replay_resume()');
$primary->wait_for_catchup($standby);
is_deeply(all_answers($reader), $later, 'and then for the next one, rule all');
$writer->rows("SELECT partreg.set_effective('s', 'q', '(,)', \$1)", $source_token);
$writer->rows("SELECT partreg.set_readiness_rule('s', 'any', \$1)", $source_token);
partition_call($writer, 'unlock', 'p', hour(0));

note 'Reads in a transaction that may not write, writes nowhere of that kind';

$primary->wait_for_catchup($standby);
$writer->run('BEGIN READ ONLY');
is_deeply(all_answers($reader), all_answers($writer), 'a read-only transaction on the primary reads');
$writer->run('COMMIT');

my @writes = (
	[ "SELECT partreg.register_source('t', 'owner')" ],
	[ "SELECT partreg.register_provider('r', \$1)", $source_token ],
	[ "SELECT partreg.register_partition('s', 'p', \$1, \$2)", hour(20), $p_token ],
	[ "SELECT partreg.register_partitions('s', 'p', \$1, '1 hour', \$2)", hour(20, 3), $p_token ],
	[ "SELECT partreg.lock_partition('s', 'p', \$1, \$2)", hour(0), $p_token ],
	[ "SELECT partreg.unlock_partition('s', 'p', \$1, \$2)", hour(0), $p_token ],
	[ "SELECT partreg.fail_partition('s', 'p', \$1, \$2)", hour(0), $p_token ],
	[ "SELECT partreg.lock_partitions('s', 'p', \$1, \$2)", hour(0, 3), $p_token ],
	[ "SELECT partreg.unlock_partitions('s', 'p', \$1, \$2)", hour(0, 3), $p_token ],
	[ "SELECT partreg.renew_lease('s', 'p', \$1, '1 hour', \$2)", hour(0), $p_token ],
	[ "SELECT partreg.renew_leases('s', 'p', \$1, '1 hour', \$2)", hour(0, 3), $p_token ],
	[ "SELECT partreg.fail_partitions('s', 'p', \$1, \$2)", hour(0, 3), $p_token ],
	[ "SELECT partreg.force_fail_partition('s', 'p', \$1, 'gone')", hour(0) ],
	[ "SELECT partreg.retire_partition('s', 'p', \$1, \$2)", hour(0), $p_token ],
	[ "SELECT partreg.retire_partitions('s', 'p', \$1, \$2)", hour(0, 3), $p_token ],
	[ "SELECT partreg.rename_provider('s', 'p', 'p2', \$1)", $source_token ],
	[ "SELECT partreg.rename_source('s', 's2', \$1)", $source_token ],
	[ "SELECT partreg.advance_sequences()" ],
	[ "SELECT partreg.purge_history('-infinity')" ],
	[ "SELECT partreg.rotate_access_token('s', 'p', \$1)", $source_token ],
	[ "SELECT partreg.revoke_provider('s', 'p', \$1)", $source_token ],
	[ "SELECT partreg.set_effective('s', 'p', 'empty', \$1)", $source_token ],
	[ "SELECT partreg.set_deadline('s', 'p', '1 hour', \$1)", $source_token ],
	[ "SELECT partreg.set_calendar('s', 'p', '1 hour', \$1, \$2)", '2024-01-01 00:00+00', $source_token ],
	[ "SELECT partreg.set_trusted_role('s', 'p', NULL, \$1)", $source_token ],
	[ "SELECT partreg.set_owner('s', 'somebody', \$1)", $source_token ],
	[ "SELECT partreg.set_readiness_rule('s', 'all', \$1)", $source_token ],
	[ "SELECT partreg.drop_source('s', \$1)", $source_token ],
	[ "SELECT partreg.reset_access_token('s')" ],
	[ "SELECT partreg.grant_privileges('pg_monitor', 'reader')" ]);
my %written = map { $_->[0] =~ /partreg\.(\w+)/ ? ($1 => 1) : () } @writes;

# Whatever is added to the extension has to be added here.
is_deeply(
	$writer->rows(<<'EOT'),
SELECT DISTINCT proname::text FROM pg_proc
 WHERE pronamespace = 'partreg'::regnamespace AND provolatile = 'v' AND prokind = 'f' AND proname NOT LIKE '\_%'
 ORDER BY 1
EOT
	[ map { [$_] } sort keys %written ],
	'all functions that write are tried');
for my $write (@writes)
{
	my ($function) = $write->[0] =~ /partreg\.(\w+)/;

	fails_with($reader, '25006', "$function on the standby", @$write);
	$writer->run('BEGIN READ ONLY');
	fails_with($writer, '25006', "$function in a read-only transaction", @$write);
	$writer->run('ROLLBACK');
}

note 'What is ready is there';

# A loader writes hours of rows, each in one transaction with its unlock, the
# consumer on the standby reads each hour as soon as it is ready.
my ($hours, $rows) = (60, 50);

$primary->safe_psql('postgres', 'CREATE TABLE public.loaded (hour int, n int)');
$primary->wait_for_catchup($standby);
my $loader = fork;
die "fork: $!" unless defined $loader;
if ($loader == 0)
{
	eval {
		my $client = connect_to($primary, options => '-c synchronous_commit=off');

		for my $hour (100 .. 99 + $hours)
		{
			partition_call($client, 'register', 'p', hour($hour));
			$client->run("BEGIN; INSERT INTO public.loaded SELECT $hour, n FROM generate_series(1, $rows) n");
			partition_call($client, 'unlock', 'p', hour($hour));
			$client->run('COMMIT');
			sleep 0.005;
		}
	};
	POSIX::_exit($@ ? 1 : 0);
}

my ($wrong, $waits, $until) = (0, 0, time + 60);

for my $hour (100 .. 99 + $hours)
{
	while ($reader->value("SELECT partreg.check_readiness('s', \$1)", hour($hour)) eq 'f' && time < $until)
	{
		$waits++;
	}
	$wrong++
	  if $reader->value('SELECT count(*) FROM public.loaded WHERE hour = $1', $hour) != $rows;
}
waitpid $loader, 0;
is($?, 0, 'the loader ends');
is($wrong, 0, "all rows of each of $hours hours were there when the hour was ready");
cmp_ok($waits, '>', 0, 'and the consumer was ahead of the loader');

note 'Promotion';

my $at_promotion = all_answers($writer);
my $timeline = $writer->value('SELECT max(timeline) FROM partreg.event');
my $system = $writer->value('SELECT max(system_id) FROM partreg.event');

$primary->wait_for_catchup($standby);
$primary->stop;
$standby->promote;
is_deeply(all_answers($reader), $at_promotion, 'a session of before goes on to ask');
is(partition_call($reader, 'lock', 'p', hour(1)), 't', 'and can write: lock');
is($reader->value("SELECT partreg.check_readiness('s', \$1)", hour(1)), 'f', 'seen at once');
is(partition_call($reader, 'unlock', 'p', hour(1)), 't', 'unlock');
is(partition_call($reader, 'register', 'p', hour(200)), 't', 'register');
is(partition_call($reader, 'unlock', 'p', hour(200)), 't', 'first unlock');
is($reader->value("SELECT partreg.check_readiness('s', \$1)", hour(200)), 't', 'ready');
is($reader->value('SELECT max(timeline) - $1::int FROM partreg.event', $timeline), 1,
	'events belong to the new timeline');
is($reader->value('SELECT max(system_id) FROM partreg.event'), $system, 'of the same system');
is_deeply($reader->rows('SELECT * FROM partreg.verify()'), [], 'and all is well');

done_testing();
