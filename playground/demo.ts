// The guided tour of `make demo`: two small nodes in network namespaces, real servers, one
// `innermesh node` each. Every line it prints is an observation that it made and checked.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createPlayground, sweepPlaygrounds } from "./cluster.ts";
import { IDENTITY_STEPS } from "./demo-identity.ts";
import { KERNEL_STEPS, WEB } from "./demo-kernel.ts";
import { POLICY_STEPS } from "./demo-policy.ts";
import { PROXY_STEPS } from "./demo-proxy.ts";
import { ROUTE_STEPS } from "./demo-routes.ts";
import { LAUNCHER, launch, objectsOf, podsOf, type Stage, writeServices } from "./demo-stage.ts";
import { DemoTour, type TourOutput } from "./demo-tour.ts";
import { startEchoServers } from "./echo.ts";
import { openProbe } from "./probe.ts";
import { startWebPeer } from "./web.ts";
import { listenToWire } from "./wire.ts";

const PARTS = [
  {
    title: "Two nodes, four pods, one outside client: network namespaces on this machine",
    steps: KERNEL_STEPS,
  },
  { title: "Services that ask for more get a proxy on each node", steps: PROXY_STEPS },
  { title: "Routes: HTTPRoute and GRPCRoute with a Service as parent", steps: ROUTE_STEPS },
  { title: "Identities: every ServiceAccount proves itself on the wire", steps: IDENTITY_STEPS },
  { title: "Policies: who may call whom, proved by the certificate", steps: POLICY_STEPS },
  { title: "The way back", steps: [leave] },
];

/**
 * Runs the tour and takes everything down again, also after Ctrl-C.
 * @returns how many steps did not see what they should
 */
export async function runDemo(output: TourOutput, signal: AbortSignal): Promise<number> {
  await sweepPlaygrounds();
  const directory = await mkdtemp(join(tmpdir(), "innermesh-demo-"));
  const tour = new DemoTour(output);
  try {
    await mkdir(objectsOf(directory));
    await using playground = await createPlayground({ nodes: 2, podsPerNode: 2, cni: "routed" });
    await using servers = await startEchoServers(playground, podsOf(playground));
    await writeServices({ playground, directory }, WEB);
    await using pod = openProbe(playground, playground.pod(1, 1).netns);
    await using client = openProbe(playground, playground.client.netns);
    await using peer = startWebPeer(playground, playground.pod(1, 1).netns);
    await using wire = listenToWire(playground, playground.node(1));
    const nodes = playground.nodes.map((node) => launch({ playground, directory }, node));
    const stage: Stage = { playground, tour, directory, servers, nodes, pod, client, peer, wire };
    try {
      await takeParts(stage, signal);
    } finally {
      await Promise.all(nodes.map((node) => node.stop()));
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return tour.end();
}

async function takeParts(stage: Stage, signal: AbortSignal): Promise<void> {
  for (const { title, steps } of PARTS) {
    if (signal.aborted) return;
    stage.tour.title(title);
    for (const step of steps) {
      if (signal.aborted) return;
      await step(stage);
    }
  }
}

async function leave({ tour, playground, nodes }: Stage): Promise<void> {
  await tour.step("innermesh cleanup takes everything away again", async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    for (const { netns } of playground.nodes) {
      const removed = await playground.exec(netns, [LAUNCHER, "cleanup"]);
      assert.equal(removed.code, 0, removed.stderr);
      const { stdout } = await playground.exec(netns, ["nft", "list", "tables"]);
      assert.equal(stdout, "");
    }
    return "no table is left on either node";
  });
}
