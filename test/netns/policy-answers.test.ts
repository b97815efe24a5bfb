// What operators are told of policies by a running agent: denials as the kernel drops them, edges as
// it lets them pass, and what a change would do to those.

import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { PolicyDiff } from "../../cli/policy/policy-diff.ts";
import type { WhyReport } from "../../cli/why/why-report.ts";
import type { DenialReport } from "../../netpol-identity/model/denial-report.ts";
import {
  type Manifest,
  namespaceObject,
  type PolicyObjects,
  podObject,
} from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import type { EdgeReport } from "../../netpol-identity/model/edge-report.ts";
import { LANE_LABEL } from "../../service-proxy/plan/lane.ts";
import type { PlaygroundPod } from "../../playground/topology.ts";
import type { PolicyProbe } from "./policy-probe.ts";
import { PolicyRig } from "./policy-rig.ts";
import { clusterIp, servicePort } from "./policy-services.ts";
import { until } from "./served-node.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/innermesh", import.meta.url));
/** Started last: the socket is its own. */
const NODE = 2;
const [FRIEND, STRANGER, SERVER] = ["pod-1-1", "pod-1-2", "pod-2-1"];
const NEIGHBOUR = "pod-2-2";
/** Edges are looked for every half minute. */
const LOOK_LIMIT_MS = 120_000;

describe("answers about policies", () => {
  const socket = `/run/im-answers-${process.pid}.sock`;
  const change = `/run/im-answers-${process.pid}.json`;
  let rig: PolicyRig;
  before(async () => {
    rig = await PolicyRig.build({ podsPerNode: 2, flags: [`--admin-socket=${socket}`] });
    await rig.hold(worldOf(rig.pods, [FRIEND]));
    await writeFile(change, JSON.stringify(serverPolicy([])));
  });
  after(async () => {
    await rig[Symbol.asyncDispose]();
    for (const path of [socket, change]) await rm(path, { force: true });
  });

  const ask = (...words: readonly string[]) => {
    const { netns } = rig.playground.node(NODE);
    return rig.playground.exec(netns, [LAUNCHER, ...words, `--socket=${socket}`, "-o=json"]);
  };
  const read = async (...words: readonly string[]): Promise<unknown> => {
    const { stdout, stderr } = await ask(...words);
    assert.notEqual(stdout, "", stderr);
    return JSON.parse(stdout);
  };
  const flags = (): readonly string[] => [rig.source, `--hostname-override=node-${NODE}`];
  const addressOf = (name: string): string =>
    rig.pods.find((pod) => pod.name === name)?.addresses.ip ?? assert.fail(`no ${name}`);
  const call = (client: string, isAllowed: boolean): Promise<void> => {
    const probe: PolicyProbe = {
      client,
      server: SERVER,
      entry: "pod",
      family: "ip",
      protocol: "TCP",
      port: 80,
      isAllowed,
    };
    return rig.prober.agree("a call", [probe]);
  };

  test("a denial is told with its pods and its rule", async () => {
    await call(STRANGER, false);
    let found: DenialReport["denials"][number] | undefined;
    await until("the denial", async () => {
      const { denials } = (await read("policy", "denials")) as DenialReport;
      found = denials.find(({ sourcePod }) => sourcePod === `default/${STRANGER}`);
      return found !== undefined;
    });
    assert.equal(found?.destinationPod, `default/${SERVER}`);
    assert.deepEqual([found?.port, found?.protocol, found?.direction], [80, "TCP", "ingress"]);
    assert.match(found?.rule ?? "", /NetworkPolicy default\/server/);
    const why = (await read(
      "why",
      `default/${STRANGER}`,
      `${addressOf(SERVER)}:80`,
      ...flags(),
    )) as WhyReport;
    assert.equal(why.policies?.verdict, "deny");
    assert.equal(why.isHere, true);
    assert.ok((why.denials?.length ?? 0) > 0);
  });

  test("an edge is remembered, and a change that would deny it is told", async () => {
    await call(FRIEND, true);
    await until(
      "the edge",
      async () => {
        const { pods, edges } = (await read("policy", "edges")) as EdgeReport;
        return edges.some(({ client, port }) => {
          return pods[client.pod ?? -1]?.name === FRIEND && port === 80;
        });
      },
      LOOK_LIMIT_MS,
    );
    const { code, stdout, stderr } = await ask("policy", "diff", "-f", change, ...flags());
    assert.equal(code, 1, stderr);
    const { denied } = JSON.parse(stdout) as PolicyDiff;
    const names = denied.map(({ client, server }) => [client.pod?.name, server.pod?.name]);
    assert.ok(names.some(([from, to]) => from === FRIEND && to === SERVER));
  });
});

