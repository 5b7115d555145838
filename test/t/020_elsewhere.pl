# From 18 on an extension may lie in a folder of its own, which
# extension_control_path and dynamic_library_path name: one on a read-only disk,
# or of an image mounted beside the server's.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Cwd qw(abs_path);
use PostgreSQL::Test::Utils;
use Registry;
use Test::More;

my ($version, $sharedir, $libdir) = map { chomp(my $value = `pg_config --$_`); $value } qw(version sharedir pkglibdir);

plan skip_all => "PostgreSQL has no extension_control_path before 18"
  if $version =~ /(\d+)/ && $1 < 18;

my $elsewhere = "$PostgreSQL::Test::Utils::tmp_check/elsewhere";

command_ok(
	[ 'make', '-s', '-C', abs_path("$FindBin::RealBin/../.."), 'with_llvm=no', "DESTDIR=$elsewhere", 'install' ],
	'it is installed below a folder of its own');

# Nothing but this tells that the files are those from there: the library is the
# first that is found, and so is the control file.
my $control = "$elsewhere$sharedir/extension/partition_registry.control";
my $text = slurp_file($control) =~ s/^comment = .*/comment = 'from elsewhere'/mr;
open my $file, '>', $control or die "$control: $!";
print $file $text;
close $file;

my $node = new_registry('elsewhere', conf => <<"EOT");
extension_control_path = '$elsewhere$sharedir:\$system'
dynamic_library_path = '$elsewhere$libdir:\$libdir'
EOT
my $client = connect_to($node);

sub libraries
{
	my ($on) = @_;

	return $on->rows(q{SELECT DISTINCT m[1] FROM regexp_matches(pg_read_file('/proc/self/maps'), '\S*/partition_registry\.so', 'g') m});
}

is($client->value("SELECT obj_description(oid) FROM pg_extension WHERE extname = 'partition_registry'"),
	'from elsewhere', 'the control file is');
my (undef, $token) = source_and_provider($client, 's', 'p');
is_deeply(libraries($client), [ ["$elsewhere$libdir/partition_registry.so"] ], 'the library is');

$client->value("SELECT partreg.unlock_partition('s', 'p', \$1, \$2, register => true)", hour(0), $token);
is($client->value("SELECT partreg.check_readiness('s', \$1)", hour(0)), 't', 'it works');
is_deeply($client->rows('SELECT problem FROM partreg.verify()'), [], 'without a problem');

# A dump says nothing of folders.
my $dump = "$PostgreSQL::Test::Utils::tmp_check/elsewhere.sql";
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'restored');
my $restored = connect_to($node, dbname => 'restored');
is($restored->value("SELECT partreg.check_readiness('s', \$1)", hour(0)), 't', 'it works there');
$_->close_session for $client, $restored;

done_testing();
