# SPDX-License-Identifier: Apache-2.0
# Drivers of Perl, as driver.py: driver.pl NAME PORT plain|tls|compressed [HTTP_PORT]; a process for
# each connection of HTTP.
use strict;
use DBI;
use IO::Socket::INET;
my ($name, $port, $how, $http) = @ARGV;
my $tls = $how eq "tls";

sub connection {
    my @options = ({PrintError => 0, AutoCommit => 1});
    return DBI->connect("dbi:Pg:dbname=postgres;host=127.0.0.1;port=$port;sslmode="
            . ($tls ? "require" : "disable"), "postgres", "", @options) if $name eq "Pg";
    if ($name ne "Redis") {
        my $prefix = lc $name;
        my $more = $tls ? ";${prefix}_ssl=1;${prefix}_ssl_"
            . ($name eq "mysql" ? "optional=1" : "ca_file=$ENV{TLS_CA}") : "";
        $more .= ";${prefix}_compression=1" if $how eq "compressed";
        return DBI->connect("dbi:$name:shop;host=127.0.0.1;port=$port$more", "app",
            "correcthorse", @options) || die DBI->errstr;
    }
    require Redis;
    return Redis->new(server => "127.0.0.1:$port", $tls ? (ssl => 1, SSL_verify_mode => 0) : ());
}

sub ask {
    my ($c, $n) = @_;
    if ($name eq "Redis") {
        $c->incr("r${n}_a");
        $c->set("r${n}_b", "v", sub {});
        $c->get("r${n}_c", sub {});
        return $c->wait_all_responses;
    }
    $c->selectall_arrayref("select ? as r${n}_$_", undef, "7") for qw(a b c);
}

sub play_Pg {
    my $c = shift;
    $c->do("CREATE TEMP TABLE things (a int, b text)");
    my $insert = $c->prepare("INSERT INTO things VALUES (?, ?)");
    $insert->execute($_, "it's $_") for 0 .. 49;
    $c->do("SELECT 1/0") and die;
    $c->do("SELECT nothing FROM nowhere") and die;
    $c->do("COPY things FROM STDIN");
    $c->pg_putcopydata("1\tcopied\n") for 1 .. 5000;
    $c->pg_putcopyend;
    $c->do("COPY things TO STDOUT");
    my $line;
    1 while $c->pg_getcopydata($line) >= 0;
    $c->begin_work;
    $c->do("UPDATE things SET a = 3 WHERE a = 4");
    my $large = $c->pg_lo_creat($c->{pg_INV_WRITE});
    my $file = $c->pg_lo_open($large, $c->{pg_INV_WRITE});
    $c->pg_lo_write($file, "x" x 10000, 10000);
    $c->commit;
    $c->do("LISTEN news");
    $c->do("NOTIFY news");
    $c->pg_notifies or die;
    my $later = $c->prepare("SELECT 1 AS later", {pg_async => 1});
    $later->execute;
    $c->pg_result;
    $later->finish;
    $c->disconnect;
}

sub play_MySQL {
    my ($c, $prefix) = @_;
    $c->{"${prefix}_server_prepare"} = 1;
    my $insert = $c->prepare("insert into t values (?, ?)");
    $insert->execute($_, "it's") for 4 .. 53;
    $c->do("select nonsense from t") and die;
    my $rows = $c->selectall_arrayref("select n, s from t where s = ?", undef, "it's");
    @$rows == 50 or die scalar @$rows;
    $c->begin_work;
    $c->do("delete from t where n > 3");
    $c->commit;
    $c->disconnect;
}
sub play_mysql { play_MySQL($_[0], "mysql") }
sub play_MariaDB { play_MySQL($_[0], "mariadb") }

sub play_Redis {
    my $c = shift;
    $c->set(k => "v");
    $c->select(1);
    $c->lpush("l", 1, 2);
    $c->incr("n", sub {}) for 1 .. 300;
    $c->wait_all_responses;
    $c->multi; $c->incr("n"); $c->exec;
    eval { $c->get("l"); 1 } and die;
    $c->set(big => "x" x 3_000_000);
    length $c->get("big") == 3_000_000 or die;
    $c->quit;
}

if (!$http) {
    no strict "refs";
    &{"play_$name"}(connection());
    exit;
}
$SIG{CHLD} = "IGNORE";
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $http, Listen => 256) or die;
while (my $client = $server->accept) {
    next if fork;
    my $c = connection();
    while (my $head = <$client>) {
        1 while <$client> ne "\r\n";
        ask($c, $head =~ m{/r/(\d+)});
        syswrite $client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    }
    exit;
}
