// A rehearsal: what a change of policies would have done to connections that were seen. Pods stand
// as they were then, gone or not; namespaces and accounts as they are now.

import type { Pod } from "../../lib/kube/api/pod.ts";
import { type Kind, type KubeObject, type KubeStore, makeStore } from "../../lib/kube/store.ts";
import { formatSpiffeId } from "../../lib/x509/spiffe-id.ts";
import type {
  EdgeEnd,
  EdgePod,
  EdgeReport,
  RecordedEdge,
  RecordedRequest,
} from "../model/edge-report.ts";
import { answerCan, type CanAnswer, type CanEnd, type CanQuestion } from "./can.ts";
import { POLICY_KINDS } from "./policy-book.ts";
import { PolicyIndex } from "./policy-index.ts";

export interface RehearsedEdge extends Omit<RecordedEdge, "client" | "server" | "requests"> {
  readonly client: RehearsedEnd;
  readonly server: RehearsedEnd;
  readonly before: CanAnswer;
  readonly after: CanAnswer;
  /** Those recorded; missing where none are, and where rules look at none. */
  readonly requests?: readonly RehearsedRequest[];
}

export interface RehearsedRequest extends RecordedRequest {
  readonly before: RequestAnswer;
  readonly after: RequestAnswer;
}

/** Open: header fields decide, which nobody recorded. */
export type RequestAnswer = Pick<CanAnswer, "verdict" | "rule">;

export interface RehearsedEnd {
  readonly address: string;
  readonly pod?: EdgePod;
  readonly node?: string;
}

export interface Rehearsal {
  readonly trustDomain: string;
  /** Of several nodes, perhaps: what two of them saw counts once. */
  readonly reports: readonly EdgeReport[];
  /** Whatever is not a policy, as it is. */
  readonly cluster: Pick<KubeStore, "namespaces" | "serviceAccounts" | "nodes">;
  readonly before: readonly KubeObject[];
  readonly after: readonly KubeObject[];
}

interface SeenEdge extends Omit<RecordedEdge, "client" | "server"> {
  readonly client: SeenEnd;
  readonly server: SeenEnd;
}

interface SeenEnd extends RehearsedEnd {
  /** Equal for equal pods; "" for none. */
  readonly face: string;
}

/** Edges among which each address is one pod's, and each name. */
interface Scene {
  readonly owners: Map<string, string>;
  readonly names: Map<string, string>;
  readonly addresses: Map<string, Set<string>>;
  readonly pods: Map<string, EdgePod>;
  readonly edges: SeenEdge[];
}

/**
 * Judges every edge by both. An address that several pods had in turn is each one's own.
 * @returns those seen last stand last
 */
export function rehearse(rehearsal: Rehearsal): readonly RehearsedEdge[] {
  const scenes: Scene[] = [];
  for (const edge of mergeEdges(rehearsal.reports)) {
    let scene = scenes.find((one) => fits(one, edge));
    if (scene === undefined) scenes.push((scene = emptyScene()));
    place(scene, edge);
  }
  const rehearsed = scenes.flatMap((scene) => play(scene, rehearsal));
  return rehearsed.sort((a, b) => a.lastMs - b.lastMs);
}

function mergeEdges(reports: readonly EdgeReport[]): Iterable<SeenEdge> {
  const merged = new Map<string, SeenEdge>();
  for (const { pods, edges } of reports) {
    const faces = pods.map((pod) => JSON.stringify(pod));
    const endOf = ({ address, pod, node }: EdgeEnd): SeenEnd => {
      const known = pod === undefined ? undefined : pods[pod];
      return {
        address,
        face: faces[pod ?? -1] ?? "",
        ...(known !== undefined && { pod: known }),
        ...(node !== undefined && { node }),
      };
    };
    for (const edge of edges) {
      const [client, server] = [endOf(edge.client), endOf(edge.server)];
      const { protocol, port, isProven } = edge;
      const key = JSON.stringify([client, server, protocol, port, isProven]);
      const other = merged.get(key);
      const firstMs = Math.min(edge.firstMs, other?.firstMs ?? Infinity);
      const lastMs = Math.max(edge.lastMs, other?.lastMs ?? 0);
      const count = Math.max(edge.count, other?.count ?? 0);
      const told = { ...edge, client, server, firstMs, lastMs, count };
      merged.set(key, { ...told, ...mergeRequests(edge, other) });
    }
  }
  return merged.values();
}

function mergeRequests(
  edge: RecordedEdge,
  other: SeenEdge | undefined,
): Pick<RecordedEdge, "requests" | "hasMoreRequests"> {
  if (other?.requests === undefined) return {};
  const all = [...other.requests, ...(edge.requests ?? [])];
  const requests = new Map(all.map((one) => [`${one.method} ${one.host} ${one.path}`, one]));
  const hasMoreRequests = edge.hasMoreRequests === true || other.hasMoreRequests === true;
  return { requests: [...requests.values()], ...(hasMoreRequests && { hasMoreRequests }) };
}

