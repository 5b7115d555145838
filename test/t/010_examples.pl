# The examples that people copy, as they are: two attempts at once, one too
# early, one that is overtaken, one that fails, and a wait that ends.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use Registry;
use Test::More;

my $node = new_registry('examples');
my $examples = "$FindBin::RealBin/../../examples";
my $start = '2024-01-01 00:00+00';
my $next = '2024-01-01 01:00+00';

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGUSER} = 'loader';
$ENV{POLL} = '0.1';

sub sql
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', 'postgres' ]);
}

# Two hours of orders, of which the first is ready.  An hour of revenue takes
# as long to insert as the table says.
sql(<<'EOT');
CREATE SCHEMA sales;
CREATE SCHEMA marts;
CREATE TABLE sales.orders (happened_at timestamptz, amount integer);
INSERT INTO sales.orders
	SELECT '2024-01-01 00:00+00'::timestamptz + i * interval '1 minute', 10 FROM generate_series(0, 119) i;
CREATE TABLE marts.revenue (hour timestamptz, amount integer CHECK (amount > 0));
CREATE TABLE marts.takes (seconds float);
INSERT INTO marts.takes VALUES (0);
CREATE FUNCTION marts.take() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN PERFORM pg_sleep(seconds) FROM marts.takes; RETURN NEW; END';
CREATE TRIGGER take BEFORE INSERT ON marts.revenue FOR EACH ROW EXECUTE FUNCTION marts.take();
CREATE ROLE loader LOGIN;
GRANT USAGE ON SCHEMA sales, marts TO loader;
GRANT SELECT ON ALL TABLES IN SCHEMA sales, marts TO loader;
GRANT INSERT, DELETE ON marts.revenue TO loader;
SELECT partreg.grant_privileges('loader', 'writer');
SELECT partreg.register_provider('airflow', partreg.register_source('sales.orders', 'o'), trusted_role => 'postgres'),
	   partreg.register_provider('cron', partreg.register_source('marts.revenue', 'o'), trusted_role => 'loader');
EOT

sql("SELECT partreg.unlock_partition('sales.orders', 'airflow', '[2024-01-01 00:00+00, 2024-01-01 01:00+00)',
									 register => true)");

# Starts a program of examples/cron.
sub begin
{
	my ($program, @arguments) = @_;
	my $job = { output => '' };

	$job->{harness} = IPC::Run::start([ 'sh', "$examples/cron/$program", @arguments ],
		'<', \undef, '>', \$job->{output}, '2>&1');
	return $job;
}

# Its exit status; what it printed must match.
sub ends_with
{
	my ($job, $status, $pattern, $name) = @_;

	$job->{harness}->finish;
	is($job->{harness}->result(0), $status, "$name: status $status");
	like($job->{output}, $pattern, "$name: what it says");
}

sub revenue { return sql('SELECT count(*), sum(amount) FROM marts.revenue') }
sub ready { return sql("SELECT partreg.check_readiness('marts.revenue', '$start', '$next')") }

sub wait_for_lock
{
	eventually(sub { sql("SELECT count(*) FROM partreg.locks WHERE state = 'locked'") == 1 });
}

note 'cron/load_hour.sh';

sql('UPDATE marts.takes SET seconds = 4');
my $first = begin('load_hour.sh', $start);
wait_for_lock();
ends_with(begin('load_hour.sh', $start), 3, qr/is locked by another holder/, 'a second one at the same time');
ends_with($first, 0, qr/^$/, 'the first one');
is(revenue(), '1|600', 'one of them has loaded');
is(ready(), 't', '... and unlocked');

sql('UPDATE marts.takes SET seconds = 0');
ends_with(begin('load_hour.sh', $start), 0, qr/^$/, 'once more, after it');
is(revenue(), '1|600', '... in place of what was there');

ends_with(begin('load_hour.sh', $next), 3, qr/source "sales.orders" is not ready/, 'too early');
is(sql("SELECT count(*) FROM partreg.partitions WHERE source_name = 'marts.revenue'"), 1, '... has claimed nothing');

