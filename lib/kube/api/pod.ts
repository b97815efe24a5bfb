// core/v1 Pod: who has which address on a node, and what its labels say.

import { parseAddress } from "../../ip/address.ts";
import { asList, asRecord, asText, formatValue, textRecord } from "./fields.ts";
import { invalidObject, isName, readHead } from "./head.ts";
import { type Intern, type InternLabels, type Labels, noIntern } from "./intern.ts";
import type { Parsed } from "./parsed.ts";

export interface Pod {
  readonly kind: "Pod";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Empty while it is not scheduled. */
  readonly nodeName: string;
  readonly serviceAccount: string;
  /** Canonical, at most one of each family; empty for one of the host's network, and when over. */
  readonly addresses: readonly string[];
  readonly labels: Labels;
  /** It shares its node's network: its addresses are the node's. */
  readonly hostNetwork: boolean;
  /** All its containers have ended for good. */
  readonly isOver: boolean;
  /** Istio's ambient data plane takes its connections, and tunnels come to it. */
  readonly ambientRedirection: boolean;
}

/** Shares what many pods repeat, when those of a whole cluster are kept: 320 bytes a pod. */
export interface PodInterns {
  readonly text: Intern;
  readonly labels: InternLabels;
}

const NO_INTERNS: PodInterns = { text: noIntern, labels: (labels) => labels };
const OVER = new Set(["Succeeded", "Failed"]);
const AMBIENT_ANNOTATION = "ambient.istio.io/redirection";

/**
 * Reads a Pod. Never throws. Addresses of a pod that shares the host's network are the node's, and
 * those of one that is over may belong to another by now: neither is told. One whose ServiceAccount
 * has no possible name is invalid: it must not pass for another.
 */
export function parsePod(value: unknown, interns: PodInterns = NO_INTERNS): Parsed<Pod> {
  const head = readHead("Pod", "namespaced", value);
  if (head.kind === "invalid") return head;
  const { namespace, name, uid, resourceVersion, metadata, spec, status, problems } = head;
  const serviceAccount = asText(spec["serviceAccountName"]) || "default";
  if (!isName(serviceAccount)) {
    problems.add("spec.serviceAccountName", `want a name: got ${formatValue(serviceAccount)}`);
    return invalidObject(head);
  }
  const hostNetwork = spec["hostNetwork"] === true;
  const isOver = OVER.has(asText(status["phase"]));
  const listed = asList(status["podIPs"]).map((one) => asRecord(one)["ip"]);
  const addresses = [...listed, status["podIP"]].flatMap((one) => parseAddress(one) ?? []);
  const object: Pod = {
    kind: "Pod",
    namespace: interns.text(namespace),
    name,
    uid,
    resourceVersion,
    nodeName: interns.text(asText(spec["nodeName"])),
    serviceAccount: interns.text(serviceAccount),
    addresses: hostNetwork || isOver ? [] : [...new Set(addresses)].slice(0, 2),
    labels: interns.labels(textRecord(metadata["labels"])),
    hostNetwork,
    isOver,
    ambientRedirection: asRecord(metadata["annotations"])[AMBIENT_ANNOTATION] === "enabled",
  };
  return { kind: "ok", object, problems: problems.take() };
}
