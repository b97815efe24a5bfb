// Kubeconfigs as kube-proxy's users have them, and those that a node must not obey.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { stringify } from "yaml";
import { inClusterConfig, KubeconfigError, loadKubeconfig } from "./kubeconfig.ts";

const folder = await mkdtemp(join(tmpdir(), "im-kubeconfig-"));
after(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

function kubeconfig(cluster: object, user: object): Promise<string> {
  const config = {
    "current-context": "here",
    contexts: [{ name: "here", context: { cluster: "c", user: "u" } }],
    clusters: [{ name: "c", cluster: { server: "https://192.0.2.1:6443", ...cluster } }],
    users: [{ name: "u", user }],
  };
  return file("config", stringify(config));
}

test("certificates come from data, which wins, or from files beside the kubeconfig", async () => {
  await file("ca.crt", "CA");
  await file("me.key", "KEY");
  const cert = Buffer.from("CERT").toString("base64");
  const path = await kubeconfig(
    { "certificate-authority": "ca.crt", "tls-server-name": "api.test" },
    {
      "client-certificate-data": cert,
      "client-certificate": "missing",
      "client-key": join(folder, "me.key"),
    },
  );
  assert.deepEqual(await loadKubeconfig(path), {
    server: new URL("https://192.0.2.1:6443"),
    ca: "CA",
    clientCertificate: { cert: "CERT", key: "KEY" },
    token: { kind: "none" },
    tlsServerName: "api.test",
    insecureSkipTlsVerify: false,
  });
});

test("a token file wins over a token; http and IPv6 servers are fine", async () => {
  const path = await kubeconfig(
    { server: "http://[::1]:8080/prefix", "insecure-skip-tls-verify": true },
    { token: "t", tokenFile: "token" },
  );
  assert.deepEqual(await loadKubeconfig(path), {
    server: new URL("http://[::1]:8080/prefix"),
    token: { kind: "file", path: join(folder, "token") },
    insecureSkipTlsVerify: true,
  });
});

const REFUSED: readonly (readonly [string, object, object, RegExp])[] = [
  ["exec plugins", {}, { exec: { command: "aws" } }, /"exec".*@kubernetes\/client-node/],
  ["auth providers", {}, { "auth-provider": { name: "gcp" } }, /"auth-provider"/],
  ["passwords", {}, { username: "admin", password: "secret" }, /"username"/],
  ["impersonation", {}, { as: "admin" }, /"as"/],
  ["proxies", { "proxy-url": "http://192.0.2.2" }, {}, /proxy-url/],
  ["servers without a scheme", { server: "192.0.2.1:6443" }, {}, /no http\(s\) server/],
  ["half a client certificate", {}, { "client-key-data": "a2V5" }, /both/],
  ["missing files", { "certificate-authority": "nowhere" }, {}, /certificate-authority/],
];
for (const [name, cluster, user, message] of REFUSED) {
  test(`a kubeconfig with ${name} is refused`, async () => {
    const error: unknown = await loadKubeconfig(await kubeconfig(cluster, user)).catch((e) => e);
    assert.ok(error instanceof KubeconfigError);
    assert.match(error.message, message);
    assert.ok(!error.message.includes("secret"));
  });
}

test("a kubeconfig that is no YAML is refused without quoting it", async () => {
  const path = await file("broken", "users: [token: 'secret\n");
  await assert.rejects(loadKubeconfig(path), (error: unknown) => {
    assert.ok(error instanceof KubeconfigError);
    return !`${error.message} ${String(error.cause)}`.includes("secret");
  });
});

test("a kubeconfig whose context is missing is refused", async () => {
  await assert.rejects(loadKubeconfig(await file("empty", "")), /current-context/);
  await assert.rejects(loadKubeconfig(join(folder, "none")), /Cannot read kubeconfig/);
});

test("inside a pod the environment and the mounted files say all", async () => {
  await file("ca.crt", "CA");
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
  assert.deepEqual(await inClusterConfig(env, folder), {
    server: new URL("https://[fd00::1]:443"),
    ca: "CA",
    token: { kind: "file", path: join(folder, "token") },
    insecureSkipTlsVerify: false,
  });
  await assert.rejects(inClusterConfig({}, folder), /outside a pod give --kubeconfig/);
});
