<?php
// SPDX-License-Identifier: Apache-2.0
// Drivers of PHP, as driver.py: driver.php NAME PORT plain|tls|compressed [HTTP_PORT]; the built-in
// server of eight processes, with connections that outlive a request.
if (PHP_SAPI == "cli") {
    [, $name, $port, $how] = $argv;
    if (isset($argv[4]))
        pcntl_exec(PHP_BINARY, ["-S", "127.0.0.1:" . $argv[4], __FILE__], getenv() + [
            "DRIVER" => "$name $port $how", "PHP_CLI_SERVER_WORKERS" => "8"]);
} else
    [$name, $port, $how] = explode(" ", getenv("DRIVER"));
$tls = $how == "tls";

function connection() {
    global $name, $port, $how, $tls;
    switch ($name) {
    case "pgsql":
        return pg_pconnect("host=127.0.0.1 port=$port user=postgres dbname=postgres sslmode=" .
            ($tls ? "require" : "disable"));
    case "pdo_pgsql":
        return new PDO("pgsql:host=127.0.0.1;port=$port;dbname=postgres;user=postgres;sslmode=" .
            ($tls ? "require" : "disable"), null, null,
            [PDO::ATTR_PERSISTENT => true, PDO::ATTR_ERRMODE => PDO::ERRMODE_SILENT]);
    case "mysqli":
        mysqli_report(MYSQLI_REPORT_OFF);
        $c = mysqli_init();
        $c->real_connect("p:127.0.0.1", "app", "correcthorse", "shop", (int)$port, null,
            ($tls ? MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT : 0) |
            ($how == "compressed" ? MYSQLI_CLIENT_COMPRESS : 0));
        return $c;
    case "pdo_mysql":
        return new PDO("mysql:host=127.0.0.1;port=$port;dbname=shop", "app", "correcthorse",
            [PDO::ATTR_PERSISTENT => true, PDO::ATTR_ERRMODE => PDO::ERRMODE_SILENT,
             PDO::ATTR_EMULATE_PREPARES => false] + ($tls ? [PDO::MYSQL_ATTR_SSL_CA => "",
             PDO::MYSQL_ATTR_SSL_CIPHER => "DEFAULT",
             PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => false] : []));
    case "redis":
        $c = new Redis();
        $c->pconnect(($tls ? "tls://" : "") . "127.0.0.1", (int)$port, 10, null, 0, 0,
            $tls ? ["stream" => ["verify_peer" => false, "verify_peer_name" => false]] : []);
        return $c;
    case "predis":
        require_once "Predis/Autoloader.php";
        Predis\Autoloader::register();
        return new Predis\Client(["scheme" => $tls ? "tls" : "tcp", "host" => "127.0.0.1",
            "port" => $port, "persistent" => true,
            "ssl" => ["verify_peer" => false, "verify_peer_name" => false]]);
    }
}

function ask($c, $n) {
    global $name;
    foreach (["a", "b", "c"] as $part)
        switch ($name) {
        case "pgsql":
            pg_fetch_all(pg_query_params($c, "SELECT $1::int AS r{$n}_$part", [7]));
            break;
        case "mysqli":
            $c->query("select 7 as r{$n}_$part")->fetch_all();
            break;
        case "pdo_pgsql":
        case "pdo_mysql":
            $s = $c->prepare("select ? as r{$n}_$part");
            $s->execute([7]);
            $s->fetchAll();
            break;
        default:
            $c->incr("r{$n}_$part");
        }
}

function must($holds) {
    if (!$holds)
        throw new Exception("not as it must be");
}

