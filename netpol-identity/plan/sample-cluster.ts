// A small cluster for tests, made as the API says it and read by the product's own parsers.

import assert from "node:assert/strict";
import { parseEndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import { parseNamespace } from "../../lib/kube/api/namespace.ts";
import type { Parsed } from "../../lib/kube/api/parsed.ts";
import { type Pod, parsePod } from "../../lib/kube/api/pod.ts";
import { parseService } from "../../lib/kube/api/service.ts";
import { parseServiceAccount } from "../../lib/kube/api/service-account.ts";
import { type KubeStore, makeStore } from "../../lib/kube/store.ts";
import { IDENTITY_LABEL } from "../model/enrolment.ts";
import { TUNNEL_LABEL } from "./peer-nodes.ts";

export interface SamplePod {
  readonly name: string;
  readonly uid?: string;
  readonly node?: string;
  readonly serviceAccount?: string;
  readonly namespace?: string;
  readonly addresses?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly phase?: string;
  readonly hostNetwork?: boolean;
  readonly isAmbient?: boolean;
}

/** Running on node-1 in namespace shop as ServiceAccount web, unless said otherwise. */
export function samplePod(sample: SamplePod): Pod {
  const { name, addresses = [], serviceAccount = "web", node = "node-1" } = sample;
  const annotations = sample.isAmbient ? { "ambient.istio.io/redirection": "enabled" } : {};
  const { namespace = "shop", uid = `uid-${name}`, labels } = sample;
  return read(
    parsePod({
      metadata: { namespace, name, uid, labels, annotations },
      spec: {
        nodeName: node,
        serviceAccountName: serviceAccount,
        hostNetwork: sample.hostNetwork ?? false,
      },
      status: { phase: sample.phase ?? "Running", podIPs: addresses.map((ip) => ({ ip })) },
    }),
  );
}

/** What makes a node take tunnels. */
export function sampleAgent(node: string): Pod {
  const labels = { [TUNNEL_LABEL]: "hbone" };
  const place = { namespace: "kube-system", serviceAccount: "innermesh-node", node };
  return samplePod({ name: `agent-${node}`, ...place, labels, hostNetwork: true });
}

export class SampleCluster {
  readonly store: KubeStore = makeStore([]);

  putPods(...samples: readonly SamplePod[]): this {
    for (const sample of samples) this.store.put(samplePod(sample));
    return this;
  }

  /** @param mode undefined removes the label */
  labelNamespace(name: string, mode: string | undefined): this {
    this.store.put(read(parseNamespace({ metadata: { name, labels: labelled(mode) } })));
    return this;
  }

  labelServiceAccount(key: string, mode: string | undefined): this {
    const [namespace, name] = key.split("/");
    const metadata = { namespace, name, labels: labelled(mode) };
    this.store.put(read(parseServiceAccount({ metadata })));
    return this;
  }

  /** A Service with one slice that lists `addresses`. */
  putService(key: string, mode: string | undefined, addresses: readonly string[]): this {
    const [namespace, name] = key.split("/");
    const metadata = { namespace, name };
    const spec = { clusterIP: "10.96.0.1", ports: [{ port: 80 }] };
    this.store.put(read(parseService({ metadata: { ...metadata, labels: labelled(mode) }, spec })));
    const labels = { "kubernetes.io/service-name": name };
    const slice = {
      metadata: { namespace, name: `${name}-1`, labels },
      addressType: "IPv4",
      endpoints: addresses.map((ip) => ({ addresses: [ip], conditions: { ready: false } })),
    };
    this.store.put(read(parseEndpointSlice(slice)));
    return this;
  }
}

function labelled(mode: string | undefined): Readonly<Record<string, string>> {
  return mode === undefined ? {} : { [IDENTITY_LABEL]: mode };
}

function read<T>(parsed: Parsed<T>): T {
  return parsed.kind === "ok" ? parsed.object : assert.fail(parsed.kind);
}
