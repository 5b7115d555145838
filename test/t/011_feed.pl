# The change feed across whatever a cluster goes through: prepared transactions,
# a crash, a standby and back, promotion, copies, dump and restore, replication.
# A reader keeps a position and nothing else, and gets every event that commits
# in the history that goes on, once.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;
use Time::HiRes qw(sleep);

my $primary = new_registry(
	'primary',
	init => [ allows_streaming => 'logical' ],
	conf => "shared_buffers = 16MB\nmax_prepared_transactions = 5\npartreg.notify = off\nautovacuum = off\nwal_writer_delay = 10s");
my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $writer = connect_to($primary);
my $late = connect_to($primary);
my ($source_token, $token) = source_and_provider($writer, 's', 'p');

$writer->value("SELECT partreg.register_partitions('s', 'p', \$1, '1 hour', \$2)", hour(0, 1000), $token);

my $hour = 0;

# Lock the next partition, which is one event; returns its hour.
sub write_event
{
	my ($client, $which) = @_;

	$which = $hour++ unless defined $which;
	$client->value("SELECT partreg.lock_partition('s', 'p', \$1, \$2, 'h' || clock_timestamp())", hour($which), $token);
	return $which;
}

sub position
{
	my ($client) = @_;

	return $client->value('SELECT partreg.feed_position()');
}

# All that a position has not seen, in pages of two; the position moves on.
sub follow
{
	my ($client, $position) = @_;
	my @events;

	for (;;)
	{
		my $page = $client->rows(
			q{SELECT next_position, (extract(epoch FROM lower(during)) - 1704067200)::integer / 3600
			    FROM partreg.changes_since($1, 2)}, $$position);

		last unless @$page;
		push @events, map { $_->[1] } @$page;
		$$position = $page->[-1][0];
	}
	return \@events;
}

