// The Gateway API's definitions on a control plane, from the Go module that publishes them: the one
// whose suite judges us.

import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "../../scripts/steps.ts";
import type { ApiClient } from "./api-client.ts";

const run = promisify(execFile);

/** Where the module's version is pinned. */
const PINNED = join(ROOT, "conformance/upstream/gateway-api");
const MODULE = "sigs.k8s.io/gateway-api";

/** Applies every definition of the experimental channel, which has all kinds. */
export async function applyGatewayDefinitions(admin: ApiClient): Promise<void> {
  const { stdout } = await run("go", ["mod", "download", "-json", MODULE], { cwd: PINNED });
  const { Dir: top } = JSON.parse(stdout) as { readonly Dir: string };
  const folder = join(top, "config/crd/experimental");
  for (const name of (await readdir(folder)).sort()) {
    if (!name.startsWith("gateway.")) continue;
    await admin.applyYaml(await readFile(join(folder, name), "utf8"));
  }
}
