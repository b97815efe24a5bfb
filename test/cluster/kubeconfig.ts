// Kubeconfig files that name one cluster, one user and one context.

import { writeFile } from "node:fs/promises";
import { stringify } from "yaml";
import type { KeyPair } from "./certificates.ts";

export type Credentials = KeyPair | { readonly token: string };

export interface Kubeconfig {
  readonly url: string;
  /** PEM file of the authority that signed the server's certificate. */
  readonly authorityFile: string;
  readonly credentials: Credentials;
}

/** Writes a kubeconfig that refers to certificates by path and holds a token itself. */
export async function writeKubeconfig(file: string, config: Kubeconfig): Promise<void> {
  const { credentials } = config;
  const user =
    "token" in credentials
      ? { token: credentials.token }
      : {
          "client-certificate": credentials.certificateFile,
          "client-key": credentials.keyFile,
        };
  const cluster = { server: config.url, "certificate-authority": config.authorityFile };
  const text = stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster }],
    users: [{ name: "test", user }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  });
  await writeFile(file, text, { mode: 0o600 });
}
