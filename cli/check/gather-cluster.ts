// Asks the source: the API server about itself and about what we may do, and one snapshot of the
// objects in it.

import { access } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { familyOf, parseAddress } from "../../lib/ip/address.ts";
import { asList, asRecord, asText } from "../../lib/kube/api/fields.ts";
import { type KubeClient, makeKubeClient } from "../../lib/kube/client.ts";
import { KubeApiError } from "../../lib/kube/kube-api-error.ts";
import type { ClientConfig } from "../../lib/kube/kubeconfig.ts";
import type { NodeSettings } from "../../service-proxy/config/node-settings.ts";
import { isServiceRef } from "../../service-proxy/plan/route-attachment.ts";
import { routesOf } from "../../service-proxy/plan/route-plan.ts";
import { clientConfig } from "../kube-access.ts";
import { type Snapshot, takeSnapshot } from "../snapshot.ts";
import { AGENT_ACCESS, GATEWAY, GROUP_VERSIONS } from "./access.ts";
import {
  type ClusterFacts,
  type ClusterObjects,
  type Denied,
  type Fact,
  type GatewayDefinitions,
  known,
  unknown,
} from "./facts.ts";
import { factOf } from "./kernel-files.ts";

const ANSWER_TIMEOUT_MS = 10_000;
const REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

export interface GatheredCluster {
  readonly facts: ClusterFacts;
  readonly snapshot: Fact<Snapshot>;
  /** The API server as this node dials it; empty for a directory or a name. */
  readonly apiServerAddresses: readonly string[];
}

/** @param flags what `innermesh node` would be given */
export async function gatherCluster(
  flags: readonly string[],
  { source }: NodeSettings,
): Promise<GatheredCluster> {
  if (source.kind === "directory") {
    // A directory that is not there yet would be waited for.
    const snapshot = await factOf(async () => {
      await access(source.path);
      return takeSnapshot(flags);
    });
    const none = unknown("a directory has no API server");
    const facts: ClusterFacts = {
      gatewayApi: none,
      source: "directory",
      version: none,
      clockSkewMs: none,
      resources: none,
      denied: none,
      objects: objectsOf(snapshot),
    };
    return { facts, snapshot, apiServerAddresses: [] };
  }
  const config = await factOf(() => clientConfig(source));
  if (config.kind === "unknown") return unreachable(config.why);
  const client = makeKubeClient(config.value, systemClock);
  try {
    return await askServer(flags, client, config.value);
  } finally {
    client.close();
  }
}

function unreachable(why: string): GatheredCluster {
  const none = unknown(why);
  const facts = {
    version: none,
    clockSkewMs: none,
    resources: none,
    denied: none,
    gatewayApi: none,
    objects: none,
  };
  return { facts: { source: "api", ...facts }, snapshot: none, apiServerAddresses: [] };
}

