// Policies that somebody thinks of, put among those that hold: files replace what has their name.

import { readFileSync } from "node:fs";
import { readManifest } from "../../lib/kube/source/manifest-file.ts";
import { type Kind, type KubeObject, type KubeStore, keyOf } from "../../lib/kube/store.ts";
import { POLICY_KINDS } from "../../netpol-identity/evaluate/policy-book.ts";
import { Unreachable, WrongUse } from "../exit.ts";

export interface PolicyChange {
  readonly put: readonly KubeObject[];
  /** As in `NetworkPolicy/shop/web`, by kind and key. */
  readonly remove: readonly { readonly kind: Kind; readonly key: string }[];
}

/** @throws WrongUse where a file holds no policy that can be read, Unreachable without the file */
export function readPolicyFiles(paths: readonly string[]): readonly KubeObject[] {
  return paths.flatMap((path) => {
    const read = readManifest(path, textOf(path), {
      nodeName: "",
      nodes: "own",
      serviceProxyName: undefined,
    });
    const said = read.problems.map(({ object, field, message }) =>
      [object, field, message].filter((part) => part !== "").join(": "),
    );
    const entries = read.kind === "manifest" ? read.entries : [];
    const objects = entries.flatMap(({ object }) =>
      object !== undefined && POLICY_KINDS.includes(object.kind) ? [object] : [],
    );
    if (read.kind === "broken" || entries.some(({ object }) => object === undefined)) {
      throw new WrongUse(`Cannot read policies from ${path}:\n${said.join("\n")}`);
    }
    if (objects.length === 0) throw new WrongUse(`Cannot find a policy in ${path}`);
    for (const line of said) process.stderr.write(`${line}\n`);
    return objects;
  });
}

/** Reads `KIND/NAMESPACE/NAME`, or `KIND/NAME` of what has no namespace. @throws WrongUse */
export function parseRemoval(text: string): PolicyChange["remove"][number] {
  const [word = "", ...rest] = text.split("/");
  const kind = POLICY_KINDS.find((one) => one.toLowerCase() === word.toLowerCase());
  if (kind !== undefined && rest.length > 0) return { kind, key: rest.join("/") };
  const kinds = POLICY_KINDS.join(", ");
  throw new WrongUse(`Cannot delete "${text}": write KIND/NAMESPACE/NAME, KIND one of ${kinds}`);
}

/** @throws WrongUse when what is to be removed is not there */
export function applyPolicies(store: KubeStore, { put, remove }: PolicyChange): void {
  for (const kind of POLICY_KINDS) {
    const gone = new Set(remove.filter((one) => one.kind === kind).map(({ key }) => key));
    const known = new Map(policiesOf(store, kind).map((object) => [keyOf(object), object]));
    for (const key of gone) {
      if (!known.delete(key)) throw new WrongUse(`Cannot delete ${kind} "${key}": there is none`);
    }
    for (const object of put) if (object.kind === kind) known.set(keyOf(object), object);
    store.replace(kind, [...known.values()]);
  }
}

/** All of a kind. */
export function policiesOf(store: KubeStore, kind: Kind): readonly KubeObject[] {
  switch (kind) {
    case "NetworkPolicy":
      return [...store.networkPolicies.values()];
    case "ClusterNetworkPolicy":
      return [...store.clusterNetworkPolicies.values()];
    case "ServiceAccountPolicy":
      return [...store.serviceAccountPolicies.values()];
    case "MeshPolicy":
      return [...store.meshPolicies.values()];
    default:
      return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Unreachable(`Cannot read ${path}: ${String(error)}`);
  }
}
