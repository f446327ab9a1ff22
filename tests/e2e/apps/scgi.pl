# SPDX-License-Identifier: Apache-2.0
# An SCGI server by Perl's SCGI, one request after the other: answers with the body's length.
use strict;
use warnings;
use IO::Socket;
use SCGI;

my $socket = IO::Socket::INET->new(Listen => 16, ReuseAddr => 1, LocalAddr => '127.0.0.1',
    LocalPort => $ARGV[0]) or die "no port: $!";
my $scgi = SCGI->new($socket, blocking => 1);
while (my $request = $scgi->accept) {
    $request->read_env;
    read $request->connection, my $body, $request->env->{CONTENT_LENGTH};
    print { $request->connection } "Status: 201 Made\r\nContent-Type: text/plain\r\n\r\n",
        length $body, "\n";
    $request->connection->close;
}
