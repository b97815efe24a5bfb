import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ByteStream, StreamOwner } from "./byte-stream.ts";
import { StreamPair } from "./stream-pair.ts";

/** Hears everything, in words. */
class Listener implements StreamOwner {
  readonly heard: string[] = [];
  onHeard: (what: string) => void = () => {};

  onOpen(): void {
    this.#hear("open");
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.#hear(bytes.toString("latin1", start, end));
  }

  onEnd(): void {
    this.#hear("(end)");
  }

  onDrained(): void {
    this.#hear("(drained)");
  }

  onClosed(code: string | undefined): void {
    this.#hear(`(closed ${code})`);
  }

  /** All since the last call. */
  take(): string[] {
    return this.heard.splice(0);
  }

  #hear(what: string): void {
    this.heard.push(what);
    this.onHeard(what);
  }
}

class Rig {
  keptBytes = 0;
  readonly near = new Listener();
  readonly far = new Listener();
  readonly pair: StreamPair;
  #works: (() => void)[] = [];

  /** Open, with the far end reading. */
  constructor() {
    this.pair = new StreamPair(
      {
        later: (work) => void this.#works.push(work),
        kept: (bytes) => void (this.keptBytes += bytes),
      },
      {
        to: { address: "10.0.0.2", port: 80 },
        from: { address: "10.0.0.1", port: 0 },
        proof: undefined,
      },
      this.near,
    );
    this.pair.far.owner = this.far;
  }

  opened(): this {
    this.pair.far.resume();
    this.pair.open();
    this.round();
    this.near.take();
    return this;
  }