describe("answers about what a proxy lane denies", () => {
  const socket = `/run/im-answers-lane-${process.pid}.sock`;
  const change = `/run/im-answers-lane-${process.pid}.json`;
  let rig: PolicyRig;
  before(async () => {
    rig = await PolicyRig.build({
      podsPerNode: 2,
      flags: [`--admin-socket=${socket}`],
      serviceLabels: { [LANE_LABEL]: "l7" },
      speaks: "http",
    });
    await rig.hold(worldOf(rig.pods, []));
    await rig.ready();
  });
  after(async () => {
    await rig[Symbol.asyncDispose]();
    for (const path of [socket, change]) await rm(path, { force: true });
  });

  const clusterIpOf = (server: string): string => {
    const pods = rig.playground.nodes.flatMap((node) => node.pods);
    return clusterIp(pods.findIndex(({ name }) => name === server) + 1, "ip");
  };

  type Denial = DenialReport["denials"][number];

  async function told(by: Denial["by"], client: string): Promise<Denial> {
    const { netns } = rig.playground.node(NODE);
    let found: Denial | undefined;
    await until("the denial", async () => {
      const argv = [LAUNCHER, "policy", "denials", `--socket=${socket}`, "-o=json"];
      const { stdout, stderr } = await rig.playground.exec(netns, argv);
      assert.notEqual(stdout, "", stderr);
      const { denials } = JSON.parse(stdout) as DenialReport;
      found = denials.find(
        (one) => one.by === by && (one.sourcePod ?? one.source).endsWith(client),
      );
      return found !== undefined;
    });
    return found ?? assert.fail("no denial");
  }

  const PROBE = { entry: "service", family: "ip", protocol: "TCP", port: 80 } as const;

  test("whom the gate keeps out is told with the Service and the rule of its endpoints", async () => {
    const way = { ...PROBE, client: NEIGHBOUR, server: SERVER, isAllowed: false };
    await rig.prober.agree("a call by the Service", [way]);
    const { service, rule, direction, port } = await told("gate", NEIGHBOUR);
    assert.deepEqual([service, direction, port], [`default/${SERVER}`, "ingress", 1_080]);
    assert.match(
      rule,
      /^no endpoint of Service default\/\S+ admits it: .*NetworkPolicy default\/server/,
    );
  });

  test("so is a process of the node", async () => {
    await rig.hold({ ...worldOf(rig.pods, []), policies: [serverPolicy([], FRIEND)] });
    const way = { ...PROBE, client: `node-${NODE}`, server: FRIEND, isAllowed: false };
    await rig.prober.agree("a call of the node", [way]);
    const { service, destination } = await told("gate", rig.playground.node(NODE).addresses.ip);
    assert.deepEqual([service, destination], [`default/${FRIEND}`, clusterIpOf(FRIEND)]);
  });

  test("a request that a worker denies is told with its method and path", async () => {
    const world = worldOf(rig.pods, []);
    await rig.hold({ ...world, policies: [readersPolicy()] });
    const { netns } = rig.pods.find(({ name }) => name === NEIGHBOUR) ?? assert.fail();
    const url = `http://${clusterIpOf(SERVER)}:${servicePort(80)}/secret?key=1`;
    const argv = ["curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", url];
    await until("a 403", async () => {
      const { stdout } = await rig.playground.exec(netns, argv);
      return stdout === "403";
    });
    const { method, path, rule, destinationPod, direction } = await told("worker", NEIGHBOUR);
    assert.deepEqual([method, path, direction], ["GET", "/secret", "ingress"]);
    assert.equal(destinationPod, `default/${SERVER}`);
    assert.match(rule, /ServiceAccountPolicy default\/readers/);
  });

  test("it is recorded, and a change that would allow it is told", async () => {
    const { netns } = rig.playground.node(NODE);
    const asked = [`--socket=${socket}`, "-o=json"];
    await until("the request", async () => {
      const argv = [LAUNCHER, "policy", "edges", ...asked];
      const { stdout } = await rig.playground.exec(netns, argv);
      const { edges } = JSON.parse(stdout) as EdgeReport;
      return edges.some(({ requests }) => requests?.some(({ path }) => path === "/secret"));
    });
    await writeFile(change, JSON.stringify(readersPolicy("/secret")));
    const flags = [rig.source, `--hostname-override=node-${NODE}`, "--identity=off"];
    const argv = [LAUNCHER, "policy", "diff", "-f", change, ...asked, ...flags];
    const { code, stdout, stderr } = await rig.playground.exec(netns, argv);
    assert.equal(code, 0, stderr);
    const { requests } = JSON.parse(stdout) as PolicyDiff;
    const names = requests.allowed.map(({ client, server, request: { method, path } }) =>
      [client.pod?.name, server.pod?.name, method, path].join(" "),
    );
    assert.deepEqual(names, [`${NEIGHBOUR} ${SERVER} GET /secret`]);
  });

  test("it is counted as a call of the pod's ServiceAccount", async () => {
    const { netns } = rig.playground.node(NODE);
    const names = `source_namespace="default",service="ServiceAccount default/${SERVER}"`;
    const series = `innermesh_requests_total{${names},port="80",route="",result="denied"} `;
    await until("the count", async () => {
      const argv = ["curl", "-s", "http://127.0.0.1:10249/metrics"];
      return (await rig.playground.exec(netns, argv)).stdout.includes(series);
    });
  });
});

function worldOf(pods: readonly PlaygroundPod[], callers: readonly string[]): PolicyObjects {
  return {
    namespaces: [namespaceObject("default", {})],
    pods: pods.map(({ name, node, addresses }) =>
      podObject({
        namespace: "default",
        name,
        node,
        labels: { pod: name },
        addresses: Object.values(addresses),
        ports: [],
      }),
    ),
    policies: [serverPolicy(callers)],
  };
}

/** Of the server only this may be asked for. */
function readersPolicy(path = "/public"): Manifest {
  return {
    apiVersion: "innermesh.io/v1alpha1",
    kind: "ServiceAccountPolicy",
    metadata: { namespace: "default", name: "readers" },
    spec: {
      podSelector: { matchLabels: { pod: SERVER } },
      action: "Allow",
      ingress: [{ http: [{ path: { type: "Prefix", value: path } }] }],
    },
  };
}

function serverPolicy(callers: readonly string[], server = SERVER): Manifest {
  const from = callers.map((pod) => ({ podSelector: { matchLabels: { pod } } }));
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "default", name: "server" },
    spec: {
      podSelector: { matchLabels: { pod: server } },
      ingress: from.length > 0 ? [{ from }] : [],
    },
  };
}
