# What the tests of this folder share: a cluster with the extension in it, and
# a client that speaks the server's protocol itself.
#
# The client is there because psql of PostgreSQL 15 cannot bind parameters,
# does not show all fields of an error, and starts anew for each test of a
# thousand calls.  Parameters are always bound, never written into the text of
# a statement: where a test needs a literal, it writes it into the statement.
package Registry;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Select;
use POSIX qw(strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(new_registry connect_to hour day fails_with eventually source_and_provider
  fill_registry state_of questions answers extension_objects rows_of_tables);
our @EXPORT_OK = qw(partition_call);

# A new cluster, running, with the extension in the database postgres.
#   init => [...]	arguments for PostgreSQL::Test::Cluster::init
#   conf => '...'	lines for postgresql.conf
#   bare => 1	without the extension
#   at => '...'	of the PostgreSQL in this folder
sub new_registry
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, $option{at} ? (install_path => $option{at}) : ());

	$node->init(extra => ['--encoding=UTF8'], @{ $option{init} || [] });
	$node->append_conf('postgresql.conf', "log_statement = none\nmax_connections = 50\nautovacuum_naptime = 5s");
	$node->append_conf('postgresql.conf', $option{conf}) if defined $option{conf};
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION partition_registry CASCADE') unless $option{bare};
	return $node;
}

# A source and a provider of it; returns their tokens.
sub source_and_provider
{
	my ($client, $source, $provider, $rule) = @_;
	my $source_token =
	  $client->value('SELECT partreg.register_source($1, $2, $3)', $source, 'owner', $rule || 'any');
	my $provider_token =
	  $client->value('SELECT partreg.register_provider($1, $2)', $provider, $source_token);

	return ($source_token, $provider_token);
}

# A call of register, unlock, lock, fail for an hour of the source s.
sub partition_call
{
	my ($client, $call, $provider, $hour, $token) = @_;

	return $client->value("SELECT partreg.${call}_partition('s', \$1, \$2, \$3)", $provider, hour($hour), $token);
}

# Something in every table, every state, every kind of grant; returns tokens of
# the source s, of its provider p, of its provider q, and of p after a rotation.
sub fill_registry
{
	my ($client) = @_;
	my ($source_token, $p_token) = source_and_provider($client, 's', 'p');
	my $q_token = $client->value("SELECT partreg.register_provider('q', \$1, 'pg_monitor', '[2024-01-01,)')", $source_token);

	$client->run(<<'EOT');
CREATE ROLE reading;
CREATE ROLE writing;
CREATE ROLE managing;
SELECT partreg.grant_privileges('reading', 'reader');
SELECT partreg.grant_privileges('writing', 'writer');
SELECT partreg.grant_privileges('managing', 'admin');
CREATE ROLE backing_up LOGIN IN ROLE pg_read_all_data;
ALTER DATABASE postgres SET partreg.notify = 'ready';
ALTER ROLE writing SET partreg.notify = 'off';
EOT
	partition_call($client, 'register', 'p', $_, $p_token) for 0 .. 19;
	partition_call($client, 'unlock', 'p', $_, $p_token) for 0 .. 17;
	partition_call($client, 'lock', 'p', 5, $p_token);
	partition_call($client, 'register', 'q', 5, $q_token);
	partition_call($client, 'fail', 'q', 5, $q_token);
	$client->rows("SELECT partreg.retire_partition('s', 'p', \$1, \$2)", hour(17), $p_token);
	$client->rows("SELECT partreg.set_readiness_rule('s', 'all', \$1)", $source_token);
	my $rotated = $client->value("SELECT partreg.rotate_access_token('s', 'p', \$1, '1 day')", $p_token);
	$client->rows("SELECT partreg.register_source('gone', 'owner')");
	return ($source_token, $p_token, $q_token, $rotated);
}

# All of it, as a database is left with.
sub state_of
{
	my ($client) = @_;

	return {
		rows => rows_of_tables($client),
		objects => extension_objects($client),
		answers => [ map { my $n = $_; map { answers($client, 's', hour($n, $_)) } 1, 4 } 0 .. 19 ] };
}

