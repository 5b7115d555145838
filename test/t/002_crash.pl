# Crashes: what was acknowledged is there afterwards, and nothing is half done.
#
# Several clients change partitions as fast as they can, some calls by
# themselves and some as transactions of several, until the server is killed.
# Each client writes down what it is about to do, and that it was told that it
# is done.  After recovery each partition has to be in the state that its
# client was last told of; where a client was told nothing about its last
# transaction, either all or nothing of that has to be there.  In every second
# cycle all clients set synchronous_commit = off, so that nobody's flush of the
# log hides that somebody else's was missing.
#
# PARTREG_CRASHES is the number of cycles, 25 by default.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use POSIX ();
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;
use Time::HiRes qw(sleep);

use constant { CLIENTS => 4, HOURS => 120 };

my $cycles = $ENV{PARTREG_CRASHES} || 25;
my $seed = $ENV{PARTREG_SEED} || time;

# The log writer must not save by chance what a commit should have flushed.
my $node = new_registry('crash', conf => "wal_writer_delay = 10s\nautovacuum_naptime = 1s\n");
my $setup = connect_to($node);
my %token;
my $source_token = $setup->value("SELECT partreg.register_source('s', 'owner')");

$token{$_} = $setup->value('SELECT partreg.register_provider($1, $2)', $_, $source_token) for qw(p q);
$setup->run('CREATE TABLE public.loaded (provider text, hour int)');
$setup->close_session;
note "seed $seed";

# "provider hour" => state, as the clients were told
my %state;

# What may come next in a state.
my %next = (
	none => ['registered'],
	registered => [ 'locked', 'unlocked', 'unlocked', 'failed' ],
	locked => [ 'unlocked', 'unlocked', 'failed' ],
	unlocked => ['locked'],
	failed => [ 'locked', 'unlocked' ]);
my %function = (
	registered => 'register',
	locked => 'lock',
	unlocked => 'unlock',
	failed => 'fail');

# One client, in a process of its own, until the server is gone.
sub load
{
	my ($number, $file, $asynchronous) = @_;
	my $client = connect_to($node,
		options => '-c synchronous_commit=' . ($asynchronous ? 'off' : 'on'));
	my @own = grep { (split)[1] % CLIENTS == $number } sort keys %state;

	open my $diary, '>', $file or die "$file: $!";
	$diary->autoflush(1);
	for (;;)
	{
		my $count = rand() < 0.7 ? 1 : 2 + int rand 4;
		my %step;

		for (1 .. $count)
		{
			my $partition = $own[ rand @own ];
			my $choices = $next{ $state{$partition} };

			$step{$partition} = $choices->[ rand @$choices ];
		}
		print $diary "try ", join(',', map { "$_ $step{$_}" } sort keys %step), "\n";
		$client->run('BEGIN') if keys %step > 1;
		for my $partition (sort keys %step)
		{
			my ($provider, $hour) = split ' ', $partition;

			$client->rows("SELECT partreg.$function{$step{$partition}}_partition(\$1, \$2, \$3, \$4)",
				's', $provider, hour($hour), $token{$provider});
		}
		$client->run('COMMIT') if keys %step > 1;
		print $diary "ok\n";
		@state{ keys %step } = values %step;
	}
}

# Start the clients of one cycle; returns what tells of them.
sub start_load
{
	my ($cycle) = @_;
	my @clients;

	for my $number (0 .. CLIENTS - 1)
	{
		my $file = "$PostgreSQL::Test::Utils::tmp_check/diary_$number";
		my $pid = fork;

		die "fork: $!" unless defined $pid;
		if ($pid == 0)
		{
			srand $seed + $cycle * CLIENTS + $number;
			eval { load($number, $file, $cycle % 2 || $number % 2); };
			my $lost = $@ =~ /^connection lost/
			  || $@ =~ /^57P0[123] /;
			print STDERR "client $number: $@" unless $lost;
			POSIX::_exit($lost ? 0 : 1);
		}
		push @clients, { pid => $pid, file => $file };
	}
	return @clients;
}

# What partitions are now.
sub actual_states
{
	my ($client) = @_;
	my %actual = map { ($_ => 'none') } keys %state;

	for my $row (
		@{  $client->rows(
				"SELECT provider_name || ' ' || (extract(epoch FROM start_at) - 1704067200)::int / 3600, state"
				  . " FROM partreg.partitions") })
	{
		$actual{ $row->[0] } = $row->[1];
	}
	return %actual;
}

# Nothing derived is at odds with the partitions, by plain SQL.
my $half_done = <<'EOT';
WITH told AS (
    SELECT p.provider_id, range_agg(tstzrange(p.start_at, p.end_at)) AS spans
      FROM partreg.partition p GROUP BY 1),
kept AS (
    SELECT c.provider_id, range_agg(tstzrange(c.span_start, c.span_end)) AS spans
      FROM partreg.coverage c GROUP BY 1),
last_event AS (
    SELECT DISTINCT ON (provider_id, start_at, end_at) provider_id, start_at, end_at, event
      FROM partreg.event WHERE start_at IS NOT NULL
     ORDER BY provider_id, start_at, end_at, id DESC)
