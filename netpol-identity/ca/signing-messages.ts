// The signing API on the wire: istio.v1.auth.IstioCertificateService, which ztunnel and Istio's
// agents speak too. https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/ and
// security/v1alpha1/ca.proto of istio.io/api. Pure and total.

import {
  allBytes,
  bytesField,
  decodeFields,
  decodeText,
  encodeFields,
  type Field,
  lastBytes,
  lastInt64,
  textField,
} from "../../lib/grpc/field.ts";

export const CREATE_CERTIFICATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/** A request with a key of RSA 8192 bits has less than half of this. */
export const MAX_SIGNING_MESSAGE_BYTES = 65_536;

export interface CertificateRequest {
  /** PEM of a PKCS #10 request. */
  readonly csr: string;
  /** Who the certificate is for; "" when the caller names nobody. */
  readonly identity: string;
  /** What is wished for; 0: what the CA gives by itself. */
  readonly validitySeconds: number;
}

export type Decoded<T> =
  | { readonly kind: "ok"; readonly value: T }
  | { readonly kind: "invalid"; readonly problem: string };

const REQUEST = { csr: 1, validityDuration: 3, metadata: 4 } as const;
const RESPONSE = { certChain: 1 } as const;
/** google.protobuf.Struct, the entries of its map, and its values. */
const STRUCT = { fields: 1, key: 1, value: 2, stringValue: 3 } as const;
const IDENTITY_KEY = "ImpersonatedIdentity";
const CSR_BLOCK =
  /-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]*)-----END (?:NEW )?CERTIFICATE/;
const MAX_SECONDS = 10n ** 10n;

export function encodeCertificateRequest(request: CertificateRequest): Uint8Array {
  const { csr, identity, validitySeconds } = request;
  const value = encodeFields([textField(STRUCT.stringValue, identity)]);
  const entry = encodeFields([
    textField(STRUCT.key, IDENTITY_KEY),
    bytesField(STRUCT.value, value),
  ]);
  const metadata = encodeFields([bytesField(STRUCT.fields, entry)]);
  const validity: Field = {
    kind: "varint",
    number: REQUEST.validityDuration,
    value: BigInt(validitySeconds),
  };
  return encodeFields([
    textField(REQUEST.csr, csr),
    validity,
    bytesField(REQUEST.metadata, metadata),
  ]);
}

/** Never throws. Metadata that we do not use is not looked at. */
export function decodeCertificateRequest(message: Uint8Array): Decoded<CertificateRequest> {
  const decoded = decodeFields(message);
  if (decoded.kind === "invalid") return decoded;
  const { fields } = decoded;
  const csr = decodeText(lastBytes(fields, REQUEST.csr) ?? new Uint8Array());
  const seconds = lastInt64(fields, REQUEST.validityDuration);
  const metadata = lastBytes(fields, REQUEST.metadata);
  const identity = metadata === undefined ? "" : textOfStruct(metadata, IDENTITY_KEY);
  if (csr === undefined || csr === "") return invalid("csr is missing or no text");
  if (identity === undefined) return invalid(`metadata is no Struct with text ${IDENTITY_KEY}`);
  if (seconds < 0n || seconds > MAX_SECONDS) return invalid("validity_duration is out of range");
  return { kind: "ok", value: { csr, identity, validitySeconds: Number(seconds) } };
}

/** @param chain PEM, the leaf first and the roots last, one certificate each */
export function encodeCertificateResponse(chain: readonly string[]): Uint8Array {
  return encodeFields(chain.map((pem) => textField(RESPONSE.certChain, pem)));
}

/** Never throws. */
export function decodeCertificateResponse(message: Uint8Array): Decoded<readonly string[]> {
  const decoded = decodeFields(message);
  if (decoded.kind === "invalid") return decoded;
  const chain = allBytes(decoded.fields, RESPONSE.certChain).map(decodeText);
  const texts = chain.filter((pem) => pem !== undefined);
  if (texts.length === 0 || texts.length < chain.length) return invalid("cert_chain is no text");
  return { kind: "ok", value: texts };
}

/** The DER of the first request in a PEM text; undefined when there is none. Never throws. */
export function decodeCsrPem(text: string): Buffer | undefined {
  const base64 = CSR_BLOCK.exec(text)?.[1];
  return base64 === undefined ? undefined : Buffer.from(base64, "base64");
}

export function encodeCsrPem(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  const [begin, end] = ["BEGIN", "END"].map((word) => `-----${word} CERTIFICATE REQUEST-----`);
  return [begin, ...lines, end, ""].join("\n");
}

/** "" when there is no such key, undefined when the Struct or the value is none. */
function textOfStruct(struct: Uint8Array, key: string): string | undefined {
  const decoded = decodeFields(struct);
  if (decoded.kind === "invalid") return undefined;
  let found: string | undefined = "";
  for (const entry of allBytes(decoded.fields, STRUCT.fields)) {
    const pair = decodeFields(entry);
    if (pair.kind === "invalid") return undefined;
    const name = decodeText(lastBytes(pair.fields, STRUCT.key) ?? new Uint8Array());
    if (name === key) found = textOfValue(lastBytes(pair.fields, STRUCT.value));
  }
  return found;
}

function textOfValue(value: Uint8Array | undefined): string | undefined {
  const decoded = value === undefined ? undefined : decodeFields(value);
  if (decoded?.kind !== "ok") return undefined;
  const text = lastBytes(decoded.fields, STRUCT.stringValue);
  return text === undefined ? undefined : decodeText(text);
}

function invalid(problem: string): { readonly kind: "invalid"; readonly problem: string } {
  return { kind: "invalid", problem };
}
