// Settings that a kube-proxy file or command line may carry and that cannot mean anything here:
// IPVS, Windows, leftovers. They are read, so that the file stays valid, and named in a warning.

import { declined, ignored, type Setting } from "./setting.ts";
import type { ValueType } from "./value-type.ts";
import { anyType, booleanType, durationType, listType, textType } from "./value-type.ts";

const IPVS = "has no effect: there is no IPVS mode; remove it";
const WINDOWS = "has no effect: it is for kube-proxy on Windows; remove it";
const UNUSED = "kube-proxy does not use it either.";

function foreign<T>(
  why: string,
  names: readonly [flag: string, field: string],
  type: ValueType<T>,
  zero: T,
): Setting<T> {
  const [flag, field] = names;
  const help = why === IPVS ? "IPVS only." : "Windows only.";
  return declined(why, { flag, field, type, default: zero, help });
}

const noTimeout = durationType(0);

export const foreignSettings = {
  ipvsScheduler: foreign(IPVS, ["ipvs-scheduler", "ipvs.scheduler"], textType, ""),
  ipvsExcludeCidrs: foreign(IPVS, ["ipvs-exclude-cidrs", "ipvs.excludeCIDRs"], listType, []),
  ipvsStrictArp: foreign(IPVS, ["ipvs-strict-arp", "ipvs.strictARP"], booleanType, false),
  ipvsTcpTimeout: foreign(IPVS, ["ipvs-tcp-timeout", "ipvs.tcpTimeout"], noTimeout, 0),
  ipvsTcpFinTimeout: foreign(IPVS, ["ipvs-tcpfin-timeout", "ipvs.tcpFinTimeout"], noTimeout, 0),
  ipvsUdpTimeout: foreign(IPVS, ["ipvs-udp-timeout", "ipvs.udpTimeout"], noTimeout, 0),
  windowsNetworkName: foreign(WINDOWS, ["network-name", "winkernel.networkName"], textType, ""),
  windowsSourceVip: foreign(WINDOWS, ["source-vip", "winkernel.sourceVip"], textType, ""),
  windowsEnableDsr: foreign(WINDOWS, ["enable-dsr", "winkernel.enableDSR"], booleanType, false),
  windowsRootEndpoint: foreign(
    WINDOWS,
    ["root-hnsendpoint-name", "winkernel.rootHnsEndpointName"],
    textType,
    "",
  ),
  windowsForwardHealthCheckVip: foreign(
    WINDOWS,
    ["forward-healthcheck-vip", "winkernel.forwardHealthCheckVip"],
    booleanType,
    false,
  ),
  windowsService: foreign(WINDOWS, ["windows-service", "windowsRunAsService"], booleanType, false),
  portRange: ignored(UNUSED, {
    field: "portRange",
    type: anyType,
    default: "",
    help: "Ports of a userspace proxy that is long gone.",
  }),
  bootIdFile: ignored(UNUSED, {
    flag: "boot-id-file",
    type: anyType,
    default: "",
    help: "A flag that came with a library.",
  }),
  machineIdFile: ignored(UNUSED, {
    flag: "machine-id-file",
    type: anyType,
    default: "",
    help: "A flag that came with a library.",
  }),
};
