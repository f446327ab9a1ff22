// SPDX-License-Identifier: Apache-2.0
// An ordinary Node service that knows nothing of tracing. service.mjs PORT
//   /fetch?url=U  by fetch(), /request?url=U by http.request; POST /test as in service.py
import http from "node:http";

const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 256 });

function request(url) {
  return new Promise((resolve, reject) => {
    http.get(url, { agent }, (answer) => {
      let body = "";
      answer.on("data", (chunk) => (body += chunk));
      answer.on("end", () => resolve(body));
    }).on("error", reject);
  });
}

async function read(message) {
  let body = "";
  for await (const chunk of message) body += chunk;
  return body;
}

async function callAll(calls) {
  for (const { url, arguments: given } of calls) {
    const answer = await fetch(url, {
      method: "POST",
      body: JSON.stringify(given),
      headers: { "content-type": "application/json" },
    });
    await answer.arrayBuffer();
  }
  return "{}";
}

async function answer(message) {
  const { pathname, searchParams } = new URL(message.url, "http://localhost");
  if (message.method === "POST" && pathname === "/test")
    return callAll(JSON.parse(await read(message)));
  if (pathname.startsWith("/fetch"))
    return (await fetch(searchParams.get("url"))).text();
  if (pathname.startsWith("/request")) return request(searchParams.get("url"));
  if (pathname === "/echo") return JSON.stringify(Object.entries(message.headers));
  return "hello from node\n";
}

http.createServer((message, response) => {
  answer(message).then(
    (body) => response.end(body),
    (error) => {
      response.statusCode = 502;
      response.end(String(error));
    },
  );
}).listen(Number(process.argv[2]), "127.0.0.1");
