# SPDX-License-Identifier: Apache-2.0
# Serves one request at a time and has other work besides.
#   sequential.pl PORT BACK
#     /before/N   asks http://127.0.0.1:BACK/r/N, then answers
#     /after/N    answers, then asks
#     /rested/N   answers, rests in select, then asks
#     /slept/N    answers, sleeps, then asks
#     /curl/N     has curl ask, then answers;   /bare/N  the same, with nothing in its environment
#     /own/N      the same, with a TRACEPARENT of its own
use strict;
use warnings;
use IO::Socket::INET;

my ($port, $back) = @ARGV;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64,
    ReuseAddr => 1) or die "listen: $!";

sub curl {
    my ($number, @environment) = @_;
    system 'env', @environment, 'curl', '-s', '-o', '/dev/null', "http://127.0.0.1:$back/r/$number";
}

my %starts = (curl => [], bare => ['-i', "PATH=$ENV{PATH}", map { "$_=$ENV{$_}" }
    grep { /^(BURDOCK|OTEL)_/ } keys %ENV], own => []);

sub ask {
    my ($number) = @_;
    my $call = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$back") or die "connect: $!";
    syswrite $call, "GET /r/$number HTTP/1.1\r\nHost: back\r\nConnection: close\r\n\r\n";
    1 while sysread $call, my $answer, 65536;
    close $call;
}

while (my $client = $listener->accept) {
    next if !sysread $client, my $head, 65536;
    my ($how, $number) = $head =~ m{^GET /(\w+)/(\d+)} or next;
    local $ENV{TRACEPARENT} = '00-' . '4' x 32 . '-' . '5' x 16 . '-01' if $how eq 'own';
    curl($number, @{$starts{$how}}) if $starts{$how};
    ask($number) if $how eq 'before';
    syswrite $client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    select undef, undef, undef, 0.01 if $how eq 'rested';
    sleep 1 if $how eq 'slept';
    ask($number) if $how eq 'after' or $how eq 'rested' or $how eq 'slept';
    close $client;
}
