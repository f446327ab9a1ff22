# SPDX-License-Identifier: Apache-2.0
# pg_dbd.pl PORT
use strict;
use DBI;
my $c = DBI->connect("dbi:Pg:dbname=postgres;host=127.0.0.1;port=$ARGV[0]", "postgres", "",
    {PrintError => 0});
$c->do("CREATE TEMP TABLE things (a int, b text)");
my $insert = $c->prepare("INSERT INTO things VALUES (?, ?)");
$insert->execute($_, "it's $_") for 0 .. 9;
my $rows = $c->selectall_arrayref("SELECT b FROM things WHERE a < ?", undef, 4);
exit 1 unless @$rows == 4;
$c->do("SELECT nothing FROM nowhere");
$c->begin_work;
$c->do("SELECT 1 AS inside");
$c->commit;
$c->disconnect;
