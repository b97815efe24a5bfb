// Random policies, and every way to a pod: the packets have their way where the evaluator
// says so, and nowhere else, on each lane. INNERMESH_SEED repeats a run.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { SampleEvaluator } from "../../netpol-identity/evaluate/sample-evaluator.ts";
import type { PolicyObjects } from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import { LANE_LABEL } from "../../service-proxy/plan/lane.ts";
import { NAMESPACES } from "../policy-oracle/random-objects.ts";
import { randomTiers } from "../policy-oracle/random-tiers.ts";
import { matrixProbes } from "./policy-matrix.ts";
import { PolicyRig, type PolicyRigOptions } from "./zz-h-rig.ts";

interface MatrixLane {
  readonly name: string;
  readonly options: Omit<PolicyRigOptions, "podsPerNode">;
}

const LANES: readonly MatrixLane[] = [
  { name: "the kernel, routed pods", options: {} },
  { name: "the kernel, pods on a bridge", options: { cni: "bridge" } },
  { name: "the L4 lane", options: { serviceLabels: { [LANE_LABEL]: "l4" } } },
  { name: "the L7 lane", options: { serviceLabels: { [LANE_LABEL]: "l7" }, speaks: "http" } },
  { name: "tunnels", options: { hasIdentities: true } },
];
const SEED = Number(process.env["INNERMESH_SEED"] ?? randomInt(2 ** 31));
const ROUNDS = process.env["INNERMESH_SOAK"] ? 500 : 60;

describe("what the evaluator says is what packets meet", () => {
  for (const { name, options } of LANES) {
    test(name, async (t) => {
      t.diagnostic(`INNERMESH_SEED=${SEED}`);
      await using rig = await PolicyRig.build({ podsPerNode: 3, ...options });
      const { hasIdentities = false } = options;
      const hosts = rig.pods.map(({ node, addresses }, at) => ({
        node,
        addresses: Object.values(addresses),
        // Who moves to another one is somebody else and needs another certificate.
        ...(hasIdentities && { namespace: NAMESPACES[at % NAMESPACES.length] ?? "" }),
      }));
      const evaluator = new SampleEvaluator(options);
      const worlds = fc.sample(randomTiers(hosts, hasIdentities), { seed: SEED, numRuns: ROUNDS });
      for (const [round, world] of worlds.entries()) {
        evaluator.hold(world);
        await rig.hold(world);
        if (round === 0) await rig.ready();
        const probes = matrixProbes(rig, evaluator, options);
        await rig.prober.agree(told(world, round), probes).catch((e: Error) => { const ls=e.message.split("\n").slice(1); const c: Record<string,number>={}; for (const l of ls){const k=l.replace(/pod-(\d)-\d > pod-(\d)-\d/,(_,a,b)=>a===b?"pod>same":"pod>other").replace(/(node-\d|client) > pod-\d-\d/,"$1>pod").replace(/TCP \d+/,"TCP");c[k]=(c[k]??0)+1;} console.log(round,JSON.stringify(c)); });
      }
      if (!hasIdentities) return;
      const labels = ['side="client"', 'result="ok"'];
      const tunnelled = await rig.metric("innermesh_tunnel_connections_total{", ...labels);
      assert(Math.max(0, ...tunnelled) > 0, "nothing went through tunnels");
    });
  }
});

function told({ policies, namespaces, pods }: PolicyObjects, round: number): string {
  const objects = JSON.stringify([...policies, ...namespaces, ...pods]);
  return `round ${round} of INNERMESH_SEED=${SEED}, ${objects}`;
}
