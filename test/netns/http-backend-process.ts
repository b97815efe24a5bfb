// Program: HTTP backends for the pods that its parent names on stdin (`HttpBackendCalls`), each
// made inside its pod's namespace by switching the thread there.

import { closeSync, openSync } from "node:fs";
import { once } from "node:events";
import type { Server } from "node:net";
import { inNetworkNamespace } from "../../lib/sys/ffi.ts";
import { answerCalls } from "../../playground/line-calls.ts";
import { createHttp1Backend } from "./http-backend-h1.ts";
import { createHttp2Backend } from "./http-backend-h2.ts";
import { BackendLog } from "./http-backend-log.ts";
import { HTTP1_PORT, HTTP2_PORT, type HttpBackendCalls } from "./http-backend-protocol.ts";

const home = openSync("/proc/self/ns/net", "r");
const log = new BackendLog();

answerCalls<HttpBackendCalls>({
  async serve({ pod, netns }) {
    const there = openSync(netns, "r");
    try {
      await inNetworkNamespace(there, home, () =>
        Promise.all([
          listen(createHttp1Backend(pod, log), HTTP1_PORT),
          listen(createHttp2Backend(pod, log), HTTP2_PORT),
        ]),
      );
    } finally {
      closeSync(there);
    }
    return null;
  },
  seen({ id }) {
    return log.of(id);
  },
});

async function listen(server: Server, port: number): Promise<void> {
  const listening = once(server, "listening");
  server.listen(port);
  await listening;
}
