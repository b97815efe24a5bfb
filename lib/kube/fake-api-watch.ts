// One open watch of the fake API server, and what a test may do to it.

import type { ServerResponse } from "node:http";
import type { JsonRecord } from "./api/fields.ts";
import type { Selects } from "./fake-api-selectors.ts";
import type { Change, StoredObject } from "./fake-api-state.ts";

/** Lines are written in pieces of about this size, as a real server's buffers do. */
const WRITE_CHARACTERS = 32 * 1024;

export class FakeWatch {
  readonly path: string;
  readonly #selects: Selects;
  readonly #response: ServerResponse;
  #stalled = false;

  constructor(path: string, selects: Selects, response: ServerResponse) {
    this.path = path;
    this.#selects = selects;
    this.#response = response;
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
  }

  sendList(objects: Iterable<StoredObject>): void {
    let text = "";
    for (const { value, text: object } of objects) {
      if (!this.#selects(value)) continue;
      text += `{"type":"ADDED","object":${object}}\n`;
      if (text.length < WRITE_CHARACTERS) continue;
      this.write(text);
      text = "";
    }
    this.write(text);
  }

  /** Sends what the change means to this watch's selectors, which may be nothing. */
  send({ before, after, resourceVersion }: Change): void {
    const was = before !== undefined && this.#selects(before.value);
    const is = after !== undefined && this.#selects(after.value);
    if (is) return this.sendEvent(was ? "MODIFIED" : "ADDED", after.text);
    if (!was) return;
    this.sendEvent("DELETED", JSON.stringify(atVersion(before.value, resourceVersion)));
  }

  sendBookmark(resourceVersion: number, endsList: boolean): void {
    const annotations = endsList ? { "k8s.io/initial-events-end": "true" } : {};
    const metadata = { resourceVersion: `${resourceVersion}`, annotations };
    this.sendEvent("BOOKMARK", JSON.stringify({ metadata }));
  }

  /** Ends the watch as a server does that has an error to tell. */
  sendError(code: number, reason: string): void {
    const status = { kind: "Status", code, reason, message: `fake says ${reason}` };
    this.sendEvent("ERROR", JSON.stringify(status));
    this.end();
  }

  sendEvent(type: string, object: string): void {
    this.write(`{"type":"${type}","object":${object}}\n`);
  }

  write(text: string): void {
    if (this.#stalled || this.#response.writableEnded || text === "") return;
    this.#response.write(text);
  }

  /** Keeps the connection and says nothing until `resume`; what comes meanwhile is lost. */
  stall(): void {
    this.#stalled = true;
  }

  resume(): void {
    this.#stalled = false;
  }

  end(): void {
    if (!this.#stalled) this.#response.end();
  }

  /** Resets the connection. */
  cut(): void {
    this.#response.destroy();
  }
}

function atVersion(value: JsonRecord, resourceVersion: number): JsonRecord {
  const metadata = value["metadata"];
  const old = typeof metadata === "object" ? metadata : {};
  return { ...value, metadata: { ...old, resourceVersion: `${resourceVersion}` } };
}
