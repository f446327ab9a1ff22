#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Clients for people, as driver.py: cli.sh NAME PORT plain|tls|compressed
set -eu
name=$1 port=$2 how=$3

is() { [ "$how" = "$1" ] && printf %s "$2" || true; }

export PGHOST=127.0.0.1 PGPORT="$port" PGUSER=postgres PGDATABASE=postgres
export PGSSLMODE="$(is tls require)"
[ -n "$PGSSLMODE" ] || PGSSLMODE=disable

case $name in
psql)
    psql -Xq <<'END' >out
CREATE TEMP TABLE things (a int, b text);
INSERT INTO things SELECT i, 'secret ' || i FROM generate_series(1, 5000) i;
SELECT a, b FROM things WHERE b = 'it''s a secret';
\copy things TO 'rows'
\copy things FROM 'rows'
\set FETCH_COUNT 1000
SELECT a FROM things;
\unset FETCH_COUNT
SELECT 1/0;
SELECT nothing FROM nowhere;
SELECT 1 AS one \; SELECT 2 AS two;
\lo_import rows
\dt things
SELECT 'SELECT ' || i || ' AS made' FROM generate_series(1, 5) i \gexec
END
    ;;
pgbench)
    pgbench -iq 2>/dev/null
    for mode in simple extended prepared; do
        pgbench -n -M $mode -c 4 -j 2 -t 25 >/dev/null
    done
    ;;
mariadb)
    mariadb --no-defaults -h127.0.0.1 -P"$port" -uapp -pcorrecthorse --force $(is tls --ssl) \
        $(is compressed --compress) shop <<'END' >out 2>/dev/null || true
select n, s from t where s = 'o''ne';
insert into t values (4, 'four');
select nothing from t;
call two();
select repeat('x', 1000000) as long_row;
delete from t where n > 3;
END
    ;;
redis-cli)
    redis-cli -p "$port" $(is tls --tls) $(is tls --insecure) <<'END' >out
set k v
select 1
lpush l a b c
get l
multi
incr n
exec
hset h f v
END
    seq 2000 | sed 's/.*/set piped:& v/' | redis-cli -p "$port" $(is tls --tls) $(is tls --insecure) >out
    ;;
redis-benchmark)
    redis-benchmark -p "$port" $(is tls --tls) $(is tls --insecure) -P 16 -n 1600 -c 10 -q \
        -t set,get,incr,lpush,mset >/dev/null
    ;;
esac
