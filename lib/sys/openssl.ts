// The one file that calls OpenSSL: the library inside the node binary, whose symbols it exports for
// addons, called through `node:ffi`. Typed wrappers over the few calls that TLS on a descriptor of
// our own needs. A wrong signature here crashes the process. Why: docs/adr/0013.

import assert from "node:assert/strict";
import ffi from "node:ffi";

const { lib, functions: ssl } = ffi.dlopen(null, {
  TLS_server_method: { arguments: [], return: "pointer" },
  TLS_client_method: { arguments: [], return: "pointer" },
  SSL_CTX_new: { arguments: ["pointer"], return: "pointer" },
  SSL_CTX_free: { arguments: ["pointer"], return: "void" },
  SSL_CTX_ctrl: { arguments: ["pointer", "int32", "int64", "pointer"], return: "int64" },
  SSL_CTX_set_options: { arguments: ["pointer", "uint64"], return: "uint64" },
  SSL_CTX_set_num_tickets: { arguments: ["pointer", "uint64"], return: "int32" },
  SSL_CTX_set_ciphersuites: { arguments: ["pointer", "buffer"], return: "int32" },
  SSL_CTX_set_verify: { arguments: ["pointer", "int32", "pointer"], return: "void" },
  SSL_CTX_set_verify_depth: { arguments: ["pointer", "int32"], return: "void" },
  SSL_CTX_set_info_callback: { arguments: ["pointer", "pointer"], return: "void" },
  SSL_CTX_set_default_read_buffer_len: { arguments: ["pointer", "uint64"], return: "void" },
  SSL_CTX_set_alpn_protos: { arguments: ["pointer", "buffer", "uint32"], return: "int32" },
  SSL_CTX_set_alpn_select_cb: { arguments: ["pointer", "pointer", "pointer"], return: "void" },
  SSL_CTX_use_certificate: { arguments: ["pointer", "pointer"], return: "int32" },
  SSL_CTX_use_PrivateKey: { arguments: ["pointer", "pointer"], return: "int32" },
  SSL_CTX_check_private_key: { arguments: ["pointer"], return: "int32" },
  SSL_CTX_get_cert_store: { arguments: ["pointer"], return: "pointer" },
  X509_STORE_add_cert: { arguments: ["pointer", "pointer"], return: "int32" },
  BIO_new_mem_buf: { arguments: ["buffer", "int32"], return: "pointer" },
  BIO_new_socket: { arguments: ["int32", "int32"], return: "pointer" },
  BIO_new: { arguments: ["pointer"], return: "pointer" },
  BIO_f_buffer: { arguments: [], return: "pointer" },
  BIO_int_ctrl: { arguments: ["pointer", "int32", "int64", "int32"], return: "int64" },
  BIO_push: { arguments: ["pointer", "pointer"], return: "pointer" },
  BIO_ctrl: { arguments: ["pointer", "int32", "int64", "pointer"], return: "int64" },
  BIO_test_flags: { arguments: ["pointer", "int32"], return: "int32" },
  BIO_free: { arguments: ["pointer"], return: "int32" },
  PEM_read_bio_X509: {
    arguments: ["pointer", "pointer", "pointer", "pointer"],
    return: "pointer",
  },
  PEM_read_bio_PrivateKey: {
    arguments: ["pointer", "pointer", "pointer", "pointer"],
    return: "pointer",
  },
  X509_free: { arguments: ["pointer"], return: "void" },
  EVP_PKEY_free: { arguments: ["pointer"], return: "void" },
  i2d_X509: { arguments: ["pointer", "pointer"], return: "int32" },
  OPENSSL_sk_num: { arguments: ["pointer"], return: "int32" },
  OPENSSL_sk_value: { arguments: ["pointer", "int32"], return: "pointer" },
  SSL_new: { arguments: ["pointer"], return: "pointer" },
  SSL_free: { arguments: ["pointer"], return: "void" },
  SSL_set_bio: { arguments: ["pointer", "pointer", "pointer"], return: "void" },
  SSL_get_wbio: { arguments: ["pointer"], return: "pointer" },
  SSL_set_accept_state: { arguments: ["pointer"], return: "void" },
  SSL_set_connect_state: { arguments: ["pointer"], return: "void" },
  SSL_do_handshake: { arguments: ["pointer"], return: "int32" },
  SSL_read: { arguments: ["pointer", "buffer", "int32"], return: "int32" },
  SSL_write: { arguments: ["pointer", "buffer", "int32"], return: "int32" },
  SSL_shutdown: { arguments: ["pointer"], return: "int32" },
  SSL_get_error: { arguments: ["pointer", "int32"], return: "int32" },
  SSL_get0_alpn_selected: { arguments: ["pointer", "buffer", "buffer"], return: "void" },
  SSL_get1_peer_certificate: { arguments: ["pointer"], return: "pointer" },
  SSL_get_peer_cert_chain: { arguments: ["pointer"], return: "pointer" },
  SSL_get_verify_result: { arguments: ["pointer"], return: "int64" },
  ERR_get_error: { arguments: [], return: "uint64" },
  ERR_peek_error: { arguments: [], return: "uint64" },
  ERR_clear_error: { arguments: [], return: "void" },
  ERR_error_string_n: { arguments: ["uint64", "buffer", "uint64"], return: "void" },
});