# Is a position of no use?
sub gone
{
	my ($client, $position, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $error = fails_with($client, '55000', $name, 'SELECT * FROM partreg.changes_since($1)', $position);
	is($error ? $error->{n} : undef, 'history_gone', "$name: the condition");
	fails_with($client, '55000', "$name: changed_ranges",
		q{SELECT partreg.changed_ranges('s', '(,)', $1)}, $position);
}

sub changed
{
	my ($client, $position, @hours) = @_;

	return $client->value(
		q{SELECT coalesce(string_agg((extract(epoch FROM lower(r)) - 1704067200)::integer / 3600
		                             || '-' || (extract(epoch FROM upper(r)) - 1704067200)::integer / 3600, ' ' ORDER BY r), '')
		    FROM unnest(partreg.changed_ranges('s', '(,)', $1)) r}, $position);
}

note 'An old snapshot';

my $position = position($writer);

$late->run('BEGIN ISOLATION LEVEL REPEATABLE READ');
$late->value('SELECT 1');
write_event($writer);
is_deeply(follow($writer, \$position), [0], 'an event is given');
is_deeply(follow($late, \$position), [], 'to an older snapshot that position gives nothing');
write_event($writer);
is_deeply(follow($late, \$position), [], 'nor later');
is(changed($late, $position), '', 'nothing has changed there');
$late->run('COMMIT');
is_deeply(follow($late, \$position), [1], 'to a new one it does');

note 'A transaction that a snapshot lists twice';

# So it is for a moment while a transaction is prepared.
$late->run('BEGIN');
write_event($late, 902);
write_event($writer, 903);
my $exporter = connect_to($primary);
$exporter->run('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $exported = $exporter->value('SELECT pg_export_snapshot()');
my $file = $primary->data_dir . "/pg_snapshots/$exported";
(my $twice = slurp_file($file)) =~ s/^xcnt:1\n(xip:\d+\n)/xcnt:2\n$1$1/m or die 'another transaction runs';
open my $snapshot, '>', $file or die "$file: $!";
print $snapshot $twice;
close $snapshot;
my $importer = connect_to($primary);
$importer->run("BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '$exported'");
my $with_twice = position($importer);
$_->close_session for $exporter, $importer;
$late->run('COMMIT');
is_deeply(follow($writer, \$with_twice), [902], 'is one in a position');
is_deeply(follow($writer, \$position), [ 902, 903 ], 'as in others');

note 'A crash with nothing open';

# Numbers of transactions that leave nothing in the WAL
sub use_numbers
{
	for (1 .. 30)
	{
		$writer->run('BEGIN; SELECT pg_current_xact_id(); ROLLBACK');
	}
}

sub next_number { return $_[0]->value('SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint') }

use_numbers();
my $number = next_number($writer);
my $with_numbers = position($writer);
$primary->stop('immediate');
$primary->start;
$writer = connect_to($primary);
$late = connect_to($primary);
cmp_ok(next_number($writer), '<', $number, 'numbers of transactions are used again');
write_event($writer, 900);
write_event($writer, 901);
is(changed($writer, $with_numbers), '900-902', 'what has changed by such transactions');
is_deeply(follow($writer, \$with_numbers), [ 900, 901 ], 'and the feed has them');
is_deeply(follow($writer, \$position), [ 900, 901 ], 'also from before');

note 'Two-phase commit and a crash';

$late->run('BEGIN');
write_event($late);    # 2
$late->run("PREPARE TRANSACTION 'prepared'");
write_event($writer);    # 3
is_deeply(follow($writer, \$position), [3], 'prepared is not committed');

my $before_crash = position($writer);

use_numbers();
my $unlogged = position($writer);
$primary->stop('immediate');
$primary->start;
$writer = connect_to($primary);
$late = connect_to($primary);
is_deeply(follow($writer, \$position), [], 'after a crash nothing comes again');
$late->run('BEGIN');
write_event($late);    # 4
write_event($writer);    # 5
is_deeply(follow($writer, \$position), [5], 'and it goes on');
is_deeply(follow($writer, \$unlogged), [5], 'also where numbers of transactions are used again');
$late->run('COMMIT');
is_deeply(follow($writer, \$unlogged), [4], 'by one that was open');
$writer->run("COMMIT PREPARED 'prepared'");
is_deeply(follow($writer, \$position), [ 2, 4 ], 'what was prepared before the crash comes when it is committed');
is_deeply(follow($writer, \$before_crash), [ 2, 4, 5 ], 'from a position before the crash too');

note 'A standby, and back';

$writer->run('CREATE TABLE scratch (n integer)');
$primary->backup('backup');
my ($standby, $second) = map {
	my $node = PostgreSQL::Test::Cluster->new($_);

	$node->init_from_backup($primary, 'backup', has_streaming => 1);
	$node->append_conf('postgresql.conf', 'hot_standby_feedback = on');
	$node->start;
	$node;
} qw(standby second);
my $reader = connect_to($standby);

$late->run('BEGIN');
# More subtransactions than a server keeps in memory
$late->run('SAVEPOINT a; INSERT INTO scratch VALUES (1); RELEASE a') for 1 .. 100;
$late->run('SAVEPOINT b');
write_event($late);    # 6
$late->run('RELEASE b');
write_event($writer);    # 7
$primary->wait_for_catchup($standby);
is_deeply(follow($reader, \$position), [7], 'a standby gives what has committed');
write_event($writer);    # 8
is_deeply(follow($writer, \$position), [8], 'its position goes on on the primary');

$primary->wait_for_catchup($standby);
my $standby_position = position($reader);

$reader->rows('SELECT pg_wal_replay_pause()');
ok(eventually(sub { $reader->value('SELECT pg_get_wal_replay_pause_state()') eq 'paused' }), 'replay is paused');
write_event($writer);    # 9
is_deeply(follow($writer, \$position), [9], 'the primary goes on');
is_deeply(follow($reader, \$position), [], 'a standby that is behind gives nothing');

my $page = $writer->value('SELECT next_position FROM partreg.changes_since($1, 1)', $unlogged);

is_deeply(follow($reader, \$page), [], 'nor from the middle of a page');
$late->run('COMMIT');
is_deeply(follow($reader, \$position), [], 'whatever commits');
$reader->rows('SELECT pg_wal_replay_resume()');
$primary->wait_for_catchup($standby);
is_deeply(follow($reader, \$position), [6], 'and then what came late');
is_deeply(follow($reader, \$page), [ 7, 8, 9, 6 ], 'the page goes on');
is_deeply([ sort @{ follow($reader, \$standby_position) } ], [ 6, 9 ], 'a position of the standby too');
is(changed($reader, $before_crash), '6-10', 'what has changed, on a standby');

note 'A template copy';

my $shared = position($writer);

$_->close_session for $writer, $late;
sleep 0.2;
$primary->safe_psql('template1', 'CREATE DATABASE copied TEMPLATE postgres');
$writer = connect_to($primary);

my $copied = connect_to($primary, dbname => 'copied');
my $before_copied = $shared;

is_deeply(follow($copied, \$before_copied), [], 'a position from before is good in a copy of the database');
write_event($copied);    # 10
write_event($writer, 11);
is_deeply(follow($copied, \$before_copied), [10], 'and goes on');
gone($copied, position($writer), 'one taken after it is not good there');
gone($writer, position($copied), 'nor the other way');

note 'A storage copy';

write_event($writer, 12);
$position = position($writer);
$primary->stop;
my $clone = PostgreSQL::Test::Cluster->new('clone');
PostgreSQL::Test::RecursiveCopy::copypath($primary->data_dir, $primary->backup_dir . '/copy');
$clone->init_from_backup($primary, 'copy');
$primary->start;
$clone->start;
$writer = connect_to($primary);
$late = connect_to($primary);
my $cloned = connect_to($clone);
my $on_clone = $position;

write_event($cloned, 20);
write_event($writer, 21);
is_deeply(follow($cloned, \$on_clone), [20], 'a position from before is good in a copy of the storage');
write_event($writer, $_) for 22 .. 30;
gone($cloned, position($writer), 'one taken after it is not good there');
gone($writer, position($cloned), 'nor the other way, where the other has gone farther');
$clone->stop;

note 'Dump and restore';

is_deeply(follow($writer, \$position), [ 21 .. 30 ], 'the reader follows');
$late->run('BEGIN');
write_event($late, 40);
write_event($writer, 41);
my $at_dump = $position;
is_deeply(follow($writer, \$position), [41], 'with one that is open');
my $open = position($writer);
$late->run('COMMIT');
$primary->command_ok([ 'pg_dump', '-d', $primary->connstr('postgres'), '-f', "$tmp/dump.sql" ], 'pg_dump');

my $restored = new_registry('restored', bare => 1, conf => "partreg.notify = off");
$restored->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $restored->connstr('postgres'), '-f', "$tmp/dump.sql" ],
	'restored');
