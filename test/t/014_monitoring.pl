# What examples/monitoring and docs/monitoring.md say, as it stands there: the
# queries, as a login that has pg_monitor and the level reader; the statements
# that help when an alert came; and, where they are found, the real
# postgres_exporter and Prometheus, with the alerts and the dashboard.
#
# The programs are looked for in the folder MONITORING and in PATH.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use CPAN::Meta::YAML;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $monitoring = "$root/examples/monitoring";
my $node = new_registry('monitoring');

# As a login; dies on an error.
sub sql_as
{
	my ($login, $sql, @more) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $login, @more ]);
}

sub sql { return sql_as('postgres', @_) }

my $page = slurp_file("$root/docs/monitoring.md");
my ($make_login, @of_page) = $page =~ /^```sql\n(.*?)^```/gms;

note 'the login';

like($make_login, qr/CREATE ROLE monitoring LOGIN/, 'the page makes a login');
sql($make_login);
is( sql("SELECT string_agg(roleid::regrole::text, ',') FROM pg_auth_members WHERE member = 'monitoring'::regrole"),
	'pg_monitor', 'it is a member of pg_monitor alone');
is(sql("SELECT level FROM partreg.privileges WHERE grantee = 'monitoring'"), 'reader', '... and has the level reader');

# One source has a partition of each kind; one owes nothing, and has a name that
# is hard to write.
my $odd = q{it's "odd" \\ & <b>};
sql(<<'EOT' =~ s/ODD/$odd/r);
SET timezone = 'UTC';
CREATE ROLE on_call LOGIN IN ROLE pg_monitor, pg_signal_backend;
SELECT partreg.grant_privileges('on_call', 'operator');
SELECT partreg.register_source('sales.orders', 'o@company.com', trusted_role => 'postgres'),
	   partreg.register_source($$ODD$$, 'o2', trusted_role => 'postgres');
SELECT partreg.register_provider('cron', source_name => source_name, trusted_role => 'postgres')
  FROM partreg.sources;
SELECT partreg.set_deadline('sales.orders', 'cron', '1 hour');
SELECT partreg.register_partitions('sales.orders', 'cron', '[2024-01-01, 2024-01-08)', '1 day');
SELECT partreg.unlock_partition('sales.orders', 'cron', '[2024-01-01, 2024-01-02)');
SELECT partreg.fail_partition('sales.orders', 'cron', '[2024-01-02, 2024-01-03)');
SELECT partreg.fail_partition('sales.orders', 'cron', '[2024-01-03, 2024-01-04)');
SELECT partreg.lock_partition('sales.orders', 'cron', '[2024-01-04, 2024-01-05)', lease => '0');
SELECT partreg.lock_partition('sales.orders', 'cron', '[2024-01-05, 2024-01-06)', lease => '1 day');
SELECT partreg.lock_partition('sales.orders', 'cron', '[2024-01-06, 2024-01-07)');
EOT
sql('VACUUM ANALYZE partreg.event');

# A transaction that somebody else has open
my $other = connect_to($node);
$other->run('BEGIN');
$other->run('SELECT 1');

note 'the queries';

my ($queries) = @{ CPAN::Meta::YAML->read("$monitoring/queries.yaml") };
my %metric;    # the names of all that are measured

for my $group (sort keys %$queries)
{
	my %usage = map { my ($name) = keys %$_; ($name => $_->{$name}{usage}) } @{ $queries->{$group}{metrics} };
	my ($head) = split /\n/, sql_as('monitoring', $queries->{$group}{query}, '--csv', '-P', 'tuples_only=off');

	is_deeply([ sort split /,/, $head ], [ sort keys %usage ], "$group: every column is described");
	$metric{"${group}_$_"} = 1 for grep { $usage{$_} eq 'GAUGE' } keys %usage;
}

sub ask
{
	my ($group, $columns) = @_;

	return sql_as('monitoring', "SELECT $columns FROM ($queries->{$group}{query}) q ORDER BY 1");
}

is( ask('partreg_source', 'source, owner, providers, locked, failed, abandoned, late, ready_to_timestamp_seconds'),
	"$odd|o2|1|0|0|0|0|\n" . 'sales.orders|o@company.com|1|3|2|1|6|1704153600.000000',
	'partreg_source: what is outstanding');
is( ask('partreg_source', "now() - to_timestamp(oldest_lock_timestamp_seconds) BETWEEN '0' AND '5 minutes'"),
	"t\n", '... and since when');
my $registry = 'datname, sources, history_bytes > 50000, history_events,'
  . " now() - to_timestamp(oldest_event_timestamp_seconds) BETWEEN '0' AND '5 minutes', notification_queue";
is(ask('partreg_registry', $registry), 'postgres|2|t|' . sql('SELECT count(*) FROM partreg.events') . '|t|0',
	'partreg_registry');
my $transaction = 'oldest_transaction_seconds BETWEEN 0 AND 300';
is(ask('partreg_registry', $transaction), 't', '... and how long a transaction has been open');
sql('REVOKE pg_monitor FROM monitoring');
is(ask('partreg_registry', $transaction), '', '... which pg_monitor is for');
sql('GRANT pg_monitor TO monitoring');
like(sql_as('monitoring', "EXPLAIN $queries->{partreg_registry}{query}"),
	qr/Index Scan using event_pkey/, 'the oldest event is looked up in an index');

note 'what to do';

my $rules = slurp_file("$monitoring/alerts.yaml");
my @alerts = $rules =~ /- alert: (\w+)/g;
my @of_rules = $rules =~ /\b(SELECT .*?);/gs;

is_deeply([ $page =~ /^### (Partreg\w+)$/gm ], \@alerts, 'the page says what to do about each alert');
unlike("@of_rules", qr/\{\{/, 'no label stands in a statement to copy');
cmp_ok(@of_rules + @of_page, '>=', 10, 'statements to copy');
for my $statement (@of_rules, map { split /;\n/ } @of_page)
{
	my $login = $statement =~ /purge_history/ ? 'postgres' : 'on_call';

	is($node->psql('postgres', $statement, extra_params => [ '-U', $login ]), 0, "$login: " . $statement =~ s/\s+/ /gr);
}

note 'the dashboard';

my $dashboard = decode_json(slurp_file("$monitoring/dashboard.json"));
my @expressions = map { $_->{expr} } map { @{ $_->{targets} } } @{ $dashboard->{panels} };
my %shown = map { $_ => 1 } "@expressions $rules" =~ /\b(partreg_(?:source|registry)_\w+)/g;

is_deeply([ sort keys %shown ], [ sort keys %metric ], 'dashboard and alerts ask for all that is measured, and for nothing else');

# Where a program is, or undef.
sub program
{
	my ($name) = @_;

	return (grep { -x } map { "$_/$name" } grep { defined } $ENV{MONITORING}, split /:/, $ENV{PATH})[0];
}

note 'promtool';

SKIP:
{
	my $promtool = program('promtool') or skip 'no promtool', 3;

	command_ok([ $promtool, 'check', 'rules', "$monitoring/alerts.yaml" ], 'check rules');
	command_ok([ $promtool, 'check', 'config', "$monitoring/prometheus.yaml" ], 'check config');
	command_ok([ $promtool, 'test', 'rules', "$monitoring/alerts_test.yaml" ], 'test rules');
}

note 'postgres_exporter and Prometheus';

my @running;

# Start a program that runs until the end of the test.
sub begin
{
	my ($name, @command) = @_;
	my $log = "$PostgreSQL::Test::Utils::log_path/014_monitoring_$name.log";

	push @running, IPC::Run::start(\@command, '<', \undef, '>', $log, '2>&1');
}

END
{
	my $status = $?;

	$_->kill_kill(grace => 5) for @running;
	$? = $status;
}

# What an address answers, or undef.
sub get
{
	my ($url) = @_;
	my $response = HTTP::Tiny->new(timeout => 10)->get($url);

	return $response->{success} ? $response->{content} : undef;
}

SKIP:
{
	my $program = program('prometheus-postgres-exporter') || program('postgres_exporter')
	  or skip 'no postgres_exporter', 1;
	my $exporter = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
	my $text;

	$ENV{DATA_SOURCE_NAME} = 'host=' . $node->host . ' port=' . $node->port . ' user=monitoring dbname=postgres';
	begin('exporter', $program, "--extend.query-path=$monitoring/queries.yaml", "--web.listen-address=$exporter");
	ok(eventually(sub { defined($text = get("http://$exporter/metrics")) }), 'the exporter answers');
	my %given = map { $_ => 1 } $text =~ /^(partreg_\w+)\{/gm;
	is_deeply([ sort keys %given ], [ sort keys %metric ], '... all that is measured');
	like($text, qr/^partreg_source_late\{.*source="sales\.orders"\} 6$/m, '... what is late');
	like($text, qr/^partreg_source_late\{.*source="it's \\"odd\\" \\\\ & <b>"\} 0$/m, '... whatever the name');
	like($text, qr/^partreg_source_ready_to_timestamp_seconds\{.*source="sales\.orders"\} 1\.7041536e\+09$/m, '... a time');
	like($text, qr/^partreg_source_ready_to_timestamp_seconds\{.*odd.*\} NaN$/m, '... and that there is none');

	$program = program('prometheus') or skip 'no prometheus', 1;
	my $prometheus = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
	my $home = PostgreSQL::Test::Utils::tempdir();
	my $config = slurp_file("$monitoring/prometheus.yaml");

	# As it is, but for where the exporter listens, and for patience.
	$config =~ s/localhost:9187/$exporter/ or die;
	$config =~ s/scrape_interval: 1m/scrape_interval: 1s/ or die;
	append_to_file("$home/prometheus.yaml", "global:\n  evaluation_interval: 1s\n$config");
	append_to_file("$home/alerts.yaml", $rules);
	begin('prometheus', $program, "--config.file=$home/prometheus.yaml", "--storage.tsdb.path=$home/data",
		"--web.listen-address=$prometheus");

	my $ask = sub
	{
		my ($question, %parameters) = @_;
		my $answer = get("http://$prometheus/api/v1/$question?" . HTTP::Tiny->new->www_form_urlencode(\%parameters));

		return $answer ? decode_json($answer)->{data} : {};
	};

	# The rows of an expression, all that the dashboard may choose being chosen
	my $rows = sub { return $ask->('query', query => $_[0] =~ s/\$datname/postgres/r =~ s/\$source/.*/r)->{result} || [] };
	ok(eventually(sub { @{ $rows->('partreg_source_late') } == 2 }, 60), 'Prometheus has it');
	ok(scalar @{ $rows->($_) }, "the dashboard is answered: $_") for @expressions;

	my $names = '';
	my $as_expected = sub
	{
		$names = join ' ', sort map { $_->{labels}{alertname} } @{ $ask->('alerts')->{alerts} || [] };
		return $names eq 'PartregAbandoned PartregFailed PartregLate';
	};
	ok(eventually($as_expected, 60), 'the alerts that are due are on their way, and no others') or diag $names;
}

$other->run('COMMIT');
done_testing();
