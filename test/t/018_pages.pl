# The pages beside what is: each block of SQL of the reference, of the README
# and of the page on security is run and prints what stands there; the reference
# has each public object, with its arguments, results, level and columns, and no
# other; links lead somewhere.  (Recipes, history and the README's questions:
# 017_recipes.pl; monitoring: 014_monitoring.pl.)
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $node = new_registry('pages', bare => 1);

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGUSER} = 'postgres';
$ENV{PGTZ} = 'UTC';

my %page = map { $_ => slurp_file("$root/$_") } map { s/\Q$root\E\///r } glob("$root/*.md $root/docs/*.md $root/examples/*.md $root/clients/*/README.md");

# Runs blocks of SQL in one session; returns what each of them printed.
sub outputs
{
	my ($database, @blocks) = @_;
	my $script = join '', map { "$_\\echo -- block ends\n" } @blocks;
	my $output = '';

	IPC::Run::run([ 'psql', '-X', '-P', 'footer=off', '-d', $database ], '<', \$script, '>', \$output, '2>&1')
	  or die "psql: $output";
	return split /^-- block ends\n/m, $output, -1;
}

# What differs from run to run becomes a sign: tokens, instants of now with the
# width of their column, numbers of events and processes.  Results of type void and empty lines go.
sub comparable
{
	my ($text) = @_;

	$text =~ s/[ ]+$//gm;
	$text =~ s/\b(pr[sp]_)[0-9a-f]+(?:…)?/$1…/g;
	$text =~ s/"event_id":\d+|with PID \d+/(number)/g;
	$text =~ s/^ \w+\n-+\n(?:\n|\z)//gm;
	$text =~ s/\n\n+/\n/g;
	$text =~ s/\A\n+|\n+\z//g;
	if ($text =~ s/20(?!24-|23-)\d\d-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?\+00/(now)/g)
	{
		$text =~ s/--+/--/g;
		$text =~ s/[ ]+/ /g;
	}
	return $text;
}

# The blocks of a text, each with what it prints; undef: not shown
sub blocks
{
	my ($text) = @_;
	my @blocks;

	push @blocks, [ $1, $2 ] while $text =~ /^```sql\n(.*?)^```\n(?:```text\n(.*?)^```\n)?/gms;
	return @blocks;
}

# Plays blocks in one session, after some SQL that they take for granted.
sub play
{
	my ($database, $before, @blocks) = @_;
	my (undef, @outputs) = outputs($database, $before, map { $_->[0] } @blocks);

	for my $block (@blocks)
	{
		my ($sql, $printed) = @$block;
		my $output = shift @outputs;
		my ($name) = $sql =~ /(.*)/;

		if (defined $printed)
		{
			is(comparable($output), comparable($printed), $name);
		}
		else
		{
			unlike($output, qr/^(?:ERROR|FATAL|invalid|psql):/m, "$name: no error");
		}
	}
}

sub sql { return $node->safe_psql($_[1] || 'postgres', $_[0]) }

# A part of a page, from its heading to the next one of its level
sub section
{
	my ($page, $heading) = @_;
	my ($level) = $heading =~ /^(#+)/;
	my ($section) = $page{$page} =~ /^\Q$heading\E\n(.*?)(?=^#{1,${\ length $level}} |\z)/ms or die "$page: no $heading";

	return $section;
}

note 'docs/reference.md';

sql('CREATE DATABASE demo');
play('demo', '', blocks($page{'docs/reference.md'}));
sql('DROP DATABASE demo');
sql('DROP ROLE airflow_jobs, deployer, dashboards');

note 'README.md';

my $readme = $page{'README.md'};

sql('CREATE DATABASE demo');
sql('CREATE ROLE dashboards; CREATE ROLE etl_jobs; CREATE ROLE data_owners; CREATE ROLE on_call; CREATE ROLE former;'
	  . 'CREATE ROLE deployer; CREATE ROLE airflow_jobs');
my ($levels, $deployment) = blocks(section('README.md', '## Privileges'));
play('demo', '', (map { blocks(section('README.md', $_)) } '## Sixty seconds in psql', '## Monitoring'), $levels);
sql('CREATE DATABASE deployed');
play('deployed', <<'EOT', $deployment, $deployment);
CREATE EXTENSION partition_registry CASCADE;
SELECT partreg.grant_privileges('deployer', 'admin');
SET SESSION AUTHORIZATION deployer;
EOT

# What the recipe for cron takes for granted: an hour of sales.orders
my ($set_up, $load_hour) = blocks(section('README.md', '### cron and psql'));
play('demo', <<'EOT',
CREATE SCHEMA sales;
CREATE SCHEMA marts;
CREATE TABLE sales.orders (happened_at timestamptz, amount integer);
INSERT INTO sales.orders VALUES ('2024-01-01 00:10+00', 7), ('2024-01-01 00:20+00', 3);
CREATE TABLE marts.revenue (hour timestamptz, amount integer);
EOT
	$set_up);
sql('GRANT USAGE ON SCHEMA sales, marts TO loader; GRANT SELECT ON sales.orders TO loader;'
	  . 'GRANT SELECT, INSERT, DELETE ON marts.revenue TO loader', 'demo');
play('demo', <<'EOT', $load_hour);
SET SESSION AUTHORIZATION loader;
\set start '2024-01-01 00:00+00'
\set holder 'cron host/4711/9f3c'
EOT
is(sql("SELECT amount, partreg.check_readiness('marts.revenue', '[2024-01-01 00:00+00, 2024-01-01 01:00+00)') FROM marts.revenue", 'demo'),
	'10|t', 'load_hour.sql has loaded the hour');
like(slurp_file("$root/examples/cron/load_hour.sql") =~ s/^--.*\n|^\n//gmr, qr/\Q${\ ($load_hour->[0] =~ s{\A.*?(?=SELECT partreg.lock)}{}sr) }\E\z/, '... as examples/cron does');

play('demo', <<'EOT', blocks(section('README.md', '### Closed days')));
SELECT partreg.register_source('fx.rates', 'treasury', trusted_role => 'postgres') IS NOT NULL;
SELECT partreg.register_provider('bank', source_name => 'fx.rates', trusted_role => 'postgres') IS NOT NULL;
EOT

my $played = 0;
$played += () = section('README.md', $_) =~ /^```sql$/gm
  for '## Sixty seconds in psql', '## Monitoring', '## Privileges', '### cron and psql', '### Closed days', '### Questions';
is($played, scalar(() = $readme =~ /^```sql$/gm), 'no block of SQL is left out');

note 'docs/security.md';

sql('CREATE ROLE dashboard; CREATE DATABASE registry; CREATE DATABASE bare');
my ($level, $rotate, $shut, $pgcrypto, @more) = blocks($page{'docs/security.md'});
play('registry', <<'EOT', $level, $rotate, $shut, @more);
CREATE EXTENSION partition_registry CASCADE;
SELECT partreg.register_source('sales', 'team') AS source_token \gset
SELECT partreg.register_provider('loader', :'source_token') IS NOT NULL;
EOT
play('bare', '', $pgcrypto);
is(sql('SELECT revoked_at IS NOT NULL FROM partreg.providers', 'registry'), 't', 'the door is shut');
is(sql("SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = 'registry')"),
	'{partreg.notify=off}', 'notifications are off');

note 'docs/airflow.md, docs/dbt.md';

for my $job (qw(airflow_jobs dbt_job))
{
	my $page = $job =~ s/_.*//r;
	my ($once) = grep { $_->[0] =~ /register_source/ } blocks($page{"docs/$page.md"});

	sql("DROP ROLE IF EXISTS $job; CREATE ROLE $job; CREATE DATABASE $page") if $job eq 'dbt_job';
	sql("CREATE DATABASE $page") if $job eq 'airflow_jobs';
	play($page, 'CREATE EXTENSION partition_registry CASCADE;', $once);
	is(sql('SELECT trusted_role FROM partreg.providers', $page), $job, 'its role is trusted');
}

note 'the reference and the catalog';

sql('CREATE EXTENSION partition_registry CASCADE');

# Each function of the catalog, with the lowest level that may call it
sql("CREATE ROLE level_$_; SELECT partreg.grant_privileges('level_$_', '$_')") for qw(reader writer admin operator);
my %function = map { my ($name, @rest) = split /\|/, $_, -1; ($name => [@rest]) } split /\n/, sql(<<'EOT');
SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
	   coalesce((SELECT l FROM unnest('{reader, writer, admin, operator}'::text[]) WITH ORDINALITY x (l, n)
				  WHERE has_function_privilege('level_' || l, p.oid, 'EXECUTE') ORDER BY n LIMIT 1), 'owner'),
	   coalesce(replace(replace(pg_get_function_result(p.oid), 'timestamp with time zone', 'timestamptz'), 'partreg.', ''), ''),
	   pronargdefaults
  FROM pg_proc p WHERE p.pronamespace = 'partreg'::regnamespace AND p.proname NOT LIKE '\_%'
EOT
%function = map { my $key = $_ =~ s/timestamp with time zone/timestamptz/gr =~ s/\bIN //gr; ($key => $function{$_}) } keys %function;

# The same in the reference: `name(argument type DEFAULT value, ...) → result` · level: ...
my (%described, @defaults);
while ($page{'docs/reference.md'} =~ /^`(?:CALL )?(\w+)\(([^`]*)\)(?:\s→\s([^`]*))?`(?:, aggregate)?\s·\slevel:\s(\w+)/gm)
{
	my ($name, $arguments, $result, $level) = ($1, $2, $3, $4);
	my @arguments = split /,\s+(?=\w+\s+\w)/, $arguments =~ s/\s+/ /gr;
	my $defaults = 0;

	for my $argument (@arguments)
	{
		next unless $argument =~ s/ DEFAULT (.*)//;
		push @defaults, [ $name, split(/ /, $argument, 2), $1 ];
		$defaults++;
	}
	$described{"$name(" . join(', ', @arguments) . ')'} = [ $level, ($result // '') =~ s/\s+/ /gr, $defaults ];
}
is_deeply(\%described, \%function, 'each function is described, with its arguments, result and level');
for my $default (@defaults)
{
	my ($function, $argument, $type, $value) = @$default;

	is(sql(<<"EOT"), 't', "$function: default of $argument");
SELECT bool_and(($value)::$type IS NOT DISTINCT FROM (xpath('/row/value/text()', query_to_xml('SELECT (' || d || ')::text AS value', false, true, '')))[1]::text::$type)
  FROM (SELECT substring(a FROM 'DEFAULT (.*)') AS d
		  FROM pg_proc p, regexp_split_to_table(pg_get_function_arguments(p.oid), ', (?=\\w+ \\w)') a
		 WHERE p.pronamespace = 'partreg'::regnamespace AND p.proname = '$function' AND a ~ '^(IN )?$argument ') x
EOT
}

my %names = map { s/\(.*//r => 1 } keys %function;
is( join(' ', sort $page{'docs/reference.md'} =~ /^### (\w+)\n\n`(?:CALL )?\g1\(/gm),
	join(' ', sort keys %names),
	'... under a heading of its own');

# Columns: of types in tables, of views in a list, that of stats in a table.
my %columns;
my $types = section('docs/reference.md', '## Types');
while ($types =~ /^`partreg\.(\w+)`,.*?\n\n\| column \| type \| \|\n\|[-|]+\n(.*?)(?=^\n|\z)/gms)
{
	my ($type, $rows) = ($1, $2);

	$columns{$type} = join ', ', map { my ($names, $of) = /^\| ([^|]+) \| (\w+) \|/; map { "$_ $of" } split /, /, $names } split /\n/, $rows;
}
my $views = section('docs/reference.md', '## Views');
while ($views =~ /^\*\*(\w+)\*\*: (.*?)(?=\n\n)/gms)
{
	my ($view, $list) = ($1, $2);

	if ($view eq 'stats')
	{
		my ($rows) = $views =~ /^\| column \| \|\n\|[-|]+\n(.*?)^\n/ms;
		$list = join ', ', map { /^\| ([^|]+) \|/ } split /\n/, $rows;
	}
	1 while $list =~ s/\s*\([^()]*\)//g;
	$columns{$view} = join ', ', split /,\s+/, $list =~ s/\..*//sr;
}
is_deeply(
	\%columns,
	{
		map { split /\|/ } split /\n/,
		sql(<<'EOT')
SELECT c.relname, string_agg(attname || CASE c.relkind WHEN 'c' THEN ' ' || replace(format_type(a.atttypid, NULL), 'timestamp with time zone', 'timestamptz') ELSE '' END, ', ' ORDER BY a.attnum)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = 'partreg'::regnamespace AND c.relkind IN ('v', 'c') AND c.relname NOT LIKE '\_%'
 GROUP BY c.relname
EOT
	},
	'the columns of each view and type');

# The README's table of functions: names of arguments, those with a default in
# brackets.
my %letter = (R => 'reader', W => 'writer', A => 'admin', X => 'operator', O => 'owner');
my (%in_readme, %in_catalog);
for my $row (grep { /^\| [RWAXO] \| / } split /\n/, section('README.md', '## Functions'))
{
	my ($letter, $functions) = $row =~ /^\| (\w) \| (.*?) \|/;
	my $name;

	while ($functions =~ /\[`(\w+)`\]\(docs\/reference\.md#\S+?\)|`\(([^)]*)\)`/g)
	{
		if (defined $1) { $name = $1; $in_readme{$name} //= $letter{$letter}; next }
		my ($arguments, $optional) = $2 =~ /^(.*?)(?: ?\[(?:, )?(.*)\])?$/;
		$in_readme{"$name: $arguments" . (defined $optional ? " [$optional]" : '')} = $letter{$letter};
	}
}
for my $key (keys %described)
{
	my ($name, $arguments) = $key =~ /^(\w+)\((.*)\)$/;
	my @names = map { s/ .*//r } split /, /, $arguments;
	my @optional = splice @names, @names - $described{$key}[2];
	my $line = "$name: " . join(', ', @names) . (@optional ? ' [' . join(', ', @optional) . ']' : '');

	$in_catalog{$name} = $described{$key}[0];
	# The row of those for many says that they are as those for one.
	$in_catalog{$line} = $described{$key}[0] unless $name =~ /^(?:lock|unlock|fail|retire)_partitions$|^renew_leases$/;
}
is_deeply(\%in_readme, \%in_catalog, 'the table of the README has each function, with its level and arguments');
my ($list) = section('README.md', '## Functions') =~ /^Views: (.*?)\n\(/ms;
is( join(' ', sort $list =~ /`(\w+)`/g),
	sql("SELECT string_agg(relname, ' ' ORDER BY relname COLLATE \"C\") FROM pg_class WHERE relnamespace = 'partreg'::regnamespace AND relkind = 'v' AND relname NOT LIKE '\\_%'"),
	'... and each view');

note 'conditions';

my %raised = map { map { ($_ => 1) } /"(\w+)"/g } map { slurp_file($_) =~ /errcondition\((.*?)\)/gs } glob("$root/src/*.c");
for my $page ('README.md', 'docs/reference.md')
{
	my %words = map { map { ($_ => 1) } /`(\w+)`/g } map { (split /\s*\|\s*/, $_)[ $page eq 'README.md' ? 2 : 3 ] } grep { /^\| [0-9A-Z]{5}\b/ } split /\n/, section($page, '## Errors');

	is(join(' ', sort keys %words), join(' ', sort keys %raised), "$page has each condition");
}

note 'links';

# As GitHub makes them of headings; a second one of the same name gets -1.
sub anchors
{
	my ($text) = @_;
	my (%anchors, %seen);

	$text =~ s/^```.*?^```//gms;
	for my $heading ($text =~ /^#+ (.*)$/gm)
	{
		my $anchor = lc $heading =~ s/[^\w\- ]//gr =~ s/ /-/gr;

		$anchors{ $anchor . ($seen{$anchor}++ ? '-' . ($seen{$anchor} - 1) : '') } = 1;
	}
	return \%anchors;
}

my @broken;
for my $page (sort keys %page)
{
	my ($folder) = $page =~ /^(.*\/)?/;

	while ($page{$page} =~ /\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]+))?\)/g)
	{
		my ($file, $anchor) = ($1, $2);
		my $path = $file eq '' ? $page : ($folder // '') . $file;

		1 while $path =~ s/[^\/]+\/\.\.\///;
		push @broken, "$page: $file" unless -e "$root/$path";
		push @broken, "$page: $path#$anchor" if defined $anchor && $page{$path} && !anchors($page{$path})->{$anchor};
	}
}
is(join("\n", @broken), '', 'every link leads to a file and a heading');

done_testing();