ends_with(begin('load_hour.sh', '2024-01-01 00:00'), 3, qr/needs an offset/, 'no offset');

note 'overtaken, and failed';

sql('UPDATE marts.takes SET seconds = 4');
my $late = begin('load_hour.sh', $start);
wait_for_lock();
sql("SELECT partreg.force_fail_partition('marts.revenue', 'cron', during, 'believed dead') FROM partreg.locks");
sql('UPDATE marts.takes SET seconds = 0');
ends_with(begin('load_hour.sh', $start), 0, qr/^$/, 'the successor');
ends_with($late, 3, qr/could not serialize access|is not locked by holder/, 'one that was overtaken');
is(revenue(), '1|600', '... has left no rows');
is(ready(), 't', '... and the hour ready');

sql('UPDATE sales.orders SET amount = -1');
ends_with(begin('load_hour.sh', $start), 3, qr/violates check constraint/, 'one that fails');
is(sql('SELECT state, reason FROM partreg.locks'), 'failed|load_hour.sql ended with an error', '... says so');
is(revenue(), '1|600', '... and has left the rows of before');

note 'cron/wait_ready.sh';

ends_with(begin('wait_ready.sh', 'sales.orders', $start, $next), 0, qr/^$/, 'ready');
ends_with(begin('wait_ready.sh', 'sales.ordres', $start, $next), 3, qr/does not exist/, 'misspelt');
ends_with(begin('wait_ready.sh', 'marts.revenue', $start, $next, 1), 1, qr/failed\|cron/, 'not in time');

note 'provider.py: claim';

SKIP:
{
	my $python = '/usr/bin/python3';

	skip 'no psycopg for /usr/bin/python3', 6
	  unless system("$python -c 'import psycopg2' 2>/dev/null || $python -c 'import psycopg' 2>/dev/null") == 0;
	sql('CREATE TABLE loaded (by text); GRANT INSERT ON loaded TO loader');

	# Claims the third hour, inserts, runs a line of Python, and says how it ended.
	my $attempt = sub
	{
		my ($line) = @_;
		my $output = '';

		IPC::Run::run([ $python, '-c', <<"EOT" ], '<', \undef, '>', \$output, '2>&1');
import datetime, subprocess, sys
sys.path.insert(0, "$examples")
sys.dont_write_bytecode = True
import provider
start = datetime.datetime(2024, 1, 1, 2, tzinfo=datetime.timezone.utc)
def claim():
    return provider.claim("marts.revenue", "cron", start, start + datetime.timedelta(hours=1), None)
try:
    with claim() as cursor:
        cursor.execute("INSERT INTO loaded VALUES ('it')")
        $line
    print("done")
except Exception as error:
    print(type(error).__name__, getattr(getattr(error, "diag", None), "constraint_name", None))
EOT
		return $output;
	};
	my $superuser = "subprocess.run(['psql', '-XqU', 'postgres', '-c', %s], check=True, stdout=subprocess.DEVNULL)";

	is($attempt->('pass'), "done\n", 'an attempt');
	is($attempt->('claim().__enter__()'), "ObjectInUse held_by_other\n", 'a second one within it');
	is($attempt->('raise ValueError("no file")'), "ValueError None\n", 'one that fails');
	is(sql("SELECT reason FROM partreg.locks WHERE during \@> '2024-01-01 02:00+00'::timestamptz"),
		'ValueError: no file', '... says why');
	is( $attempt->(
			sprintf $superuser,
			'"SELECT partreg.force_fail_partition(source_name, provider_name, during, $$$$)'
			  . ' FROM partreg.locks WHERE state = $$locked$$"'),
		"ObjectInUse lock_lost\n",
		'one that has lost its lock');
	is(sql('SELECT count(*) FROM loaded'), 1, 'only what was unlocked is there');
}

done_testing();
