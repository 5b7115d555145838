# Questions have one answer, whatever the session's time zone, isolation level
# and caches, in a parallel worker, and whatever is done to the tables meanwhile.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use POSIX ();
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_registry('reads', conf => "max_worker_processes = 16\nmax_parallel_workers = 8");
my $writer = connect_to($node);
my $reader = connect_to($node);
my ($source_token, $p_token) = source_and_provider($writer, 's', 'p');
my $q_token = $writer->value("SELECT partreg.register_provider('q', \$1)", $source_token);

sub partition_call
{
	my ($client, $call, $provider, $during) = @_;

	return $client->value("SELECT partreg.${call}_partition('s', \$1, \$2, \$3)",
		$provider, $during, $provider eq 'p' ? $p_token : $q_token);
}

my @windows = map { my $from = $_; map { hour($from, $_) } 1, 3, 12 - $from } 0 .. 11;

sub all_answers
{
	my ($client, @some) = @_;

	return [ map { answers($client, 's', $_) } @some ? @some : @windows ];
}

partition_call($writer, 'register', 'p', hour($_)) for 0 .. 11;
partition_call($writer, 'register', 'q', hour($_, 4)) for 0, 4, 8;
partition_call($writer, 'unlock', 'p', hour($_)) for 0 .. 4, 6 .. 9;
partition_call($writer, 'unlock', 'q', hour(0, 4));
partition_call($writer, 'fail', 'p', hour(2));
partition_call($writer, 'lock', 'p', hour(8));

note 'Time zones';

# All answers in seconds, which no setting changes the look of.
my @in_seconds = (
	'SELECT partreg.check_readiness($1, $2)',
	q(SELECT extract(epoch FROM lower(during)), extract(epoch FROM upper(during)), state, provider_name,
	         extract(epoch FROM since), holder FROM partreg.explain_readiness($1, $2)),
	'SELECT extract(epoch FROM partreg.ready_until($1, lower($2::tstzrange)))',
	'SELECT extract(epoch FROM lower(r)), extract(epoch FROM upper(r)) FROM unnest(partreg.ready_ranges($1, $2)) r',
	'SELECT partreg.all_ready(ARRAY[$1::text], $2)');
my (%answer, %steps);

for my $zone ('UTC', 'Europe/Berlin', 'America/New_York')
{
	$reader->run("SET TimeZone = '$zone'");
	$answer{$zone} = [ map { my $window = $_; map { $reader->rows($_, 's', $window) } @in_seconds } @windows ];

	my ($token, $steps_token) = source_and_provider($reader, "steps $zone", 'p');
	$reader->rows('SELECT partreg.register_partitions($1, $2, $3, $4, $5, $6)',
		"steps $zone", 'p', '[2024-03-30 00:00+01,2024-04-02 00:00+02)', '1 day', $steps_token, 'Europe/Berlin');
	$steps{$zone} = $reader->rows(
		'SELECT extract(epoch FROM start_at), extract(epoch FROM end_at) FROM partreg.partitions WHERE source_name = $1 ORDER BY 1',
		"steps $zone");
}
$reader->run('RESET TimeZone');
is(scalar(map { @$_ } @{ $answer{UTC} }) > 100 ? 1 : 0, 1, 'there are answers');
for my $zone ('Europe/Berlin', 'America/New_York')
{
	is_deeply($answer{$zone}, $answer{UTC}, "$zone: the answers of UTC");
	is_deeply($steps{$zone}, $steps{UTC}, "$zone: the days of UTC");
}
is_deeply(
	[ map { $_->[1] - $_->[0] } @{ $steps{UTC} } ],
	[ map { $_ * 3600 } 24, 23, 24 ],
	'days of Berlin, one of them of 23 hours');

note 'Snapshots';

for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	$reader->run("BEGIN ISOLATION LEVEL $level");
	my $before = all_answers($reader);
	my $sources = $reader->rows('SELECT source_name FROM partreg.sources ORDER BY 1');

	partition_call($writer, 'unlock', 'p', hour(2));
	partition_call($writer, 'lock', 'p', hour(4));
	partition_call($writer, 'unlock', 'q', hour(8, 4));
	$writer->rows("SELECT partreg.retire_partition('s', 'p', \$1, \$2)", hour(9), $p_token);
	$writer->rows("SELECT partreg.set_readiness_rule('s', 'all', \$1)", $source_token);
	$writer->rows("SELECT partreg.register_source(\$1, 'owner')", "new at $level");
	my $after = all_answers($writer);

	isnt("@$after", "@$before", "$level: others change all sorts of things");
	is_deeply(all_answers($reader), $before, "$level: not before the transaction's eyes");
	is_deeply($reader->rows('SELECT source_name FROM partreg.sources ORDER BY 1'), $sources, "$level: nor in the views");
	fails_with($reader, '42704', "$level: what is new is not known", 'SELECT partreg.check_readiness($1, $2)',
		"new at $level", hour(0));
	$reader->run('ROLLBACK');
	is_deeply(all_answers($reader), $after, "$level: it is after the end");

	# As it was.
	$writer->rows("SELECT partreg.set_readiness_rule('s', 'any', \$1)", $source_token);
	$writer->rows("SELECT partreg.retire_partition('s', 'q', \$1, \$2)", hour(8, 4), $q_token);
	partition_call($writer, 'register', 'q', hour(8, 4));
	partition_call($writer, 'register', 'p', hour(9));
	partition_call($writer, 'unlock', 'p', hour($_)) for 4, 9;
	partition_call($writer, 'fail', 'p', hour(2));
}

