// Asks /proc and `ip` about what the proxy lanes need around our table: rules, links, ports.

import { connect } from "node:net";
import { asList, asRecord, asText } from "../../lib/kube/api/fields.ts";
import type { Family } from "../../lib/nft/objects.ts";
import type { NodeSettings } from "../../service-proxy/config/node-settings.ts";
import { LIFT_LINKS } from "../../service-proxy/plan/lane-marks.ts";
import { type Fact, known, type LaneFacts, unknown } from "./facts.ts";
import { askJson, factOf, readSwitch, readText } from "./kernel-files.ts";

/** As service-proxy/apply/lane-routes.ts makes them. */
const TABLE = 1_000;
const RULES = [98, 99, 100] as const;
const LISTENING = "0A";
const SOCKET_TIMEOUT_MS = 2_000;

export async function gatherLane(
  { proxy }: NodeSettings,
  families: readonly Family[],
): Promise<LaneFacts> {
  return {
    missingRoutes: await factOf(async () => {
      const missing = await Promise.all(families.map(missingRoutes));
      return missing.flat();
    }),
    hasLiftLinks: await factOf(hasLiftLinks),
    migratesRequests: readSwitch("/proc/sys/net/ipv4/tcp_migrate_req"),
    takenPorts: takenPorts([proxy.insidePort, proxy.outsidePort]),
    adminSocket:
      proxy.adminSocket === undefined
        ? unknown("--admin-socket is empty")
        : known(await reaches(proxy.adminSocket)),
  };
}

async function missingRoutes(family: Family): Promise<readonly string[]> {
  const flag = family === "ip" ? "-4" : "-6";
  const rules = asList(await askJson("ip", [flag, "-json", "rule", "show"])).map(asRecord);
  const found = new Set(rules.filter((rule) => rule["fwmark"] !== undefined).map(preference));
  const missing = RULES.filter((one) => !found.has(one)).map((one) => `${family} rule ${one}`);
  const words = [flag, "-json", "route", "show", "table", String(TABLE)];
  // A table that never had a route is an error to `ip`.
  const routes = asList(await askJson("ip", words).catch(() => [])).map(asRecord);
  const isThere = routes.some((route) => route["type"] === "local" && route["dst"] === "default");
  return isThere ? missing : [...missing, `${family} route local default in table ${TABLE}`];
}

function preference(rule: Readonly<Record<string, unknown>>): number {
  return Number(rule["priority"]);
}

async function hasLiftLinks(): Promise<boolean> {
  const links = asList(await askJson("ip", ["-json", "link", "show"])).map(asRecord);
  const names = new Set(links.map((link) => asText(link["ifname"])));
  return names.has(LIFT_LINKS.out) && names.has(LIFT_LINKS.in);
}

/** Those of `ports` that somebody listens at. */
function takenPorts(ports: readonly number[]): Fact<readonly number[]> {
  const found = new Set<number>();
  for (const file of ["tcp", "tcp6"]) {
    const sockets = readText(`/proc/net/${file}`);
    if (sockets.kind === "unknown" && file === "tcp") return sockets;
    if (sockets.kind === "unknown") continue;
    for (const line of sockets.value.split("\n").slice(1)) {
      const [, local = "", , state] = line.trim().split(/\s+/);
      if (state === LISTENING) found.add(Number.parseInt(local.split(":").at(-1) ?? "", 16));
    }
  }
  return known(ports.filter((port) => found.has(port)));
}

/** @returns why not, or undefined */
function reaches(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (why: string | undefined): void => {
      socket.destroy();
      resolve(why);
    };
    socket.setTimeout(SOCKET_TIMEOUT_MS, () => end("ETIMEDOUT"));
    socket.once("connect", () => end(undefined));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}
