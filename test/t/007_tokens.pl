# Access tokens: they are what they should be, they are nowhere to be found, and
# whatever is wrong with one gives one and the same answer.
#
# PARTREG_TOKENS is the number of tokens that are made and compared, 20,000 by
# default.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use File::Find;
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;
use Time::HiRes qw(time);

my $many = $ENV{PARTREG_TOKENS} || 20000;
my $node = new_registry(
	'tokens',
	conf => "log_error_verbosity = verbose\nlog_min_messages = info\n"
	  . "shared_preload_libraries = 'pg_stat_statements'\n");
my $client = connect_to($node);
my $listener = connect_to($node);

$listener->run('LISTEN partreg');
$client->run('CREATE EXTENSION pg_stat_statements; CREATE ROLE job LOGIN');

# A call with all its arguments bound; returns the whole answer.
sub call
{
	my ($function, @arguments) = @_;

	return $client->query(
		"SELECT * FROM partreg.$function(" . join(', ', map { "\$$_" } 1 .. @arguments) . ')', @arguments);
}

# What a caller is told, but for the place in the source code.
sub told
{
	my ($result) = @_;
	my $error = $result->{error};

	return 'no error' unless $error;
	return join '|', map { "$_=$error->{$_}" } grep { !/[FLRV]/ } sort keys %$error;
}

my ($source_token, $p_token) = source_and_provider($client, 's', 'p');
my ($other_source_token, $other_provider_token) = source_and_provider($client, 'other', 'p');
my $q_token = $client->value("SELECT partreg.register_provider('q', \$1)", $source_token);

note 'What they are';

# CRC-32C, bit by bit, with nothing of the extension's.
sub crc32c
{
	my $crc = 0xffffffff;

	for my $byte (unpack 'C*', $_[0])
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
	}
	return sprintf '%08x', $crc ^ 0xffffffff;
}

is(crc32c('123456789'), 'e3069283', 'the checksum of the test is CRC-32C');
like($source_token, qr/^prs_[0-9a-f]{72}$/, 'the form of a source token');
like($p_token, qr/^prp_[0-9a-f]{72}$/, 'the form of a provider token');
for my $token ($source_token, $p_token)
{
	is(substr($token, 68), crc32c(substr $token, 0, 68), 'its checksum');
}
$client->run("SET partreg.notify = 'off'");
$client->run('CREATE TEMP TABLE made (token text)');
$client->run("INSERT INTO made SELECT partreg.register_source('many ' || n, 'owner') FROM generate_series(1, $many) n");
is($client->value('SELECT count(DISTINCT token) FROM made'), $many, "$many tokens, no two alike");
is($client->value("SELECT count(*) FROM made WHERE token !~ '^prs_[0-9a-f]{72}\$'"), 0, 'all of that form');
# Each of the 64 digits takes each of the 16 values about as often: within six
# standard deviations.
my ($cells, $least, $most) = @{ $client->rows(<<'EOT')->[0] };
SELECT count(*), min(n), max(n)
  FROM (SELECT count(*) AS n
          FROM made, generate_series(5, 68) place
         GROUP BY place, substr(token, place, 1)) counts
EOT
my $deviation = 6 * sqrt($many * 15 / 256);
is($cells, 64 * 16, 'each digit takes each value');
cmp_ok($least, '>', $many / 16 - $deviation, 'no digit is rarer than chance has it');
cmp_ok($most, '<', $many / 16 + $deviation, 'or more frequent');
is($client->value('SELECT count(*) FROM partreg.source WHERE octet_length(token_digest) <> 32'), 0, 'digests are kept');
is( $client->value("SELECT token_digest = sha256(convert_to(\$1, 'UTF8')) FROM partreg.source WHERE name = 's'", $source_token),
	't', 'of SHA-256');
$client->run('DROP TABLE made; RESET partreg.notify');

note 'Typing errors';

my $hour = hour(0);
call('register_partition', 's', 'p', $hour, $p_token);
is(told(call('lock_partition', 's', 'p', $hour, $p_token)), 'no error', 'the right token is good');

