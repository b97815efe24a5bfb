// Program: an HTTP client in the network namespace it was started in, as its parent says on stdin
// (`HttpClientCalls`).

import { Agent } from "node:http";
import { connect } from "node:net";
import { answerCalls } from "../../playground/line-calls.ts";
import { encodeMessage, MessageReader } from "./grpc-message.ts";
import type { HttpCall, HttpClientCalls, HttpResult } from "./http-client-protocol.ts";
import { callHttp1, callHttp2, openHttp2, openSession } from "./http-client-requests.ts";

answerCalls<HttpClientCalls>({
  call: ({ call, count, parallel, reuse }) => callMany(call, { count, parallel, reuse }),
  raw: sayRaw,
  websocket: talk,
  chat: chatOverGrpc,
});

async function callMany(
  call: HttpCall,
  { count, parallel, reuse }: { count: number; parallel: number; reuse: boolean },
): Promise<readonly HttpResult[]> {
  const isHttp2 = call.protocol === "http2";
  const agent = new Agent({ keepAlive: reuse, maxSockets: parallel });
  const shared = isHttp2 && reuse ? openSession(call) : undefined;
  const one = async (): Promise<HttpResult> => {
    if (!isHttp2) return callHttp1(call, agent);
    const session = shared ?? openSession(call);
    const result = await callHttp2(call, session);
    if (session !== shared) session.close();
    return result;
  };
  const results: HttpResult[] = [];
  let left = count;
  const work = async (): Promise<void> => {
    while (left-- > 0) results.push(await one());
  };
  await Promise.all(Array.from({ length: Math.min(parallel, count) }, work));
  agent.destroy();
  shared?.close();
  return results;
}

function sayRaw({
  address,
  port,
  steps,
  timeoutMs,
}: HttpClientCalls["raw"]["request"]): Promise<HttpClientCalls["raw"]["reply"]> {
  const socket = connect(port, address);
  let text = "";
  let isOpen = true;
  let next = 0;
  const { promise, resolve } = Promise.withResolvers<HttpClientCalls["raw"]["reply"]>();
  const end = (): void => {
    resolve({ text, isOpen });
    socket.destroy();
  };
  const goOn = (): void => {
    for (; next < steps.length; next++) {
      const awaited = next === 0 ? undefined : steps[next - 1]?.until;
      if (awaited !== undefined && !text.includes(awaited)) return;
      socket.write(steps[next]?.send ?? "", "latin1");
    }
    const last = steps.at(-1)?.until;
    if (last !== undefined && text.includes(last)) end();
  };
  socket.on("connect", goOn);
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    goOn();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    isOpen = false;
    end();
  });
  socket.setTimeout(timeoutMs, end);
  return promise;
}

function talk({
  url,
  messages,
  timeoutMs,
}: HttpClientCalls["websocket"]["request"]): Promise<HttpClientCalls["websocket"]["reply"]> {
  const { promise, resolve } = Promise.withResolvers<HttpClientCalls["websocket"]["reply"]>();
  const heard: string[] = [];
  const socket = new WebSocket(url);
  const end = (why: string): void => resolve({ heard, end: why });
  const say = (): void => {
    const message = messages[heard.length];
    if (message === undefined) socket.close(1000);
    else socket.send(message);
  };
  socket.addEventListener("open", say);
  socket.addEventListener("message", ({ data }) => {
    heard.push(String(data));
    say();
  });
  socket.addEventListener("error", () => end("error"));
  socket.addEventListener("close", ({ code }) => end(`closed ${code}`));
  setTimeout(() => end("timeout"), timeoutMs).unref();
  return promise;
}

async function chatOverGrpc({
  call,
  messages,
}: HttpClientCalls["chat"]["request"]): Promise<HttpClientCalls["chat"]["reply"]> {
  const session = openSession(call);
  // A body, but not yet: the stream must stay open.
  const stream = openHttp2(session, { ...call, method: "POST", body: "" });
  const reader = new MessageReader();
  const heard: unknown[] = [];
  let grpcStatus = "none";
  const say = (): void => {
    const message = messages[heard.length];
    if (message === undefined) stream.end();
    else stream.write(encodeMessage(message));
  };
  stream.on("error", () => {});
  stream.on("response", (headers) => {
    grpcStatus = String(headers["grpc-status"] ?? grpcStatus);
  });
  stream.on("trailers", (trailers) => {
    grpcStatus = String(trailers["grpc-status"] ?? grpcStatus);
  });
  stream.on("data", (chunk: Buffer) => {
    const before = heard.length;
    heard.push(...reader.read(chunk));
    if (heard.length > before) say();
  });
  say();
  await new Promise((resolve) => stream.once("close", resolve));
  session.close();
  return { heard, grpcStatus };
}