note 'Parallel workers';

# A few, as each takes starting a process.
my @some = (hour(0), hour(2, 4), hour(0, 12));
my $expected = all_answers($reader, @some);
my $setting = $reader->value('SHOW server_version_num') >= 160000 ? 'debug_parallel_query' : 'force_parallel_mode';

$reader->run("SET $setting = on");
for my $question (questions())
{
	my $generic = $question =~ s/\$1/'s'/r =~ s/\$2/'[2024-01-01,2024-01-02)'/gr;

	like(join("\n", map { $_->[0] } @{ $reader->rows("EXPLAIN $generic") }), qr/Gather/, "in a worker: $question");
}
is_deeply(all_answers($reader, @some), $expected, 'a worker answers the same');
$reader->run('BEGIN ISOLATION LEVEL REPEATABLE READ');
$reader->value('SELECT 1');
partition_call($writer, 'lock', 'p', hour(0));
is_deeply(all_answers($reader, @some), $expected, 'in the snapshot of its leader');
$reader->run('COMMIT');
partition_call($writer, 'unlock', 'p', hour(0));
is_deeply(all_answers($reader, @some), all_answers($writer, @some), 'and what came later');
$reader->run('BEGIN');
partition_call($reader, 'unlock', 'p', hour(5));
is($reader->value("SELECT partreg.check_readiness('s', \$1)", hour(5)), 't', 'a worker sees what its transaction did');
$reader->run('ROLLBACK');
$reader->run("RESET $setting");

# Many at once, of a table.
$writer->run(<<'EOT');
CREATE TABLE public.windows AS
    SELECT n, tstzrange('2024-01-01 00:00+00'::timestamptz + n % 24 * interval '30 min',
                        '2024-01-01 01:00+00'::timestamptz + n % 24 * interval '30 min') AS during
      FROM generate_series(1, 20000) n;
ANALYZE public.windows;
EOT
my $count = "SELECT count(*) FILTER (WHERE partreg.check_readiness('s', during)) || ' ' || sum(n) FROM public.windows";
my $serial = $reader->value($count);
$reader->run('SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0');
like(join("\n", map { $_->[0] } @{ $reader->rows("EXPLAIN $count") }), qr/Partial Aggregate/, 'a parallel plan');
is($reader->value($count), $serial, 'counts the same');
$reader->run('RESET ALL');

note 'While the tables are rewritten';

# A process that does something over and over until the file is there that says
# stop; it ends with 0 if all was right.
my $stop = "$PostgreSQL::Test::Utils::tmp_check/stop";

sub in_background
{
	my ($code) = @_;
	my $pid = fork;

	die "fork: $!" unless defined $pid;
	return $pid if $pid;
	my $rounds = 0;
	eval {
		my $client = connect_to($node);

		$client->run("SET lock_timeout = '60s'");
		until (-e $stop)
		{
			$code->($client);
			$rounds++;
		}
		die "no round\n" unless $rounds;
	};
	print STDERR "in the background: $@" if $@;
	POSIX::_exit($@ ? 1 : 0);
}

$expected = all_answers($reader);
my ($other_source_token, $other_token) = source_and_provider($writer, 'other', 'p');
$writer->rows("SELECT partreg.register_partitions('other', 'p', \$1, '1 hour', \$2)", hour(0, 1000), $other_token);
my $next = 0;
my @background = (
	(   map {
			in_background(
				sub {
					my $now = all_answers($_[0]);

					die "wrong answers\n" if "@$now" ne "@$expected";
				})
		} 1 .. 2),
	in_background(
		sub {
			my $hour = hour($next++ % 1000);

			$_[0]->rows("SELECT partreg.${_}_partition('other', 'p', \$1, \$2)", $hour, $other_token) for qw(lock unlock);
			die "not ready\n" unless $_[0]->value("SELECT partreg.check_readiness('other', \$1)", $hour) eq 't';
		}));

sleep 0.5;
my $rewrites = 0;
my $until = time + 6;
my @tables = map { $_->[0] }
  @{ $writer->rows("SELECT oid::regclass FROM pg_class WHERE relnamespace = 'partreg'::regnamespace AND relkind = 'r'") };
$writer->run('SET client_min_messages = error');
while (time < $until)
{
	for my $table (@tables)
	{
		$writer->run("REINDEX TABLE CONCURRENTLY $table");
		$writer->run("VACUUM FULL $table");
		$writer->run("VACUUM (FREEZE, ANALYZE) $table");
		$rewrites++;
	}
}
append_to_file($stop, 'stop');
for my $pid (@background)
{
	waitpid $pid, 0;
	is($?, 0, 'a session asks or writes on, all the while');
}
note "$rewrites rewrites of tables";
cmp_ok($rewrites, '>=', @tables, 'all were rewritten');
is_deeply(all_answers($reader), $expected, 'the same answers');
is_deeply($reader->rows('SELECT * FROM partreg.verify()'), [], 'verify');

