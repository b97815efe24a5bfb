// The suites that `make conformance` knows: what each is made of, and how it is run on a cluster.

import { readFile } from "node:fs/promises";
import { runClusterPolicySuite } from "../conformance/upstream/cluster-policy-suite.ts";
import { runGatewayApiSuite } from "../conformance/upstream/gateway-api-suite.ts";
import { runNetworkPolicySuite } from "../conformance/upstream/network-policy-suite.ts";
import type { SuiteOptions, SuiteRun } from "../conformance/upstream/suite-program.ts";
import type { SctpSuiteOptions } from "../conformance/upstream/untested.ts";
import { MESH_FEATURES } from "../service-proxy/model/mesh-features.ts";
import type { BinaryName } from "../test/cluster/binaries.ts";
import type { ImageName } from "./conformance-images.ts";

export const SUITE_NAMES = ["netpol", "cnp", "gateway-api"] as const;
export type SuiteName = (typeof SUITE_NAMES)[number];

export interface UpstreamSuite {
  /** For people. */
  readonly title: string;
  /** Its program, by whose version it goes. */
  readonly program: BinaryName;
  /** What its pods are made of. */
  readonly images: readonly ImageName[];
  run(options: SuiteOptions): Promise<SuiteRun>;
}

export const SUITES: Readonly<Record<SuiteName, UpstreamSuite>> = {
  netpol: {
    title: "Kubernetes' specs of NetworkPolicy",
    program: "kubernetes-e2e",
    images: ["agnhost"],
    run: async (options) => runNetworkPolicySuite(await withSctp(options)),
  },
  cnp: {
    title: "the network policy API's suite of ClusterNetworkPolicy",
    program: "network-policy-conformance",
    images: ["agnhost"],
    run: async (options) => runClusterPolicySuite(await withSctp(options)),
  },
  "gateway-api": {
    title: "the Gateway API's suite of meshes",
    program: "gateway-api-conformance",
    images: ["echo"],
    run: (options) =>
      runGatewayApiSuite({ ...options, features: MESH_FEATURES.map(({ name }) => name) }),
  },
};

export function isSuiteName(name: string): name is SuiteName {
  return Object.hasOwn(SUITES, name);
}

/** SCTP may be a module of the kernel: load it first, `modprobe sctp`, to have it tested. */
async function withSctp(options: SuiteOptions): Promise<SctpSuiteOptions> {
  const protocols = await readFile("/proc/net/protocols", "utf8");
  return { ...options, sctp: /^SCTP\b/m.test(protocols) };
}
