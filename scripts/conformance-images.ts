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

/**
 * Writes the archives of all images.
 * @param directory made when missing
 * @returns their paths
 */
export async function writeImages(directory: string): Promise<readonly string[]> {
  const names = ["pause", "coredns", "echo-client", "echo-server"] as const;
  const programs = await ensureBinaries(names);
  await mkdir(directory, { recursive: true });
  const certificate = await echoCertificate(directory);
  const images = [
    { name: PAUSE_IMAGE, files: { "/pause": programs.pause }, entrypoint: "/pause" },
    { name: COREDNS_IMAGE, files: { "/coredns": programs.coredns }, entrypoint: "/coredns" },
    {
      name: ECHO_IMAGE,
      files: {
        "/usr/local/bin/client": programs["echo-client"],
        "/usr/local/bin/server": programs["echo-server"],
        "/cert.crt": certificate.certificateFile,
        "/cert.key": certificate.keyFile,
      },
      entrypoint: "/usr/local/bin/server",
    },
  ];
  const paths: string[] = [];
  for (const [index, { name, files, entrypoint }] of images.entries()) {
    const contents = new Map<string, Buffer>();
    for (const [target, source] of Object.entries(files)) {
      contents.set(target, await readFile(source));
    }
    const path = join(directory, `${index}.tar`);
    await writeImage({ name, files: contents, entrypoint: [entrypoint] }, path);
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
