# SPDX-License-Identifier: Apache-2.0
# Mojolicious' server and client, in one loop: /fresh/N and /kept/N call $TARGET with the same path twice, by a
# connection for each call and by those of a pool.
use Mojolicious::Lite -signatures;

my $target = $ENV{TARGET};
my $kept = Mojo::UserAgent->new(max_connections => 100);
my $fresh = Mojo::UserAgent->new(max_connections => 0);
app->log->level('fatal');

sub twice ($c, $agent, $path) {
    $c->render_later;
    $agent->get_p($path)->then(sub { $agent->get_p($path) })->then(sub { $c->render(text => 'ok') })
        ->catch(sub { $c->render(text => "@_", status => 500) });
}

get '/fresh/:n' => sub ($c) { twice($c, $fresh, "$target/fresh/" . $c->param('n')) };
get '/kept/:n' => sub ($c) { twice($c, $kept, "$target/kept/" . $c->param('n')) };
app->start;
