# SPDX-License-Identifier: Apache-2.0
# An event loop that knows nothing of tracing, and has a queue of its own.
#   loop.pl PORT BACK
#     /now/N     asks http://127.0.0.1:BACK/r/N at once, and answers
#     /later/N   is queued; once two are, both are worked on in the loop's next turn
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my ($port, $back) = @ARGV;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64,
    ReuseAddr => 1) or die "listen: $!";
my $set = IO::Select->new($listener);
my (@queue, @due);

sub ask {
    my ($number) = @_;
    my $call = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$back") or die "connect: $!";
    syswrite $call, "GET /r/$number HTTP/1.1\r\nHost: back\r\nConnection: close\r\n\r\n";
    1 while sysread $call, my $answer, 65536;
    close $call;
}

sub work {
    my ($client, $number) = @_;
    ask($number);
    syswrite $client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
}

sub serve {
    my ($client) = @_;
    if (!sysread $client, my $head, 65536) {
        $set->remove($client);
        close $client;
    } elsif ($head =~ m{^GET /now/(\d+)}) {
        work($client, $1);
    } elsif ($head =~ m{^GET /later/(\d+)}) {
        push @queue, [$client, $1];
    }
}

while (1) {
    for my $ready ($set->can_read(@due ? 0.01 : undef)) {
        if ($ready == $listener) {
            $set->add($listener->accept);
        } else {
            serve($ready);
        }
    }
    work(@$_) for @due;
    @due = @queue > 1 ? splice @queue : ();
}
