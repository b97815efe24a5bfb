// Settings of identities on the wire: who has one, who signs it, where tunnels arrive.

import { supported } from "./setting.ts";
import { choiceType, durationType, integerType, textType } from "./value-type.ts";

const portType = integerType({ min: 1, max: 65_535 });
const HOUR_MS = 3_600_000;

export const identitySettings = {
  identity: supported({
    flag: "identity",
    nodeField: "identity.mode",
    type: choiceType("none", "off", "permissive", "strict"),
    default: "none",
    besideConfig: true,
    help:
      "Identities of pods: none does without; else the mode of pods that no label enrols or " +
      "exempts (innermesh.io/identity on Namespace, ServiceAccount or Service).",
  }),
  trustDomain: supported({
    flag: "trust-domain",
    nodeField: "identity.trustDomain",
    type: textType,
    default: "cluster.local",
    besideConfig: true,
    help: "First part of every identity of this cluster, spiffe://TRUST-DOMAIN/ns/…/sa/….",
  }),
  certificateAuthority: supported({
    flag: "certificate-authority",
    nodeField: "identity.certificateAuthority",
    type: textType,
    default: "service:innermesh-system/innermesh-ca:15012",
    besideConfig: true,
    help:
      "Who signs: service:NAMESPACE/NAME:PORT, https://HOST:PORT, or dir:PATH of a directory " +
      "with tls.crt, tls.key and ca.crt, with which this node signs for itself.",
  }),
  certificateAuthorityToken: supported({
    flag: "certificate-authority-token",
    nodeField: "identity.tokenFile",
    type: textType,
    default: "/var/run/secrets/innermesh-ca/token",
    besideConfig: true,
    help: "File with the token that the authority asks for; read again for each request.",
  }),
  leafLifetime: supported({
    flag: "certificate-lifetime",
    nodeField: "identity.certificateLifetime",
    type: durationType(0),
    default: 24 * HOUR_MS,
    besideConfig: true,
    help: "How long certificates are asked to last, 10m to 168h; renewed after half of it.",
  }),
  tunnelPort: supported({
    flag: "tunnel-port",
    nodeField: "identity.tunnelPort",
    type: portType,
    default: 15_008,
    besideConfig: true,
    help: "Loopback port at which the kernel hands tunnels to workers. Peers call 15008 always.",
  }),
  directPort: supported({
    flag: "direct-port",
    nodeField: "identity.directPort",
    type: portType,
    default: 15_003,
    besideConfig: true,
    help: "The same for calls of enrolled pods to addresses of enrolled pods.",
  }),
};