/** Numbers of OpenSSL's headers; part of its ABI. */
const CTRL_MODE = 33;
const CTRL_CLEAR_MODE = 78;
const CTRL_READ_AHEAD = 41;
const CTRL_CHAIN_CERT = 89;
const CTRL_MIN_PROTO_VERSION = 123;
const TLS1_3 = 0x0304n;
/** Partial writes, a buffer that may move between tries, no guessed chain, no idle buffers. */
const MODES = 0x1n | 0x2n | 0x8n | 0x10n;
/** One call would read on for as long as a peer sends what is no data. */
const MODE_AUTO_RETRY = 0x4n;
/** Neither sent nor taken (RFC 8879): a client compresses anew for each handshake, in 1.5 ms. */
const NO_CERTIFICATE_COMPRESSION = (1n << 32n) | (1n << 33n);
const VERIFY_PEER_OR_FAIL = 0x3;
/** Certificates between a leaf and its root. */
const MOST_INTERMEDIATES = 3;
const READ_AHEAD_BYTES = 65_536n;
const WRITE_BUFFER_BYTES = 65_536n;
const BIO_SET_BUFFER_SIZE = 117;
const BIO_WRITE_SIDE = 1;
const BIO_FLUSH = 11;
const BIO_SHOULD_RETRY = 8;
const CIPHERSUITES = Buffer.from("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384\0");
const ALERT_FATAL = 2;
const INFO_OF_STEP = 0x1;
const ALPN_CHOSEN = 0;
const NULL = 0n;
const REASON_MASK = 0x7f_ffffn;
const UNEXPECTED_EOF = 294n;
const MOST_ERRORS = 8;

/** Address of a `SSL_CTX`. */
export type ContextHandle = bigint & { readonly context: unique symbol };
/** Address of a `SSL`. */
export type SessionHandle = bigint & { readonly session: unique symbol };

/** OpenSSL refused; the message says what it said. Holds no key material. */
export class OpensslError extends Error {
  override readonly name = "OpensslError";
  readonly code = "ETLS";

  constructor(action: string) {
    super(`Cannot ${action}: ${takeErrors()}`);
  }
}

/** What a call came to: done (with a count of bytes), or why not. */
export const TLS_WANTS_READ = -1;
export const TLS_WANTS_WRITE = -2;
/** The peer said that it will send no more. */
export const TLS_ENDED = -3;
/** The connection below broke off. */
export const TLS_BROKEN = -4;
/** The peer or the protocol: `takeErrors` has the sentence. */
export const TLS_FAILED = -5;

const SSL_ERROR_WANT_READ = 2;
const SSL_ERROR_WANT_WRITE = 3;
const SSL_ERROR_SYSCALL = 5;
const SSL_ERROR_ZERO_RETURN = 6;

