// What lasts: downloads, WebSockets, streams, kept connections, and how each of them ended.

import { once } from "node:events";
import { Agent, type IncomingMessage, request as httpRequest } from "node:http";
import { connect } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { LongReport, LongRequest } from "./fault-client-protocol.ts";

const PIECE_BYTES = 1024;
const ANSWER_MS = 5_000;

/** Never rejects for what the other side does. */
export async function runLong(asked: LongRequest): Promise<LongReport> {
  const run = { download, websocket, h2, requests }[asked.kind];
  return await run(asked);
}

function get(
  { address, port }: LongRequest,
  path: string,
  agent: Agent,
  headers = {},
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { host: address, port, path, agent, headers };
    httpRequest(options, resolve).once("error", reject).end();
  });
}

async function download(asked: LongRequest): Promise<LongReport> {
  const agent = new Agent({ keepAlive: true });
  let [bytes, warned, complete, error] = [0, false, false, ""];
  try {
    const path = `/trickle?n=${asked.pieces}&ms=${asked.everyMs}`;
    const response = await get(asked, path, agent);
    warned = response.headers.connection === "close";
    for await (const chunk of response) bytes += (chunk as Buffer).length;
    ({ complete } = response);
  } catch (thrown) {
    error = codeOf(thrown);
  }
  agent.destroy();
  return { pieces: bytes / PIECE_BYTES, complete, warned, error };
}

async function websocket(asked: LongRequest): Promise<LongReport> {
  const { address, port } = asked;
  const upgrade = { connection: "Upgrade", upgrade: "websocket" };
  const headers = {
    ...upgrade,
    "sec-websocket-version": "13",
    "sec-websocket-key": "x".repeat(22),
  };
  const request = httpRequest({ host: address, port, headers });
  request.end();
  const [, socket] = (await once(request, "upgrade")) as [IncomingMessage, Socket];
  let pieces = 0;
  const failed = Promise.withResolvers<string>();
  socket.once("error", (error) => failed.resolve(codeOf(error)));
  socket.once("close", () => failed.resolve("closed"));
  for (; pieces < asked.pieces; pieces++) {
    socket.write(`message ${pieces}`);
    const answer = once(socket, "data").then(([bytes]) => `${bytes}`);
    const got = await Promise.race([answer, failed.promise, delay(ANSWER_MS, "timeout")]);
    if (got !== `message ${pieces}`) {
      return { pieces, complete: false, warned: false, error: got };
    }
    await delay(asked.everyMs);
  }
  socket.destroy();
  return { pieces, complete: true, warned: false, error: "" };
}

async function h2(asked: LongRequest): Promise<LongReport> {
  const session = connect(`http://${asked.address}:${asked.port}`);
  let [pieces, warned, error] = [0, false, ""];
  session.on("goaway", () => (warned = true)).on("error", () => {});
  const stream = session.request({ ":method": "POST", ":path": "/echo" });
  const over = once(stream, "close").then(() => "closed");
  stream.on("error", (thrown) => (error = codeOf(thrown)));
  for (; pieces < asked.pieces; pieces++) {
    stream.write(`message ${pieces}`);
    const answer = once(stream, "data").then(([bytes]) => `${bytes}`);
    const got = await Promise.race([answer, over, delay(ANSWER_MS, "timeout")]).catch(codeOf);
    if (got !== `message ${pieces}`) {
      return { pieces, complete: false, warned, error: error || got };
    }
    await delay(asked.everyMs);
  }
  stream.end();
  stream.resume();
  await Promise.race([over, delay(ANSWER_MS)]);
  session.close();
  return { pieces, complete: stream.rstCode === 0 && error === "", warned, error };
}

async function requests(asked: LongRequest): Promise<LongReport> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let [pieces, warned, error] = [0, false, ""];
  for (let i = 0; i < asked.pieces; i++) {
    try {
      const response = await get(asked, `/request/${i}`, agent);
      warned ||= response.headers.connection === "close";
      for await (const _ of response);
      if (response.complete && response.statusCode === 200) pieces++;
    } catch (thrown) {
      error = codeOf(thrown);
    }
    await delay(asked.everyMs);
  }
  agent.destroy();
  return { pieces, complete: pieces === asked.pieces, warned, error };
}

function codeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return "unknown";
  return "code" in thrown ? String(thrown.code) : thrown.message;
}
