# Positions beside purge_history(), where a server does not see what they saw, and
# in copies: what is gone is never left out silently.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Registry;
use Test::More;
use Time::HiRes qw(sleep);

my $primary = new_registry(
	'primary',
	init => [ allows_streaming => 1 ],
	conf => "shared_buffers = 16MB\npartreg.notify = off\nautovacuum = off");
my $writer = connect_to($primary);
my $old = connect_to($primary);
my ($source_token, $token) = source_and_provider($writer, 's', 'p');

$writer->value("SELECT partreg.register_partitions('s', 'p', \$1, '1 hour', \$2)", hour(0, 100), $token);

# Lock a partition, which is one event.
sub write_event
{
	my ($client, $hour) = @_;

	$client->value("SELECT partreg.lock_partition('s', 'p', \$1, \$2, 'h' || clock_timestamp())", hour($hour), $token);
}

sub position { return $_[0]->value('SELECT partreg.feed_position()') }

# Is a position of no use?
sub gone
{
	my ($client, $position, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	fails_with($client, '55000', "$name: the feed", 'SELECT * FROM partreg.changes_since($1)', $position);
	fails_with($client, '55000', "$name: changed_ranges", q{SELECT partreg.changed_ranges('s', '(,)', $1)}, $position);
}

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');

$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
my $reader = connect_to($standby);

note 'A position of an old snapshot, on a standby that is behind';

$old->run('BEGIN ISOLATION LEVEL REPEATABLE READ');
$old->value('SELECT 1');
write_event($writer, 1);
$writer->value("SELECT partreg.purge_history('infinity')");
$primary->wait_for_catchup($standby);
$reader->rows('SELECT pg_wal_replay_pause()');
ok(eventually(sub { $reader->value('SELECT pg_get_wal_replay_pause_state()') eq 'paused' }), 'replay is paused');
write_event($writer, 2);

my $position = position($old);

is($old->value(q{SELECT partreg.changed_ranges('s', '(,)', $1)}, $position), '{}', 'in the old snapshot nothing has changed');
$old->run('COMMIT');
gone($writer, $position, 'on the primary');
gone($reader, $position, 'on the standby');
$reader->rows('SELECT pg_wal_replay_resume()');

note 'A copy of the database in which as much has happened';

$_->close_session for $writer, $old;
sleep 0.2;
$primary->safe_psql('template1', 'CREATE DATABASE copied TEMPLATE postgres');
$writer = connect_to($primary);

my $copied = connect_to($primary, dbname => 'copied');
my $before = position($writer);

write_event($copied, $_) for 3, 4;
write_event($writer, $_) for 5, 6;
$position = position($writer);
gone($copied, $position, 'one taken after it is not good there');
is($copied->value("SELECT partreg.purge_history('infinity')"), 3, 'all is purged in the copy');
gone($copied, $position, 'nor then');
gone($copied, $before, 'one from before has not seen it');
is($copied->value('SELECT count(*) FROM partreg.changes_since($1)', position($copied)), 0, 'a new one is good');

done_testing();
