// What peers may show instead of a sound certificate, one fault each: fault F45 and its relatives.
// The openssl program makes them, so each is a real chain with a real key behind it.

import type { SvidRefusal } from "../../lib/x509/svid.ts";
import { hugeRsaKey } from "./huge-rsa-key.ts";
import {
  asIssuer,
  type Credential,
  createIntermediate,
  type Issuer,
  issue,
  selfSign,
  soundExtensions,
} from "./openssl-authority.ts";

const HOUR_MS = 3_600_000;
const DEEP = 100;
const LONG_RSA_BITS = 16_384;

/** Of `Maker.foreignRoot`. */
export const FOREIGN_DOMAIN = "friends.test";

export interface BadCredentialCase {
  /** "a certificate that ..." */
  readonly fault: string;
  /** What our own verification says; TLS may refuse it before that. */
  readonly reason: SvidRefusal;
  readonly make: (maker: Maker) => Promise<Credential>;
}

/** What the cases are made from. */
export interface Maker {
  /** The root of the trust domain that `uri` is in. */
  readonly root: Issuer;
  /** The root of FOREIGN_DOMAIN, which is trusted for that. */
  readonly foreignRoot: Issuer;
  /** Whom the bad peer claims to be. */
  readonly uri: string;
}

export const BAD_CREDENTIALS: readonly BadCredentialCase[] = [
  {
    fault: "expired",
    reason: "expired",
    make: async ({ root, uri }) =>
      issue(root, {
        extensions: soundExtensions(uri),
        notBefore: hoursFromNow(-2),
        notAfter: hoursFromNow(-1),
      }),
  },
  {
    fault: "is not valid yet",
    reason: "not-yet-valid",
    make: async ({ root, uri }) =>
      issue(root, {
        extensions: soundExtensions(uri),
        notBefore: hoursFromNow(1),
        notAfter: hoursFromNow(2),
      }),
  },
  {
    fault: "names two identities",
    reason: "several-uri-names",
    make: async ({ root, uri }) =>
      changed(root, uri, `subjectAltName=critical,URI:${uri},URI:${uri}-2`),
  },
  {
    fault: "names no identity but a host",
    reason: "no-uri-name",
    make: async ({ root, uri }) =>
      changed(root, uri, "subjectAltName=critical,DNS:web.default.svc"),
  },
  {
    fault: "names nobody",
    reason: "no-uri-name",
    make: async ({ root, uri }) => issue(root, { extensions: except(uri, "subjectAltName") }),
  },
  {
    fault: "names what is no workload",
    reason: "not-a-workload-id",
    make: async ({ root, uri }) =>
      changed(root, uri, `subjectAltName=critical,URI:${new URL("/web", uri).href}`),
  },
  {
    fault: "is an authority's",
    reason: "leaf-is-authority",
    make: async ({ root, uri }) => changed(root, uri, "basicConstraints=critical,CA:true"),
  },
  {
    fault: "may sign certificates",
    reason: "wrong-key-usage",
    make: async ({ root, uri }) =>
      changed(root, uri, "keyUsage=critical,digitalSignature,keyCertSign"),
  },
  {
    fault: "is for servers only",
    reason: "wrong-extended-key-usage",
    make: async ({ root, uri }) => changed(root, uri, "extendedKeyUsage=serverAuth"),
  },
  {
    fault: "is for signing code",
    reason: "wrong-extended-key-usage",
    make: async ({ root, uri }) => changed(root, uri, "extendedKeyUsage=codeSigning"),
  },
  {
    fault: "has a critical extension that nobody knows",
    reason: "unknown-critical-extension",
    make: async ({ root, uri }) =>
      changed(root, uri, "1.3.6.1.4.1.99999.1=critical,ASN1:UTF8String:x"),
  },
  {
    fault: "our root signed for another trust domain",
    reason: "unknown-issuer",
    make: async ({ root }) =>
      issue(root, { extensions: soundExtensions(`spiffe://${FOREIGN_DOMAIN}/ns/a/sa/b`) }),
  },
  {
    fault: "another trust domain's root signed for ours",
    reason: "unknown-issuer",
    make: async ({ foreignRoot, uri }) => issue(foreignRoot, { extensions: soundExtensions(uri) }),
  },
  {
    fault: "is of a trust domain that nobody knows",
    reason: "unknown-trust-domain",
    make: async ({ root }) =>
      issue(root, { extensions: soundExtensions("spiffe://elsewhere.test/ns/a/sa/b") }),
  },
  {
    fault: "signed itself",
    reason: "unknown-issuer",
    make: async ({ root, uri }) => {
      return selfSign(root.directory, { extensions: except(uri, "authorityKeyIdentifier") });
    },
  },
  {
    fault: "a workload signed with its own certificate",
    reason: "issuer-is-no-authority",
    make: async ({ root, uri }) => {
      const extensions = [...soundExtensions(uri), "subjectKeyIdentifier=hash"];
      const workload = await issue(root, { extensions });
      return issue(asIssuer(root, workload), { extensions: soundExtensions(`${uri}-2`) });
    },
  },
  {
    fault: "an authority of other names signed",
    reason: "name-not-permitted",
    make: async ({ root, uri }) => {
      const names = ["nameConstraints=critical,permitted;URI:elsewhere.test"];
      const between = await createIntermediate(root, "constrained", { extensions: names });
      return issue(between, { extensions: soundExtensions(uri) });
    },
  },
  {
    fault: "an expired authority signed",
    reason: "expired",
    make: async ({ root, uri }) => {
      const validity = { notBefore: hoursFromNow(-2), notAfter: hoursFromNow(-1) };
      const between = await createIntermediate(root, "expired", validity);
      return issue(between, { extensions: soundExtensions(uri) });
    },
  },
  {
    fault: `stands on ${DEEP} authorities`,
    reason: "chain-too-long",
    make: async ({ root, uri }) => {
      let above = root;
      for (let i = 1; i <= DEEP; i++) above = await createIntermediate(above, `deep-${i}`);
      return issue(above, { extensions: soundExtensions(uri) });
    },
  },
  {
    fault: `has an RSA key of ${LONG_RSA_BITS} bits`,
    reason: "unfit-key",
    make: async ({ root, uri }) =>
      issue(root, { key: hugeRsaKey(LONG_RSA_BITS), extensions: soundExtensions(uri) }),
  },
];

/** A sound certificate but for one extension, replaced or added. */
async function changed(issuer: Issuer, uri: string, extension: string): Promise<Credential> {
  const [name = ""] = extension.split("=", 1);
  return issue(issuer, { extensions: [...except(uri, name), extension] });
}

function except(uri: string, name: string): readonly string[] {
  return soundExtensions(uri).filter((line) => !line.startsWith(`${name}=`));
}

function hoursFromNow(hours: number): Date {
  return new Date(Date.now() + hours * HOUR_MS);
}