my $denied = told(call('lock_partition', 's', 'p', $hour, 'x'));
my %typos;
for my $place (0 .. 75)
{
	my $char = substr $p_token, $place, 1;

	for my $other (grep { $_ ne $char } 0 .. 9, 'a' .. 'g', uc $char, ' ', $place < 4 ? qw(p r s _) : ())
	{
		(my $typo = $p_token) =~ s/^(.{$place})./$1$other/;
		$typos{$typo} = 1;
	}
	(my $left_out = $p_token) =~ s/^(.{$place})./$1/;
	(my $twice = $p_token) =~ s/^(.{$place})(.)/$1$2$2/;
	(my $swapped = $p_token) =~ s/^(.{$place})(.)(.)/$1$3$2/;
	$typos{$_} = 1 for $left_out, $twice, $swapped;
}
$typos{$_} = 1 for " $p_token", "$p_token ", "$p_token\n";
delete $typos{$p_token};
my @accepted = grep { told(call('unlock_partition', 's', 'p', $hour, $_)) ne $denied } sort keys %typos;
is(scalar @accepted, 0, "each of ${\ scalar keys %typos} typing errors is refused") or diag $accepted[0];
cmp_ok(scalar keys %typos, '>', 1300, 'and they were many');

# How often a call looks something up.
sub look_ups
{
	my ($token) = @_;
	my $count = q(SELECT sum(pg_stat_get_xact_numscans(indexrelid)) FROM pg_index
	               WHERE indrelid IN ('partreg.source'::regclass, 'partreg.provider'::regclass));

	$client->run('BEGIN; SAVEPOINT a');
	my $before = $client->value($count);
	call('lock_partition', 's', 'p', $hour, $token);
	$client->run('ROLLBACK TO a');
	my $after = $client->value($count);
	$client->run('ROLLBACK');
	return $after - $before;
}

my $unknown = 'prp_' . '0123456789abcdef' x 4;
$unknown .= crc32c($unknown);
is(look_ups($p_token =~ s/(.)$/$1 eq '0' ? '1' : '0'/er), 0, 'a mistyped token costs no look-up');
cmp_ok(look_ups($unknown), '>', 0, 'an unknown one does');

note 'One answer to all that is wrong';

call('register_provider', 'revoked', $source_token);
my $revoked_token = $client->value("SELECT partreg.rotate_access_token('s', 'revoked', \$1)", $source_token);
call('register_partition', 's', 'revoked', $hour, $revoked_token);
call('revoke_provider', 's', 'revoked', $source_token);
my $rotated_away = $q_token;
$q_token = $client->value("SELECT partreg.rotate_access_token('s', 'q', \$1)", $q_token);
call('register_partition', 's', 'q', $hour, $q_token);
my $old_source_token = $client->value("SELECT partreg.register_source('old', 'owner')");
my $new_source_token = $client->value("SELECT partreg.rotate_access_token('old', NULL, \$1)", $old_source_token);
my $unknown_source = 'prs_' . 'fedcba9876543210' x 4;
$unknown_source .= crc32c($unknown_source);

