// The scenarios of Kubernetes' own NetworkPolicy suite with real packets: every pod calls every
// other one through its Service, over both families. SCTP's three are judged without packets, since
// kernels here lack it.

import { after, before, describe, test } from "node:test";
import { UpstreamWorld } from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import {
  isAllowed,
  UPSTREAM_CASES,
  UPSTREAM_PODS,
  type UpstreamTable,
} from "../../netpol-identity/evaluate/upstream-cases.ts";
import { LANE_LABEL } from "../../service-proxy/plan/lane.ts";
import type { PolicyProbe } from "./policy-probe.ts";
import { PolicyRig, type PolicyRigOptions } from "./policy-rig.ts";
import { FAMILIES } from "./served-node.ts";

/** How Services are served. */
const LANES: Readonly<Record<string, Omit<PolicyRigOptions, "podsPerNode">>> = {
  kernel: {},
  L4: { serviceLabels: { [LANE_LABEL]: "l4" } },
};

for (const [lane, options] of Object.entries(LANES)) {
  describe(`upstream's scenarios, through Services of the ${lane} lane`, () => {
    let rig: PolicyRig;
    before(async () => {
      rig = await PolicyRig.build({ podsPerNode: 5, ...options });
      await rig.hold(new UpstreamWorld().objects);
      await rig.ready();
    });
    after(async () => await rig[Symbol.asyncDispose]());

    for (const { suite, name, steps } of UPSTREAM_CASES) {
      if (suite === "SCTP") continue;
      test(`${suite}: ${name}`, async () => {
        const world = new UpstreamWorld();
        for (const [at, { changes, tables }] of steps.entries()) {
          world.apply(changes);
          await rig.hold(world.objects);
          await rig.prober.agree(`step ${at + 1}`, tables.flatMap(probesOf));
        }
      });
    }
  });
}

function probesOf(table: UpstreamTable): readonly PolicyProbe[] {
  const { protocol, port } = table;
  if (protocol === "SCTP") return [];
  return UPSTREAM_PODS.flatMap((client) =>
    UPSTREAM_PODS.filter((server) => server !== client).flatMap((server) =>
      FAMILIES.map((family) => ({
        client: client.host,
        server: server.host,
        entry: "service",
        family,
        protocol,
        port,
        isAllowed: isAllowed(table, client.name, server.name),
      })),
    ),
  );
}
