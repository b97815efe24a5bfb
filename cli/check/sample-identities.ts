// What an agent tells whose pods have identities, and the kernel holds: a healthy node's.

import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import { type IdentityFacts, known } from "./facts.ts";

const AT_MS = Date.UTC(2026, 0, 2);
const WEB = "spiffe://cluster.local/ns/shop/sa/web";

export const GREEN_REPORT: IdentityReport = {
  node: "node-1",
  trustDomain: "cluster.local",
  meshDefault: "off",
  atMs: AT_MS,
  identities: [
    {
      identity: WEB,
      state: "valid",
      certificate: {
        serial: "01",
        issuer: "CN=root",
        issuedMs: AT_MS - 3_600_000,
        notAfterMs: AT_MS + 82_800_000,
        nextRenewalMs: AT_MS + 39_600_000,
      },
    },
  ],
  pods: [
    {
      pod: "shop/web-0",
      serviceAccount: "web",
      mode: "permissive",
      rule: "label innermesh.io/identity=permissive of Namespace shop",
      identity: WEB,
      addresses: [{ address: "10.71.1.2", interface: "veth1" }],
    },
    {
      pod: "lab/tester",
      serviceAccount: "default",
      mode: "off",
      rule: "the mesh's default is off",
      addresses: [{ address: "10.71.1.3", interface: "veth2" }],
    },
  ],
  trust: [
    {
      domain: "cluster.local",
      fingerprint: "AA:BB",
      subject: "CN=root",
      notAfterMs: AT_MS + 3_650 * 86_400_000,
    },
  ],
  bans: [],
  peerCount: 4,
  dropped: { spoofed: 0, closed: 0 },
  problems: [],
  exposure: [],
};

export const GREEN_IDENTITY: IdentityFacts = {
  report: known(GREEN_REPORT),
  missingTables: known([]),
  watchedBridges: known({ ip: false, ip6: false }),
};
