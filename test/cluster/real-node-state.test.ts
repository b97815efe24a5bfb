// What real nodes leave beside namespaces, on the real cgroup hierarchies. Needs root.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, globSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  cgroupName,
  createCgroup,
  createStateDirectory,
  removeNodeState,
  stateDirectory,
  sweepNodeStates,
} from "../../playground/real-node-state.ts";

const aPrefix = (): string => `im-${randomBytes(3).toString("hex")}`;

test("removing the state of nodes ends what runs in their cgroups, and leaves nothing", async () => {
  const prefix = aPrefix();
  await createStateDirectory(prefix);
  await createCgroup(`${cgroupName(prefix)}/node-1`);
  const cgroups = globSync(`/sys/fs/cgroup/{,*/}${cgroupName(prefix)}`);
  assert.notEqual(cgroups.length, 0);
  const child = spawn("sleep", ["60"]);
  const ended = once(child, "exit");
  for (const cgroup of cgroups) {
    writeFileSync(join(cgroup, "node-1/cgroup.procs"), String(child.pid));
  }
  await removeNodeState(prefix);
  assert.deepEqual(await ended, [null, "SIGKILL"]);
  assert.deepEqual(cgroups.filter(existsSync), []);
  assert.equal(existsSync(stateDirectory(prefix)), false);
});

test("a sweep removes the state of dead playgrounds alone", async () => {
  const [dead, living] = [aPrefix(), aPrefix()];
  await createStateDirectory(dead);
  await createStateDirectory(living);
  try {
    const swept = await sweepNodeStates((prefix) => prefix !== dead);
    assert.deepEqual(swept, [dead]);
    assert.equal(existsSync(stateDirectory(living)), true);
  } finally {
    await removeNodeState(living);
  }
});
