# The recipes of docs/recipes.md, docs/history.md and of the README, to the
# letter: what psql prints is what stands there.
#
# A comment before a block of SQL says as whom it is run.  The session is one, so
# what \gset has set stays; examples/ is its folder.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $node = new_registry('recipes');

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGUSER} = 'postgres';
$ENV{PGTZ} = 'UTC';
chdir "$root/examples" or die;

# Runs a script in a database; dies unless it ends well.
sub psql
{
	my ($database, $script) = @_;
	my $output = '';

	IPC::Run::run([ 'psql', '-Xq', '-P', 'footer=off', '-d', $database ], '<', \$script, '>', \$output, '2>&1')
	  or die "psql: $output";
	return $output;
}

# What the recipes take for granted
psql('postgres', 'CREATE ROLE etl LOGIN; CREATE ROLE analyst LOGIN');

sub set_up
{
	my ($database) = @_;

	psql('postgres', "CREATE DATABASE $database");
	psql($database, <<'EOT');
\set ON_ERROR_STOP on
CREATE EXTENSION partition_registry CASCADE;
SELECT partreg.grant_privileges('etl', 'writer'), partreg.grant_privileges('analyst', 'reader');
CREATE SCHEMA sales AUTHORIZATION etl;
CREATE SCHEMA marts AUTHORIZATION analyst;
CREATE TABLE sales.orders (happened_at timestamptz, amount integer);
ALTER TABLE sales.orders OWNER TO etl;
GRANT USAGE ON SCHEMA sales TO analyst;
GRANT SELECT ON sales.orders TO analyst;
CREATE TABLE marts.revenue (hour timestamptz, amount integer);
ALTER TABLE marts.revenue OWNER TO analyst;
SELECT partreg.register_source('sales.orders', 'sales@company.com', trusted_role => 'etl');
SET SESSION AUTHORIZATION etl;
SELECT partreg.register_provider('airflow', source_name => 'sales.orders', trusted_role => 'etl');
INSERT INTO sales.orders
	SELECT '2024-01-01 00:00+00'::timestamptz + i * interval '1 minute', 10 FROM generate_series(0, 179) i;
SELECT partreg.lock_partition('sales.orders', 'airflow', step, holder => 'try 1', register => true),
	   partreg.unlock_partition('sales.orders', 'airflow', step, holder => 'try 1', details => '{"rows": 60}')
  FROM partreg.step_ranges('[2024-01-01 00:00, 2024-01-01 03:00)', '1 hour') step;
SELECT partreg.lock_partition('sales.orders', 'airflow', '[2024-01-01 03:00, 2024-01-01 04:00)', holder => 'try 1', register => true);
EOT
}

# As people see it: without blanks at the ends of lines, and empty lines between
# results.  What a notification prints has the number of a process in it.
sub readable
{
	my ($text) = @_;

	$text =~ s/^Asynchronous notification .*\n//gm;
	$text =~ s/[ ]+$//gm;
	$text =~ s/\n\n+/\n/g;
	$text =~ s/\A\n+|\n+\z//g;
	return $text;
}

