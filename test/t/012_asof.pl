# Where the server knows when transactions committed, what was so at an instant
# is what was committed then; elsewhere events count from the call on.  A standby
# knows what its primary knows.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Registry;
use Test::More;

my $primary = new_registry('primary', init => [ allows_streaming => 1 ],
	conf => "shared_buffers = 16MB\ntrack_commit_timestamp = on");
my $writer = connect_to($primary);
my $other = connect_to($primary);
my ($source_token, $token) = source_and_provider($writer, 's', 'p');

sub moment { return $other->value('SELECT clock_timestamp()::text') }

sub as_of
{
	my ($client, $at) = @_;

	return $client->value("SELECT partreg.readiness_as_of('s', \$1, \$2)", hour(0), $at);
}

sub since { return $_[0]->value("SELECT partreg.ready_since('s', \$1)::text", hour(0)) }

# It is called for before an instant, and committed after it.
$writer->run('BEGIN');
$writer->value("SELECT partreg.unlock_partition('s', 'p', \$1, \$2, register => true)", hour(0), $token);
my $open = moment();
$writer->run('COMMIT');
my $committed = moment();

is(as_of($other, $open), 'f', 'what is not committed is not so');
is(as_of($other, $committed), 't', 'what is committed is');
my $since = since($other);
is($other->value('SELECT $1::timestamptz > $2::timestamptz AND $1::timestamptz <= $3::timestamptz', $since, $open, $committed),
	't', 'it is ready since the commit');
is($other->value('SELECT at < $1::timestamptz FROM partreg.events WHERE event = \'unlock\'', $open),
	't', 'the event says when it was called for');

# What is needed for later instants is not purged.
is($writer->value('SELECT partreg.purge_history($1)', $open), '2', 'what was committed before is purged');
is(as_of($other, $open), 'f', 'as before');
is(as_of($other, $committed), 't', 'as before');

my $standby = PostgreSQL::Test::Cluster->new('standby');

$primary->backup('backup');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
# It is the primary's setting that tells.
$standby->append_conf('postgresql.conf', 'track_commit_timestamp = off');
$standby->start;
my $reader = connect_to($standby);
is(as_of($reader, $open), 'f', 'on a standby: not yet committed');
is(as_of($reader, $committed), 't', 'on a standby: committed');
is(since($reader), $since, 'on a standby: ready since the commit');

$primary->append_conf('postgresql.conf', 'track_commit_timestamp = off');
$primary->restart;
$other = connect_to($primary);
is(as_of($other, $open), 't', 'where the server does not know: from the call on');
$primary->wait_for_catchup($standby);
is(as_of($reader, $open), 't', 'on a standby of such a server, too');

$standby->append_conf('postgresql.conf', 'track_commit_timestamp = on');
$standby->restart;
$reader = connect_to($standby);
is(as_of($reader, $open), 't', 'whatever the standby itself is told');

done_testing();
