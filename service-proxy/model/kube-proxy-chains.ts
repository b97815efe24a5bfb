// Which iptables chains are kube-proxy's. Others begin with KUBE- too: kubelet's KUBE-FIREWALL,
// KUBE-MARK-DROP and KUBE-KUBELET-CANARY, kube-router's KUBE-ROUTER-*. So names are listed, as
// kube-proxy 1.0 to 1.36 created them, and nothing is taken by prefix alone.

/** kube-proxy's jumps from built-in chains lead here and nowhere else. */
const entryChains: ReadonlySet<string> = new Set([
  "KUBE-SERVICES",
  "KUBE-EXTERNAL-SERVICES",
  "KUBE-NODEPORTS",
  "KUBE-FORWARD",
  "KUBE-POSTROUTING",
  "KUBE-PROXY-FIREWALL",
  "KUBE-SOURCE-RANGES-FIREWALL",
  "KUBE-NODE-PORT",
  "KUBE-IPVS-FILTER",
  "KUBE-IPVS-OUT-FILTER",
]);

const innerChains: ReadonlySet<string> = new Set([
  "KUBE-MARK-MASQ",
  "KUBE-LOAD-BALANCER",
  "KUBE-PROXY-CANARY",
]);

/** One chain per Service port, endpoint or entry: a hash of 16 base32 letters. */
const hashedChain = /^KUBE-(?:SVC|SVL|SEP|EXT|XLB|FW)-[A-Z2-7]{16}$/;

/** True for a chain that kube-proxy created, in iptables or ipvs mode. */
export function isKubeProxyChain(chain: string): boolean {
  return entryChains.has(chain) || innerChains.has(chain) || hashedChain.test(chain);
}

/** True when a jump from a built-in chain to this one is kube-proxy's own. */
export function isKubeProxyEntry(chain: string): boolean {
  return entryChains.has(chain);
}
