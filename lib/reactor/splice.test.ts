import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { after, test } from "node:test";
import { Reactor } from "./reactor.ts";
import { listenOnLoopback, loopbackDialer } from "./sample-loopback.ts";
import { Splice } from "./splice.ts";
import { TcpStream } from "./tcp-stream.ts";
import type { StreamOwner } from "./byte-stream.ts";

const reactor = new Reactor(() => performance.now());
after(() => reactor.stop());
const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };

interface Joined {
  readonly near: Socket;
  readonly far: Socket;
  readonly splice: Splice;
  readonly result: Promise<string>;
}

/** Two programs with a splice between them. */
async function join(): Promise<Joined> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const result = Promise.withResolvers<string>();
  const made = Promise.withResolvers<Splice>();
  const listener = listenOnLoopback(reactor, (fd, ends) => {
    const near = TcpStream.accepted(reactor, fd, ends, NOBODY);
    const to = { address: "127.0.0.1", port };
    const onOpen = (): void => {
      assert(typeof far !== "string");
      // Promises are settled where microtasks run.
      const onEnd = (how: string): void => void setImmediate(() => result.resolve(how));
      const splice = new Splice(near, far, onEnd);
      setImmediate(() => made.resolve(splice));
    };
    const far = loopbackDialer(reactor).dial({ to }, { ...NOBODY, onOpen });
  });
  const near = connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true });
  near.on("error", () => {});
  const [far] = (await once(server, "connection")) as [Socket];
  far.on("error", () => {});
  const splice = await made.promise;
  listener.close();
  server.close();
  return { near, far, splice, result: result.promise };
}

test("bytes and ends go both ways, and both are counted", async () => {
  const { near, far, splice, result } = await join();
  near.end("question");
  const [question] = await once(far, "data");
  await once(far, "end");
  far.end("answer!");
  const [answer] = await once(near, "data");
  assert.equal(`${question} ${answer}`, "question answer!");
  assert.equal(await result, "ok");
  assert.deepEqual([splice.nearBytes, splice.farBytes], [8, 7]);
});

test("a reset of one resets the other", async () => {
  const { near, far, result } = await join();
  near.resetAndDestroy();
  await new Promise<void>((resolve) => void far.once("close", () => resolve()));
  assert.equal(far.errored instanceof Error, true);
  assert.equal(await result, "reset");
});

test("a side that is not read makes the other wait", async () => {
  const { near, far, splice } = await join();
  far.pause();
  const total = 32 << 20;
  near.end(Buffer.alloc(total));
  let before = -1;
  while (splice.nearBytes !== before || before === 0) {
    before = splice.nearBytes;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert(splice.nearBytes < total);
  let received = 0;
  far.on("data", (bytes: Buffer) => void (received += bytes.length));
  far.resume();
  await once(far, "end");
  assert.equal(received, total);
  splice.abort();
});

test("an abort resets both, and says so once", async () => {
  const { near, far, splice, result } = await join();
  const closed = [near, far].map(
    (socket) => new Promise<void>((resolve) => void socket.once("close", () => resolve())),
  );
  splice.abort();
  splice.abort();
  await Promise.all(closed);
  assert.equal(await result, "aborted");
});
