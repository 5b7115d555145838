# ready_since() and readiness_as_of() beside random transactions, with the times
# of commits and without: what was so is compared with what check_readiness() said
# then, and since when it is with a search through the times of all events.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Registry;
use Test::More;

use constant {
	HOURS => 6,
	TRANSACTIONS => 150,
	ROUNDS => 4
};

my $node = new_registry('random',
	conf => "partreg.notify = off\ntrack_commit_timestamp = on\nfsync = off");
my $seed = $ENV{PARTREG_SEED} || time;

diag "PARTREG_SEED=$seed";
srand $seed;

$node->safe_psql('postgres', <<'EOT');
CREATE FUNCTION since_by_force(source text, during tstzrange) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    t timestamptz;
BEGIN
    IF NOT partreg.check_readiness(source, during) THEN
        RETURN NULL;
    END IF;
    FOR t IN SELECT DISTINCT partreg._event_time(e.at, e.xid, e.system_id)
               FROM partreg.event e JOIN partreg.source s ON s.id = e.source_id
              WHERE s.name = source ORDER BY 1 DESC
    LOOP
        IF NOT partreg.readiness_as_of(source, during, t - interval '1 us') THEN
            RETURN t;
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;
EOT

sub pick { return $_[ rand @_ ] }

# Some hours of the few that there are
sub some_hours
{
	my $first = int rand HOURS;

	return hour($first, 1 + int rand(HOURS - $first));
}

# A call that may be refused, within a transaction
sub attempt
{
	my ($client, $sql, @parameters) = @_;

	$client->run('SAVEPOINT attempt');
	my $error = $client->query($sql, @parameters)->{error};

	die "$error->{C} $error->{M}: $sql\n" if $error && $error->{C} !~ /^(42704|42710|55000|55006|22023|42501)$/;
	$client->run($error ? 'ROLLBACK TO attempt' : 'RELEASE attempt');
}

# As wide as most are registered, or two of them
sub partition { return rand() < 0.8 ? hour(int rand HOURS) : hour(2 * int(rand HOURS / 2), 2) }

# What a job does, often in one transaction, and seldom what ends in a failure
sub change
{
	my ($client, $source) = @_;
	my $provider = pick(@{ $source->{providers} });
	my @partition = ($source->{name}, $provider, partition(), $source->{token});
	my @range = ($source->{name}, $provider, some_hours(), $source->{token});
	my $what = rand;

	if ($what < 0.35)
	{
		attempt($client, 'SELECT partreg.lock_partition($1, $2, $3, $4, register => true)', @partition) if rand() < 0.5;
		attempt($client, 'SELECT partreg.unlock_partition($1, $2, $3, $4, register => true)', @partition);
	}
	elsif ($what < 0.45)
	{
		attempt($client, 'SELECT partreg.lock_partitions($1, $2, $3, $4)', @range);
		attempt($client, 'SELECT partreg.unlock_partitions($1, $2, $3, $4)', @range);
	}
	elsif ($what < 0.55) { attempt($client, 'SELECT partreg.register_partitions($1, $2, $3, $5, $4)', @range, '1 hour') }
	elsif ($what < 0.70) { attempt($client, 'SELECT partreg.unlock_partitions($1, $2, $3, $4)', @range) }
	elsif ($what < 0.73) { attempt($client, 'SELECT partreg.lock_partition($1, $2, $3, $4)', @partition) }
	elsif ($what < 0.76) { attempt($client, 'SELECT partreg.fail_partition($1, $2, $3, $4)', @partition) }
	elsif ($what < 0.84) { attempt($client, 'SELECT partreg.retire_partition($1, $2, $3, $4)', @partition) }
	elsif ($what < 0.90) { attempt($client, 'SELECT partreg.set_readiness_rule($1, $2, $3)', $source->{name}, pick('any', 'all'), $source->{token}) }
	elsif ($what < 0.95) { attempt($client, 'SELECT partreg.set_effective($1, $2, $3, $4)', $source->{name}, $provider, pick('(,)', 'empty', some_hours(), some_hours()), $source->{token}) }
	elsif ($what < 0.97) { attempt($client, 'SELECT partreg.revoke_provider($1, $2, $3)', $source->{name}, $provider, $source->{token}) }
	else { attempt($client, 'SELECT partreg.register_provider($1, $2, effective => $3)', $provider, $source->{token}, pick('(,)', some_hours())) }
	return;
}

my $questions = "{" . join(",", map { "\"$_\"" } map { my $first = $_; map { hour($first, $_) } 1 .. HOURS - $first } 0 .. HOURS - 1) . "}";
my $serial = 0;

# A source, changed by random transactions: what was ready after each, and where
# something is wrong with since when.
sub play
{
	my ($client) = @_;
	my $name = 's' . ++$serial;
	my $source = { name => $name, providers => [ 'a', 'b', 'c' ] };
	my (@records, @wrong);
	my $dated = 0;

	($source->{token}) = source_and_provider($client, $name, 'a', pick('any', 'all'));
	for my $n (1 .. TRANSACTIONS)
	{
		$client->run('BEGIN');
		change($client, $source) for 1 .. pick(1, 1, 1, 2, 4);
		$client->run(rand() < 0.15 ? 'ROLLBACK' : 'COMMIT');
		push @records, $client->rows(<<'EOT', $name, $questions)->[0];
SELECT clock_timestamp()::text, array_agg(partreg.check_readiness($1, q) ORDER BY n)
  FROM unnest($2::tstzrange[]) WITH ORDINALITY AS u (q, n)
EOT
		next if $n % 10 > 0;
		for my $row (@{ $client->rows(<<'EOT', $name, $questions) })
SELECT q, partreg.ready_since($1, q), since_by_force($1, q) FROM unnest($2::tstzrange[]) q
EOT
		{
			my ($during, $since, $truth) = map { defined $_ ? $_ : '-' } @$row;

			push @wrong, "$n $during: $truth, not $since" if $since ne $truth;
			$dated++ if $truth ne '-';
		}
	}
	return ($name, \@records, \@wrong, $dated);
}

sub compare
{
	my ($client, $what) = @_;
	my ($name, $records, $wrong_since, $dated) = play($client);
	my @wrong;

	for my $record (@$records)
	{
		my $got = $client->value(<<'EOT', $name, $questions, $record->[0]);
SELECT array_agg(partreg.readiness_as_of($1, q, $3) ORDER BY n)
  FROM unnest($2::tstzrange[]) WITH ORDINALITY AS u (q, n)
EOT
		push @wrong, "$record->[0]: $record->[1], not $got" if $got ne $record->[1];
	}
	is_deeply(\@wrong, [], "$what: what was ready then");
	is_deeply($wrong_since, [], "$what: since when it is ready");
	cmp_ok($dated, '>', 10, "$what: something is");
	note "$what: $dated answers of ready_since()";
	return;
}

for my $setting ('on', 'off')
{
	$node->append_conf('postgresql.conf', "track_commit_timestamp = $setting");
	$node->restart;
	my $client = connect_to($node);

	compare($client, "track_commit_timestamp $setting, round $_") for 1 .. ROUNDS;
	is($client->value('SELECT count(*) FROM partreg.verify()'), 0, 'verify has nothing to say');
}

done_testing();
