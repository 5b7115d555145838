# Two sites: what examples/two_sites/README.md says, run as it stands there.  A
# copy that is not whole answers nobody, one that follows is never ahead, a fenced
# site does not write, whoever takes over goes on without a collision, and the
# feed gives what it gave, each event once, or says that history is gone.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;

my $example = "$FindBin::RealBin/../../examples/two_sites";
my $readme = slurp_file("$example/README.md");
my $superuser = getpwuid $>;

my ($a, $b) = map { site($_) } qw(a b);

$ENV{POLL} = '0.1';
chdir $example or die;

sub site
{
	my ($name) = @_;
	my $node = new_registry($name,
		init => [ allows_streaming => 'logical' ],
		bare => 1,
		conf => "max_prepared_transactions = 5\nwal_receiver_status_interval = 1s");

	$node->safe_psql('postgres', 'CREATE DATABASE registry; CREATE ROLE replicator LOGIN REPLICATION;'
		  . 'CREATE ROLE etl LOGIN; CREATE ROLE analyst LOGIN');
	$node->safe_psql('registry', <<'EOT');
CREATE EXTENSION partition_registry CASCADE;
CREATE SCHEMA sales;
CREATE TABLE sales.orders (hour tstzrange, amount integer);
GRANT USAGE ON SCHEMA sales TO etl, analyst;
GRANT INSERT, SELECT ON sales.orders TO etl;
GRANT SELECT ON sales.orders TO analyst;
CREATE FUNCTION public.format(text, name, text) RETURNS text LANGUAGE plpgsql
	AS $$ BEGIN RAISE 'a function of another, called by a superuser'; END $$;
EOT
	return $node;
}

sub client
{
	my ($node, $user) = @_;

	return connect_to($node, dbname => 'registry', user => $user || $superuser);
}

# The commands of a block of the README, whose first line is this one's.
sub commands
{
	my ($beginning) = @_;
	my @blocks = grep { /^\Q$beginning\E/ } $readme =~ /^```sh\n(.*?)^```$/gms;

	is(scalar @blocks, 1, "one block of the README begins with: $beginning");
	return $blocks[0];
}

# The settings are the README's, but for the names of hosts.
my $settings = commands('export A=');
for (['a', $a], ['b', $b])
{
	my ($name, $node) = @$_;
	my $here = join ' ', 'host=' . $node->host, 'port=' . $node->port, "user=$superuser";

	$settings =~ s/'host=$name\.example\.com user=postgres'/'$here'/ or die;
}

# Begins to run commands; the harness and what they print.
sub begin
{
	my ($commands) = @_;
	my $job = { output => '' };

	$job->{harness} = IPC::Run::start([ 'sh', '-euc', $settings . $commands ], '<', \undef, '>', \$job->{output}, '2>&1', IPC::Run::timeout(180));
	return $job;
}

sub is_running
{
	my ($harness) = @_;

	$harness->pump_nb if $harness->pumpable;
	return $harness->pumpable;
}

sub ends
{
	my ($job) = @_;

	$job->{harness}->finish;
	return $job->{harness}->result(0);
}

# Runs commands; returns what they print.
sub play
{
	my ($commands) = @_;
	my $job = begin($commands);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(ends($job), 0, (split /\n/, $commands)[0]) or diag $job->{output};
	return $job->{output};
}

sub refused
{
	my ($commands, $pattern, $name) = @_;
	my $job = begin($commands);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	isnt(ends($job), 0, $name);
	like($job->{output}, $pattern, '... and says why');
}

# An hour with its three rows, in one transaction.
sub load
{
	my ($client, $hour) = @_;

	$client->run('BEGIN');
	$client->rows('INSERT INTO sales.orders SELECT $1, 1 FROM generate_series(1, 3)', $hour);
	$client->rows(q{SELECT partreg.unlock_partition('sales.orders', 'cron', $1, register => true)}, $hour);
	$client->run('COMMIT');
}

sub lock
{
	my ($client, $hour, $holder) = @_;

	$client->rows(q{SELECT partreg.lock_partition('sales.orders', 'cron', $1, holder => $2, register => true)}, $hour, $holder);
}

sub ready
{
	my ($client, $hour) = @_;

	return $client->value(q{SELECT partreg.check_readiness('sales.orders', $1)}, $hour);
}

sub position { return $_[0]->value('SELECT partreg.feed_position()') }

# The numbers of what the feed gives from a position on, which goes on.
sub follow
{
	my ($client, $position) = @_;
	my @numbers;

	while (my @page = @{ $client->rows('SELECT event_id, next_position FROM partreg.changes_since($1, 7)', $$position) })
	{
		push @numbers, map { $_->[0] } @page;
		$$position = $page[-1][1];
	}
	return \@numbers;
}

