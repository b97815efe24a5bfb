// The images that the upstream suites' pods are made of, from programs that Go built. Nothing is
// pulled: names are those in the suites' manifests.

import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { writeImage } from "../playground/real-image.ts";
import { ensureBinaries } from "../test/cluster/binaries.ts";

const run = promisify(execFile);

/** Holds the namespaces of a pod. */
export const PAUSE_IMAGE = "innermesh.invalid/pause:1";
export const COREDNS_IMAGE = "innermesh.invalid/coredns:1";
/** As in mesh/manifests.yaml of Gateway API 1.6.3. */
const ECHO_IMAGE = "registry.k8s.io/gateway-api/echo-advanced:v1.5.1";
/** As in test/utils/image of Kubernetes 1.36, and base/manifests.yaml of network-policy-api 0.2. */
const AGNHOST_IMAGES = [
  "registry.k8s.io/e2e-test-images/agnhost:2.63.0",
  "registry.k8s.io/e2e-test-images/agnhost:2.45",
];

export type ImageName = "pause" | "coredns" | "echo" | "agnhost";

interface Recipe {
  readonly names: readonly string[];
  readonly entrypoint: readonly string[];
  /** Paths in the image to files of this machine. */
  files(directory: string): Promise<Readonly<Record<string, string>>>;
}

const RECIPES: Readonly<Record<ImageName, Recipe>> = {
  pause: {
    names: [PAUSE_IMAGE],
    entrypoint: ["/pause"],
    files: async () => ({ "/pause": (await ensureBinaries(["pause"])).pause }),
  },
  coredns: {
    names: [COREDNS_IMAGE],
    entrypoint: ["/coredns"],
    files: async () => ({ "/coredns": (await ensureBinaries(["coredns"])).coredns }),
  },
  echo: {
    names: [ECHO_IMAGE],
    entrypoint: ["/usr/local/bin/server"],
    files: async (directory) => {
      const programs = await ensureBinaries(["echo-client", "echo-server"]);
      const certificate = await echoCertificate(directory);
      return {
        "/usr/local/bin/client": programs["echo-client"],
        "/usr/local/bin/server": programs["echo-server"],
        "/cert.crt": certificate.certificateFile,
        "/cert.key": certificate.keyFile,
      };
    },
  },
  agnhost: {
    names: AGNHOST_IMAGES,
    entrypoint: ["/agnhost", "pause"],
    files: async () => {
      const programs = await ensureBinaries(["agnhost", "agnhost-shell"]);
      return { "/agnhost": programs.agnhost, "/bin/bash": programs["agnhost-shell"] };
    },
  },
};

/**
 * Writes the archives of the named images.
 * @param directory made when missing
 * @returns their paths
 */
export async function writeImages(
  names: readonly ImageName[],
  directory: string,
): Promise<readonly string[]> {
  await mkdir(directory, { recursive: true });
  const paths: string[] = [];
  for (const name of names) {
    const recipe = RECIPES[name];
    const files = new Map<string, Buffer>();
    for (const [target, source] of Object.entries(await recipe.files(directory))) {
      files.set(target, await readFile(source));
    }
    const path = join(directory, `${name}.tar`);
    await writeImage({ names: recipe.names, files, entrypoint: recipe.entrypoint }, path);
    paths.push(path);
  }
  return paths;
}

/** What the echo server shows on its TLS port; nobody checks who signed it. */
async function echoCertificate(
  directory: string,
): Promise<{ readonly certificateFile: string; readonly keyFile: string }> {
  const [certificateFile, keyFile] = [join(directory, "cert.crt"), join(directory, "cert.key")];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const names = ["-subj", "/CN=echo", "-addext", "subjectAltName=DNS:echo"];
  const out = ["-keyout", keyFile, "-out", certificateFile];
  await run("openssl", ["req", "-x509", "-days", "30", ...key, ...names, ...out]);
  return { certificateFile, keyFile };
}