/** TLS 1.3 alone, both sides with certificates, no resumption. @throws OpensslError */
export function newContext(side: "client" | "server"): ContextHandle {
  const method = side === "server" ? ssl.TLS_server_method() : ssl.TLS_client_method();
  const context = ssl.SSL_CTX_new(method) as ContextHandle;
  if (context === NULL) throw new OpensslError("make a TLS context");
  ssl.SSL_CTX_ctrl(context, CTRL_MIN_PROTO_VERSION, TLS1_3, NULL);
  ssl.SSL_CTX_ctrl(context, CTRL_MODE, MODES, NULL);
  ssl.SSL_CTX_ctrl(context, CTRL_CLEAR_MODE, MODE_AUTO_RETRY, NULL);
  ssl.SSL_CTX_set_options(context, NO_CERTIFICATE_COMPRESSION);
  ssl.SSL_CTX_ctrl(context, CTRL_READ_AHEAD, 1n, NULL);
  ssl.SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD_BYTES);
  ssl.SSL_CTX_set_num_tickets(context, 0n);
  ssl.SSL_CTX_set_ciphersuites(context, CIPHERSUITES);
  ssl.SSL_CTX_set_info_callback(context, onInfo);
  ssl.SSL_CTX_set_verify(context, VERIFY_PEER_OR_FAIL, NULL);
  ssl.SSL_CTX_set_verify_depth(context, MOST_INTERMEDIATES);
  return context;
}

/** Sessions that use it keep it alive. */
export function freeContext(context: ContextHandle): void {
  ssl.SSL_CTX_free(context);
}

/** The certificate to show, with its intermediates, and its key; all PEM. @throws OpensslError */
export function useCredential(context: ContextHandle, chain: string, key: string): void {
  const [leaf = NULL, ...intermediates] = readCertificates(chain);
  const privateKey = readPrivateKey(key);
  try {
    const used =
      ssl.SSL_CTX_use_certificate(context, leaf) === 1 &&
      ssl.SSL_CTX_use_PrivateKey(context, privateKey) === 1 &&
      ssl.SSL_CTX_check_private_key(context) === 1 &&
      intermediates.every((one) => ssl.SSL_CTX_ctrl(context, CTRL_CHAIN_CERT, 1n, one) === 1n);
    if (!used) throw new OpensslError("use a certificate and its key");
  } finally {
    ssl.EVP_PKEY_free(privateKey);
    for (const one of [leaf, ...intermediates]) ssl.X509_free(one);
  }
}

/** Roots that peers' certificates may end in, PEM. @throws OpensslError */
export function addAnchors(context: ContextHandle, pem: string): void {
  const store = ssl.SSL_CTX_get_cert_store(context);
  for (const certificate of readCertificates(pem)) {
    const added = ssl.X509_STORE_add_cert(store, certificate);
    ssl.X509_free(certificate);
    if (added !== 1) throw new OpensslError("trust a root certificate");
  }
}

/** ALPN: offered in this order, or chosen from in this order; no agreement, no connection. */
export function useProtocols(
  context: ContextHandle,
  side: "client" | "server",
  protocols: readonly string[],
): void {
  if (side === "server") {
    ssl.SSL_CTX_set_alpn_select_cb(context, selectorOf(protocols), NULL);
    return;
  }
  const wire = Buffer.concat(
    protocols.map((one) => Buffer.concat([Buffer.of(one.length), Buffer.from(one)])),
  );
  if (ssl.SSL_CTX_set_alpn_protos(context, wire, wire.length) !== 0) {
    throw new OpensslError("offer protocols");
  }
}

