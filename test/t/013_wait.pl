# wait_until_ready with others at work: it sees what they commit, holds nothing
# up while it sleeps, and ends when it is told to, on a primary and a standby.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Registry;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_registry('waits', init => [ allows_streaming => 1 ]);
my $writer = connect_to($node);
my ($source_token, $token) = source_and_provider($writer, 's', 'p');
my $call = 'CALL partreg.wait_until_ready($1, $2, $3, $4)';
my $unlock = "SELECT partreg.unlock_partition('s', 'p', \$1, \$2)";

$writer->rows("SELECT partreg.register_partitions('s', 'p', \$1, '1 hour', \$2)", hour(0, 100), $token);

# How a wait ended, and how long that took from now on.
sub ended
{
	my ($client, $seconds) = @_;
	my $began = time;

	return ('still waiting', $seconds) unless $client->answers_within($seconds);
	my $error = $client->finish->{error};
	return ($error ? $error->{C} : 'ready', time - $began, $error);
}

# A session that waits, and sleeps by now.
sub waiter
{
	my ($server, $during, %option) = @_;
	my $client = connect_to($server, options => $option{options});

	$client->run($option{first}) if $option{first};
	$client->start($call, $option{source} || 's', $during, $option{timeout} || '1 hour', $option{poll} || '100 ms');
	my $monitor = connect_to($server);
	eventually(
		sub {
			($monitor->value('SELECT wait_event FROM pg_stat_activity WHERE pid = $1', $client->{pid}) // '') eq 'Extension';
		}) or die 'it does not wait';
	return $client;
}

note 'What others commit ends a wait';

for my $level ('read committed', 'repeatable read', 'serializable')
{
	my $hour = hour($level eq 'serializable' ? 2 : $level eq 'repeatable read' ? 1 : 0);
	my $client = waiter($node, $hour, options => '-c default_transaction_isolation=' . $level =~ s/ /\\ /r);

	$writer->run('BEGIN');
	$writer->rows($unlock, $hour, $token);
	ok(!$client->answers_within(0.5), "$level: not what is open");
	$writer->run('COMMIT');
	my ($how, $took) = ended($client, 20);
	is($how, 'ready', 'but what is committed');
	cmp_ok($took, '<', 5, sprintf 'within a poll or so (%.2f s)', $took);
	is($client->{status}, 'I', 'and leaves no transaction open');
}

note 'Nothing is held while it sleeps';

my $client = waiter($node, hour(10));
my $held = <<'EOT';
SELECT a.backend_xmin IS NULL AND a.backend_xid IS NULL
   AND NOT EXISTS (SELECT FROM pg_locks l
                    WHERE l.pid = a.pid
                      AND NOT (l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted))
  FROM pg_stat_activity a WHERE a.pid = $1
EOT
my @slept;
for (1 .. 40)
{
	push @slept, $writer->value($held, $client->{pid});
	sleep 0.02;
}
# A sample may fall upon a poll, which is short.
cmp_ok(scalar(grep { $_ eq 't' } @slept), '>', 30, 'no snapshot, no transaction id, no lock but the one that every transaction has');

# What waits for old snapshots or for locks does not wait for it.
$writer->run("SET lock_timeout = '10s'; SET statement_timeout = '60s'");
$writer->run('CREATE TABLE public.rows AS SELECT generate_series(1, 1000) AS n');
$writer->run('CREATE INDEX CONCURRENTLY ON public.rows (n)');
$writer->run('DELETE FROM public.rows');
$writer->run('VACUUM public.rows');
is($writer->value("SELECT pg_relation_size('public.rows')"), '0', 'VACUUM takes what has died meanwhile');
$writer->run('BEGIN; LOCK TABLE partreg.source, partreg.lock, partreg.coverage IN ACCESS EXCLUSIVE MODE; ROLLBACK');
$writer->run('RESET lock_timeout; RESET statement_timeout');

note 'Ends at once where it cannot become ready';

$writer->rows("SELECT partreg.fail_partition('s', 'p', \$1, \$2, NULL, 'disk full')", hour(10), $token);
my ($how, $took, $error) = ended($client, 20);
is($how, '55000', 'a failed partition');
cmp_ok($took, '<', 5, 'at the next poll');
is($error->{n}, 'failed_upstream', 'its condition');
like($error->{D}, qr/^failed in .*disk full/, 'its detail');
is($client->{status}, 'I', 'no transaction is left open');
is($client->value('SELECT 1'), 1, 'the session goes on');

my ($other_token) = source_and_provider($writer, 'other', 'p');
$client = waiter($node, hour(0), source => 'other');
$writer->rows("SELECT partreg.drop_source('other', \$1)", $other_token);
is((ended($client, 20))[0], '42704', 'a source that is dropped');

note 'The timeout';

my $began = time;
$client->start($call, 's', hour(20), '700 ms', '1000000 days');
($how, undef, $error) = ended($client, 20);
is($how, '55P03', 'times out before the next poll');
cmp_ok(time - $began, '>=', 0.7, 'not too early');
cmp_ok(time - $began, '<', 5, 'nor much later');
is($error->{n}, 'timed_out', 'its condition');
$client->run('BEGIN');
fails_with($client, '25001', 'in a transaction block it does not begin', $call, 's', hour(0), '0', undef);
$client->run('ROLLBACK');
$client->start($call, 's', hour(20), '100000000 days', '100000000 days');
ok(!$client->answers_within(0.5), 'a timeout that is longer than anything');

note 'It is told to end';

sleep 0.2;
$began = time;
$client->cancel;
is((ended($client, 20))[0], '57014', 'by a cancel');
cmp_ok(time - $began, '<', 1, 'at once, whatever the poll');
is($client->value('SELECT 1'), 1, 'the session goes on');
$client->run("SET statement_timeout = '300ms'");
fails_with($client, '57014', 'by statement_timeout, which counts from its beginning', $call, 's', hour(20), '1 hour', '50 ms');
$client->run('RESET statement_timeout');
$client = waiter($node, hour(20), poll => '1 day');
$began = time;
$writer->value('SELECT pg_terminate_backend($1)', $client->{pid});
is((ended($client, 20))[0], '57P01', 'by its end');
cmp_ok(time - $began, '<', 1, 'at once');

note 'A notification wakes who listens';

$client = waiter($node, hour(30), poll => '1 day', first => 'LISTEN partreg');
my $deaf = waiter($node, hour(30), poll => '1 day');
$writer->rows($unlock, hour(30), $token);
($how, $took) = ended($client, 20);
is($how, 'ready', 'it is awake');
cmp_ok($took, '<', 2, 'at once');
is(scalar(grep { /"unlock"/ } $client->notifications(1)), 1, 'and is told afterwards');
ok(!$deaf->answers_within(0.5), 'who does not listen sleeps on');
$deaf->drop;
# A notification of something else is one poll more.
$client = waiter($node, hour(31), poll => '1 day', first => 'LISTEN partreg');
$writer->rows($unlock, hour($_), $token) for 40 .. 60;
ok(!$client->answers_within(0.3), 'other notifications do not end it');
$writer->rows($unlock, hour(31), $token);
is((ended($client, 20))[0], 'ready', 'its own does');

note 'On a standby';

my $standby = PostgreSQL::Test::Cluster->new('standby');

$node->backup('backup');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $reader = waiter($standby, hour(70));
$writer->rows($unlock, hour(70), $token);
($how, $took) = ended($reader, 20);
is($how, 'ready', 'it sees what is replayed');
fails_with($reader, '55P03', 'it times out', $call, 's', hour(71), '200 ms', undef);
$reader = waiter($standby, hour(71));
$standby->promote;
my $promoted = connect_to($standby);
$promoted->rows($unlock, hour(71), $token);
is((ended($reader, 20))[0], 'ready', 'and goes on when the standby is promoted');

note 'Shutdown';

my @waiters = map { waiter($_, hour(80), poll => '1 day') } $node, $standby;
$began = time;
$_->stop('fast') for $node, $standby;
is((ended($_, 20))[0], '57P01', 'ends it') for @waiters;
cmp_ok(time - $began, '<', 10, sprintf 'and does not wait for it (%.1f s)', time - $began);

done_testing();
