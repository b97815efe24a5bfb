// The network policy API's definition, from the Go module that publishes it: the one whose suite
// judges us.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ApiClient } from "../test/cluster/api-client.ts";
import { ROOT } from "./steps.ts";

const run = promisify(execFile);

/** Where the module's version is pinned. */
const PINNED = join(ROOT, "conformance/upstream/network-policy-api");
const MODULE = "sigs.k8s.io/network-policy-api";
/** Of the experimental channel, which has all fields. */
const DEFINITION = "config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml";

export async function applyPolicyDefinitions(admin: ApiClient): Promise<void> {
  const { stdout } = await run("go", ["mod", "download", "-json", MODULE], { cwd: PINNED });
  const { Dir: top } = JSON.parse(stdout) as { readonly Dir: string };
  await admin.applyYaml(await readFile(join(top, DEFINITION), "utf8"));
}
