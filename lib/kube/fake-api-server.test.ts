// The fake is a product too: it must be wrong about nothing that the reflector relies on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { asList, asRecord, asText } from "./api/fields.ts";
import { SERVICES, serviceNamed } from "./fake-api-rig.ts";
import { parseFieldSelector, parseLabelSelector } from "./fake-api-selectors.ts";
import { FakeApiServer } from "./fake-api-server.ts";

async function get(server: FakeApiServer, query: Record<string, string>): Promise<Response> {
  const url = new URL(`${SERVICES}?${new URLSearchParams(query).toString()}`, server.url);
  return fetch(url);
}

/** Reads so many events of a watch and leaves. */
async function watch(
  server: FakeApiServer,
  query: Record<string, string>,
  count: number,
): Promise<readonly string[]> {
  const response = await get(server, { watch: "true", ...query });
  assert.equal(response.status, 200);
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += new TextDecoder().decode(chunk);
    if (text.split("\n").length > count) break;
  }
  const lines = text.split("\n").slice(0, count);
  return lines.map((line) => {
    const { type, object } = asRecord(JSON.parse(line));
    const metadata = asRecord(asRecord(object)["metadata"]);
    const name = asText(metadata["name"]) || "-";
    return `${asText(type)} ${name} ${asText(metadata["resourceVersion"])}`;
  });
}

test("label and field selectors choose as the API server's do", () => {
  const object = {
    metadata: { name: "a", labels: { x: "1", "a/b": "" } },
    spec: { clusterIP: "" },
  };
  const chosen = (selects: (object: object) => boolean): boolean => selects(object);
  for (const [text, want] of [
    ["", true],
    ["x", true],
    ["!x", false],
    ["!a/b", false],
    ["!y", true],
    ["x=1,!y", true],
    ["x==1", true],
    ["x=2", false],
    ["x!=2", true],
    ["y!=2", true],
  ] as const) {
    assert.equal(
      chosen((one) => parseLabelSelector(text)({ ...one })),
      want,
      text,
    );
  }
  for (const [text, want] of [
    ["metadata.name=a", true],
    ["metadata.name!=a", false],
    ["spec.clusterIP!=None", true],
    ["spec.none=", true],
  ] as const) {
    assert.equal(
      chosen((one) => parseFieldSelector(text)({ ...one })),
      want,
      text,
    );
  }
});

test("pages show one moment and end without a token", async () => {
  await using server = await FakeApiServer.start();
  for (const name of ["a", "b", "c"]) server.put(serviceNamed(name));
  const first = asRecord(await (await get(server, { limit: "2" })).json());
  const token = String(asRecord(first["metadata"])["continue"]);
  const query = { limit: "2", continue: token };
  const second = asRecord(await (await get(server, query)).json());
  assert.equal(asList(first["items"]).length, 2);
  assert.equal(asList(second["items"]).length, 1);
  assert.equal(asRecord(second["metadata"])["continue"], "");
  server.state.compact();
  server.put(serviceNamed("d"));
  server.state.compact();
  assert.equal((await get(server, query)).status, 410);
});

test("a watch replays from its version; without that version it is 410", async () => {
  await using server = await FakeApiServer.start();
  server.put(serviceNamed("a"));
  const from = { resourceVersion: `${server.state.version}` };
  server.put(serviceNamed("b"));
  server.put(serviceNamed("b"));
  server.remove({ kind: "Service", name: "a" });
  const want = ["ADDED b 1002", "MODIFIED b 1003", "DELETED a 1004"];
  assert.deepEqual(await watch(server, from, 3), want);
  server.state.compact();
  assert.equal((await get(server, { watch: "true", ...from })).status, 410);
});

test("a streamed list ends with its bookmark, and only a server that can streams", async () => {
  await using server = await FakeApiServer.start();
  server.put(serviceNamed("a"));
  const query = { sendInitialEvents: "true" };
  assert.deepEqual(await watch(server, query, 2), ["ADDED a 1001", "BOOKMARK - 1001"]);
  await using old = await FakeApiServer.start({ watchList: false });
  assert.equal((await get(old, { watch: "true", ...query })).status, 422);
});

test("an object that a selector no longer chooses is deleted from the watch's view", async () => {
  await using server = await FakeApiServer.start();
  const labelled = { ...serviceNamed("a"), metadata: { name: "a", labels: { hidden: "yes" } } };
  const from = { resourceVersion: `${server.state.version}`, labelSelector: "!hidden" };
  for (const object of [serviceNamed("a"), labelled, labelled, serviceNamed("a")]) {
    server.put(object);
  }
  const want = ["ADDED a 1001", "DELETED a 1002", "ADDED a 1004"];
  assert.deepEqual(await watch(server, from, 3), want);
});
