// The scenarios of Kubernetes' own NetworkPolicy suite, as the evaluator judges them.

import assert from "node:assert/strict";
import test from "node:test";
import { SampleEvaluator } from "./sample-evaluator.ts";
import { UpstreamWorld } from "./sample-policy-objects.ts";
import { isAllowed, UPSTREAM_CASES, UPSTREAM_PODS, type UpstreamTable } from "./upstream-cases.ts";

for (const { suite, name, steps } of UPSTREAM_CASES) {
  test(`${suite}: ${name}`, () => {
    const world = new UpstreamWorld();
    const evaluator = new SampleEvaluator();
    for (const { changes, tables } of steps) {
      world.apply(changes);
      evaluator.hold(world.objects);
      for (const table of tables) assert.deepEqual(differences(evaluator, table), []);
    }
  });
}

function differences(evaluator: SampleEvaluator, table: UpstreamTable): readonly string[] {
  return UPSTREAM_PODS.flatMap((client) =>
    UPSTREAM_PODS.filter((server) => server !== client).flatMap((server) =>
      (["ip", "ip6"] as const).flatMap((family) => {
        const [from, to] = [client.addresses[family], server.addresses[family]];
        const { protocol, port } = table;
        const flow = { from, to, protocol, port };
        const verdicts = [evaluator.egress(flow), evaluator.ingress(flow)];
        const isSo = verdicts.every(({ kind }) => kind === "allow");
        if (isSo === isAllowed(table, client.name, server.name)) return [];
        const rules = verdicts.map(({ kind, rule }) => `${kind} (${rule})`).join(", ");
        return [`${client.name} > ${server.name}, ${family} ${protocol} ${port}: ${rules}`];
      }),
    ),
  );
}
