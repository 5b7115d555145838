# Upgrades: an upgraded database is the same as a fresh one, object by object,
# by every path that the upgrade scripts offer.
#
# What is compared are the facts that extension_objects() lists: definitions,
# privileges, owners, comments, columns, constraints, indexes, what pg_dump
# takes along.  Install scripts of released versions belong in test/upgrade/
# under the names that they had; the upgrade scripts are those of the project.
#
# That the comparison sees what upgrade scripts tend to forget is shown with
# versions made up here: the present one without something, and steps to the
# present one that bring it back rightly or not quite.
#
# The scripts go into a PostgreSQL of the test's own, a copy of the programs
# with links to the rest, as extensions are looked for in a fixed place.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use File::Basename;
use File::Copy;
use File::Path qw(make_path);
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;

my $root = "$PostgreSQL::Test::Utils::tmp_check/installation";
my ($bindir, $libdir, $sharedir) =
  map { chomp(my $path = `pg_config --$_`); $path } qw(bindir pkglibdir sharedir);
my $scripts = "$root$sharedir/extension";

# Files of a folder as links, but for those that are to be real.
sub link_folder
{
	my ($from, $to, %except) = @_;

	make_path($to);
	for my $name (grep { !$except{$_} } slurp_dir($from))
	{
		next if $name =~ /^\.\.?$/;
		symlink "$from/$name", "$to/$name" or die "$to/$name: $!";
	}
}

make_path("$root$bindir", dirname("$root$libdir"));
symlink $libdir, "$root$libdir" or die "$root$libdir: $!";
link_folder($sharedir, "$root$sharedir", extension => 1);
link_folder("$sharedir/extension", $scripts);
for my $program (qw(postgres initdb pg_ctl pg_config psql))
{
	copy("$bindir/$program", "$root$bindir/$program") or die "$program: $!";
	chmod 0755, "$root$bindir/$program";
}

my $node = PostgreSQL::Test::Cluster->new('upgrade', install_path => dirname("$root$bindir"));
$node->init;
$node->append_conf('postgresql.conf', 'log_statement = none');
$node->start;

my $current = $node->safe_psql('postgres',
	"SELECT default_version FROM pg_available_extensions WHERE name = 'partition_registry'");
my $install = slurp_file("$scripts/partition_registry--$current.sql");

$node->safe_psql('postgres', <<'EOT');
CREATE ROLE reading;
CREATE ROLE writing;
CREATE ROLE managing;
CREATE ROLE trusted LOGIN;
EOT

sub script
{
	my ($name, $text) = @_;

	open my $file, '>', "$scripts/partition_registry--$name.sql" or die "$name: $!";
	print $file $text;
	close $file;
}

my $count = 0;

# A database of its own, with a version of the extension; returns a client.
sub database
{
	my ($version) = @_;
	my $name = 'd' . ++$count;

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	my $client = connect_to($node, dbname => $name);
	$client->run("CREATE EXTENSION pgcrypto; CREATE EXTENSION partition_registry VERSION '$version'");
	return $client;
}

sub grant_levels
{
	my ($client) = @_;

	$client->run(<<'EOT');
SELECT partreg.grant_privileges('reading', 'reader');
SELECT partreg.grant_privileges('writing', 'writer');
SELECT partreg.grant_privileges('managing', 'admin');
EOT
}

# All paths from a version to the present one by the scripts there are, each
# the list of versions that it passes.
sub paths_from
{
	my ($version, %passed) = @_;
	my @paths;

	return [$current] if $version eq $current;
	$passed{$version} = 1;
	for my $file (glob "$scripts/partition_registry--*--*.sql")
	{
		my ($from, $to) = $file =~ /--(.*)--(.*)\.sql$/;

		next if $from ne $version || $passed{$to};
		push @paths, map { [ $version, @$_ ] } paths_from($to, %passed);
	}
	return @paths;
}

my $fresh = database($current);
grant_levels($fresh);
my $expected = extension_objects($fresh);