note 'When the name stays and the source does not';

is($reader->value("SELECT partreg.check_readiness('s', \$1)", hour(0)), 't', 'ready');
$reader->run("PREPARE ask AS SELECT partreg.check_readiness('s', '[2024-01-01 00:00+00,2024-01-01 01:00+00)')");
is($reader->run('EXECUTE ask')->[0][0], 't', 'prepared, too');
$reader->run('BEGIN ISOLATION LEVEL REPEATABLE READ');
$reader->run('EXECUTE ask');
$writer->rows("SELECT partreg.drop_source('s', \$1)", $source_token);
is($reader->run('EXECUTE ask')->[0][0], 't', 'in an older snapshot it is there');
$reader->run('COMMIT');
fails_with($reader, '42704', 'then it is gone', 'SELECT partreg.check_readiness($1, $2)', 's', hour(0));
($source_token, $p_token) = source_and_provider($writer, 's', 'p');
is($reader->value("SELECT partreg.check_readiness('s', \$1)", hour(0)), 'f', 'of that name there is another source');
partition_call($writer, 'register', 'p', hour(0));
partition_call($writer, 'unlock', 'p', hour(0));
is($reader->value("SELECT partreg.check_readiness('s', \$1)", hour(0)), 't', 'which is ready in its turn');
is($reader->run('EXECUTE ask')->[0][0], 't', 'for what was prepared, too');

note 'When the place of a row is used again';

# What a session remembers of a source is where its rows were.
my %opens;
$writer->run("VACUUM FULL $_") for qw(partreg.source partreg.coverage);
for my $name ('one', 'two')
{
	$opens{$name} = [ source_and_provider($writer, $name, 'p') ];
	$writer->rows("SELECT partreg.register_partition(\$1, 'p', \$2, \$3)", $name, hour(0), $opens{$name}[1]);
	$writer->rows("SELECT partreg.unlock_partition(\$1, 'p', \$2, \$3)", $name, hour(0), $opens{$name}[1]);
	is($reader->value('SELECT partreg.check_readiness($1, $2)', $name, hour(0)), 't', "$name is ready");
}
my $places = q(SELECT s.ctid || ' ' || c.ctid FROM partreg.source s, partreg.coverage c WHERE c.source_id = s.id AND s.name = $1);
my $place = $writer->value($places, 'one');
$writer->rows('SELECT partreg.drop_source($1, $2)', 'one', $opens{one}[0]);
$writer->run("VACUUM $_") for qw(partreg.source partreg.coverage);
$opens{three} = [ source_and_provider($writer, 'three', 'p') ];
$writer->rows("SELECT partreg.register_partition('three', 'p', \$1, \$2)", hour(0), $opens{three}[1]);
$writer->rows("SELECT partreg.unlock_partition('three', 'p', \$1, \$2)", hour(0), $opens{three}[1]);
is($writer->value($places, 'three'), $place, 'where one was, three is');
fails_with($reader, '42704', 'one is gone all the same', 'SELECT partreg.check_readiness($1, $2)', 'one', hour(0));
is($reader->value('SELECT partreg.check_readiness($1, $2)', 'three', hour(0)), 't', 'three is ready');
$opens{one} = [ source_and_provider($writer, 'one', 'p') ];
is($reader->value('SELECT partreg.check_readiness($1, $2)', 'one', hour(0)), 'f', 'one is back, and not ready');

note 'When the extension goes and comes';

partition_call($reader, 'lock', 'p', hour(0));
partition_call($reader, 'unlock', 'p', hour(0));
for my $round (1 .. 2)
{
	$writer->run('DROP EXTENSION partition_registry');
	like($reader->query("SELECT partreg.check_readiness('s', \$1)", hour(0))->{error}{C},
		qr/^(3F000|42883)$/, 'gone');
	like($reader->query("EXECUTE ask")->{error}{C}, qr/^(3F000|42883)$/, 'for what was prepared, too');
	$writer->run('CREATE EXTENSION partition_registry');
	fails_with($reader, '42704', 'new and empty', 'SELECT partreg.check_readiness($1, $2)', 's', hour(0));
	# The one with warm caches writes.
	($source_token, $p_token) = source_and_provider($reader, 's', 'p');
	is(partition_call($reader, 'register', 'p', hour(0)), 't', 'register');
	is(partition_call($reader, 'lock', 'p', hour(0)), 't', 'lock');
	is($reader->value("SELECT partreg.check_readiness('s', \$1)", hour(0)), 'f', 'locked');
	is(partition_call($reader, 'unlock', 'p', hour(0)), 't', 'unlock');
	is($reader->value("SELECT partreg.check_readiness('s', \$1)", hour(0)), 't', 'ready');
	is($reader->run('EXECUTE ask')->[0][0], 't', 'for what was prepared, too');
}

done_testing();
