// Program: measures nf_tables in the network namespace it was started in, with a table of as many
// Services and endpoints as its two arguments say. Prints one JSON object: what each step took.

import assert from "node:assert/strict";
import { openNetlinkKernel } from "../lib/nft/kernel.ts";
import { encodeBatch } from "../lib/nft/encode.ts";
import { openCommandKernel } from "../lib/nft/nft-command.ts";
import { SetRegistry } from "../lib/nft/set-registry.ts";
import type { CommitTimes } from "./nft-commit.bench.ts";
import { lastEndpoint, removeTable, TABLE, wholeTable } from "./sample-table.ts";
import { median, percentile } from "./statistics.ts";

const CHANGES = 400;
const ROUNDS = 5;
/** Prime to the number of Services, so that changes are spread over all of them. */
const STRIDE = 47;

const [services = 0, endpoints = 0] = process.argv.slice(2).map(Number);
assert(services > 0 && endpoints > 1);
const size = { services, endpoints };
const whole = wholeTable(size);
const kernel = await openNetlinkKernel();
const encodesMs: number[] = [];
const commitsMs: number[] = [];
let sentBytes = 0;
for (let round = 0; round < ROUNDS; round++) {
  encodesMs.push(
    await timed(async () => {
      sentBytes = encodeBatch([whole], new SetRegistry()).bytes.length;
    }),
  );
  commitsMs.push(await timed(() => kernel.commit([whole])));
}
const changesMs: number[] = [];
for (let i = 0; i < CHANGES; i++) {
  const service = (Math.floor(i / 2) * STRIDE) % services;
  const change = lastEndpoint(service, i % 2 === 0 ? "leaves" : "returns", size);
  changesMs.push(await timed(() => kernel.commit([change])));
}
const readMs = await timed(async () => {
  const contents = await kernel.read("ip", TABLE);
  assert.equal(contents?.sets.get("endpoints")?.size, services * endpoints);
});
await kernel.commit([removeTable()]);
await kernel.close();
const command = await openCommandKernel();
const nftMs = await timed(() => command.commit([whole]));
const nftChangeMs = await timed(() => command.commit([lastEndpoint(0, "leaves", size)]));
await command.close();
const times: CommitTimes = {
  encodeMs: median(encodesMs),
  commitMs: median(commitsMs),
  sentBytes,
  changeP50Ms: median(changesMs),
  changeP99Ms: percentile(changesMs, 0.99),
  readMs,
  nftMs,
  nftChangeMs,
};
process.stdout.write(`${JSON.stringify(times)}\n`);

async function timed(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}