# Tokens, and their digests, for the rows of older versions.  Those rows are
# inserted by hand, as the library here writes to the present tables.
my ($source_token_before, $token_before) = source_and_provider($fresh, 's', 'p');
my ($source_digest, $digest) = map { $fresh->value("SELECT encode(token_digest, 'hex') FROM partreg.$_") } qw(source provider);

sub has_table
{
	my ($client, $table) = @_;

	return $client->value("SELECT to_regclass('partreg.$table') IS NOT NULL") eq 't';
}

# Have partitions that were never unlocked a table of their own?
sub is_split
{
	return has_table($_[0], 'pending');
}

# Hours 0 to 3: registered, unlocked, locked after an unlock, failed.
sub fill_tables
{
	my ($client) = @_;
	my $partitions = is_split($client) ? <<'EOT' : <<'EOT';
INSERT INTO partreg.pending (provider_id, length_class, start_at, end_at, registered_at)
    SELECT provider_id, partreg._length_class(start_at, end_at), start_at, end_at, now()
      FROM made WHERE n NOT IN (1, 2);
INSERT INTO partreg.partition (provider_id, length_class, start_at, end_at, registered_at, first_unlocked_at)
    SELECT provider_id, partreg._length_class(start_at, end_at), start_at, end_at, now(), now()
      FROM made WHERE n IN (1, 2);
EOT
INSERT INTO partreg.partition (provider_id, length_class, start_at, end_at, registered_at, first_unlocked_at)
    SELECT provider_id, partreg._length_class(start_at, end_at), start_at, end_at, now(), CASE WHEN n IN (1, 2) THEN now() END
      FROM made;
EOT

	$client->run(<<"EOT");
INSERT INTO partreg.source (name, rule, owner, registered_at, token_digest, token_changed_at)
    VALUES ('s', 'any', 'owner', now(), '\\x$source_digest', now());
INSERT INTO partreg.provider (source_id, name, effective, registered_at, token_digest, token_changed_at, trusted_role)
    SELECT s.id, v.name, '(,)', now(), v.digest, now(), v.role
      FROM partreg.source s,
           (VALUES ('p', '\\x$digest'::bytea, 'trusted'), ('q', sha256('q'), 'gone'), ('r', sha256('r'), NULL)) v (name, digest, role);
CREATE TEMP VIEW made AS
    SELECT p.source_id, p.id AS provider_id, '2024-01-01 00:00+00'::timestamptz + n * interval '1 hour' AS start_at,
           '2024-01-01 01:00+00'::timestamptz + n * interval '1 hour' AS end_at, n
      FROM partreg.provider p, generate_series(0, 3) n
     WHERE p.name = 'p';
$partitions
INSERT INTO partreg.lock (source_id, length_class, start_at, end_at, provider_id, state, since, holder)
    SELECT source_id, partreg._length_class(start_at, end_at), start_at, end_at, provider_id,
           CASE n WHEN 2 THEN 'locked' ELSE 'failed' END, now(), 'job'
      FROM made WHERE n IN (2, 3);
INSERT INTO partreg.coverage SELECT source_id, provider_id, min(start_at), max(end_at) FROM made WHERE n IN (1, 2) GROUP BY 1, 2;
INSERT INTO partreg.event (event, source_id, provider_id, source_name, provider_name, start_at, end_at, at, actor, holder, xid, system_id, timeline)
    SELECT e.event, source_id, provider_id, 's', 'p', start_at, end_at, now(), current_user, 'job', pg_current_xact_id(), c.system_identifier, 1
      FROM (VALUES ('register_partition', '{0,1,2,3}'::int[]), ('unlock', '{1,2}'), ('lock', '{2}'), ('fail', '{3}')) e (event, hours), made,
           pg_control_system() c
     WHERE made.n = ANY (e.hours);
EOT
}