/** A session on a connected, non-blocking socket, which it does not close. @throws OpensslError */
export function newSession(
  context: ContextHandle,
  side: "client" | "server",
  fd: number,
): SessionHandle {
  const session = ssl.SSL_new(context) as SessionHandle;
  if (session === NULL) throw new OpensslError("make a TLS session");
  // Records of 16 KiB are gathered, so that one call to the kernel takes several.
  const gather = ssl.BIO_new(ssl.BIO_f_buffer());
  ssl.BIO_int_ctrl(gather, BIO_SET_BUFFER_SIZE, WRITE_BUFFER_BYTES, BIO_WRITE_SIDE);
  ssl.SSL_set_bio(
    session,
    ssl.BIO_new_socket(fd, 0),
    ssl.BIO_push(gather, ssl.BIO_new_socket(fd, 0)),
  );
  if (side === "server") ssl.SSL_set_accept_state(session);
  else ssl.SSL_set_connect_state(session);
  return session;
}

export function freeSession(session: SessionHandle): void {
  ssl.SSL_free(session);
}

/** @returns 1 when it is complete, else one of the constants above */
export function tryHandshake(session: SessionHandle): number {
  return orReason(session, ssl.SSL_do_handshake(session));
}

/**
 * Steps that handshakes of this process have come on, up to three for each message; new keys and
 * tickets after them count, too. Whoever asks before and after a call knows of those within.
 */
export function handshakeSteps(): number {
  return steps;
}

/**
 * Reads what one record holds, at most. After a message that is no data it may return
 * TLS_WANTS_READ though more has come.
 */
export function tryDecrypt(session: SessionHandle, buffer: Uint8Array): number {
  return orReason(session, ssl.SSL_read(session, buffer, buffer.length));
}

/** Takes at most one record's worth. After TLS_WANTS_WRITE the same bytes must come again. */
export function tryEncrypt(session: SessionHandle, bytes: Uint8Array): number {
  return orReason(session, ssl.SSL_write(session, bytes, bytes.length));
}

/** Sends what was gathered. @returns 1, TLS_WANTS_WRITE or TLS_BROKEN */
export function tryFlush(session: SessionHandle): number {
  const bio = ssl.SSL_get_wbio(session);
  if (ssl.BIO_ctrl(bio, BIO_FLUSH, 0n, NULL) > 0n) return 1;
  return ssl.BIO_test_flags(bio, BIO_SHOULD_RETRY) === 0 ? TLS_BROKEN : TLS_WANTS_WRITE;
}

/** Says that nothing more will come; to be flushed. */
export function sayEnd(session: SessionHandle): void {
  if (ssl.SSL_shutdown(session) < 0) ssl.ERR_clear_error();
}

/** The protocol that ALPN agreed on. */
export function chosenProtocol(session: SessionHandle): string | undefined {
  const [data, length] = [new BigUint64Array(1), new Uint32Array(1)];
  ssl.SSL_get0_alpn_selected(session, data, length);
  const [address = NULL] = data;
  return address === NULL
    ? undefined
    : ffi.toBuffer(address, length[0] ?? 0, true).toString("latin1");
}

/** The peer's certificates as it showed them, DER, the leaf first. */
export function peerChain(session: SessionHandle): readonly Buffer[] {
  const leaf = ssl.SSL_get1_peer_certificate(session);
  if (leaf === NULL) return [];
  const shown = [encodeCertificate(leaf)];
  ssl.X509_free(leaf);
  const stack = ssl.SSL_get_peer_cert_chain(session);
  const count = stack === NULL ? 0 : ssl.OPENSSL_sk_num(stack);
  const others = Array.from({ length: count }, (_, i) =>
    encodeCertificate(ssl.OPENSSL_sk_value(stack, i)),
  );
  // A client finds the leaf in the stack as well, a server does not.
  if (others[0] !== undefined && shown[0]?.equals(others[0])) others.shift();
  return [...shown, ...others];
}

/** What OpenSSL found wrong with the peer's certificates (`X509_V_ERR_…`); 0: nothing. */
export function verifyResult(session: SessionHandle): number {
  return Number(ssl.SSL_get_verify_result(session));
}