# The n-th hour, or day, of a test.
sub hour
{
	return interval_of(3600, @_);
}

sub day
{
	return interval_of(86400, @_);
}

sub interval_of
{
	my ($length, $n, $count) = @_;
	my $start = 1704067200 + $n * $length;

	return sprintf '[%s,%s)',
	  map { strftime('%Y-%m-%d %H:%M:%S+00', gmtime $_) } $start, $start + ($count || 1) * $length;
}

# Wait for something to become true; false: it did not.
sub eventually
{
	my ($condition, $seconds) = @_;
	my $until = time + ($seconds || 30);

	until ($condition->())
	{
		return 0 if time > $until;
		Time::HiRes::sleep(0.05);
	}
	return 1;
}

# A call fails with an SQLSTATE; the error is returned.
sub fails_with
{
	my ($client, $sqlstate, $name, $sql, @parameters) = @_;
	my $error = $client->query($sql, @parameters)->{error};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($error ? $error->{C} : 'no error', $sqlstate, $name)
	  or diag $error ? "$error->{M}" : $sql;
	return $error;
}

# Every question that can be put about a source and a range, as statements with
# the parameters $1 and $2.
sub questions
{
	return (
		'SELECT partreg.check_readiness($1, $2)',
		'SELECT partreg.check_readiness($1, lower($2::tstzrange), upper($2::tstzrange))',
		'SELECT * FROM partreg.explain_readiness($1, $2)',
		'SELECT partreg.all_ready(ARRAY[$1::text], $2)',
		'SELECT partreg.ready_until($1, lower($2::tstzrange))',
		'SELECT partreg.ready_ranges($1, $2)',
		'SELECT partreg.ready_since($1, $2)',
		'SELECT * FROM partreg.provider_states($1, $2)',
		'SELECT * FROM partreg.latest_details($1, $2)',
		'SELECT * FROM partreg.history($1, $2)',
		'SELECT partreg.assert_ready($1, $2)');
}

# The answers to all of them, as one string: rows, or an error with its detail.
sub answers
{
	my ($client, $source, $during) = @_;
	my @answers;

	for my $question (questions())
	{
		my $in_transaction = $client->{status} eq 'T';
		$client->run('SAVEPOINT question') if $in_transaction;
		my $result = $client->query($question, $source, $during);
		my $error = $result->{error};
		$client->run('ROLLBACK TO question') if $in_transaction;

		die "$error->{C} $error->{M}: $question\n"
		  if $error && $error->{C} !~ /^(55000|42704)$/;
		push @answers,
		  $error
		  ? "$error->{C} $error->{M} " . ($error->{D} || '')
		  : join '; ', map { join ', ', map { defined $_ ? $_ : '-' } @$_ } @{ $result->{rows} };
	}
	return join ' | ', @answers;
}