SELECT 'coverage of provider ' || coalesce(told.provider_id, kept.provider_id)
  FROM told FULL JOIN kept USING (provider_id)
 WHERE told.spans IS DISTINCT FROM kept.spans
UNION ALL
SELECT 'lock without a partition: ' || l::text
  FROM partreg.lock l
 WHERE NOT EXISTS (SELECT FROM partreg._partition p
                    WHERE (p.provider_id, p.length_class, p.start_at, p.end_at)
                        = (l.provider_id, l.length_class, l.start_at, l.end_at))
UNION ALL
SELECT 'state and history disagree: ' || v.name || ' ' || p.start_at || ' ' || s.state || ' ' || coalesce(e.event, '-')
  FROM partreg._partition p
  JOIN partreg.provider v ON v.id = p.provider_id
  JOIN partreg.partitions s ON (s.provider_name, s.start_at, s.end_at) = (v.name, p.start_at, p.end_at)
  LEFT JOIN last_event e ON (e.provider_id, e.start_at, e.end_at) = (p.provider_id, p.start_at, p.end_at)
 WHERE s.state IS DISTINCT FROM CASE e.event WHEN 'register_partition' THEN 'registered' WHEN 'lock' THEN 'locked'
                                             WHEN 'unlock' THEN 'unlocked' WHEN 'fail' THEN 'failed' END
EOT

for my $provider (qw(p q))
{
	$state{"$provider $_"} = 'none' for 0 .. HOURS - 1;
}
my ($acknowledged, $in_doubt, $idle, @lost, @halves, @problems) = (0, 0, 0);

for my $cycle (1 .. $cycles)
{
	my @clients = start_load($cycle);
	my @doubts;

	# When all are at work, for some hundred transactions, at no particular moment.
	eventually(sub { !grep { !-s $_->{file} } @clients });
	sleep 0.1 + rand 0.4;
	$node->stop('immediate');
	for my $client (@clients)
	{
		my $mine = 0;

		waitpid $client->{pid}, 0;
		push @problems, "cycle $cycle: a client ended with $?" if $?;
		next unless -e $client->{file};
		my @diary = split /\n/, slurp_file($client->{file});
		while (defined(my $line = shift @diary))
		{
			my %step = map { /^(\S+ \d+) (\w+)$/ } split /,/, $line =~ s/^try //r;

			if (@diary)
			{
				shift @diary;
				@state{ keys %step } = values %step;
				$mine++;
			}
			else
			{
				push @doubts, \%step;
			}
		}
		unlink $client->{file};
		$acknowledged += $mine;
		$idle++ unless $mine;
	}
	$node->start;

	my $client = connect_to($node);
	my %actual = actual_states($client);

	for my $step (@doubts)
	{
		my $done = grep { $actual{$_} eq $step->{$_} } keys %$step;

		$in_doubt++;
		if ($done == keys %$step)
		{
			@state{ keys %$step } = values %$step;
		}
		elsif ($done > 0)
		{
			push @halves, "cycle $cycle: $done of ${\ scalar keys %$step}";
		}
	}
	for my $partition (sort keys %state)
	{
		push @lost, "cycle $cycle: $partition was $state{$partition}, is $actual{$partition}"
		  if $actual{$partition} ne $state{$partition};
	}
	%state = %actual;
	push @problems, map { "cycle $cycle: $_->[0]" } @{ $client->rows($half_done) };
	push @problems,
	  map { "cycle $cycle: $_->[0]: $_->[1]" } @{ $client->rows('SELECT * FROM partreg.verify()') };

	# Begin again before all is said.
	if ($cycle % 10 == 0 && $cycle < $cycles)
	{
		for my $provider (qw(p q))
		{
			$client->rows('SELECT partreg.retire_partition($1, $2, $3, $4)',
				's', $provider, hour($_), $source_token)
			  for grep { $state{"$provider $_"} ne 'none' } 0 .. HOURS - 1;
		}
		$_ = 'none' for values %state;
	}
	$client->close_session;
}

note "$cycles crashes, $acknowledged transactions acknowledged, $in_doubt in doubt";
cmp_ok($acknowledged, '>', $cycles * CLIENTS * 2, 'there was load');
cmp_ok($idle, '<=', $cycles * CLIENTS / 10, 'of all clients');
cmp_ok($in_doubt, '>', $cycles, 'and transactions were under way');
is_deeply(\@lost, [], "nothing acknowledged is lost ($cycles crashes, $acknowledged transactions)");
is_deeply(\@halves, [], 'no transaction is half done');
is_deeply(\@problems, [], 'nothing is at odds with the partitions');

my $client = connect_to($node);
my ($hour) = grep { $state{"p $_"} eq 'unlocked' } 0 .. HOURS - 1;
my $ready = $client->value("SELECT partreg.check_readiness('s', \$1)", hour($hour));
my $blocked = $state{"q $hour"} =~ /^(locked|failed)$/;
is($ready, $blocked ? 'f' : 't', 'questions are answered');

done_testing();