function play_pgsql($c) {
    pg_query($c, "CREATE TEMP TABLE things (a int, b text)");
    pg_prepare($c, "in", "INSERT INTO things VALUES ($1, $2)");
    for ($i = 0; $i < 50; $i++)
        pg_execute($c, "in", [$i, "it's"]);
    must(!@pg_query($c, "SELECT 1/0"));
    must(!@pg_query_params($c, "SELECT nothing FROM nowhere", []));
    pg_copy_from($c, "things", array_fill(0, 5000, "1\tcopied\n"));
    must(count(pg_copy_to($c, "things")) == 5050);
    pg_send_query($c, "SELECT 1 AS one; SELECT 2 AS two");
    while (pg_get_result($c));
    pg_query($c, "BEGIN");
    $large = pg_lo_open($c, pg_lo_create($c), "w");
    pg_lo_write($large, str_repeat("x", 10000));
    pg_query($c, "COMMIT");
    pg_query($c, "LISTEN news");
    pg_query($c, "NOTIFY news");
    must(pg_get_notify($c));
    pg_insert($c, "things", ["a" => 1, "b" => "inserted"]);
}

function play_pdo($c) {
    $insert = $c->prepare("INSERT INTO t VALUES (?, ?)");
    for ($i = 4; $i < 54; $i++)
        $insert->execute([$i, "it's $i"]);
    $s = $c->prepare("SELECT s FROM t WHERE n > :n");
    $s->execute(["n" => 3]);
    must(count($s->fetchAll()) == 50);
    must(!$c->query("SELECT nothing FROM nowhere"));
    $broken = $c->prepare("SELECT broken FROM nowhere");
    must(!$broken || !$broken->execute());
    $c->beginTransaction();
    $c->exec("DELETE FROM t WHERE n > 3");
    $c->commit();
}

function play_pdo_pgsql($c) {
    $c->exec("CREATE TEMP TABLE t (n int, s text)");
    play_pdo($c);
    $c->setAttribute(PDO::ATTR_EMULATE_PREPARES, true);
    $c->prepare("SELECT s FROM t WHERE n = ?")->execute([1]);
    $c->pgsqlCopyFromArray("t", array_fill(0, 5000, "1\tcopied"));
    must(count($c->pgsqlCopyToArray("t")) == 5000);
}

function play_pdo_mysql($c) {
    play_pdo($c);
    $s = $c->query("CALL two()");
    while ($s->nextRowset());
}

function play_mysqli($c) {
    $s = $c->prepare("insert into t values (?, ?)");
    $text = "it's";
    for ($i = 4; $i < 54; $i++) {
        $s->bind_param("is", $i, $text);
        $s->execute();
    }
    must(!$c->query("select nonsense from t"));
    $c->multi_query("select 1; select n from t; select 2");
    do { $r = $c->store_result(); } while ($c->next_result());
    $c->query("select n from t", MYSQLI_USE_RESULT)->fetch_all();
    $c->query("select sleep(0.05)", MYSQLI_ASYNC);
    $read = $error = $reject = [$c];
    must(mysqli_poll($read, $error, $reject, 10) == 1);
    $c->reap_async_query()->fetch_all();
    $c->begin_transaction();
    $c->query("delete from t where n > 3");
    $c->commit();
    strlen($c->query("select repeat('x', 1000000) as long_row")->fetch_row()[0]);
}

function play_redis($c) {
    $c->set("k", "v");
    $c->select(1);
    $p = $c->multi(Redis::PIPELINE);
    for ($i = 0; $i < 300; $i++)
        $p->incr("n");
    $p->exec();
    $c->multi()->incr("n")->get("n")->exec();
    $c->set("big", str_repeat("x", 3000000));
    must(strlen($c->get("big")) == 3000000);
    must(!$c->lpush("n", "x"));
}

function play_predis($c) {
    $c->set("k", "v");
    $c->select(1);
    $c->pipeline(function ($p) { for ($i = 0; $i < 300; $i++) $p->incr("n"); });
    $c->transaction(function ($t) { $t->incr("n"); $t->get("n"); });
    $c->set("big", str_repeat("x", 3000000));
    must(strlen($c->get("big")) == 3000000);
}

if (PHP_SAPI == "cli") {
    ("play_$name")(connection());
    return;
}
ask(connection(), basename($_SERVER["REQUEST_URI"]));
echo "ok";