# Everything that there is to know of the extension's objects, each a line
# "object: aspect: value".
sub extension_objects
{
	my ($client) = @_;

	return [ map { join ': ', map { defined $_ ? $_ : '-' } @$_ } @{ $client->rows(<<'EOT') } ];
WITH member AS MATERIALIZED (
    SELECT d.classid, d.objid, o.type || ' ' || o.identity AS object
      FROM pg_depend d
      JOIN pg_extension x ON d.refobjid = x.oid AND x.extname = 'partition_registry',
           pg_identify_object(d.classid, d.objid, 0) o
     WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'),
routine AS (SELECT m.object, p.* FROM member m JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass),
relation AS (SELECT m.object, c.* FROM member m JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass),
type AS (SELECT m.object, t.* FROM member m JOIN pg_type t ON t.oid = m.objid AND m.classid = 'pg_type'::regclass),
-- The columns of a composite type hang on a relation that is no member.
shape AS (SELECT object, oid FROM relation UNION ALL SELECT object, typrelid FROM type WHERE typtype = 'c'),
fact (object, aspect, value) AS (
    SELECT object, 'exists', NULL FROM member
    UNION ALL
    SELECT object, 'comment', obj_description(objid, classid::regclass::name) FROM member
    UNION ALL
    SELECT m.object, 'initial privileges',
           (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(i.initprivs) a)
      FROM member m JOIN pg_init_privs i ON (i.classoid, i.objoid, i.objsubid) = (m.classid, m.objid, 0)
    UNION ALL
    SELECT object, 'definition', pg_get_functiondef(oid) FROM routine WHERE prokind <> 'a'
    UNION ALL
    SELECT object, 'support', concat_ws(' ', provolatile, proparallel, proisstrict, procost, prorows, prosupport)
      FROM routine
    UNION ALL
    SELECT r.object, 'aggregate', concat_ws(' ', a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
           a.aggdeserialfn, a.aggtranstype::regtype, a.aggfinalextra, a.aggfinalmodify, a.agginitval, a.aggsortop::regoperator)
      FROM routine r JOIN pg_aggregate a ON a.aggfnoid = r.oid
    UNION ALL
    -- No privileges recorded mean the default ones.
    SELECT object, 'privileges',
           (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(acl, acldefault(kind, owner))) a)
      FROM (SELECT object, proacl, 'f'::"char", proowner FROM routine
            UNION ALL
            SELECT object, relacl, CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner FROM relation
            UNION ALL
            SELECT object, typacl, 'T', typowner FROM type
            UNION ALL
            SELECT m.object, n.nspacl, 'n', n.nspowner FROM member m JOIN pg_namespace n ON n.oid = m.objid
             WHERE m.classid = 'pg_namespace'::regclass) AS x (object, acl, kind, owner)
    UNION ALL
    SELECT object, 'owner', pg_get_userbyid(owner)
      FROM (SELECT object, proowner FROM routine UNION ALL SELECT object, relowner FROM relation
            UNION ALL SELECT object, typowner FROM type) AS x (object, owner)
    UNION ALL
    SELECT object, 'relation', concat_ws(' ', relkind, relpersistence, (SELECT amname FROM pg_am WHERE oid = relam),
           reloptions::text, relrowsecurity, relreplident)
      FROM relation
    UNION ALL
    -- Where it breaks lines differs after pg_upgrade.
    SELECT object, 'view', regexp_replace(pg_get_viewdef(oid), '\s', '', 'g') FROM relation WHERE relkind = 'v'
    UNION ALL
    SELECT r.object, 'sequence', concat_ws(' ', s.seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle)
      FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid
    UNION ALL
    SELECT s.object, 'column ' || a.attnum,
           concat_ws(' ', a.attname, CASE WHEN NOT attisdropped THEN format_type(atttypid, atttypmod) END, attnotnull,
                     attidentity, attgenerated, attstorage, attcollation::regcollation,
                     pg_get_expr(d.adbin, d.adrelid), attacl::text, col_description(s.oid, a.attnum))
      FROM shape s JOIN pg_attribute a ON a.attrelid = s.oid AND a.attnum > 0
      LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    UNION ALL
    SELECT r.object, 'constraint ' || c.conname, pg_get_constraintdef(c.oid)
      FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
    UNION ALL
    SELECT r.object, 'index', pg_get_indexdef(i.indexrelid) FROM relation r JOIN pg_index i ON i.indrelid = r.oid
    UNION ALL
    SELECT r.object, 'trigger', pg_get_triggerdef(t.oid) FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid
    UNION ALL
    SELECT r.object, 'dumped where', c.condition
      FROM pg_extension x, unnest(x.extconfig, x.extcondition) AS c (relation, condition)
      JOIN relation r ON r.oid = c.relation
     WHERE x.extname = 'partition_registry'
    UNION ALL
    SELECT 'extension', 'itself', concat_ws(' ', extversion, extrelocatable, extnamespace::regnamespace)
      FROM pg_extension WHERE extname = 'partition_registry')
SELECT object, aspect, value FROM fact ORDER BY 1, 2, 3
EOT
}