/** What went wrong since the last call, as OpenSSL's words for people; forgets it. */
export function takeErrors(): string {
  const reasons: string[] = [];
  const text = Buffer.alloc(256);
  for (let i = 0; i < MOST_ERRORS; i++) {
    const code = ssl.ERR_get_error();
    if (code === NULL) break;
    ssl.ERR_error_string_n(code, text, BigInt(text.length));
    // `error:0A000086:SSL routines::certificate verify failed`
    reasons.push(text.toString("latin1", 0, text.indexOf(0)).split(":").slice(4).join(":"));
  }
  ssl.ERR_clear_error();
  return reasons.join("; ") || "no reason given";
}

function orReason(session: SessionHandle, result: number): number {
  if (result > 0) return result;
  switch (ssl.SSL_get_error(session, result)) {
    case SSL_ERROR_WANT_READ:
      return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
      return TLS_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN:
      return TLS_ENDED;
    case SSL_ERROR_SYSCALL:
      ssl.ERR_clear_error();
      return TLS_BROKEN;
    default:
      if ((ssl.ERR_peek_error() & REASON_MASK) !== UNEXPECTED_EOF) return TLS_FAILED;
      ssl.ERR_clear_error();
      return TLS_BROKEN;
  }
}

/** @returns at least one address, to be freed by the caller */
function readCertificates(pem: string): readonly bigint[] {
  const bytes = Buffer.from(pem);
  // It reads these bytes in place, so they are named again below.
  const bio = ssl.BIO_new_mem_buf(bytes, bytes.length);
  const certificates: bigint[] = [];
  for (;;) {
    const certificate = ssl.PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (certificate === NULL) break;
    certificates.push(certificate);
  }
  ssl.BIO_free(bio);
  bytes.fill(0);
  if (certificates.length === 0) throw new OpensslError("read a certificate");
  ssl.ERR_clear_error();
  return certificates;
}

function readPrivateKey(pem: string): bigint {
  const bytes = Buffer.from(pem);
  const bio = ssl.BIO_new_mem_buf(bytes, bytes.length);
  const key = ssl.PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
  ssl.BIO_free(bio);
  bytes.fill(0);
  if (key === NULL) throw new OpensslError("read a private key");
  return key;
}

function encodeCertificate(certificate: bigint): Buffer {
  const bytes = Buffer.alloc(ssl.i2d_X509(certificate, NULL));
  const to = new BigUint64Array([ffi.getRawPointer(bytes)]);
  ssl.i2d_X509(certificate, ffi.getRawPointer(to));
  return bytes;
}

let steps = 0;
const onInfo = lib.registerCallback(
  { arguments: ["pointer", "int32", "int32"], return: "void" },
  (_session, where) => {
    if (typeof where === "number" && (where & INFO_OF_STEP) !== 0) steps++;
  },
);

/** One for each list of protocols: OpenSSL keeps its address, so it lives on with the process. */
const selectors = new Map<string, bigint>();

function selectorOf(protocols: readonly string[]): bigint {
  const key = protocols.join();
  const known = selectors.get(key);
  if (known !== undefined) return known;
  const callback = lib.registerCallback(
    {
      arguments: ["pointer", "pointer", "pointer", "pointer", "uint32", "pointer"],
      return: "int32",
    },
    (_session, out, outLength, offered, length) => {
      assert(typeof out === "bigint" && typeof outLength === "bigint");
      assert(typeof offered === "bigint" && typeof length === "number");
      const list = ffi.toBuffer(offered, length, true);
      for (const protocol of protocols) {
        const at = offsetOf(list, protocol);
        if (at === undefined) continue;
        ffi.setUint64(out, 0, offered + BigInt(at));
        ffi.setUint8(outLength, 0, protocol.length);
        return ALPN_CHOSEN;
      }
      return ALERT_FATAL;
    },
  );
  selectors.set(key, callback);
  return callback;
}

/** Where a protocol's name stands in ALPN's list of length-prefixed names. */
function offsetOf(list: Buffer, protocol: string): number | undefined {
  for (let at = 0; at < list.length; at += 1 + (list[at] ?? 0)) {
    const name = list.toString("latin1", at + 1, at + 1 + (list[at] ?? 0));
    if (name === protocol) return at + 1;
  }
  return undefined;
}