function emptyScene(): Scene {
  const [owners, names] = [new Map<string, string>(), new Map<string, string>()];
  return { owners, names, addresses: new Map(), pods: new Map(), edges: [] };
}

function fits({ owners, names }: Scene, { client, server }: SeenEdge): boolean {
  return [client, server].every(({ address, face, pod }) => {
    if ((owners.get(address) ?? face) !== face) return false;
    return pod === undefined || (names.get(nameOf(pod)) ?? face) === face;
  });
}

function place(scene: Scene, edge: SeenEdge): void {
  scene.edges.push(edge);
  for (const { address, face, pod } of [edge.client, edge.server]) {
    scene.owners.set(address, face);
    if (pod === undefined) continue;
    scene.names.set(nameOf(pod), face);
    scene.pods.set(face, pod);
    const known = scene.addresses.get(face);
    if (known === undefined) scene.addresses.set(face, new Set([address]));
    else known.add(address);
  }
}

function play(scene: Scene, rehearsal: Rehearsal): readonly RehearsedEdge[] {
  const pods = new Map(
    [...scene.pods].map(([face, pod]) => [face, podOf(pod, scene.addresses.get(face) ?? [])]),
  );
  const before = indexOf(rehearsal, rehearsal.before, [...pods.values()]);
  const after = indexOf(rehearsal, rehearsal.after, [...pods.values()]);
  return scene.edges.map((edge) => {
    const endOf = ({ address, face, node }: SeenEnd): CanEnd => {
      const pod = pods.get(face);
      return {
        address,
        ...(pod !== undefined && { pod }),
        ...(node !== undefined && { node }),
        ...(pod !== undefined && edge.isProven && { identity: identityOf(pod, rehearsal) }),
      };
    };
    const { requests, ...rest } = edge;
    const question: CanQuestion = {
      client: endOf(edge.client),
      server: endOf(edge.server),
      protocol: edge.protocol,
      port: edge.port,
      // Whoever saw its requests made its connections.
      isProxied: requests !== undefined,
    };
    const answers = { before: answerCan(before, question), after: answerCan(after, question) };
    const isOpen = Object.values(answers).some(({ verdict }) => verdict === "open");
    return {
      ...rest,
      client: told(edge.client),
      server: told(edge.server),
      ...answers,
      ...(isOpen && {
        requests: (requests ?? []).map((request) => ({
          ...request,
          before: answerRequest(before, question, request),
          after: answerRequest(after, question, request),
        })),
      }),
    };
  });
}

function answerRequest(
  index: PolicyIndex,
  question: CanQuestion,
  recorded: RecordedRequest,
): RequestAnswer {
  let isAsked = false;
  const header = (name: string): string | undefined => {
    if (name === "host") return recorded.host;
    isAsked = true;
    return undefined;
  };
  const { verdict, rule } = answerCan(index, { ...question, request: { ...recorded, header } });
  return { verdict: isAsked ? "open" : verdict, rule };
}

function indexOf(
  { cluster, trustDomain }: Rehearsal,
  policies: readonly KubeObject[],
  pods: readonly Pod[],
): PolicyIndex {
  const store = makeStore([]);
  const put = (kind: Kind, objects: Iterable<KubeObject>) => store.replace(kind, [...objects]);
  put("Namespace", cluster.namespaces.values());
  put("ServiceAccount", cluster.serviceAccounts.values());
  put("Node", cluster.nodes.values());
  put("Pod", pods);
  for (const kind of POLICY_KINDS) {
    put(
      kind,
      policies.filter((policy) => policy.kind === kind),
    );
  }
  const index = new PolicyIndex({ trustDomain });
  index.update(store, () => false);
  return index;
}

function podOf(pod: EdgePod, addresses: Iterable<string>): Pod {
  return {
    ...pod,
    kind: "Pod",
    uid: nameOf(pod),
    resourceVersion: "",
    addresses: [...addresses],
    hostNetwork: false,
    isOver: false,
    ambientRedirection: false,
  };
}

function identityOf({ namespace, serviceAccount }: Pod, { trustDomain }: Rehearsal): string {
  return formatSpiffeId({ trustDomain, namespace, serviceAccount });
}

function told({ address, pod, node }: SeenEnd): RehearsedEnd {
  return { address, ...(pod !== undefined && { pod }), ...(node !== undefined && { node }) };
}

function nameOf({ namespace, name }: { readonly namespace: string; readonly name: string }) {
  return `${namespace}/${name}`;
}