my $new = connect_to($restored);

cmp_ok($new->value('SELECT pg_current_xact_id()::text::bigint'),
	'<', $writer->value('SELECT pg_current_xact_id()::text::bigint'), 'numbers of transactions are smaller');
is(changed($new, $at_dump), '40-42', 'what has changed, by a position of the old cluster');
is(changed($new, $open), '40-41', 'and where one was open');
is_deeply(follow($new, \$open), [40], 'what was open when the position was taken comes');
write_event($new, 50);
is_deeply(follow($new, \$open), [50], 'and it goes on');
is_deeply(follow($new, \$at_dump), [ 40, 41, 50 ], 'from before, too');
is(changed($new, $open), '', 'nothing has changed since');
write_event($new, 51);
is(changed($new, $open), '51-52', 'or what was written there');
write_event($writer, 52);
gone($new, position($writer), 'a position of the old cluster, after the dump');
gone($writer, position($new), 'a position of the new one, in the old');
is($new->value('SELECT count(*) FROM partreg.verify()'), 0, 'verify has nothing to say');

note 'A subscriber';

my $subscriber = new_registry('subscriber', conf => "partreg.notify = off");
my $at_subscriber = connect_to($subscriber);
my $connstr = $primary->connstr . ' dbname=postgres';

$writer->run('CREATE PUBLICATION feed FOR TABLE '
	  . join ', ', map { "partreg.$_" } qw(source provider partition pending lock coverage event registry));