# The rows of all of the extension's tables and where its sequences are, each a
# line.  Of registry the one that counts: a restore finds one there.
sub rows_of_tables
{
	my ($client) = @_;
	my @rows;

	for my $relation (
		@{ $client->rows("SELECT oid::regclass, relkind FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace = 'partreg'::regnamespace ORDER BY 1") })
	{
		my ($name, $kind) = @$relation;
		# log_cnt is how many values were fetched ahead, and is nobody's business.
		my $row = $kind eq 'S' ? 'row(last_value, is_called)' : 't';

		my $which =
		  $name eq 'partreg.registry' ? 'WHERE created_at = (SELECT min(created_at) FROM partreg.registry)' : '';

		push @rows, map { "$name $_->[0]" }
		  @{ $client->rows("SELECT ${row}::text FROM $name t $which ORDER BY 1") };
	}
	return \@rows;
}

sub connect_to
{
	return Registry::Client->connect(@_);
}

package Registry::Client;

use Time::HiRes qw(time);

use constant TIMEOUT => 120;

# connect_to(NODE, user => ..., dbname => ..., options => '-c ...')
sub connect
{
	my ($class, $node, %option) = @_;
	my $self = bless {
		node => $node, socket => undef, buffer => '', notifications => [],
		status => '?'
	}, $class;
	my %startup = (
		user => $option{user} || scalar(getpwuid $>),
		database => $option{dbname} || 'postgres',
		application_name => 'test',
		client_encoding => 'UTF8',
		$option{options} ? (options => $option{options}) : ());
	my $body = pack('N', 196608) . join('', map { "$_\0$startup{$_}\0" } sort keys %startup) . "\0";
	my $result;

	$self->{socket} = $node->raw_connect;
	$self->{socket}->autoflush(1);
	$self->write_all(pack('N', length($body) + 4) . $body);
	$result = $self->finish;
	die "could not connect: $result->{error}{M}" if $result->{error};
	return $self;
}

sub write_all
{
	my ($self, $bytes) = @_;

	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes)
	{
		my $written = syswrite $self->{socket}, $bytes;

		die "connection lost\n" unless defined $written;
		substr($bytes, 0, $written) = '';
	}
}

sub message
{
	my ($type, $body) = @_;

	return $type . pack('N', length($body) + 4) . $body;
}

# One message of the server: type and body.  Nothing within so many seconds:
# an empty list.
sub read_message
{
	my ($self, $seconds) = @_;
	my $until = time + $seconds;

	for (;;)
	{
		if (length $self->{buffer} >= 5)
		{
			my ($type, $length) = unpack 'a N', $self->{buffer};

			if (length $self->{buffer} > $length)
			{
				my $body = substr $self->{buffer}, 5, $length - 4;

				substr($self->{buffer}, 0, $length + 1) = '';
				return ($type, $body);
			}
		}

		# A signal, as of a program that has ended, interrupts it.
		my $left = $until - time;
		if (!IO::Select->new($self->{socket})->can_read($left > 0 ? $left : 0))
		{
			return if $left <= 0;
			next;
		}
		my $read = sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer};
		die "connection lost\n" unless $read;
	}
}

sub fields
{
	my ($body) = @_;

	return { map { (substr($_, 0, 1) => substr($_, 1)) } grep { length } split /\0/, $body };
}

# Send a statement with its parameters, and do not wait for the answer.
sub start
{
	my ($self, $sql, @parameters) = @_;
	my $values = '';

	for my $value (@parameters)
	{
		my $bytes = $value;

		utf8::encode($bytes) if defined $bytes && utf8::is_utf8($bytes);
		$values .= defined $bytes ? pack('N/a*', $bytes) : pack('N', 0xffffffff);
	}
	$self->write_all(message('P', "\0$sql\0" . pack('n', 0))
		  . message('B', "\0\0" . pack('nn', 0, scalar @parameters) . $values . pack('n', 0))
		  . message('E', "\0" . pack('N', 0))
		  . message('S', ''));
}