async function askServer(
  flags: readonly string[],
  client: KubeClient,
  config: ClientConfig,
): Promise<GatheredCluster> {
  const get = (path: string): Promise<unknown> =>
    client.getJson(path, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
  const version = await factOf(async () => asText(asRecord(await get("/version"))["gitVersion"]));
  if (version.kind === "unknown") return unreachable(version.why);
  const denied = await factOf(() => deniedAccess(client));
  const missing = denied.kind === "known" ? denied.value.filter(({ needed }) => needed) : [];
  // Lists that are refused would be asked for again and again.
  const snapshot =
    missing.length > 0
      ? unknown(`these credentials may not ${missing.map((one) => one.access).join(", ")}`)
      : await factOf(() => takeSnapshot(flags));
  const host = parseAddress(config.server.hostname.replace(/^\[|\]$/g, ""));
  const facts: ClusterFacts = {
    source: "api",
    version,
    clockSkewMs: await factOf(() => clockSkewMs(config)),
    resources: await factOf(() => servedResources(get)),
    denied,
    gatewayApi: await factOf(() => gatewayDefinitions(get)),
    objects: objectsOf(snapshot),
  };
  return { facts, snapshot, apiServerAddresses: host === undefined ? [] : [host] };
}

async function servedResources(
  get: (path: string) => Promise<unknown>,
): Promise<ReadonlySet<string>> {
  const served = new Set<string>();
  for (const groupVersion of GROUP_VERSIONS) {
    try {
      const list = asRecord(await get(`/apis/${groupVersion}`));
      for (const resource of asList(list["resources"])) {
        served.add(`${groupVersion} ${asText(asRecord(resource)["name"])}`);
      }
    } catch (error) {
      if (!(error instanceof KubeApiError) || error.code !== 404) throw error;
    }
  }
  return served;
}

/** The group is seen by everybody, its definitions by those who may read such. */
async function gatewayDefinitions(
  get: (path: string) => Promise<unknown>,
): Promise<GatewayDefinitions | undefined> {
  const orIf = (code: number) => (error: unknown) => {
    if (error instanceof KubeApiError && error.code === code) return undefined;
    throw error;
  };
  const group = await get(`/apis/${GATEWAY}`).catch(orIf(404));
  if (group === undefined) return undefined;
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/httproutes.${GATEWAY}`;
  const definition = asRecord(await get(path).catch(orIf(403)));
  const annotations = asRecord(asRecord(definition["metadata"])["annotations"]);
  return {
    version: asText(annotations[`${GATEWAY}/bundle-version`]),
    channel: asText(annotations[`${GATEWAY}/channel`]),
  };
}

async function deniedAccess(client: KubeClient): Promise<readonly Denied[]> {
  const questions = AGENT_ACCESS.flatMap((access) =>
    access.verbs.map((verb) => ({ ...access, verb })),
  );
  const answers = await Promise.all(
    questions.map(async ({ group, resource, verb, needed }) => {
      const review = {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SelfSubjectAccessReview",
        spec: { resourceAttributes: { group, resource, verb } },
      };
      const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
      const answer = asRecord(await client.create(REVIEWS, review, { signal }));
      const allowed = asRecord(answer["status"])["allowed"] === true;
      return allowed ? [] : [{ access: `${verb} ${resource}`, needed }];
    }),
  );
  return answers.flat();
}

/** The server's Date header against the middle of the time that the question took. */
function clockSkewMs({
  server,
  ca,
  insecureSkipTlsVerify,
  tlsServerName,
}: ClientConfig): Promise<number> {
  const options = {
    method: "HEAD",
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    ...(ca === undefined ? {} : { ca }),
    ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
    rejectUnauthorized: !insecureSkipTlsVerify,
  };
  const url = new URL(`${server.pathname.replace(/\/$/, "")}/version`, server);
  return new Promise((resolve, reject) => {
    const startMs = Date.now();
    const request =
      url.protocol === "https:" ? https.request(url, options) : http.request(url, options);
    request.on("error", reject);
    request.on("response", (response) => {
      response.resume();
      // The header tells whole seconds: half of one is added.
      const serverMs = Date.parse(response.headers.date ?? "") + 500;
      if (Number.isNaN(serverMs)) reject(new Error("the API server tells no date"));
      else resolve(serverMs - (startMs + Date.now()) / 2);
    });
    request.end();
  });
}

function objectsOf(snapshot: Fact<Snapshot>): Fact<ClusterObjects> {
  if (snapshot.kind === "unknown") return snapshot;
  const { store, plan, nodeName } = snapshot.value;
  const services = [...store.services];
  const cidrs = [...store.serviceCidrs.values()].flatMap((one) => one.cidrs);
  const clusterIps = services.flatMap(([, { clusterIPs }]) => clusterIPs);
  return known({
    node: store.nodes.get(nodeName),
    serviceCount: services.length,
    routeCount: [...routesOf(store)].filter(({ parentRefs }) => parentRefs.some(isServiceRef))
      .length,
    laneServices: laneServicesOf(plan),
    families: new Set([...cidrs, ...clusterIps].map(familyOf)),
    sctpServices: services
      .filter(([, { ports }]) => ports.some(({ protocol }) => protocol === "SCTP"))
      .map(([key]) => key),
    nodePorts: services.flatMap(([, { ports }]) =>
      ports.map(({ nodePort }) => nodePort).filter((port) => port !== 0),
    ),
    problems: [...[...store.problems.values()].flat(), ...plan.problems()],
  });
}

function laneServicesOf({ families }: Snapshot["plan"]): readonly string[] {
  const names = families.flatMap(({ proxy }) => {
    const { frontends, ports } = proxy.whole();
    const served = new Set(frontends.map(([, frontend]) => frontend?.port));
    return ports.flatMap(([key, port]) => (port !== null && served.has(key) ? [port.service] : []));
  });
  return [...new Set(names)];
}
