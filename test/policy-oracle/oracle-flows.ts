// All flows among a cluster's pods and some hosts outside of it.

import type { SampleFlow } from "../../netpol-identity/evaluate/sample-evaluator.ts";
import type { PolicyObjects } from "../../netpol-identity/evaluate/sample-policy-objects.ts";

/** What servers are asked on; ICMP has port 0. */
export type AskedPort = Pick<SampleFlow, "protocol" | "port">;

/** Every pair within a family, but no pod with itself; outsiders never call each other. */
export function flowsAmong(
  { pods }: PolicyObjects,
  outsiders: readonly string[],
  asked: readonly AskedPort[],
): readonly SampleFlow[] {
  const inside = pods.map((pod) => addressesOf(pod));
  const outside = outsiders.map((address) => [address]);
  const all = [...inside, ...outside];
  return all.flatMap((client, from) =>
    all.flatMap((server, to) => {
      const isOutside = from >= inside.length && to >= inside.length;
      return from === to || isOutside ? [] : flowsBetween(client, server, asked);
    }),
  );
}

function flowsBetween(
  client: readonly string[],
  server: readonly string[],
  asked: readonly AskedPort[],
): readonly SampleFlow[] {
  return client.flatMap((from) =>
    server
      .filter((to) => to.includes(":") === from.includes(":"))
      .flatMap((to) => asked.map((one) => ({ from, to, ...one }))),
  );
}

/** As its status tells them. */
export function addressesOf(pod: PolicyObjects["pods"][number]): readonly string[] {
  const status = pod["status"] as { readonly podIPs: readonly { readonly ip: string }[] };
  return status.podIPs.map(({ ip }) => ip);
}
