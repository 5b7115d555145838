# Dump and restore, pg_upgrade, logical decoding, DROP EXTENSION: what is kept
# is kept, what should go is gone.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Cwd;
use PostgreSQL::Test::Utils;
use Registry qw(:DEFAULT partition_call);
use Test::More;

my $old = new_registry(
	'old',
	init => [ allows_streaming => 'logical' ],
	conf => 'shared_buffers = 16MB');
my $client = connect_to($old);
my ($source_token, $p_token, $q_token, $rotated) = fill_registry($client);
my $tmp = $PostgreSQL::Test::Utils::tmp_check;

# What the OID of a role meant is lost on the way.
my $by_name_only = 'the trusted role pg_monitor of provider q goes by name only: '
  . 'set_trusted_role() binds it to the role that has the name now';

my $before = state_of($client);

cmp_ok(scalar @{ $before->{rows} }, '>', 60, 'there is something to be kept');
ok((grep { /^view partreg\.locks: privileges: .*reading=r/ } @{ $before->{objects} }), 'grants too');

note 'Dump and restore';

my $new = new_registry('new', bare => 1, conf => 'max_wal_senders = 0');

$old->command_ok([ 'pg_dumpall', '--globals-only', '--file', "$tmp/globals.sql", '--dbname', $old->connstr('postgres') ],
	'the roles are dumped');
$new->command_ok(
	[ 'psql', '-X', '-q', '-d', $new->connstr('postgres'), '-f', "$tmp/globals.sql" ],
	'and restored');

sub dumped_by
{
	my ($name, $role, @options) = @_;

	$old->command_ok(
		[ 'pg_dump', '-d', $old->connstr('postgres') . " user=$role", '-f', "$tmp/$name", @options ],
		"$name: pg_dump");
}

sub restored_as
{
	my ($name, @command) = @_;

	$new->safe_psql('postgres', qq(CREATE DATABASE "$name"));
	$new->command_ok([ @command, '-d', $new->connstr($name), "$tmp/$name" ], "$name: restored");

	my $restored = connect_to($new, dbname => $name);
	my $after = state_of($restored);

	is_deeply($after->{$_}, $before->{$_}, "$name: $_") for qw(rows objects answers);

	# Life goes on there: new ids, the tokens of before.
	is(partition_call($restored, 'unlock', 'p', 5, $rotated), 't', "$name: the token is good");
	is(partition_call($restored, 'unlock', 'p', 18, $p_token), 't', "$name: so is the old one, for its grace");
	my ($new_token) = source_and_provider($restored, 'after', 'p');
	is( $restored->value("SELECT count(*) FROM partreg.source WHERE id = (SELECT max(id) FROM partreg.source) AND name = 'after'"),
		1, "$name: ids go on");
	is_deeply($restored->rows('SELECT problem FROM partreg.verify()'), [ [$by_name_only] ], "$name: verify");
	$restored->rows("SELECT partreg.set_trusted_role('s', 'q', 'pg_monitor', \$1)", $source_token);
	is_deeply($restored->rows('SELECT problem FROM partreg.verify()'), [], "$name: and nothing else");
	$restored->close_session;
	$new->safe_psql('postgres', qq(DROP DATABASE "$name"));
}

my $superuser = getpwuid $>;

sub restore_script
{
	my ($name) = @_;

	restored_as($name, 'sh', '-c', 'exec psql -X -q -v ON_ERROR_STOP=1 -d "$2" -f "$3"', 'sh');
}

for my $role ($superuser, 'backing_up')
{
	dumped_by("plain by $role", $role, '-Fp');
	restore_script("plain by $role");
	dumped_by("custom by $role", $role, '-Fc');
	restored_as("custom by $role", 'pg_restore', '--exit-on-error');
	dumped_by("directory by $role", $role, '-Fd', '-j2');
	restored_as("directory by $role", 'pg_restore', '--exit-on-error', '-j2');
}
dumped_by('inserts', $superuser, '--inserts');
restore_script('inserts');

my ($dump, $complaints) = run_command([ 'pg_dump', '-d', $old->connstr('postgres') ]);
is($complaints, '', 'pg_dump does not complain');

like($dump, qr/COPY partreg\.source /, 'a dump holds the rows');
for my $token ($source_token, $p_token, $q_token, $rotated)
{
	is(index($dump, substr $token, 4, 64), -1, 'and no token');
}
$old->command_ok(
	[ 'pg_dump', '-d', $old->connstr('postgres'), '--create', '-f', "$tmp/create.sql" ],
	'pg_dump --create');
like(slurp_file("$tmp/create.sql"), qr/ALTER DATABASE postgres SET "?partreg\.notify"? TO 'ready'/,
	'keeps the setting of the database');
like(slurp_file("$tmp/globals.sql"), qr/ALTER ROLE writing SET "?partreg\.notify"? TO 'off'/,
	'pg_dumpall that of a role');

dumped_by('schema alone', $superuser, '-n', 'partreg');
unlike(slurp_file("$tmp/schema alone"), qr/COPY|CREATE EXTENSION/, 'pg_dump -n partreg alone keeps nothing');
dumped_by('extension', $superuser, '-n', 'partreg', '--extension=partition_registry', '--extension=pgcrypto');
restore_script('extension');

note 'Logical decoding';

$client->run("CREATE PUBLICATION everything FOR ALL TABLES");
$client->rows("SELECT pg_create_logical_replication_slot('slot', 'test_decoding')");
partition_call($client, 'lock', 'p', 1, $rotated);
partition_call($client, 'unlock', 'p', 1, $rotated);
partition_call($client, 'register', 'p', 40, $rotated);
partition_call($client, 'unlock', 'p', 40, $rotated);
$client->rows("SELECT partreg.set_owner('s', 'somebody', \$1)", $source_token);
my $last_token = $client->value("SELECT partreg.reset_access_token('s', 'q')");
$client->rows("SELECT partreg.retire_partition('s', 'p', \$1, \$2)", hour(40), $rotated);
$client->rows("SELECT partreg.drop_source('gone', partreg.reset_access_token('gone'))");

