// SPDX-License-Identifier: Apache-2.0
// An ordinary Node service with logs that knows nothing of tracing. logging_service.mjs PORT
//   GET /r/N: lines of text on standard output and of JSON on standard error; /waits/r/N: and after a
//   wait
import http from "node:http";
import { setTimeout as wait } from "node:timers/promises";

http
  .createServer(async (request, answer) => {
    console.log("asked for %s", request.url);
    console.error(JSON.stringify({ level: "info", path: request.url }));
    if (request.url.startsWith("/waits")) {
      await wait(1);
      console.log("waited for %s", request.url);
    }
    answer.on("finish", () => console.log("answered %s", request.url));
    answer.end(request.url);
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
