# pg_upgrade from each major to the next one: the rows, the answers, the levels,
# the sequences and the stored positions are what they were, and it goes on.
#
# INSTALLATIONS names folders of PostgreSQL, each of which has the extension, the
# oldest first; `scripts/matrix upgrade` does.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/../t";

use Cwd;
use PostgreSQL::Test::Utils;
use Registry qw(:DEFAULT partition_call);
use Test::More;

my ($path, @later) = split ' ', $ENV{INSTALLATIONS};

# From 18 on data have checksums unless told otherwise, and pg_upgrade wants the
# same of both.
my %same = (init => [ extra => [ '--encoding=UTF8', '--data-checksums' ] ]);

my $from = new_registry("from", at => $path, %same);
my $client = connect_to($from);
my ($source_token, $p_token, $q_token, $rotated) = fill_registry($client);

sub major_of { return $_[0]->value('SHOW server_version_num') / 10000 | 0 }

sub problems { return [ map { $_->[0] } @{ $_[0]->rows('SELECT problem FROM partreg.verify()') } ] }

# What each level may, and what it may not.
sub what_levels_may
{
	my ($on) = @_;
	my @may;

	for my $role (qw(reading writing managing))
	{
		$on->run("SET SESSION AUTHORIZATION $role");
		for my $call (
			[ 'SELECT partreg.ready_ranges($1, $2)', 's', hour(0) ],
			[ 'SELECT partreg.renew_lease($1, $2, $3, $4)', 's', 'p', hour(0), $rotated ],
			[ 'SELECT partreg.rename_source($1, $2, $3)', 's', 's', $source_token ],
			[ 'SELECT partreg.purge_history($1)', '-infinity' ],
			['TABLE partreg.event'])
		{
			my $error = $on->query(@$call)->{error};
			push @may, "$role: $call->[0]: " . ($error ? $error->{C} : 'no error');
		}
		$on->run('RESET SESSION AUTHORIZATION');
	}
	return \@may;
}

# Facts of the extension's objects, but those that pg_upgrade does not keep:
# initial privileges that are the default ones.
sub objects_of
{
	return [ grep { !/: initial privileges: / } @{ extension_objects($_[0]) } ];
}

for my $next (@later)
{
	my $old_major = major_of($client);
	my $hour = 100 + $old_major;

	# Locked under a name; something that commits after a position was taken,
	# and began before it.
	partition_call($client, 'register', 'p', $_, $rotated) for $hour, $hour + 50, $hour + 100;
	$client->value('SELECT partreg.lock_partition($1, $2, $3, $4, $5)', 's', 'p', hour($hour), $rotated, 'job');
	my $late = connect_to($from);
	$late->run('BEGIN');
	partition_call($late, 'unlock', 'p', $hour + 50, $rotated);
	partition_call($client, 'unlock', 'p', $hour + 100, $rotated);
	my $position = $client->value('SELECT partreg.feed_position()');
	$late->run('COMMIT');
	$late->close_session;

	my $moment = $client->value('SELECT clock_timestamp()::text');
	my $as_of = sub { $_[0]->value('SELECT partreg.readiness_as_of($1, $2, $3)', 's', hour(2), $moment) };
	my $before = state_of($client);
	my $levels = what_levels_may($client);
	my $ready_then = $as_of->($client);
	is_deeply(problems($client), [], "$old_major: no problem");
	$client->close_session;
	$from->stop;

	my $to = new_registry("from$old_major", at => $next, bare => 1, %same);
	my $fresh = connect_to($to);
	my $major = major_of($fresh);
	my $name = "$old_major to $major";
	$fresh->close_session;
	$to->stop;

	my $here = getcwd;
	chdir $PostgreSQL::Test::Utils::tmp_check;
	command_ok(
		[
			"$next/bin/pg_upgrade", '--no-sync',
			'-d', $from->data_dir, '-D', $to->data_dir,
			'-b', "$path/bin", '-B', "$next/bin",
			'-s', $to->host, '-p', $from->port, '-P', $to->port
		],
		"$name: pg_upgrade");
	chdir $here;
	$to->start;
	$client = connect_to($to);

	my $after = state_of($client);
	is_deeply($after->{$_}, $before->{$_}, "$name: $_") for qw(rows answers);
	is_deeply(what_levels_may($client), $levels, "$name: what the levels may");
	is($as_of->($client), $ready_then, "$name: what was ready before");
	is($client->value('SHOW partreg.notify'), 'ready', "$name: the setting of the database");

	is(
		$client->value('SELECT array_agg(during ORDER BY during) = ARRAY[$2]::tstzrange[] FROM partreg.changes_since($1)',
			$position, hour($hour + 50)),
		't', "$name: a position that was stored");
	is($client->value(q{SELECT partreg.changed_ranges('s', '(,)', $1) = tstzmultirange($2)}, $position, hour($hour + 50)),
		't', "$name: and what has changed since");

	# verify() says what pg_upgrade gave to PUBLIC, and whom it does not know
	# any more.  After what it says, nothing differs from a fresh one.
	my @problems = @{ problems($client) };
	is_deeply(
		[ grep { !/^PUBLIC has privileges on the type partreg\.\w+: / } @problems ],
		[ 'the trusted role pg_monitor of provider q goes by name only: set_trusted_role() binds it to the role that has the name now' ],
		"$name: verify");
	$client->run($_) for map { /: (REVOKE ALL ON TYPE .*) takes them away$/ } @problems;
	$client->rows("SELECT partreg.set_trusted_role('s', 'q', 'pg_monitor', \$1)", $source_token);
	is_deeply(problems($client), [], "$name: and what takes it away does");

	$to->safe_psql('postgres', 'CREATE DATABASE fresh TEMPLATE template0');
	$fresh = connect_to($to, dbname => 'fresh');
	$fresh->run('CREATE EXTENSION partition_registry CASCADE');
	$fresh->rows('SELECT partreg.grant_privileges($1, $2)', @$_) for [qw(reading reader)], [qw(writing writer)], [qw(managing admin)];
	is_deeply(objects_of($client), objects_of($fresh), "$name: objects and their privileges are those of a fresh one");
	$fresh->close_session;
	$to->safe_psql('postgres', 'DROP DATABASE fresh');

	# It goes on.
	fails_with($client, '55006', "$name: a lock keeps others away",
		'SELECT partreg.unlock_partition($1, $2, $3, $4, $5)', 's', 'p', hour($hour), $rotated, 'other');
	is($client->value('SELECT partreg.unlock_partition($1, $2, $3, $4, $5)', 's', 'p', hour($hour), $rotated, 'job'),
		't', "$name: and not its holder");
	is(partition_call($client, 'lock', 'p', $hour, $p_token), 't', "$name: a rotated token is good for its grace");
	is(partition_call($client, 'unlock', 'p', $hour, $p_token), 't', "$name: for an unlock, too");
	source_and_provider($client, "after $major", 'p');
	is($client->value('SELECT count(*) FROM partreg.source WHERE id = (SELECT max(id) FROM partreg.source) AND name = $1', "after $major"),
		1, "$name: ids go on");
	is_deeply(problems($client), [], "$name: no problem");

	($from, $path) = ($to, $next);
}
is(partition_call($client, 'register', 'q', 6, $q_token), 't', 'a token of the first is good in the last');

done_testing();