my $changes = join "\n",
  map { $_->[0] } @{ $client->rows("SELECT data FROM pg_logical_slot_get_changes('slot', NULL, NULL)") };

for my $table (qw(source provider partition pending lock coverage event))
{
	like($changes, qr/table partreg\.$table: /, "changes of $table are decoded");
}
is(index($changes, substr $last_token, 4, 64), -1, 'and show no token');
$client->rows("SELECT pg_drop_replication_slot('slot')");
$client->run('DROP PUBLICATION everything');

note 'pg_upgrade';

my $late = connect_to($old);

partition_call($client, 'register', 'p', $_, $rotated) for 41, 42, 43;
$late->run('BEGIN');
partition_call($late, 'unlock', 'p', 41, $rotated);
partition_call($client, 'unlock', 'p', 42, $rotated);
my $position = $client->value('SELECT partreg.feed_position()');
$late->run('COMMIT');
$late->close_session;
$before = state_of($client);
$client->close_session;
$old->stop;

my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
my $bindir = $old->config_data('--bindir');

$upgraded->init(extra => ['--encoding=UTF8']);
$upgraded->append_conf('postgresql.conf', 'max_connections = 50');
my $here = getcwd;
chdir $tmp;
command_ok(
	[
		'pg_upgrade', '--no-sync',
		'-d', $old->data_dir, '-D', $upgraded->data_dir,
		'-b', $bindir, '-B', $bindir,
		'-s', $upgraded->host, '-p', $old->port, '-P', $upgraded->port
	],
	'pg_upgrade');
chdir $here;
$upgraded->start;
$client = connect_to($upgraded);
my $after = state_of($client);
# pg_upgrade does not record initial privileges that are the default ones, and
# gives row types the default ones again.  (Those are members of the extension
# from 17 on, and not compared before.)
for my $objects ($before, $after)
{
	my @facts = @{ $objects->{objects} };
	my %relation = map { $_ => 1 } map { /^(?:table|view) (\S+): exists: / } @facts;

	$objects->{objects} = [
		grep { !/^(schema|sequence|table|view) .*: initial privileges: / }
		grep { !(/^type (\S+): (?:initial )?privileges: / && $relation{$1}) } @facts ];
}
is_deeply($after->{$_}, $before->{$_}, "pg_upgrade: $_") for qw(rows objects answers);
is(partition_call($client, 'lock', 'p', 7, $rotated), 't', 'pg_upgrade: it goes on');
is( $client->value('SELECT array_agg(during) = ARRAY[$2, $3]::tstzrange[] FROM partreg.changes_since($1)', $position, hour(41), hour(7)),
	't', 'pg_upgrade: so does a position that was stored');
is( $client->value(q{SELECT partreg.changed_ranges('s', '(,)', $1) = tstzmultirange($2, $3)}, $position, hour(41), hour(7)),
	't', 'pg_upgrade: and what has changed since');
source_and_provider($client, 'after', 'p');
# PUBLIC has its default privileges on row types again; verify() says what takes
# them away.
my @problems = map { $_->[0] } @{ $client->rows('SELECT problem FROM partreg.verify()') };
is_deeply([ grep { !/^PUBLIC has privileges on the type partreg\.\w+: / } @problems ], [$by_name_only], 'pg_upgrade: verify');
$client->run($_) for map { /: (REVOKE ALL ON TYPE .*) takes them away$/ } @problems;
$client->rows("SELECT partreg.set_trusted_role('s', 'q', 'pg_monitor', \$1)", $source_token);
is_deeply($client->rows('SELECT problem FROM partreg.verify()'), [], 'pg_upgrade: and what takes it away does');
is($client->value('SHOW partreg.notify'), 'ready', 'pg_upgrade: the setting is kept');

note 'DROP EXTENSION';

fails_with($client, '2BP01', 'the schema alone is not dropped', 'DROP SCHEMA partreg CASCADE');
fails_with($client, '2BP01', 'nor a table', 'DROP TABLE partreg.lock CASCADE');
$client->run('DROP EXTENSION partition_registry');
is_deeply(
	$client->rows(<<'EOT'),
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'partreg'
UNION ALL
SELECT 'routine ' || proname FROM pg_proc WHERE probin LIKE '%partition_registry%' OR prosrc LIKE '%partreg%'
UNION ALL
SELECT 'privileges of ' || classoid::regclass || ' ' || objoid FROM pg_init_privs i
 WHERE classoid = 'pg_class'::regclass AND NOT EXISTS (SELECT FROM pg_class WHERE oid = i.objoid)
    OR classoid = 'pg_proc'::regclass AND NOT EXISTS (SELECT FROM pg_proc WHERE oid = i.objoid)
UNION ALL
SELECT 'default privileges' FROM pg_default_acl
UNION ALL
SELECT 'trigger ' || evtname FROM pg_event_trigger
EOT
	[],
	'nothing is left');
$client->run('DROP ROLE reading; DROP ROLE writing; DROP ROLE managing');
fails_with($client, '3F000', 'a session that used it is told so', "SELECT partreg.check_readiness('s', 'empty')");
$client->run('CREATE EXTENSION partition_registry');
is_deeply($client->rows('SELECT * FROM partreg.sources'), [], 'a new one is empty');
source_and_provider($client, 's', 'p');
is($client->value('SELECT min(id) FROM partreg.source'), 1, 'and counts from the beginning');

done_testing();