# What the rows say, whatever columns a version adds, and in whichever table a
# partition is.
sub kept_rows
{
	my ($client) = @_;
	my $new = "'{trusted_role_oid,trusted_role_system,trusted_role_database}'::text[]";

	return [ map { $_->[0] } map { @{ $client->rows($_) } }
		(map { "SELECT '$_ ' || (jsonb_strip_nulls(to_jsonb(t)) - $new)::text FROM partreg.$_ t ORDER BY 1" } qw(source provider lock coverage)),
		"SELECT (jsonb_strip_nulls(to_jsonb(t)) - 'length_class')::text FROM partreg.event t ORDER BY 1",
		'SELECT jsonb_strip_nulls(to_jsonb(t))::text FROM (TABLE partreg.partition' .
		  (is_split($client) ? ' UNION ALL SELECT p.*, NULL, NULL, NULL FROM partreg.pending p' : '') . ') t ORDER BY 1',
		'SELECT last_value::text FROM partreg.event_id_seq' ];
}

# What differs from a fresh installation after a path, as lines.
sub differences_after
{
	my (@versions) = @_;
	my $client = database(shift @versions);

	# The library writes to the present tables alone.
	if (has_table($client, 'registry'))
	{
		source_and_provider($client, 's', 'p');
	}
	else
	{
		fill_tables($client);
	}
	grant_levels($client);
	my $rows = kept_rows($client);
	$client->run("ALTER EXTENSION partition_registry UPDATE TO '$_'") for @versions;

	my %fresh = map { $_ => 1 } @$expected;
	my %upgraded = map { $_ => 1 } @{ extension_objects($client) };
	my @differences = (
		(map { "lacks $_" } grep { !$upgraded{$_} } sort keys %fresh),
		(map { "has $_" } grep { !$fresh{$_} } sort keys %upgraded));

	push @differences, 'rows changed' if "@{ kept_rows($client) }" ne "@$rows";
	# Of whatever is there, not only of what the fresh one has.
	push @differences, map { "unsafe $_->[0]" } @{ $client->rows(<<'EOT') };
SELECT p.oid::regprocedure FROM pg_proc p
 WHERE pronamespace = 'partreg'::regnamespace
   AND (prosecdef AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
        OR EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0))
EOT
	$client->close_session;
	return \@differences;
}

note 'Released versions';

for my $file (glob "$FindBin::RealBin/../upgrade/partition_registry--*.sql")
{
	my ($version) = $file =~ /--(.*)\.sql$/;
	my @paths;

	if ($version ne $current)
	{
		# One that is installed here is a link to somewhere else.
		unlink "$scripts/${\ basename($file)}";
		copy($file, $scripts) or die "$file: $!";
	}
	@paths = paths_from($version);
	isnt(scalar @paths, 0, "there is a path from $version to $current");
	is_deeply(differences_after(@$_), [], join ' to ', @$_) for @paths;
}
is_deeply(differences_after($current), [], 'two fresh installations are the same');

note 'What the rows of an older version are after a step';

my $stepped = database('0.1.1');
fill_tables($stepped);
$stepped->run('ALTER EXTENSION partition_registry UPDATE');
is_deeply(
	$stepped->rows("SELECT state, first_unlocked_at IS NOT NULL FROM partreg.partitions ORDER BY start_at"),
	[ [qw(registered f)], [qw(unlocked t)], [qw(locked t)], [qw(failed f)] ], 'states are kept');
is_deeply(
	[ map { $stepped->value("SELECT count(*) FROM partreg.$_") } qw(pending partition) ],
	[ 2, 2 ], 'what was never unlocked has a table of its own');
is($stepped->value('SELECT count(*) FROM partreg.lock WHERE change IS NOT NULL')
	  + $stepped->value('SELECT count(*) FROM partreg.partition WHERE unlocked_by IS NOT NULL'),
	0, 'nobody is remembered');
is_deeply($stepped->rows('SELECT problem FROM partreg.verify()'),
	[ ['the trusted role gone of provider q does not exist'] ], 'a trusted role is bound to the role of its name');