sub events_after
{
	my ($client, $number) = @_;

	return [ map { $_->[0] } @{ $client->rows('SELECT event_id FROM partreg.events WHERE event_id > $1 ORDER BY 1', $number) } ];
}

sub last_event { return $_[0]->value('SELECT max(event_id) FROM partreg.events') }

sub is_let_in
{
	my ($node) = @_;

	return (eval { client($node)->close_session; 1 } || 0);
}

note 'Before there is a copy';

$a->safe_psql('registry', <<'EOT');
SELECT partreg.grant_privileges('etl', 'writer');
SELECT partreg.register_provider('cron', partreg.register_source('sales.orders', 'o', trusted_role => 'etl'), trusted_role => 'etl');
EOT
my $at_a = client($a);
my $etl = client($a, 'etl');
my $token = $at_a->value(q{SELECT partreg.register_provider('byhand', partreg.register_source('tokens', 'o'))});
load($etl, hour($_)) for 0 .. 9;
lock($etl, hour(5), 'late orders');
$etl->rows(q{SELECT partreg.fail_partition('sales.orders', 'cron', $1)}, hour(7));

note 'Begin';

# The locks are the last to come.
my $at_b = client($b);
my ($publish, $follow, $open) = commands('./two_sites.sh publish "$A" "$B"') =~ /(.*\n)/g;
my $lag = commands('./two_sites.sh lag');
refused($publish =~ s/"\$A"/"\$A password=secret"/r, qr/no password/, 'no password on the command line');
play($publish);
my $holdup = client($b);
$holdup->run('BEGIN; LOCK TABLE partreg.lock IN SHARE MODE');
play($follow);
my $states = q{SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r'};
ok(eventually(sub { $at_b->value($states) == 8 }, 60), 'all tables have come but one');
is(ready($at_b, hour(5)), 't', 'what is locked at A looks ready to a superuser');
my $opening = begin($open);
ok(!eventually(sub { !is_running($opening->{harness}) }, 1), 'open waits');
fails_with(client($b, 'analyst'), '42501', 'nobody else may ask', q{SELECT partreg.check_readiness('sales.orders', $1)}, hour(5));
my ($take_over) = commands('./two_sites.sh fence "$A" "$B"' . "\n" . './two_sites.sh catch_up') =~ /(.*take_over.*\n)/;
refused($take_over, qr/TO has never had everything/, 'what is not whole does not take over');
$holdup->run('COMMIT');
is(ends($opening), 0, 'open ends when all are there') or diag $opening->{output};
my $analyst = client($b, 'analyst');
is(ready($analyst, hour(5)), 'f', 'what is locked is not ready');
is(ready($analyst, hour(7)), 'f', 'nor what has failed');
is(ready($analyst, hour(4)), 't', 'but what is unlocked');
refused($follow, qr/not empty/, 'no second copy into it');

note 'Following';

# A writer writes all the while.  What is ready at B has its rows there, and was
# committed at A, where it may be seen an instant later than at B: what is in the
# WAL is sent before its own server counts the transaction as ended.
my $writer = '';
my $work = PostgreSQL::Test::Utils::tempdir . '/work.sql';
append_to_file($work, <<'EOT');
SELECT format($$SELECT partreg.lock_partition('sales.orders', 'cron', %1$L, holder => 'w', register => true)$$, h),
       'BEGIN',
       format($$INSERT INTO sales.orders SELECT %1$L, 1 FROM generate_series(1, 3)$$, h),
       format($$SELECT partreg.unlock_partition('sales.orders', 'cron', %1$L, holder => 'w')$$, h),
       'COMMIT'
  FROM partreg.step_ranges('[2024-01-03 00:00+00, 2024-01-20 00:00+00)', '1 hour') h \gexec
EOT
my $writing = IPC::Run::start([ 'psql', '-Xq', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', $a->connstr('registry') . ' user=etl', '-f', $work ],
	'<', \undef, '>', \$writer, '2>&1');
my ($looks, $wrong, $ahead, $seen) = (0, 0, 0, '');
my $ranges = q{SELECT partreg.ready_ranges('sales.orders', '[2024-01-03 00:00+00, 2024-02-01 00:00+00)')};
while (is_running($writing))
{
	$wrong += $analyst->value(<<'EOT');
SELECT count(*) FROM (
    SELECT h, (SELECT count(*) FROM sales.orders o WHERE o.hour = h) AS rows
      FROM partreg.step_ranges('[2024-01-03 00:00+00, 2024-01-20 00:00+00)', '1 hour') h
     WHERE partreg.check_readiness('sales.orders', h)) ready
 WHERE rows <> 3
EOT
	my $at_site_b = $analyst->value($ranges);
	$ahead += !eventually(sub { $at_a->value("SELECT \$1::tstzmultirange <@ ($ranges)", $at_site_b) eq 't' }, 10);
	$looks++ if $at_site_b ne $seen;
	$seen = $at_site_b;
}
$writing->finish;
is($writing->result(0), 0, 'the writer has done its work') or diag $writer;
cmp_ok($looks, '>', 3, 'B was looked at while it changed');
is($wrong, 0, 'what is ready at B has its rows there');
is($ahead, 0, '... and is ready at A');
lock($etl, hour(3), 'again');
$a->wait_for_catchup('two_sites');
is(ready($analyst, hour(3)), 'f', 'a lock arrives');
# Whatever changes a row of the registry
$etl->rows(q{SELECT partreg.retire_partition('sales.orders', 'cron', $1)}, hour(8));
$at_a->run(<<'EOT');
SELECT partreg.register_provider('gone', partreg.register_source('dropped', 'o', trusted_role => current_user));
SELECT partreg.register_partitions('dropped', 'gone', '[2024-01-01, 2024-02-01)', '1 day', partreg.reset_access_token('dropped', 'gone'));
SELECT partreg.rename_source('dropped', 'renamed');
SELECT partreg.revoke_provider('renamed', 'gone');
SELECT partreg.drop_source('renamed');
SELECT partreg.purge_history((SELECT at FROM partreg.events WHERE event_id = 5));
EOT
$a->wait_for_catchup('two_sites');
is_deeply([ grep { !/_seq/ } @{ rows_of_tables($at_b) } ], [ grep { !/_seq/ } @{ rows_of_tables($at_a) } ], 'every row is what it is at A');
is(answers($at_b, 'sales.orders', '[2024-01-01 00:00+00, 2024-02-01 00:00+00)'),
	answers($at_a, 'sales.orders', '[2024-01-01 00:00+00, 2024-02-01 00:00+00)'), 'every question has the answer that it has at A');
like(play($lag), qr/^bytes that TO has not confirmed: \d+\nheard of FROM: 00:00:\d+ ago\nerrors: 0$/, 'how far B is behind');

note 'Nobody writes at B';

fails_with(client($b, 'etl'), '42501', 'a writer', q{SELECT partreg.lock_partition('sales.orders', 'cron', $1)}, hour(1));
fails_with($at_b, '55000', 'a superuser', q{SELECT partreg.register_source('x', 'o')});
fails_with($at_b, '55000', 'the feed', 'SELECT * FROM partreg.changes_since(NULL)');
is_deeply([ grep { !/advance_sequences|role/ } map { $_->[0] } @{ $at_b->rows('SELECT problem FROM partreg.verify()') } ],
	[], 'verify names sequences and trusted roles, and nothing else');

note 'B takes over from a site that works';

my ($fence, $catch_up) = commands('./two_sites.sh fence "$A" "$B"' . "\n" . './two_sites.sh catch_up') =~ /(.*\n)/g;
refused($take_over, qr/FROM is not fenced/, 'not while A writes');
refused($take_over =~ s/"\$A"/"\$A user=nobody"/r, qr/FROM answers/, 'nor while it does not say');
$at_a->run(q{BEGIN; INSERT INTO sales.orders VALUES ('empty', 0); PREPARE TRANSACTION 'forgotten'});
refused($fence, qr/prepared transactions/, 'not with a prepared transaction');

# As the README says
sub undo_fence
{
	$a->safe_psql('postgres', 'ALTER DATABASE registry ALLOW_CONNECTIONS true');
}
undo_fence();
client($a)->run(q{ROLLBACK PREPARED 'forgotten'});

$at_a = client($a);
$etl = client($a, 'etl');
my $open_load = client($a, 'etl');
my $position = position($at_a);
my $before = last_event($at_a);
lock($open_load, hour(11), 'open');
$open_load->run('BEGIN');
$open_load->rows(q{SELECT partreg.unlock_partition('sales.orders', 'cron', $1, holder => 'open')}, hour(11));
load($etl, hour(12));
my $last = position($at_a);
my $last_seen = last_event($at_a);
play($fence);
ok(!eval { $open_load->run('COMMIT'); 1 }, 'what is open at A is not committed');
ok(!eval { load($etl, hour(13)); 1 }, 'a session of A cannot write');
ok(!is_let_in($a), 'no new one is let in');
$a->restart;
ok(!is_let_in($a), '... after a restart, either');
refused($catch_up, qr/TO does not fetch/, 'nor is what copies, where it was cut off');
undo_fence();
load(client($a, 'etl'), hour(14));
ok(eventually(sub { $a->safe_psql('postgres', q{SELECT active FROM pg_replication_slots WHERE slot_name = 'two_sites'}) eq 't' }), 'let in, it is back');
play($fence);
play($catch_up);
is(ready($analyst, hour(14)), 't', 'the last that A has acknowledged is at B');
is(ready($analyst, hour(12)), 't', '... and what came before');
like(play($take_over), qr/^sales\.orders\|.*etl/m, 'it prints what verify says');
is_deeply([ grep { !/role/ } map { $_->[0] } @{ $at_b->rows('SELECT problem FROM partreg.verify()') } ],
	[], '... which is nothing but trusted roles');

$etl = client($b, 'etl');
is(ready($analyst, hour(11)), 'f', 'what was open at A is not ready');
lock($etl, hour(11), 'open');
load($etl, hour(13));
is($etl->value(q{SELECT partreg.unlock_partition('sales.orders', 'cron', $1, holder => 'late orders')}, hour(5)), 't', 'a holder of A goes on');
is($at_b->value(q{SELECT partreg.unlock_partition('tokens', 'byhand', $1, $2, register => true)}, hour(0), $token), 't', 'a token of A is good');
isnt($at_b->value(q{SELECT partreg.register_provider('another', partreg.register_source('another', 'o'))}), undef, 'something new is registered');
is($at_b->value('SELECT count(*) - count(DISTINCT id) FROM partreg.provider'), 0, 'numbers are unique');
is_deeply(follow($at_b, \$position), events_after($at_b, $before), 'a reader of the feed goes on, with each event once');
is_deeply(follow($at_b, \$last), events_after($at_b, $last_seen), '... and so does one that had seen the last at A');

note 'A comes back';

refused('./two_sites.sh empty "$A" "$B"', qr/is not fenced/, 'a site that works is not emptied');
play(commands('./two_sites.sh empty "$B" "$A"'));
$analyst = client($a, 'analyst');
is(ready($analyst, hour(13)), 't', 'it answers what B has');
is(ready($analyst, hour(11)), 'f', '... and nothing else');
fails_with(client($a, 'etl'), '42501', 'its writers have no level', q{SELECT partreg.lock_partition('sales.orders', 'cron', $1)}, hour(1));

note 'A takes over from a site that is gone';

(my $back = $take_over) =~ s/"\$A" "\$B"/"\$B" "\$A"/;
$at_a = client($a);
load($etl, hour(20));
$b->wait_for_catchup('two_sites');
$position = position($at_b);
$before = last_event($at_b);
$at_a->run('ALTER SUBSCRIPTION two_sites DISABLE');
ok(eventually(sub { $b->safe_psql('postgres', q{SELECT active FROM pg_replication_slots WHERE slot_name = 'two_sites'}) eq 'f' }), 'A gets no more');
my $moment = $at_b->value('SELECT clock_timestamp()');
load($etl, hour(21));
$last = position($at_b);
my @lost = @{ events_after($at_b, $before) };
$b->stop('immediate');
play($back);
$etl = client($a, 'etl');
is(ready($analyst, hour(21)), 'f', 'what A never got is not ready');
is($at_a->value('SELECT count(*) FROM sales.orders WHERE hour = $1', hour(21)), 0, '... and its rows are not there');
load($etl, hour(21));
is(ready($analyst, hour(21)), 't', 'it is done again');
is_deeply(events_after($at_a, $before), \@lost, 'under the same numbers');
is_deeply(follow($at_a, \$position), \@lost, 'a reader that has not seen it goes on');
is(fails_with($at_a, '55000', 'one that has is told so', 'SELECT * FROM partreg.changes_since($1)', $last)->{n}, 'history_gone', '... by its condition');

$b->start;
play('./two_sites.sh fence "$B" "$A"');
(my $lost = commands('./two_sites.sh fence "$A" "$B"' . "\n" . './two_sites.sh lost')) =~ s/"\$A" "\$B" '.*'/"\$B" "\$A" '$moment'/;
$lost =~ s/"\$A" "\$B"/"\$B" "\$A"/;
is_deeply([ map { /^(\d+)\|/ } split /\n/, play($lost) ], \@lost, 'what was lost');
is($at_a->value(q{SELECT count(*) FROM partreg.verify() WHERE problem !~ 'role'}), 0, 'verify has nothing to say');

done_testing();
