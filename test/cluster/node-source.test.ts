// The source contract against a real API server, whose defaults, allocations and validation no
// fake has. Objects go in as a client writes them, and out again after each claim.

import { readFile } from "node:fs/promises";
import { after, before } from "node:test";
import { systemClock } from "../../lib/clock/system-clock.ts";
import type { JsonRecord } from "../../lib/kube/api/fields.ts";
import { makeKubeClient } from "../../lib/kube/client.ts";
import { runApiSource } from "../../lib/kube/source/api-source.ts";
import {
  CONTRACT_NODE,
  type ManifestRef,
  type SourceHarness,
  testSource,
} from "../../lib/kube/source/source-contract.ts";
import { type ApiClient, ApiError, type ApplyObject } from "./api-client.ts";
import { createNodeAccount } from "./cluster-fixture.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";

const API_VERSIONS: Readonly<Record<string, string>> = {
  Service: "v1",
  EndpointSlice: "discovery.k8s.io/v1",
  Node: "v1",
  ServiceCIDR: "networking.k8s.io/v1",
};

let controlPlane: ControlPlane;
let pager: FaultProxy;
let tokenFile: string;

before(async () => {
  controlPlane = await startControlPlane({ controllers: [] });
  tokenFile = await createNodeAccount(controlPlane);
  pager = await startFaultProxy(controlPlane);
  pager.faults = {
    pageLimit: 1,
    treat: ({ query }) =>
      query.has("sendInitialEvents") ? { kind: "answer", status: 400 } : { kind: "pass" },
  };
});
after(async () => {
  await pager[Symbol.asyncDispose]();
  await controlPlane[Symbol.asyncDispose]();
});

testSource("API source of a real server, list by WatchList", () => harness(controlPlane.url));
testSource("API source of a real server, list by pages of one", () => harness(pager.url));

/** @param server the server's address, or that of something in front of it */
async function harness(server: string): Promise<SourceHarness> {
  const { admin, authorityFile } = controlPlane;
  const config = {
    server: new URL(server),
    ca: await readFile(authorityFile, "utf8"),
    token: { kind: "file", path: tokenFile } as const,
    insecureSkipTlsVerify: false,
  };
  const client = makeKubeClient(config, systemClock);
  const written = new Set<string>();
  return {
    async put(manifest) {
      written.add(await write(admin, manifest));
    },
    async remove(ref) {
      await admin.request("DELETE", await pathOf(admin, ref));
    },
    run(store, signal) {
      const source = { client, nodeName: CONTRACT_NODE, store, signal };
      const chance = { clock: systemClock, random: () => 0, onEvent: () => {} };
      return runApiSource({ ...source, ...chance });
    },
    async close() {
      client.close();
      for (const path of written) {
        await admin.request("DELETE", path).catch((error: unknown) => {
          if (!(error instanceof ApiError && error.status === 404)) throw error;
        });
      }
    },
  };
}

/** Creates an object, or replaces it whole. @returns where it is */
async function write(admin: ApiClient, manifest: JsonRecord): Promise<string> {
  const object = manifest as unknown as ApplyObject;
  const path = await admin.pathOf(object);
  const old = await admin.request("GET", path).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  });
  if (old === undefined) {
    await admin.request("POST", path.slice(0, path.lastIndexOf("/")), object);
  } else {
    const { resourceVersion } = old.metadata;
    const metadata = { ...object.metadata, resourceVersion };
    await admin.request("PUT", path, { ...object, metadata });
  }
  return path;
}

function pathOf(admin: ApiClient, { kind, name, namespace }: ManifestRef): Promise<string> {
  const metadata = { name, ...(namespace === undefined ? {} : { namespace }) };
  return admin.pathOf({ apiVersion: API_VERSIONS[kind] ?? "v1", kind, metadata });
}