# Send statements by the simple protocol, and do not wait for the answer.
sub start_simple
{
	my ($self, $sql) = @_;

	$self->write_all(message('Q', "$sql\0"));
}

# Has the answer begun to come?
sub answers_within
{
	my ($self, $seconds) = @_;

	return 1 if length $self->{buffer};
	return IO::Select->new($self->{socket})->can_read($seconds) ? 1 : 0;
}

# Wait for the answer: { rows => [[...]], error => {...} or undef, notices => [...] }.
# Keys of an error are the protocol's letters: C SQLSTATE, M message, D detail, H hint.
sub finish
{
	my ($self) = @_;
	my %result = (rows => [], error => undef, notices => []);

	for (;;)
	{
		my ($type, $body) = $self->read_message(TIMEOUT);

		die "no answer within ${\ TIMEOUT} s\n" unless defined $type;
		if ($type eq 'D')
		{
			my ($count, $at, @row) = (unpack('n', $body), 2);

			for (1 .. $count)
			{
				my $length = unpack 'l>', substr $body, $at, 4;

				push @row, $length < 0 ? undef : substr $body, $at + 4, $length;
				$at += 4 + ($length < 0 ? 0 : $length);
			}
			push @{ $result{rows} }, \@row;
		}
		elsif ($type eq 'E')
		{
			$result{error} = fields($body);
			# After FATAL no ReadyForQuery comes.
			return \%result if $result{error}{V} ne 'ERROR';
		}
		elsif ($type eq 'N')
		{
			push @{ $result{notices} }, fields($body);
		}
		elsif ($type eq 'A')
		{
			$self->keep_notification($body);
		}
		elsif ($type eq 'K')
		{
			($self->{pid}, $self->{key}) = unpack 'NN', $body;
		}
		elsif ($type eq 'Z')
		{
			$self->{status} = $body;
			return \%result;
		}
	}
}

sub keep_notification
{
	my ($self, $body) = @_;
	my ($pid, $channel, $payload) = unpack 'N Z* Z*', $body;

	push @{ $self->{notifications} }, [ $channel, $payload ];
}

# The payloads of notifications that have come, at least so many of them if
# they come within 10 seconds; they are forgotten.
sub notifications
{
	my ($self, $wanted) = @_;
	my $until = time + 10;

	while (@{ $self->{notifications} } < $wanted && time < $until)
	{
		my ($type, $body) = $self->read_message($until - time);

		last unless defined $type;
		$self->keep_notification($body) if $type eq 'A';
	}
	# An answer to a statement comes after the notifications that were due.
	$self->query('SELECT 1');
	my @payloads = map { $_->[1] } @{ $self->{notifications} };
	$self->{notifications} = [];
	return @payloads;
}

sub query
{
	my $self = shift;

	$self->start(@_);
	return $self->finish;
}

# Statements by the simple protocol; dies if one fails.
sub run
{
	my ($self, $sql) = @_;
	my $result;

	$self->start_simple($sql);
	$result = $self->finish;
	die "$result->{error}{C} $result->{error}{M}: $sql\n" if $result->{error};
	return $result->{rows};
}

# The first column of the first row; dies if the statement fails.
sub value
{
	my $self = shift;

	return $self->rows(@_)->[0][0];
}

sub rows
{
	my $self = shift;
	my $result = $self->query(@_);

	die "$result->{error}{C} $result->{error}{M}: $_[0]\n" if $result->{error};
	return $result->{rows};
}

# Ask the server to cancel what this client is doing.
sub cancel
{
	my ($self) = @_;
	my $socket = $self->{node}->raw_connect;

	syswrite $socket, pack('NNNN', 16, 80877102, $self->{pid}, $self->{key});
	sysread $socket, my $nothing, 1;
	close $socket;
}

# Go away without a word.
sub drop
{
	my ($self) = @_;

	close $self->{socket};
}

sub close_session
{
	my ($self) = @_;

	$self->write_all(message('X', ''));
	close $self->{socket};
}

1;