# What is called: the function, whether a provider's token is enough, and its
# arguments, of which S, P and T stand for source, provider and token.
my @writes = (
	[ 'register_partition', 1, 'S', 'P', hour(5), 'T' ],
	[ 'register_partitions', 1, 'S', 'P', hour(5, 3), '1 hour', 'T' ],
	[ 'lock_partition', 1, 'S', 'P', $hour, 'T' ],
	[ 'unlock_partition', 1, 'S', 'P', $hour, 'T' ],
	[ 'fail_partition', 1, 'S', 'P', $hour, 'T' ],
	[ 'lock_partitions', 1, 'S', 'P', $hour, 'T' ],
	[ 'unlock_partitions', 1, 'S', 'P', $hour, 'T' ],
	[ 'fail_partitions', 1, 'S', 'P', $hour, 'T' ],
	[ 'renew_lease', 1, 'S', 'P', $hour, '1 hour', 'T' ],
	[ 'renew_leases', 1, 'S', 'P', $hour, '1 hour', 'T' ],
	[ 'retire_partition', 1, 'S', 'P', $hour, 'T' ],
	[ 'retire_partitions', 1, 'S', 'P', $hour, 'T' ],
	[ 'rotate_access_token', 1, 'S', 'P', 'T' ],
	[ 'rotate_access_token', 0, 'S', undef, 'T' ],
	[ 'revoke_provider', 0, 'S', 'P', 'T' ],
	[ 'set_effective', 0, 'S', 'P', '(,)', 'T' ],
	[ 'set_deadline', 0, 'S', 'P', '1 hour', 'T' ],
	[ 'set_calendar', 0, 'S', 'P', '1 hour', '2024-01-01 00:00+00', 'T' ],
	[ 'set_trusted_role', 0, 'S', 'P', undef, 'T' ],
	[ 'set_trusted_role', 0, 'S', undef, 'job', 'T' ],
	[ 'rename_provider', 0, 'S', 'P', 'renamed', 'T' ],
	[ 'rename_source', 0, 'S', 'renamed', 'T' ],
	[ 'set_owner', 0, 'S', 'owner', 'T' ],
	[ 'set_readiness_rule', 0, 'S', 'any', 'T' ],
	[ 'drop_source', 0, 'S', 'T' ]);

# Whatever takes a token has to be among them.
is_deeply(
	$client->rows(<<'EOT'),
SELECT DISTINCT proname::text FROM pg_proc
 WHERE pronamespace = 'partreg'::regnamespace AND 'access_token' = ANY (proargnames)
   AND proname <> 'register_provider'
 ORDER BY 1
EOT
	[ map { [$_] } sort keys %{ { map { $_->[0] => 1 } @writes } } ],
	'all functions that take a token are tried');

# Source, provider and token that do not go together.
my @wrong = (
	(   map { my $token = $_; map { [ @$_, $token ] } [ 's', 'p' ], [ 's', 'nobody' ], [ 'nothing', 'p' ], [ 'nothing', 'nobody' ] }
		  '', 'x', $p_token =~ s/.$//r, $p_token =~ s/prp/prs/r, $unknown, $unknown_source,
		$other_source_token, $other_provider_token, $q_token, $rotated_away, $revoked_token, $old_source_token, $new_source_token),
	[ 's', 'nobody', $p_token ], [ 'nothing', 'p', $p_token ], [ 'nothing', 'p', $source_token ], [ 'other', 'p', $source_token ],
	[ 'other', 'p', $p_token ], [ 's', 'q', $rotated_away ], [ 's', 'q', $p_token ], [ 's', 'revoked', $revoked_token ], [ 'old', 'p', $old_source_token ]);
my %answers;
my $tried = 0;

sub with_names
{
	my ($write, $source, $provider, $token) = @_;
	my ($function, $any_token, @arguments) = @$write;

	return ($function,
		map { !defined $_ ? undef : $_ eq 'S' ? $source : $_ eq 'P' ? $provider : $_ eq 'T' ? $token : $_ } @arguments);
}

for my $write (@writes)
{
	my ($function, $any_token) = @$write;

	# A provider's own token opens its partitions and nothing else.
	for my $case (@wrong, $any_token ? () : [ 's', 'p', $p_token ])
	{
		my $told = told(call(with_names($write, @$case)));

		push @{ $answers{$told} }, "$function, @$case";
		$tried++;
	}
	# Where NULL is allowed, it is refused in the same words; else it is missing.
	for my $case ([ 's', 'p' ], [ 's', 'nobody' ], [ 'nothing', 'p' ])
	{
		my $told = told(call(with_names($write, @$case, undef)));

		push @{ $answers{$told} }, "$function, @$case, NULL" unless $told =~ /^C=22004\|/;
		$tried++;
	}
}
for my $token ('', 'x', $unknown_source, $p_token, $old_source_token, $source_token =~ s/.$/-/r)
{
	push @{ $answers{ told(call('register_provider', 'new', $token)) } }, "register_provider, $token";
	push @{ $answers{ told(call('register_provider', 'p', $token, undef, undef, 's', 't')) } }, "register_provider of s, $token";
}
# Of another source than the one named, or without a token.
for my $case ([ 'other', $source_token ], [ 'nothing', $source_token ], [ 's', $other_source_token ], [ 's', undef ], [ 'nothing', undef ])
{
	push @{ $answers{ told(call('register_provider', 'p', $case->[1], undef, undef, $case->[0], 't')) } },
	  "register_provider of $case->[0]";
}
is(scalar keys %answers, 1, "$tried calls with a wrong token: one answer")
  or diag join "\n", map { "$_: $answers{$_}[0]" } sort keys %answers;
