# Waiting, giving up, being cancelled, losing the connection: nothing is half
# done, and a call can be repeated.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Registry;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_registry('timeouts');
my $client = connect_to($node);
my @holders = map { connect_to($node) } 1 .. 4;
my ($source_token, $token) = source_and_provider($client, 's', 'p');

$client->rows('SELECT partreg.register_partitions($1, $2, $3, $4, $5)', 's', 'p', hour(0, 8), '1 hour', $token);

my $lock = 'SELECT partreg.lock_partition($1, $2, $3, $4)';
my $unlock = 'SELECT partreg.unlock_partition($1, $2, $3, $4)';

# Do something while others hold things: each of them ends its transaction so
# many seconds later than the one before.  Returns the answer and its time.
sub while_held
{
	my ($apart, $sql, @parameters) = @_;
	my $began = time;
	my @open = @holders;

	$client->start($sql, @parameters);
	until ($client->answers_within(0.01))
	{
		shift(@open)->run('ROLLBACK') if @open && time - $began > $apart * (@holders - @open + 1);
	}
	my $result = $client->finish;
	my $took = time - $began;
	$_->run('ROLLBACK') for @open;
	return ($result, $took);
}

# What the answer was.
sub outcome
{
	my ($result) = @_;

	return $result->{error} ? $result->{error}{C} : join ',', map { $_->[0] } @{ $result->{rows} };
}

note 'lock_timeout bounds the total';

my @waiting = (
	[ 'lock_partitions', '8', 'SELECT partreg.lock_partitions($1, $2, $3, $4)', 's', 'p', hour(0, 8), $token ],
	[ 'unlock_partitions', '8', 'SELECT partreg.unlock_partitions($1, $2, $3, $4)', 's', 'p', hour(0, 8), $token ],
	[ 'set_effective', '', "SELECT partreg.set_effective('s', 'p', '(,)', \$1)", $source_token ],
	[ 'retire_partition', 't', 'SELECT partreg.retire_partition($1, $2, $3, $4)', 's', 'p', hour(7), $token ]);