is($stepped->value('SELECT partreg.unlock_partition($1, $2, $3, $4)', 's', 'p', hour(0), $token_before),
	't', 'the token of a provider is good');
is($stepped->value("SELECT partreg.register_provider('z', \$1) IS NOT NULL", $source_token_before),
	't', 'that of a source too');
fails_with($stepped, '55006', 'whoever names the holder of before is refused',
	'SELECT partreg.unlock_partition($1, $2, $3, $4, $5)', 's', 'p', hour(1), $token_before, 'job');
is($stepped->value('SELECT partreg.unlock_partition($1, $2, $3, $4, $5)', 's', 'p', hour(2), $token_before, 'job'),
	't', 'a lock of before has its holder');
$stepped->run('SET SESSION AUTHORIZATION trusted');
fails_with($stepped, '42501', 'a role without a level has nothing',
	'SELECT partreg.lock_partition($1, $2, $3)', 's', 'p', hour(1));
$stepped->run("RESET SESSION AUTHORIZATION; SELECT partreg.grant_privileges('trusted', 'writer'); SET SESSION AUTHORIZATION trusted");
is($stepped->value('SELECT partreg.lock_partition($1, $2, $3)', 's', 'p', hour(1)), 't', 'the trusted role needs no token');
$stepped->run("RESET SESSION AUTHORIZATION; SELECT partreg.grant_privileges('trusted', 'none')");
is_deeply(
	$stepped->rows('SELECT state FROM partreg.partitions ORDER BY start_at'),
	[ ['unlocked'], ['locked'], ['unlocked'], ['failed'] ], 'and life goes on');
is_deeply($stepped->rows("SELECT problem FROM partreg.verify() WHERE problem NOT LIKE '%role gone%'"), [], 'without a problem');
$stepped->close_session;

my $remembering = database('0.2.0');
fill_tables($remembering);
my $before = $remembering->value('SELECT clock_timestamp()');
$remembering->run('ALTER EXTENSION partition_registry UPDATE');
my $after = $remembering->value('SELECT clock_timestamp()');
is($remembering->value('SELECT count(*) FROM partreg.event WHERE length_class IS DISTINCT FROM partreg._length_class(start_at, end_at)'),
	0, 'events are filed under their length');
is($remembering->value('SELECT count(*) FROM partreg.history($1, $2)', 's', hour(2)), 3, 'and found by range');
fails_with($remembering, '55000', 'what was ready before the step is not known',
	'SELECT partreg.readiness_as_of($1, $2, $3)', 's', hour(1), $before);
is($remembering->value('SELECT partreg.readiness_as_of($1, $2, $3)', 's', hour(1), $after), 't', 'after it, it is');
is($remembering->value('SELECT count(*) FROM partreg.changes_since((SELECT partreg.feed_position()))'), 0, 'a position is good');
$remembering->close_session;

# Under an older snapshot rows would be left behind: the step fails as a whole.
my $racing = database('0.1.1');
my $meanwhile = connect_to($node, dbname => $racing->value('SELECT current_database()'));
fill_tables($meanwhile);
$racing->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$meanwhile->run("INSERT INTO partreg.partition SELECT id, partreg._length_class('2025-01-01', '2025-01-02'), '2025-01-01', '2025-01-02', now() FROM partreg.provider WHERE name = 'r'");
fails_with($racing, '23502', 'a step in a transaction with an older snapshot fails', 'ALTER EXTENSION partition_registry UPDATE');
$racing->run('ROLLBACK; ALTER EXTENSION partition_registry UPDATE');
is($racing->value('SELECT count(*) FROM partreg.pending'), 3, 'and succeeds afterwards');
$_->close_session for $meanwhile, $racing;

note 'What an install script may say';

