// Settings of the userspace lanes and their proxy workers.

import { supported } from "./setting.ts";
import {
  booleanType,
  choiceType,
  decimalType,
  durationType,
  integerType,
  textType,
} from "./value-type.ts";

const portType = integerType({ min: 1, max: 65_535 });
const MINUTE_MS = 60_000;

export const laneSettings = {
  proxyWorkers: supported({
    flag: "proxy-workers",
    nodeField: "proxy.workers",
    type: integerType({ min: 0, max: 64 }),
    default: 0,
    besideConfig: true,
    help:
      "Proxy worker processes; they are started when a Service first needs one. 0 is one for " +
      "each two CPUs, at most 8.",
  }),
  proxyInsidePort: supported({
    flag: "proxy-inside-port",
    nodeField: "proxy.insidePort",
    type: portType,
    default: 15_001,
    besideConfig: true,
    help: "Loopback port at which the kernel hands the connections of local pods to workers.",
  }),
  proxyOutsidePort: supported({
    flag: "proxy-outside-port",
    nodeField: "proxy.outsidePort",
    type: portType,
    default: 15_002,
    besideConfig: true,
    help: "The same for all other connections.",
  }),
  proxyFallback: supported({
    flag: "proxy-fallback",
    nodeField: "proxy.fallback",
    type: choiceType("kernel", "refuse"),
    default: "kernel",
    besideConfig: true,
    help:
      "What becomes of new connections while no worker lives: kernel serves them without " +
      "routing, refuse resets them.",
  }),
  proxyDrainTimeout: supported({
    flag: "proxy-drain-timeout",
    nodeField: "proxy.drainTimeout",
    type: durationType(0),
    default: 10 * MINUTE_MS,
    besideConfig: true,
    help: "How long connections may go on after the agent was told to end, or was replaced.",
  }),
  accessLogShare: supported({
    flag: "access-log-share",
    nodeField: "proxy.accessLogShare",
    type: decimalType,
    default: 0,
    besideConfig: true,
    help: "Share of the requests of the L7 lane that get a line in the access log, 0 to 1.",
  }),
  proxyVia: supported({
    flag: "proxy-via",
    nodeField: "proxy.via",
    type: booleanType,
    default: false,
    besideConfig: true,
    help: "Tell in a Via field of forwarded requests and responses that they came through here.",
  }),
  adminSocket: supported({
    flag: "admin-socket",
    nodeField: "proxy.adminSocket",
    type: textType,
    default: "/run/innermesh/node.sock",
    besideConfig: true,
    help: "UNIX socket that top and tap read from; only root may. Empty turns it off.",
  }),
};
