<?php
// SPDX-License-Identifier: Apache-2.0
// A client and a worker of Gearman by libgearman: prints what was sent or came.

function data_of(int $number): string
{
    return "$number " . str_repeat("\0\0REQ", $number % 3)
        . str_repeat(hash("sha256", "$number", true), $number % 200);
}

function submit(int $port, int $count, string $how): void
{
    $client = new GearmanClient();
    $client->addServer("127.0.0.1", $port);
    $client->setTimeout(30000);
    for ($number = 0; $number < $count; $number++) {
        $data = data_of($number);
        if ($how == "background") {
            $handle = $client->doBackground("work", $data);
            echo "$handle ", hash("sha256", $data), "\n";
        } else {
            $result = @$client->doNormal("work", $data);
            echo $number, " ", $client->returnCode(), " ", $result, "\n";
        }
    }
}

// A call for each; those whose number ends in 7 fail. A job "end" ends it.
function work(int $port, int $back, string $unused): void
{
    $worker = new GearmanWorker();
    $worker->addServer("127.0.0.1", $port);
    $ends = false;
    $worker->addFunction("end", function () use (&$ends) {
        $ends = true;
    });
    $worker->addFunction("work", function (GearmanJob $job) use ($back) {
        $number = (int)$job->workload();
        $handle = $job->handle();
        file_get_contents("http://127.0.0.1:$back/echo/$handle");
        echo "$handle ", hash("sha256", $job->workload()), "\n";
        if ($number % 10 == 7) {
            $job->sendFail();
            return null;
        }
        return "done $number";
    });
    echo "ready\n";
    while (!$ends) {
        @$worker->work();
    }
}

$mode = $argv[1];
$mode((int)$argv[2], (int)$argv[3], $argv[4] ?? "");