# Plays the blocks of a text, and compares what they print with the text after
# each, where there is one.
sub play
{
	my ($database, $text) = @_;
	my $script = "\\set ON_ERROR_STOP on\n";
	my @blocks;

	set_up($database);
	while ($text =~ /^<!-- (\w+) -->\n```sql\n(.*?)^```\n(?:```text\n(.*?)^```\n)?/gms)
	{
		my ($login, $sql, $printed) = ($1, $2, $3);
		my ($name) = $sql =~ /(.*)/;

		push @blocks, [ "$login: $name", $printed ];
		$script .= "SET SESSION AUTHORIZATION $login;\n$sql\\echo -- block ends\n";
	}
	my @outputs = split /^-- block ends\n/m, psql($database, $script), -1;

	is(scalar @blocks, scalar(() = $text =~ /^```sql$/mg), "$database: as whom each block is run stands before it");
	for my $block (@blocks)
	{
		my ($name, $printed) = @$block;
		my $output = shift @outputs;

		is(readable($output), readable($printed), $name) if defined $printed;
	}
}

note 'docs/recipes.md';

my $recipes = slurp_file("$root/docs/recipes.md");
my $reread = slurp_file("$root/examples/reread.sql") =~ s/^--.*\n|^\n//gmr;

play('recipes', $recipes);
like($recipes, qr/^```sql\n\Q$reread\E```/m, 'the page shows examples/reread.sql');

note 'docs/history.md';

play('history', slurp_file("$root/docs/history.md"));

my $bench = psql('postgres', 'CREATE DATABASE bench') . psql('bench', "\\set hours 9\n\\i ../test/bench/history.sql");
is(() = $bench =~ /^\s+9000$/gm, 3, 'the program that measures it: three times a third goes, and comes');

note 'README.md';

my ($questions) = slurp_file("$root/README.md") =~ /^(### Questions\n.*?)^### /ms;

play('readme', $questions);

note 'reread.sql';

sub reread
{
	my ($output, $status) = ('');

	IPC::Run::run([ 'psql', '-Xq', '-d', 'reread', '-U', 'analyst', '-f', 'reread.sql' ], '<', \undef, '>', \$output, '2>&1');
	return $output;
}

sub revenue { return psql('reread', '\pset format unaligned' . "\n" . '\t' . "\nSELECT string_agg(amount::text, ',' ORDER BY hour) FROM marts.revenue") }

set_up('reread');
psql('reread', <<'EOT');
SET SESSION AUTHORIZATION analyst;
CREATE TABLE marts.reader (source_name text PRIMARY KEY, position text NOT NULL, unread tstzmultirange NOT NULL);
INSERT INTO marts.reader VALUES ('sales.orders', partreg.feed_position(), '{[2024-01-01 00:00+00,)}');
EOT
reread();
is(revenue(), "600,600,600\n", 'what is ready');

# An hour is changed by two transactions: one is open when the reader looks, and
# what the other has locked is not ready then.
my $late = connect_to($node, dbname => 'reread', user => 'etl');
my $change = sub { $late->run("SELECT partreg.$_[0]_partition('sales.orders', 'airflow', '[2024-01-01 0$_[1]:00+00, 2024-01-01 0$_[2]:00+00)')") };
$late->run('BEGIN');
$change->('lock', 0, 1);
$late->run("UPDATE sales.orders SET amount = 20 WHERE happened_at < '2024-01-01 01:00+00'");
$change->('unlock', 0, 1);
is(reread(), "read {}\n", 'what is not committed has not changed');
$late->run('COMMIT');
$change->('lock', 1, 2);
is(reread(), qq<read {["2024-01-01 00:00:00+00","2024-01-01 01:00:00+00")}\n>, 'what is committed has');
is(revenue(), "1200,600,600\n", '... and is there once');
is(reread(), "read {}\n", 'what is locked has to wait');
$late->run("DELETE FROM sales.orders WHERE happened_at >= '2024-01-01 01:30+00' AND happened_at < '2024-01-01 02:00+00'");
$change->('unlock', 1, 2);
reread();
is(revenue(), "1200,300,600\n", '... until it is unlocked');

# Made ready by something that changes no data: what was left over is read.
psql('reread', "SET SESSION AUTHORIZATION etl;"
	  . "SELECT partreg.register_provider('second', source_name => 'sales.orders', effective => '[2024-01-01 03:00+00,)');"
	  . "SELECT partreg.set_readiness_rule('sales.orders', 'all');"
	  . "INSERT INTO sales.orders VALUES ('2024-01-01 03:30+00', 7);"
	  . "SELECT partreg.unlock_partition('sales.orders', 'airflow', '[2024-01-01 03:00, 2024-01-01 04:00)', holder => 'try 1');");
is(reread(), "read {}\n", 'what one provider still lacks is not ready');
psql('reread', "SET SESSION AUTHORIZATION etl; SELECT partreg.set_readiness_rule('sales.orders', 'any')");
reread();
is(revenue(), "1200,300,600,7\n", '... and is read when a rule makes it so');

note 'feed_reader.py';

SKIP:
{
	my $python = '/usr/bin/python3';

	skip 'no psycopg2 for /usr/bin/python3', 1 unless system("$python -c 'import psycopg2' 2>/dev/null") == 0;
	psql('reread', 'GRANT CREATE ON SCHEMA public TO analyst');

	my $given = sub { return psql('reread', '\t' . "\nSELECT count(*) || ' ' || count(DISTINCT event_id) FROM feed_event WHERE reader = '$_[0]'") =~ s/\s*$//r =~ s/^ //r };
	my $all = sub { return psql('reread', '\t' . "\nSELECT count(*) || ' ' || count(*) FROM partreg.events WHERE $_[0]") =~ s/\s*$//r =~ s/^ //r };
	my @readers;
	my $begin = sub
	{
		my $log = "$PostgreSQL::Test::Utils::log_path/017_recipes_feed_reader.log";

		local @ENV{ 'PGUSER', 'PGDATABASE' } = ('analyst', 'reread');
		push @readers, IPC::Run::start([ $python, 'feed_reader.py', @_ ], '<', \undef, '>>', $log, '2>&1');
		return $readers[-1];
	};

	my $reader = $begin->('one');
	ok(eventually(sub { $given->('one') eq $all->('true') }), 'what there was');
	$change->('fail', 0, 1);
	ok(eventually(sub { $given->('one') eq $all->('true') }, 10), 'a notification wakes it up');
	$reader->kill_kill(grace => 1);
	$late->run("SELECT partreg.register_partitions('sales.orders', 'airflow', '[2025-01-01 00:00+00, 2025-03-01 00:00+00)', '1 hour')");
	$begin->('one');
	$begin->('one');
	$begin->('two', 'sales.orders', 'marts.revenue');
	$begin->('three', 'marts.revenue');
	ok(eventually(sub { $given->('one') eq $all->('true') }), 'started again, twice: everything once');
	ok(eventually(sub { $given->('two') eq $all->(q(source_name = 'sales.orders')) }), 'of one source');
	$change->('unlock', 0, 1);
	ok(eventually(sub { $given->('one') eq $all->('true') && $given->('two') eq $given->('one') }, 10), 'all of them listen');
	is($given->('three'), '0 0', 'none of a source that has none');
	$_->kill_kill(grace => 1) for @readers;
}

done_testing();