for my $case (@waiting)
{
	my ($name, $answer, @call) = @$case;

	for my $try ([ '1s', '55P03', 0.9, 2.3 ], [ '20s', $answer, 2.3, 15 ])
	{
		my ($timeout, $expected, $least, $most) = @$try;

		for my $n (0 .. $#holders)
		{
			$holders[$n]->run('BEGIN');
			$holders[$n]->rows($lock, 's', 'p', hour($n), $token);
		}
		my $before = rows_of_tables($client);
		$client->run("SET lock_timeout = '$timeout'");
		my ($result, $took) = while_held(0.6, @call);
		is(outcome($result), $expected, "$name waits for four transactions, lock_timeout $timeout");
		cmp_ok($took, '>', $least, sprintf 'not shorter (%.1f s)', $took);
		cmp_ok($took, '<', $most, 'nor longer');
		next if $expected ne '55P03';
		is_deeply([ grep { !/_seq / } @{ rows_of_tables($client) } ], [ grep { !/_seq / } @$before ], 'and nothing was changed');
	}
}

note 'and nothing else';

# A call of its own does not shorten what comes after it.
$client->run("SET lock_timeout = '1s'");
$client->run('CREATE TABLE public.something ()');
for my $case (
	[ 'that succeeds', [ $unlock, 's', 'p', hour(0), $token ] ],
	[ 'that fails', [ $unlock, 's', 'p', hour(0), 'x' ] ],
	[ 'that times out', [ $unlock, 's', 'p', hour(1), $token ] ])
{
	my ($name, $call) = @$case;

	$holders[1]->run('BEGIN');
	$holders[1]->rows($lock, 's', 'p', hour(1), $token);
	$holders[0]->run('BEGIN; LOCK TABLE public.something');
	$client->run('BEGIN; SAVEPOINT a');
	$client->run('ROLLBACK TO a') if $client->query(@$call)->{error};
	is($client->query('SELECT pg_sleep(1.2)')->{error}, undef, "after a call $name, others may take longer");
	my $began = time;
	$client->start('LOCK TABLE public.something');
	sleep 0.6;
	$holders[0]->run('COMMIT');
	is($client->finish->{error}, undef, 'and wait as long as they may');
	cmp_ok(time - $began, '>', 0.5, 'which they do');
	$client->run('ROLLBACK');
	$holders[1]->run('ROLLBACK');
}
# The same within one statement, where the error is caught.
$holders[0]->run('BEGIN; LOCK TABLE public.something');
$client->start(sprintf <<'EOT', hour(0));
DO $$
BEGIN
    BEGIN
        PERFORM partreg.unlock_partition('s', 'p', '%s', 'x');
    EXCEPTION WHEN insufficient_privilege THEN
    END;
    PERFORM pg_sleep(1.2);
    LOCK TABLE public.something;
END $$
EOT
sleep 1.7;
$holders[0]->run('COMMIT');
is($client->finish->{error}, undef, 'after an error that was caught, too');
$client->run('RESET lock_timeout');

note 'statement_timeout and cancel';

my $before = rows_of_tables($client);

$holders[0]->run('BEGIN');
$holders[0]->rows($lock, 's', 'p', hour(2), $token);
$client->run("SET statement_timeout = '500ms'");
my $began = time;
fails_with($client, '57014', 'statement_timeout ends the wait', $lock, 's', 'p', hour(2), $token);
cmp_ok(time - $began, '<', 3, 'in time');
$client->run('RESET statement_timeout');
$client->start($lock, 's', 'p', hour(2), $token);
sleep 0.3;
$began = time;
$client->cancel;
is(outcome($client->finish), '57014', 'so does a cancel');
cmp_ok(time - $began, '<', 2, 'at once');
$holders[0]->run('ROLLBACK');

for my $case (
	[ 'register_partitions', $client, '1 minute', '2048-01-01' ],
	[ 'register_partitions', $client, '10 seconds', '2033-01-01' ])
{
	my ($function, $session, $step, $end) = @$case;

	$session->start("SELECT partreg.$function(\$1, \$2, \$3, \$4, \$5)",
		's', 'p', "[2030-01-01 00:00+00,$end 00:00+00)", $step, $token);
	sleep 1;
	$began = time;
	$session->cancel;
	is(outcome($session->finish), '57014', "$function of millions is cancelled");
	cmp_ok(time - $began, '<', 2, sprintf 'within a moment (%.2f s)', time - $began);
}
is_deeply([ grep { !/_seq / } @{ rows_of_tables($client) } ], [ grep { !/_seq / } @$before ], 'nothing was changed');

# One that is not ready, ten million times: the loop ends at a cancel, too.
$client->run("CREATE TEMP TABLE millions AS SELECT array_fill('s'::text, ARRAY[10000000]) AS names");
$client->start('SELECT partreg.all_ready(names, $1) FROM millions', hour(1000));
sleep 0.3;
$began = time;
$client->cancel;
is(outcome($client->finish), '57014', 'all_ready of millions is cancelled');
cmp_ok(time - $began, '<', 2, sprintf 'within a moment (%.2f s)', time - $began);

# The other calls about many partitions, each ended while it is at work.
my ($many_token, undef) = source_and_provider($client, 'many', 'p');
my $all = '[2030-01-01 00:00+00,2030-04-11 00:00+00)';

$client->rows('SELECT partreg.register_partitions($1, $2, $3, $4, $5)', 'many', 'p', $all, '1 minute', $many_token);
$before = rows_of_tables($client);
for my $call (
	[ '40ms', 'lock_partitions($1, $2, $3, $4)', 'many', 'p', $all, $many_token ],
	[ '40ms', 'unlock_partitions($1, $2, $3, $4)', 'many', 'p', $all, $many_token ],
	[ '40ms', 'fail_partitions($1, $2, $3, $4)', 'many', 'p', $all, $many_token ],
	[ '40ms', 'retire_partitions($1, $2, $3, $4)', 'many', 'p', $all, $many_token ],
	[ '5ms', 'explain_readiness($1, $2)', 'many', $all ],
	[ '40ms', 'drop_source($1, $2)', 'many', $many_token ])
{
	my ($timeout, $function, @given) = @$call;

	$client->run("SET statement_timeout = '$timeout'");
	$began = time;
	is(outcome($client->query("SELECT count(*) FROM partreg.$function", @given)), '57014', "$function is ended");
	cmp_ok(time - $began, '<', 2, sprintf 'within a moment (%.2f s)', time - $began);
}
$client->run('RESET statement_timeout');
is_deeply([ grep { !/_seq / } @{ rows_of_tables($client) } ], [ grep { !/_seq / } @$before ], 'nothing was changed');
$client->rows('SELECT partreg.drop_source($1, $2)', 'many', $many_token);

# A session that is ended by the server leaves nothing in the way.
$holders[0]->run("SET idle_in_transaction_session_timeout = '500ms'");
$holders[0]->run('BEGIN');
$holders[0]->rows($lock, 's', 'p', hour(2), $token);
is(outcome($client->query($lock, 's', 'p', hour(2), $token)), 't', 'who waited for a session that was ended goes on');
$client->rows($unlock, 's', 'p', hour(2), $token);

note 'The connection is lost';

# The client sends its call and is gone, now before the server has read it, now
# after it has answered, and repeats it in a new connection.
my @steps = (
	[ 'register_partition', 'SELECT partreg.register_partition($1, $2, $3, $4, true)', 'registered' ],
	[ 'lock', $lock, 'locked' ],
	[ 'fail', 'SELECT partreg.fail_partition($1, $2, $3, $4)', 'failed' ],
	[ 'lock', $lock, 'locked' ],
	[ 'unlock', $unlock, 'unlocked' ]);
my $state = 'SELECT state FROM partreg.partitions WHERE provider_name = $1 AND start_at = lower($2::tstzrange)';
my ($repeated, $wrong) = (0, 0);

srand 1;
for my $n (100 .. 139)
{
	my @arguments = ('s', 'p', hour($n), $token);

	for my $step (@steps)
	{
		my ($event, $sql, $expected) = @$step;
		my $lost = connect_to($node);

		# In a transaction block the loss may fall before, upon or after COMMIT.
		$lost->run('BEGIN') if $n % 2;
		$lost->start($sql, @arguments);
		$lost->start('COMMIT') if $n % 2;
		sleep rand 0.004;
		$lost->drop;

		my $again = connect_to($node);
		$repeated++ if $again->value($sql, @arguments) eq 'f';
		$wrong++ if $again->value($state, 'p', hour($n)) ne $expected;
		# A server that was slow may still have the call to do, and must not do
		# it after the next step.
		eventually(sub { $again->value('SELECT count(*) FROM pg_stat_activity WHERE pid = $1', $lost->{pid}) == 0 })
		  or die "the session that was lost does not end\n";
		$again->close_session;
	}
}
is($wrong, 0, 'after each repeated call the state is what it should be');
cmp_ok($repeated, '>', 20, "$repeated of 200 calls had been done before the connection was lost");
cmp_ok($repeated, '<', 200, 'and others had not');
is_deeply(
	$client->rows(<<'EOT', hour(100, 40)),
SELECT DISTINCT string_agg(event, ' ' ORDER BY event_id)
  FROM partreg.events WHERE during <@ $1::tstzrange GROUP BY during
EOT
	[ [ join ' ', map { $_->[0] } @steps ] ],
	'and each step is in the history once');

# What returns a token is the exception: the token is lost with the connection.
my $lost = connect_to($node);
$lost->start("SELECT partreg.register_source('t', 'owner')");
$lost->answers_within(10);
$lost->drop;
fails_with($client, '42710', 'a source is registered, its token is lost', "SELECT partreg.register_source('t', 'owner')");
my $cure = $client->value("SELECT partreg.reset_access_token('t')");
like($client->value("SELECT partreg.register_provider('p', \$1)", $cure), qr/^prp_/, 'reset_access_token helps');
$cure = $client->value("SELECT partreg.rotate_access_token('t', 'p', \$1)", $cure);
is($client->value('SELECT partreg.register_partition($1, $2, $3, $4)', 't', 'p', hour(0), $cure), 't', 'so does rotate_access_token');

done_testing();
