#!/usr/bin/env perl
# Watch a Fanlight stream to its ending, and come back after every cut.
# Written from docs/wire.md alone, with what comes with Perl; numbers in comments are its sections.
#
#   watch.pl URL STREAM VIEW CURSOR        prints one JSON object a line (conformance/README.md)
use v5.20;
use warnings;
use Digest::SHA;
use Encode      qw(encode_utf8);
use IO::Socket::INET;
use JSON::PP;
use List::Util  qw(min);
use Time::HiRes qw(alarm sleep);

# Sockets and no HTTP library: Perl's own one repeats a GET whose body was cut, with the old cursor (5.3, step 7).

# Keep-alives come every 15 s (2.2): a connection that says nothing for longer is dead.
use constant {
    ATTEMPTS    => $ENV{ATTEMPTS} // 20, FIRST_PAUSE_S => 0.2, LONGEST_PAUSE_S => 10,
    SILENCE_S   => ($ENV{SILENCE_MS} // 36_000) / 1000,
};
# Of the statuses from 400 to 499 these may pass.
my %passing = map { $_ => 1 } 408, 425, 429;
my %names   = (204 => 'ended', 400 => 'invalid_request', 401 => 'unauthenticated', 403 => 'forbidden', 404 => 'not_found');

my ($url, $stream, $view, $cursor) = @ARGV;
die "usage: watch.pl URL STREAM VIEW CURSOR\n" unless defined $stream;
$view ||= 'text';
undef $cursor unless length($cursor // '');

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
STDOUT->autoflush(1);

# Where we stand. A caller who brings a cursor holds what lies before it (5.3, step 1).
my $holds = defined $cursor;
my ($gen, $at) = ($cursor // '') =~ /^(\d+)\.(\d+)r?$/a ? ($1, $2) : (undef, 0);
my $digest = defined $cursor ? undef : Digest::SHA->new(256);    # undef: we do not hold the text from 0
my $tree;
my $pause_s;

sub report { say $json->encode({@_}) }

sub fail {
    my ($code) = @_;
    report(kind => 'error', code => $code);
    exit 1;
}

my $failures = 0;
while (1) {
    my $before = $cursor // '';
    undef $pause_s;
    local $SIG{ALRM} = sub { die "silence\n" };
    eval { connection("view=$view" . (defined $cursor ? '&cursor=' . $cursor =~ s/([^\w.-])/sprintf '%%%02X', ord $1/egr : '')); 1 } or $@ eq "silence\n" or die;
    alarm 0;
    $failures = ($cursor // '') eq $before ? $failures + 1 : 0;
    fail('unreachable') if $failures >= ATTEMPTS;
    sleep($pause_s // rand(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**$failures)));
}

# One connection's worth of lines; returns when it is over, in whichever way (2.2).
sub connection {
    my ($query) = @_;
    my ($host, $port) = $url =~ m{\Ahttp://([^/:]+)(?::(\d+))?} or die "no address: $url\n";
    alarm SILENCE_S;
    my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port // 80, Timeout => 10) or return;
    my $key = $ENV{FANLIGHT_API_KEY} ? "x-api-key: $ENV{FANLIGHT_API_KEY}\r\n" : '';
    print {$socket} "GET /v1/streams/$stream/ndjson?$query HTTP/1.1\r\nHost: $host:" . ($port // 80) . "\r\n$key\r\n";
    $socket->flush;
    my ($status) = (<$socket> // '') =~ m{\AHTTP/1\.1 (\d{3})} or return;
    my ($length, $lines);
    while (defined(my $header = <$socket>)) {
        last if $header eq "\r\n";
        $length = $1 if $header =~ /\Acontent-length: *(\d+)/i;
        $lines  = 1  if $header =~ m{\Acontent-type: *application/x-ndjson}i;
    }
    return refused($status, part($socket, $length // 0)) if $status != 200;
    return unless $lines;    # something else answers here, which may pass
    my $rest = '';
    while (defined(my $size = <$socket>)) {    # chunk by chunk: the last one is empty
        my $data = part($socket, hex($size =~ s/[;\r\n].*//sr)) // return;
        return unless length $data;
        part($socket, 2);
        alarm SILENCE_S;
        $rest .= $data;
        while ($rest =~ s/\A([^\n]*)\n//) {
            understand($1) if length $1;    # an empty line says that the stream lives (2.2)
        }
    }
}

# So many bytes, or undef where the connection ends before.
sub part {
    my ($socket, $size) = @_;
    my $data = '';
    return $data unless $size;
    my $read = read $socket, $data, $size;
    return defined $read && $read == $size ? $data : undef;
}

# Asking again is in vain (5.3, step 8).
sub refused {
    my ($status, $body) = @_;
    return if $status != 204 && ($status < 400 || $status >= 500 || $passing{$status});
    my $told = eval { $json->decode($body) };
    fail(ref $told eq 'HASH' && $told->{code} ? $told->{code} : $names{$status} // "http_$status");
}

# A line that is no message is an error, as a gap is.
sub understand {
    my ($line) = @_;
    my $message = eval { $json->decode($line) };
    fail('inexact') unless ref $message eq 'HASH' && defined $message->{type};
    eval { take($message); 1 } or ($@ eq "silence\n" ? die $@ : fail('inexact'));
}

# One message (3). What we do not know is ignored.
sub take {
    my ($message) = @_;
    my $type = $message->{type};
    if    ($type eq 'attached') { attached($message) }
    elsif ($type eq 'delta')    { delta($message) }
    elsif ($type eq 'reset') {
        drop_everything($message->{gen});
        report(kind => 'reset');
        $cursor = "$gen.0" . ($view eq 'raw' ? 'r' : '');
    }
    elsif ($type eq 'draining') { $pause_s = $message->{retry_after_ms} / 1000 }
    elsif ($type eq 'event') {
        report(kind => 'event', event => $message->{event});
        ($holds, $cursor) = (1, $gen . '.' . ($message->{n} + 1) . 'r');
    }
    elsif ($type eq 'element' || $type eq 'caption') {
        # Messages of one `at` belong together, and only a larger one shows that they are all here.
        $cursor = "$gen.$at" if $message->{at} > $at;
        ($holds, $at) = (1, $message->{at});
        derived($type, $message);
    }
    elsif ($type eq 'patch') {
        apply($_) for @{$message->{ops}};
        ($holds, $at) = (1, $message->{at});
        $cursor = "$gen.$at";
        report(kind => 'patch', tree => $tree);
    }
    elsif ($type eq 'violation') { report(kind => 'violation', keyword => $message->{keyword}) }
    elsif ($type eq 'end')       { end($message) }
}

sub drop_everything {
    ($gen, $at, $holds, $digest, $tree) = ($_[0], 0, 0, Digest::SHA->new(256), undef);
}

sub attached {
    my ($message) = @_;
    my ($from, $to) = @$message{qw(from to)};
    if ($message->{mode} eq 'snapshot') {
        report(kind => 'reset') if $holds;
        drop_everything($message->{gen});
    }
    elsif (defined $gen && defined $cursor) {
        my ($theirs) = $cursor =~ /\.(\d+)/;
        fail('inexact') if $message->{gen} != $gen || $from != $theirs;
    }
    ($gen, $at) = ($message->{gen}, $from);
    if ($view eq 'text') {
        # As if it were a delta.
        return delta($message);
    }
    if (exists $message->{state} && $view eq 'patch') {
        $tree = $message->{state};
        report(kind => 'patch', tree => $tree) if defined $tree;
    }
    elsif (exists $message->{state}) {
        derived($view eq 'json' ? 'element' : 'caption', $_) for @{$message->{state}};
    }
    $holds ||= exists $message->{state};
    $at     = $to;
    $cursor = "$gen.$to" . ($view eq 'raw' ? 'r' : '');
}

sub delta {
    my ($message) = @_;
    my ($from, $to, $bytes) = (@$message{qw(from to)}, encode_utf8($message->{text} // die));
    # A long snapshot goes on in deltas: `to` is the end of this piece.
    fail('inexact') if $from != $at || $to != $from + length $bytes;
    $digest->add($bytes) if $digest;
    ($at, $cursor) = ($to, "$gen.$to");
    return unless length $bytes;
    $holds = 1;
    report(kind => 'delta', text => $message->{text});
}

sub derived {
    my ($kind, $message) = @_;
    report(kind => $kind, map { $_ => $message->{$_} } $kind eq 'element' ? qw(pointer value) : qw(id state text));
}

# 3.6: `add` and `append`, at a JSON pointer whose way is there; a new item is the next one.
sub apply {
    my ($op)  = @_;
    my $place = \$tree;
    my @keys  = split m{/}, substr($op->{path}, length $op->{path} ? 1 : 0), -1;
    while (defined(my $key = shift @keys)) {
        $key =~ s/~1/\//g;
        $key =~ s/~0/~/g;
        my $list = ref $$place eq 'ARRAY';
        die unless $list || ref $$place eq 'HASH';
        my $there = $list ? $key < @$$place : exists $$place->{$key};
        die unless $there || (!@keys && $op->{op} eq 'add' && (!$list || $key == @$$place));
        $place = $list ? \$$place->[$key] : \$$place->{$key};
    }
    $$place = $op->{op} eq 'append' ? $$place . $op->{value} : $op->{value};
}

sub end {
    my ($message) = @_;
    if ($view eq 'text') {
        fail('inexact') if $message->{to} != $at;
        fail('inexact') if $digest && $digest->clone->hexdigest ne $message->{sha256};
    }
    report(kind => 'end', status => $message->{status}, code => $message->{error} && $message->{error}{code});
    exit 0;
}