like((keys %answers)[0], qr/^C=42501\|/, 'with 42501');
for my $write (@writes)
{
	my ($function, $any_token, @arguments) = @$write;

	next unless grep { defined $_ && $_ eq 'P' } @arguments;
	like(told(call(with_names($write, 's', 'nobody', $source_token))),
		qr/^C=42704\|/, "$function: only behind the source token a provider is unknown");
}
is($client->value("SELECT count(*) FROM partreg.partitions WHERE state = 'locked'"), 1, 'nothing of that did anything');

# The time that it takes says nothing either.
my %seconds = map { $_ => 0 } qw(s nothing);
for (1 .. 1000)
{
	for my $source (qw(s nothing))
	{
		my $began = time;

		call('lock_partition', $source, 'p', $hour, $unknown);
		$seconds{$source} += time - $began;
	}
}
my $ratio = $seconds{s} / $seconds{nothing};
note sprintf 'a known source takes %.2f times as long as an unknown one', $ratio;
cmp_ok(abs(log $ratio), '<', log 1.5, 'a wrong token takes as long for a source that is known as for one that is not');

note 'Nowhere to be found';

# A good value for each argument by its name.
my %value = (
	source_name => 's', provider_name => 'p', owner => 'owner', rule => 'any', access_token => $source_token,
	during => $hour, trusted_role => 'job', effective => '(,)', if_not_exists => 't', step => '1 hour',
	time_zone => 'UTC', holder => 'me', lease => '1 hour', reason => 'why', grace => '0', within => '1 hour',
	start_at => '2024-01-01', end_at => '2024-01-02', since => '2024-01-01', as_of => '2024-01-01',
	before => '2024-01-01', closed => '{}', new_name => 'renamed', day => '2024-01-01', details => undef, register => 'f',
	timeout => '0', poll => '1s', cursor => undef, max_events => 10,
	source_names => '{s}', width => 72, grantee => 'job', level => 'reader');

# Texts with a token of somebody else in them, whole, broken and hidden.
my @sentinels = map {
	my $token = $_;
	($token, $token =~ s/.$/-/r, uc $token, "see $token, please", substr($token, 0, 30))
} $other_source_token, $other_provider_token;
my @pieces = map { my $piece = substr $_, 4, 20; ($piece, uc $piece) } $other_source_token, $other_provider_token;

# Is a piece of one in a text?
sub shows
{
	my ($text) = @_;

	return grep { index($text, $_) >= 0 } @pieces;
}

my @functions = @{
	$client->rows(<<'EOT') };
SELECT p.oid::regprocedure, proname, prokind = 'p', coalesce(array_to_string(proargnames[:pronargs], ' '), ''),
       (SELECT coalesce(string_agg(replace(t::regtype::text, 'timestamp with time zone', 'timestamptz'), ' ' ORDER BY n), '')
          FROM unnest(proargtypes) WITH ORDINALITY AS a (t, n))
  FROM pg_proc p
 WHERE pronamespace = 'partreg'::regnamespace AND prokind IN ('f', 'p') AND proname NOT LIKE '\_%'
 ORDER BY 1
EOT
my ($calls, @shown) = (0);

