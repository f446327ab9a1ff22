<?php
// SPDX-License-Identifier: Apache-2.0
// /<cell>/<token> answers with the token after two calls to the backend.
[, $cell, $token] = explode('/', $_SERVER['REQUEST_URI']);
if (!str_ends_with($cell, 'pdo')) {
    $curl = curl_init();
    curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
    foreach ([0, 1] as $k) {
        curl_setopt($curl, CURLOPT_URL, 'http://127.0.0.1:' . getenv('BACK_HTTP') . "/$token.$k");
        curl_exec($curl);
    }
} else {
    $pdo = new PDO('pgsql:host=127.0.0.1;user=app;dbname=app;port=' . getenv('BACK_PG'));
    foreach ([0, 1] as $k)
        $pdo->query("SELECT 1 AS {$token}_$k")->fetchAll();
}
header('Content-Type: text/plain');
header('Content-Length: ' . strlen($token));
echo $token;
