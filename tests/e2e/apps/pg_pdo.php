<?php
// SPDX-License-Identifier: Apache-2.0
// pg_pdo.php PORT
$c = new PDO("pgsql:host=127.0.0.1;port={$argv[1]};dbname=postgres;user=postgres");
$c->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_SILENT);
$c->exec("CREATE TEMP TABLE things (a int, b text)");
$insert = $c->prepare("INSERT INTO things VALUES (?, ?)");
for ($i = 0; $i < 10; $i++)
    $insert->execute([$i, "it's $i"]);
$select = $c->prepare("SELECT b FROM things WHERE a < :a");
$select->execute(["a" => 4]);
if (count($select->fetchAll()) != 4)
    exit(1);
$c->query("SELECT nothing FROM nowhere");
$c->prepare("SELECT broken FROM nowhere")->execute();
$c->beginTransaction();
$c->query("SELECT 1 AS inside");
$c->commit();
