// The proxies that ours is compared with, each with one thread, connections kept to the backend,
// no access log, and one listener for each Service. Their configuration is in proxy-*-config.ts.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ensureEnvoy } from "../test/interop/envoy-binary.ts";
import { envoyConfig } from "./proxy-envoy-config.ts";
import { haproxyConfig } from "./proxy-haproxy-config.ts";
import { nginxConfig } from "./proxy-nginx-config.ts";
import type { ProxyStage } from "./proxy-stage.ts";
import {
  type PeerRoute,
  PROXY_SERVICES,
  type ProxyService,
  type ProxySubject,
} from "./proxy-subject.ts";
import type { Target } from "./rig.ts";

interface Peer {
  readonly key: "haproxy" | "nginx" | "envoy";
  readonly program: string;
  readonly versionFlag: string;
  readonly firstPort: number;
  readonly config: (routes: readonly PeerRoute[], directory: string) => string;
  readonly argv: (configPath: string) => readonly string[];
}

const ENVOY_FLAGS = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];

/** No proxy: the client calls the backend. */
export function direct(stage: ProxyStage): ProxySubject {
  const target = (service: ProxyService): Target => stage.backend(service);
  return { key: "none", subject: "none", pid: undefined, target };
}

/**
 * Starts them all on the node; each serves when it resolves.
 * @throws when one cannot be had or does not answer
 */
export async function startPeers(stage: ProxyStage): Promise<readonly ProxySubject[]> {
  const envoy = await ensureEnvoy();
  const peers: readonly Peer[] = [
    {
      key: "haproxy",
      program: "haproxy",
      versionFlag: "-v",
      firstPort: 9_100,
      config: haproxyConfig,
      argv: (path) => ["-db", "-f", path],
    },
    {
      key: "nginx",
      program: "nginx",
      versionFlag: "-v",
      firstPort: 9_200,
      config: nginxConfig,
      argv: (path) => ["-p", stage.directory, "-c", path],
    },
    {
      key: "envoy",
      program: envoy,
      versionFlag: "--version",
      firstPort: 9_300,
      config: envoyConfig,
      argv: (path) => [...ENVOY_FLAGS, "--config-path", path],
    },
  ];
  return Promise.all(peers.map((peer) => startPeer(stage, peer)));
}

async function startPeer(stage: ProxyStage, peer: Peer): Promise<ProxySubject> {
  const address = stage.node.addresses.ip;
  const target = (service: ProxyService): Target => {
    return { address, port: peer.firstPort + PROXY_SERVICES.indexOf(service) };
  };
  const routes = PROXY_SERVICES.map((service) => {
    return { service, listen: target(service), backend: stage.backend(service) };
  });
  const suffix = peer.key === "envoy" ? "json" : "conf";
  const path = join(stage.directory, `${peer.key}.${suffix}`);
  await writeFile(path, peer.config(routes, stage.directory));
  const { pid } = stage.spawnProxy([peer.program, ...peer.argv(path)]);
  assert(pid !== undefined, `${peer.key} was not started`);
  for (const service of PROXY_SERVICES) await stage.awaitAnswer(service, target(service));
  return { key: peer.key, subject: `${peer.key} ${await versionOf(peer)}`, pid, target };
}

async function versionOf({ program, versionFlag }: Peer): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(program, [versionFlag]);
  const version = /(?:version |[/])(\d+\.\d+\.\d+)/.exec(stdout + stderr)?.[1];
  assert(version !== undefined, `${program} says ${stdout}${stderr}`);
  return version;
}