my $statements = $install =~ s/^\s*--.*\n//mgr;
is_deeply([ $statements =~ /^\s*CREATE\b[^;(]*\b(?:OR\s+REPLACE|IF\s+NOT\s+EXISTS)\b.*/mgi ], [], 'nothing planted is adopted');
my ($before_pin, $after_pin) = split /^SET LOCAL search_path = pg_catalog, pg_temp;\n/m, $statements;
is_deeply(
	[ $before_pin =~ /^(?:CREATE|ALTER|SELECT|INSERT|DO|GRANT|SET)\b [A-Z]+ \S+/mg ],
	[ 'CREATE SCHEMA partreg;', 'CREATE FUNCTION partreg._random_bytes()' ],
	'one function is made by the search_path of the installation, to find pgcrypto');
ok($after_pin =~ /^CREATE TABLE partreg\.source /m && $after_pin !~ /^SET .*search_path/m, 'all else with it pinned');

note 'Versions made up';

# The statements about one thing, and the present install script without them.
my $set_owner = qr/CREATE FUNCTION partreg\.set_owner\(.*?'MODULE_PATHNAME';\n/s;
my $set_owner_comment = qr/COMMENT ON FUNCTION partreg\.set_owner\(.*?';\n/s;
my $dump_mark = qr/SELECT pg_extension_config_dump\('partreg\.event_id_seq', ''\);\n/;
my $header = "\\echo Use \"ALTER EXTENSION partition_registry UPDATE\" to load this file. \\quit\n"
  . "SET LOCAL search_path = pg_catalog, pg_temp;\n";
my ($function) = $install =~ /($set_owner)/;
my ($comment) = $install =~ /($set_owner_comment)/;
my ($mark) = $install =~ /($dump_mark)/;
my $revoke = "REVOKE ALL ON FUNCTION partreg.set_owner(text, text, text) FROM PUBLIC;\n";
my $levels = "SELECT partreg._extend_privileges();\n";

ok(defined $function && defined $comment && defined $mark, 'the install script is as expected here');

my $older = $install =~ s/$set_owner//r =~ s/$set_owner_comment//r;
my $oldest = $older =~ s/$dump_mark//r;

script('0.0.2', $older);
script("0.0.2--$current", $header . $function . $comment . $revoke . $levels);
is_deeply(differences_after('0.0.2', $current), [], 'a step that forgets nothing');

script('0.0.1', $oldest);
script('0.0.1--0.0.2', $header . $mark);
script("0.0.1--$current", $header . $mark . $function . $comment . $revoke . $levels);
is_deeply([ map { "@$_" } sort { @$a <=> @$b } paths_from('0.0.1') ],
	[ "0.0.1 $current", "0.0.1 0.0.2 $current" ], 'all paths are found');
is_deeply(differences_after(@$_), [], join ' to ', @$_) for paths_from('0.0.1');

# A session with the older version in its caches goes on.
my $updating = database('0.0.2');
my $session = connect_to($node, dbname => $updating->value('SELECT current_database()'));
my ($source_token, $token) = source_and_provider($session, 's', 'p');
my @partition = ('s', 'p', hour(0), $token);
$session->value("SELECT partreg.${_}_partition(\$1, \$2, \$3, \$4)", @partition) for qw(register unlock);
is($session->value('SELECT partreg.check_readiness($1, $2)', 's', hour(0)), 't', 'ready before the update');
$updating->run('ALTER EXTENSION partition_registry UPDATE');
is($session->value('SELECT partreg.check_readiness($1, $2)', 's', hour(0)), 't', 'and after it, in the same session');
is($session->value('SELECT partreg.lock_partition($1, $2, $3, $4)', @partition), 't', 'which writes on');
is($session->query('SELECT partreg.set_owner($1, $2, $3)', 's', 'o', $source_token)->{error}, undef,
	'and has what is new');
$_->close_session for $session, $updating;

# A level is extended by what is new in it, whatever else default privileges
# give, and a grant by hand is no level.
$node->safe_psql('postgres', 'CREATE ROLE single; CREATE ROLE dba');
for my $case (
	[ 'by itself', 'ALTER EXTENSION partition_registry UPDATE' ],
	[   'after a grant in the same transaction',
		"SELECT partreg.grant_privileges('reading', 'reader'); ALTER EXTENSION partition_registry UPDATE" ],
	[   'after a savepoint',
		'BEGIN; SAVEPOINT one; ALTER EXTENSION partition_registry UPDATE; RELEASE one; COMMIT' ])
{
	my ($how, $update) = @$case;
	my $levelled = database('0.0.2');

	grant_levels($levelled);
	$levelled->run(<<'EOT');
GRANT USAGE ON SCHEMA partreg TO single;
GRANT EXECUTE ON FUNCTION partreg.drop_source(text, text) TO single;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO dba;
EOT
	$levelled->run($update);
	is_deeply(
		$levelled->rows(<<'EOT'),
SELECT r, has_function_privilege(r, 'partreg.set_owner(text, text, text)', 'EXECUTE'),
       has_function_privilege(r, 'partreg.drop_source(text, text)', 'EXECUTE')
  FROM unnest(ARRAY['reading', 'writing', 'managing', 'single']) r
EOT
		[ [qw(reading f f)], [qw(writing t f)], [qw(managing t t)], [qw(single f t)] ],
		"who has what after a step $how");
	$levelled->close_session;
}

# What is forgotten, the older version, the step without it, and what tells.
my @forgetful = (
	[ 'a comment', $older, $function . $revoke . $levels, qr/^lacks function .*set_owner.*: comment: changes/ ],
	[   'what PUBLIC gets by default', $older, $function . $comment . $levels,
		qr/^unsafe .*set_owner/ ],
	[ 'the levels', $older, $function . $comment . $revoke, qr/^lacks function .*set_owner.*: privileges: .*managing=X/ ],
	[   'that what a script grants counts as initial, which pg_dump leaves out', $older,
		$function . $comment . $revoke . "GRANT EXECUTE ON FUNCTION partreg.set_owner(text, text, text) TO writing, managing;\n",
		qr/^has function .*set_owner.*: initial privileges: .*managing=X/ ],
	[   'the pinned search_path', $older,
		($function =~ s/    SET search_path.*\n//r) . $comment . $revoke . $levels,
		qr/^lacks function .*set_owner.*: definition: / ],
	[   'the volatility', $older,
		($function =~ s/VOLATILE/STABLE/r) . $comment . $revoke . $levels,
		qr/^lacks function .*set_owner.*: definition: / ],
	[ 'the function', $older, "SELECT;\n", qr/^lacks function .*set_owner.*: comment: / ],
	[ 'what pg_dump takes along', $oldest, $function . $comment . $revoke . $levels,
		qr/^lacks sequence partreg\.event_id_seq: dumped where/ ],
	[   'an index', $install =~ s/^CREATE INDEX source_old_token_digest_idx.*\n//mr, "SELECT;\n",
		qr/^lacks table partreg\.source: index: CREATE INDEX source_old_token_digest_idx/ ],
	[   'the collation of a column', $install =~ s/^(    unlocked_by +text) COLLATE "C",$/$1,/mr, "SELECT;\n",
		qr/^lacks table partreg\.partition: column 8: unlocked_by/ ],
	[   'to take a column away', "$install\nALTER TABLE partreg.lock ADD COLUMN extra integer;\n",
		"SELECT;\n", qr/^has table partreg\.lock: column 12: extra/ ],
	[   'to take a function away', "$install\nCREATE FUNCTION partreg.extra() RETURNS int LANGUAGE sql RETURN 1;\n",
		"SELECT;\n", qr/^has function partreg\.extra\(\): / ]);

for my $n (0 .. $#forgetful)
{
	my ($what, $from, $step, $difference) = @{ $forgetful[$n] };
	my $version = "0.0.${\ (100 + $n)}";

	script($version, $from);
	script("$version--$current", $header . $step);
	my $differences = differences_after($version, $current);
	ok((grep { /$difference/ } @$differences), "a step that forgets $what is found out")
	  or diag join "\n", @$differences;
}

done_testing();