  /** The end of a round of events. */
  round(): void {
    for (let work = this.#works.shift(); work !== undefined; work = this.#works.shift()) work();
  }
}

function say(stream: ByteStream, text: string): boolean {
  const bytes = Buffer.from(text, "latin1");
  return stream.write(bytes, 0, bytes.length);
}

test("it is open once it is said to be, and bytes go both ways at the end of the round", () => {
  const rig = new Rig();
  const { near, far, pair } = rig;
  assert.equal(pair.near.isOpen, false);
  pair.open();
  assert.deepEqual([near.take(), pair.near.isOpen, pair.far.isOpen], [["open"], true, true]);
  pair.far.resume();
  say(pair.near, "question");
  say(pair.far, "answer");
  assert.deepEqual([near.take(), far.take()], [[], []]);
  rig.round();
  assert.deepEqual([near.take(), far.take()], [["answer"], ["question"]]);
});

test("both ends are named, and bytes are copied", () => {
  const rig = new Rig().opened();
  const { pair, far } = rig;
  assert.deepEqual(pair.near.remote, { address: "10.0.0.2", port: 80 });
  assert.deepEqual(pair.far.local, pair.near.remote);
  assert.deepEqual(pair.far.remote, { address: "10.0.0.1", port: 0 });
  const bytes = Buffer.from("xabcx");
  pair.near.write(bytes, 1, 4);
  bytes.fill("-");
  rig.round();
  assert.deepEqual(far.take(), ["abc"]);
});

test("a paused end makes the other wait, and tells when it goes on", () => {
  const rig = new Rig().opened();
  const { pair, near, far } = rig;
  assert.equal(say(pair.near, "a"), true);
  pair.far.pause();
  assert.equal(say(pair.near, "b"), false);
  rig.round();
  assert.deepEqual([far.take(), pair.near.queuedBytes, rig.keptBytes], [[], 2, 2]);
  pair.far.resume();
  rig.round();
  assert.deepEqual([far.take(), near.take()], [["a", "b"], ["(drained)"]]);
  assert.deepEqual([pair.near.queuedBytes, rig.keptBytes], [0, 0]);
});

test("an end that pauses at some bytes gets the next ones later", () => {
  const rig = new Rig().opened();
  const { pair, near, far } = rig;
  far.onHeard = () => pair.far.pause();
  say(pair.near, "a");
  say(pair.near, "b");
  pair.near.end();
  rig.round();
  assert.deepEqual(far.take(), ["a"]);
  pair.far.resume();
  rig.round();
  assert.deepEqual(far.take(), ["b"]);
  pair.far.resume();
  rig.round();
  assert.deepEqual([far.take(), near.take()], [["(end)"], []]);
});

test("each direction ends by itself; once both have, both are closed in order", () => {
  const rig = new Rig().opened();
  const { pair, near, far } = rig;
  say(pair.near, "last");
  pair.near.end();
  say(pair.near, "too late");
  rig.round();
  assert.deepEqual([far.take(), near.take()], [["last", "(end)"], []]);
  say(pair.far, "answer");
  pair.far.end();
  rig.round();
  assert.deepEqual(near.take(), ["answer", "(closed undefined)"]);
  assert.deepEqual(far.take(), ["(closed undefined)"]);
});

test("a reset resets the other end, whatever waits there", () => {
  const rig = new Rig().opened();
  const { pair, near, far } = rig;
  pair.far.pause();
  say(pair.near, "lost");
  pair.near.reset();
  pair.near.reset();
  rig.round();
  assert.deepEqual([near.take(), far.take()], [[], ["(closed ECONNRESET)"]]);
  assert.equal(rig.keptBytes, 0);
});

test("a close lets the other end read what was sent, and write nothing any more", () => {
  const rig = new Rig().opened();
  const { pair, near, far } = rig;
  say(pair.near, "bye");
  pair.near.close();
  rig.round();
  assert.deepEqual([near.take(), far.take()], [[], ["bye", "(end)"]]);
  say(pair.far, "anybody there?");
  rig.round();
  assert.deepEqual(far.take(), ["(closed EPIPE)"]);
});

test("a close with unread bytes resets, as a socket's does", () => {
  const rig = new Rig().opened();
  const { pair, near } = rig;
  pair.far.pause();
  say(pair.near, "unread");
  pair.far.close();
  rig.round();
  assert.deepEqual([near.take(), rig.keptBytes], [["(closed ECONNRESET)"], 0]);
});

test("a dial that fails is told to whoever dialled; one that is given up, to the other end", () => {
  const failed = new Rig();
  failed.pair.fail("ECONNREFUSED");
  assert.deepEqual(failed.near.take(), ["(closed ECONNREFUSED)"]);
  const given = new Rig();
  given.pair.near.close();
  given.round();
  given.pair.open();
  assert.deepEqual([given.near.take(), given.far.take()], [[], ["(closed ECONNRESET)"]]);
});

test("whatever the order of things, all bytes arrive in order, and both ends are closed", () => {
  const steps = fc.constantFrom(
    "write",
    "answer",
    "pause",
    "resume",
    "pause near",
    "resume near",
    "",
  );
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 60 }), (order) => {
      const rig = new Rig().opened();
      const { near, far } = rig.pair;
      let [sent, answered] = ["", ""];
      for (const [i, step] of order.entries()) {
        if (step === "write") {
          sent += `${i},`;
          say(near, `${i},`);
        } else if (step === "answer") {
          answered += `${i},`;
          say(far, `${i},`);
        } else if (step === "pause") far.pause();
        else if (step === "resume") far.resume();
        else if (step === "pause near") near.pause();
        else if (step === "resume near") near.resume();
        else rig.round();
      }
      for (const end of [near, far]) {
        end.resume();
        end.end();
      }
      rig.round();
      const [byNear, byFar] = [rig.near.take(), rig.far.take()];
      assert.equal(byFar.filter((what) => /^\d/.test(what)).join(""), sent);
      assert.equal(byNear.filter((what) => /^\d/.test(what)).join(""), answered);
      assert.deepEqual([byNear.at(-1), byFar.at(-1)], Array(2).fill("(closed undefined)"));
      assert.deepEqual([rig.keptBytes, near.queuedBytes, far.queuedBytes], [0, 0, 0]);
    }),
  );
});
