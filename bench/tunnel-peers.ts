// What our tunnels are compared with: Envoy, and Node by itself, a process on each node; and the
// kernel's lane, which has no tunnel.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ensureEnvoy } from "../test/interop/envoy-binary.ts";
import { makeTestAuthority } from "../test/interop/test-authority.ts";
import type { Target } from "./rig.ts";
import { envoyTunnelConfig } from "./tunnel-envoy-config.ts";
import type { TunnelPeerPlan } from "./tunnel-peer-plan.ts";
import { benchProgram, STREAM_PORTS, type TunnelStage } from "./tunnel-stage.ts";
import { DOORS, type Door, type Side, SIDES, type TunnelSubject } from "./tunnel-subject.ts";

const ENVOY_FLAGS = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];

interface Peer {
  readonly key: "envoy" | "node:http2";
  readonly version: string;
  readonly firstPort: number;
  /** Writes what it needs. @returns its command line */
  readonly argv: (side: Side, plan: TunnelPeerPlan) => Promise<readonly string[]>;
}

/** No tunnel: pods without identities. */
export function direct(stage: TunnelStage): TunnelSubject {
  const doors = doorsTo(stage.plain, [stage.plain]);
  return { key: "none", subject: "none", pids: undefined, doors };
}

/** Our own: one worker on each node. */
export function innermesh(stage: TunnelStage): TunnelSubject {
  const { enrolled } = stage;
  const [pooled] = enrolled;
  assert(pooled !== undefined);
  const worker = (side: Side): number => {
    const [pid] = stage.agent(side).workers();
    return pid ?? assert.fail(`the ${side}'s agent has no worker`);
  };
  return {
    key: "innermesh",
    subject: "innermesh",
    pids: { client: worker("client"), server: worker("server") },
    doors: doorsTo(pooled, enrolled),
  };
}

/** Each serves when it resolves. @throws when one cannot be had or does not answer */
export async function startTunnelPeers(stage: TunnelStage): Promise<readonly TunnelSubject[]> {
  const envoy = await ensureEnvoy();
  const { stdout } = await promisify(execFile)(envoy, ["--version"]);
  const peers: readonly Peer[] = [
    {
      key: "envoy",
      version: /\/(\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? assert.fail(stdout),
      firstPort: 9_400,
      argv: async (side, plan) => {
        const path = join(stage.directory, `envoy-${side}.json`);
        await writeFile(path, envoyTunnelConfig(side, plan));
        return [envoy, ...ENVOY_FLAGS, "--config-path", path];
      },
    },
    {
      key: "node:http2",
      version: process.versions.node,
      firstPort: 9_500,
      argv: async (side, plan) => {
        const path = join(stage.directory, "node-http2.json");
        await writeFile(path, JSON.stringify(plan));
        return [...benchProgram("tunnel-http2-program.ts"), side, path];
      },
    },
  ];
  const files = await certificates(stage.directory);
  const subjects: TunnelSubject[] = [];
  for (const peer of peers) subjects.push(await startPeer(stage, peer, files));
  return subjects;
}

async function startPeer(
  stage: TunnelStage,
  { key, version, firstPort, argv }: Peer,
  files: Pick<TunnelPeerPlan, "files" | "rootsFile">,
): Promise<TunnelSubject> {
  const [backend] = stage.enrolled;
  assert(backend !== undefined);
  const doors = byDoor((index) => {
    return { address: stage.nodeAddress("client"), port: firstPort + 1 + index };
  });
  const plan: TunnelPeerPlan = {
    ...files,
    doors,
    targets: {
      pooled: backend,
      cold: backend,
      sink: { ...backend, port: STREAM_PORTS.sink },
      source: { ...backend, port: STREAM_PORTS.source },
    },
    server: { address: stage.nodeAddress("server"), port: firstPort },
  };
  const [client, server] = await Promise.all(
    SIDES.map(async (side) => stage.spawnPeer(side, await argv(side, plan)).pid),
  );
  assert(client !== undefined && server !== undefined, `${key} was not started`);
  await stage.awaitAnswer(doors.pooled);
  await stage.awaitAnswer(doors.cold);
  const { pooled, cold, sink, source } = doors;
  return {
    key,
    subject: `${key} ${version}`,
    pids: { client, server },
    doors: { pooled: [pooled], cold: [cold], sink: [sink], source: [source] },
  };
}

/** Of a subject that is called at the addresses of the servers themselves. */
function doorsTo(backend: Target, cold: readonly Target[]): TunnelSubject["doors"] {
  const { sink, source } = STREAM_PORTS;
  return {
    pooled: [backend],
    cold,
    sink: [{ ...backend, port: sink }],
    source: [{ ...backend, port: source }],
  };
}

function byDoor(targetOf: (index: number) => Target): Readonly<Record<Door, Target>> {
  const entries = DOORS.map((door, index) => [door, targetOf(index)] as const);
  return Object.fromEntries(entries) as Record<Door, Target>;
}

/** Of the same kind as our own: P-256, one SPIFFE URI, under a root of their own. */
async function certificates(
  directory: string,
): Promise<Pick<TunnelPeerPlan, "files" | "rootsFile">> {
  const authority = await makeTestAuthority(directory);
  const [client, server] = await Promise.all(
    SIDES.map((side) => authority.issue(`spiffe://cluster.local/ns/default/sa/${side}`)),
  );
  assert(client !== undefined && server !== undefined);
  return { files: { client, server }, rootsFile: authority.rootsFile };
}