for my $row (@functions)
{
	my ($signature, $function, $is_procedure, $names, $types) = @$row;
	my @names = split ' ', $names;
	my @types = split ' ', $types;

	for my $place (grep { $types[$_] =~ /^text/ } 0 .. $#names)
	{
		for my $sentinel (@sentinels)
		{
			my @arguments = map {
				die "no value for an argument $_ of $signature" unless exists $value{$_};
				$value{$_}
			} @names;

			$arguments[$place] = $types[$place] eq 'text[]' ? qq({"$sentinel"}) : $sentinel;
			my $list = join ', ', map { '$' . ($_ + 1) . "::$types[$_]" } 0 .. $#names;
			my $result = $client->query(($is_procedure eq 't' ? 'CALL' : 'SELECT * FROM') . " partreg.$function($list)", @arguments);
			my $answer = join "\n", map { join ' ', grep { defined } %$_ } $result->{error} || {}, @{ $result->{notices} };
			$answer .= join "\n", map { map { defined $_ ? $_ : '' } @$_ } @{ $result->{rows} };

			push @shown, "$names[$place] of $signature" if shows($answer);
			$calls++;
		}
	}
}
cmp_ok($calls, '>', 400, "$calls calls with a token in some argument");
is_deeply(\@shown, [], 'no answer shows it');
$client->value("SELECT partreg.reset_access_token('s')");
is_deeply([ grep { shows($_) } $listener->notifications(1) ], [], 'nor does a notification');
is_deeply([ grep { shows($_) } @{ rows_of_tables($client) } ], [], 'nor a table');
is_deeply(
	[   map { my $view = $_; grep { shows($_->[0]) } @{ $client->rows("SELECT t::text FROM partreg.$view t") } }
		map { $_->[0] }
		  @{ $client->rows("SELECT relname FROM pg_class WHERE relnamespace = 'partreg'::regnamespace AND relkind = 'v'") } ],
	[], 'nor a view');
# A session may be handed to somebody else, by a pool.
is(told(call('register_partition', 'other', 'p', $hour, $other_provider_token)), 'no error', 'a session in which a token was good');
is(told(call('lock_partition', 'other', 'p', $hour)), $denied, 'is good for nothing without it');
is_deeply(
	[ grep { shows($_->[0]) } @{ $client->rows(<<'EOT') } ],
SELECT name || ' ' || setting FROM pg_settings
UNION ALL
SELECT statement FROM pg_prepared_statements
UNION ALL
SELECT application_name || ' ' || query FROM pg_stat_activity
EOT
	[], 'and shows none');
is_deeply([ grep { shows($_->[0]) } @{ $client->rows('SELECT query FROM pg_stat_statements') } ],
	[], 'nor pg_stat_statements');
cmp_ok($client->value("SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%lock_partition%'"), '>', 0, 'which knows the calls');
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', "$PostgreSQL::Test::Utils::tmp_check/dump.sql" ], 'dumped');
is(scalar(shows(slurp_file("$PostgreSQL::Test::Utils::tmp_check/dump.sql"))), 0, 'nor a dump');

# The log holds what a statement's text says, so a token in there is found.
my $literal = 'prs_' . '1122334455667788' x 4 . 'aabbccdd';
my $log = slurp_file($node->logfile);
cmp_ok(length $log, '>', 100000, 'the server kept a log');
is(scalar(shows($log)), 0, 'which shows no token that was bound');
$client->query("SELECT partreg.drop_source('s', '$literal')");
like(slurp_file($node->logfile), qr/STATEMENT: .*$literal/, 'while one written into a statement is there');

# Nothing on disk, whatever it may be: tables, indexes, log of transactions.
$client->run('CHECKPOINT');
$node->stop;
my ($files, $names, @holding) = (0, 0);
find(
	{   no_chdir => 1,
		wanted => sub {
			return unless -f $_;
			my $content = slurp_file($_);
			$files++;
			$names++ if $content =~ /many 777/;
			push @holding, $_ if shows($content);
		}
	},
	$node->data_dir);
cmp_ok($files, '>', 500, "$files files of the server");
cmp_ok($names, '>', 0, 'names are found there');
is_deeply(\@holding, [], 'none holds a token');

done_testing();