$at_subscriber->run("CREATE SUBSCRIPTION feed CONNECTION '$connstr' PUBLICATION feed");
$subscriber->wait_for_subscription_sync($primary, 'feed');
for my $question ('SELECT partreg.feed_position()', 'SELECT * FROM partreg.changes_since(NULL)')
{
	fails_with($at_subscriber, '55000', "under a subscription: $question", $question);
}
my $published = position($writer);
fails_with($at_subscriber, '55000', 'changed_ranges too', q{SELECT partreg.changed_ranges('s', '(,)', $1)}, $published);
write_event($writer, 53);
$primary->wait_for_catchup('feed');
$at_subscriber->run('DROP SUBSCRIPTION feed');
fails_with($at_subscriber, '55000', 'until the sequences are advanced', 'SELECT partreg.feed_position()');
$at_subscriber->rows('SELECT partreg.advance_sequences()');
is_deeply(follow($at_subscriber, \$published), [53], 'then a position of the publisher goes on');
# Whoever may not write to the tables stops nobody by a subscription for them.
$at_subscriber->run("CREATE SUBSCRIPTION other CONNECTION '$connstr' PUBLICATION feed WITH (enabled = false, create_slot = false, slot_name = NONE)");
fails_with($at_subscriber, '55000', 'a subscription of a superuser', 'SELECT partreg.feed_position()');
$at_subscriber->run('CREATE ROLE nobody SUPERUSER; ALTER SUBSCRIPTION other OWNER TO nobody; ALTER ROLE nobody NOSUPERUSER');
isnt($at_subscriber->value('SELECT partreg.feed_position()'), undef, 'one of somebody else');
$at_subscriber->run('GRANT INSERT ON partreg.event TO nobody');
fails_with($at_subscriber, '55000', 'who may write', 'SELECT partreg.feed_position()');
$at_subscriber->run('REVOKE INSERT ON partreg.event FROM nobody; GRANT ' . getpwuid($>) . ' TO nobody; ALTER ROLE nobody NOINHERIT');
fails_with($at_subscriber, '55000', 'or may become the owner', 'SELECT partreg.feed_position()');
# From 16 on, one without a password is not dropped while somebody else owns it.
$at_subscriber->run('ALTER ROLE nobody SUPERUSER; DROP SUBSCRIPTION other; DROP ROLE nobody');
$subscriber->stop;

note 'Promotion, twice';

$primary->wait_for_catchup($_) for $standby, $second;
$reader = connect_to($standby);
$position = position($reader);
my $on_primary = position($writer);
my $other = connect_to($second);
my $from_second = position($other);
$other->close_session;
$second->stop;
write_event($writer, 60);
$primary->wait_for_catchup($standby);
is_deeply(follow($writer, \$on_primary), [60], 'the primary gives its last');
$primary->stop;
$standby->promote;
$reader = connect_to($standby);
ok(eventually(sub { $reader->value('SELECT pg_is_in_recovery()') eq 'f' }), 'the standby is promoted');
is_deeply(follow($reader, \$position), [60], 'what had been replayed is given after it');
is_deeply(follow($reader, \$on_primary), [], 'and not twice');
write_event($reader, 61);
is_deeply(follow($reader, \$on_primary), [61], 'and it goes on');
is(changed($reader, $position), '61-62', 'what has changed since, on the new timeline');

$second->adjust_conf('postgresql.conf', 'primary_conninfo', undef);
$second->start;
$second->promote;
$other = connect_to($second);
ok(eventually(sub { $other->value('SELECT pg_is_in_recovery()') eq 'f' }), 'another standby is promoted, to the same timeline');
is_deeply(follow($other, \$from_second), [], 'it goes on from what it had replayed');
write_event($other, 62);
is_deeply(follow($other, \$from_second), [62], 'with its own');
gone($other, $position, 'what it had not replayed is not in its history');
gone($other, position($reader), 'nor what was taken on the other after it');
gone($reader, position($other), 'nor the other way');
$primary->start;
$writer = connect_to($primary);
write_event($writer, 63);
gone($reader, position($writer), 'nor what the old primary went on with');
gone($writer, position($reader), 'nor on the old primary what came after');

done_testing();
