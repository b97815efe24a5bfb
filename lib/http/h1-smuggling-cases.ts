// Requests that two recipients could read in two ways, and what we make of each: a refusal, or the
// one request that goes on. Used against the parser, and through the proxy against real backends.

/** Either refused before any request is complete, or exactly one request is. */
export type SmugglingOutcome =
  | { readonly kind: "refused"; readonly status: number }
  | {
      readonly kind: "one";
      /** Method, authority and path as they go on. */
      readonly line: string;
      readonly body: string;
    };

export interface SmugglingCase {
  readonly name: string;
  /** Latin1. */
  readonly bytes: string;
  readonly outcome: SmugglingOutcome;
}

const refused = (status: number): SmugglingOutcome => ({ kind: "refused", status });
const one = (line: string, body = ""): SmugglingOutcome => ({ kind: "one", line, body });

const POST = "POST /x HTTP/1.1\r\nHost: a\r\n";
const GET = "GET /x HTTP/1.1\r\nHost: a\r\n";
const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
const LAST = "0\r\n\r\n";

type Row = readonly [name: string, bytes: string, outcome: SmugglingOutcome];

const TWO_LENGTHS: readonly Row[] = [
  [
    "CL.TE",
    `${POST}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG`,
    refused(400),
  ],
  ["TE.CL", `${POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${LAST}`, refused(400)],
  [
    "CL: 0 with TE",
    `${POST}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n${LAST}`,
    refused(400),
  ],
  [
    "two Content-Length that differ",
    `${POST}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello`,
    refused(400),
  ],
  [
    "two Content-Length alike",
    `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`,
    refused(400),
  ],
  ["a list of Content-Length", `${POST}Content-Length: 5, 5\r\n\r\nhello`, refused(400)],
  ["Content-Length with a plus", `${POST}Content-Length: +5\r\n\r\nhello`, refused(400)],
  ["Content-Length with a minus", `${POST}Content-Length: -5\r\n\r\nhello`, refused(400)],
  ["Content-Length with a blank inside", `${POST}Content-Length: 1 0\r\n\r\nhello`, refused(400)],
  ["Content-Length in hexadecimal", `${POST}Content-Length: 0x5\r\n\r\nhello`, refused(400)],
  ["Content-Length with an underscore", `${POST}Content-Length: 1_0\r\n\r\nhello`, refused(400)],
  ["Content-Length with a fraction", `${POST}Content-Length: 5.0\r\n\r\nhello`, refused(400)],
  ["empty Content-Length", `${POST}Content-Length:\r\n\r\n`, refused(400)],
  ["Content-Length in quotes", `${POST}Content-Length: "5"\r\n\r\nhello`, refused(400)],
  [
    "Content-Length beyond 64 bits",
    `${POST}Content-Length: 18446744073709551621\r\n\r\nhello`,
    refused(413),
  ],
  [
    "Content-Length with zeros before it",
    `${POST}Content-Length: 005\r\n\r\nhello`,
    one("POST a /x", "hello"),
  ],
  [
    "0.CL: a body of GET is a body",
    `${GET}Content-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
    one("GET a /x", HIDDEN),
  ],
  [
    "CL.0: a body is not the next request",
    `${POST}Content-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
    one("POST a /x", HIDDEN),
  ],
  [
    "a blank before the colon of Content-Length",
    `${POST}Content-Length : 5\r\n\r\nhello`,
    refused(400),
  ],
  [
    "a body of CONNECT",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\nhello",
    refused(400),
  ],
];

const TRANSFER_ENCODINGS: readonly Row[] = [
  [
    "TE.TE: two lines",
    `${CHUNKED.slice(0, -2)}Transfer-Encoding: identity\r\n\r\n${LAST}`,
    refused(400),
  ],
  [
    "chunked twice in two lines",
    `${CHUNKED.slice(0, -2)}Transfer-Encoding: chunked\r\n\r\n${LAST}`,
    refused(400),
  ],
  ...[
    "identity",
    "xchunked",
    "chunked, identity",
    "identity, chunked",
    "gzip, chunked",
    "chunked, chunked",
    "chunked,",
    ", chunked",
    "chunked;q=1",
    '"chunked"',
    "chunked\u000b",
    "chun ked",
    "",
    "\u00a0chunked",
  ].map(
    (value): Row => [
      `Transfer-Encoding: ${JSON.stringify(value)}`,
      `${POST}Transfer-Encoding: ${value}\r\n\r\n${LAST}`,
      refused(400),
    ],
  ),
  ["chunked in capitals", `${POST}TRANSFER-ENCODING: CHUNKED\r\n\r\n${LAST}`, one("POST a /x")],
  ["chunked behind a tab", `${POST}Transfer-Encoding:\tchunked\t\r\n\r\n${LAST}`, one("POST a /x")],
  [
    "Transfer-Encoding in HTTP/1.0",
    `POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${LAST}`,
    refused(400),
  ],
  [
    "a blank before the colon of Transfer-Encoding",
    `${POST}Transfer-Encoding : chunked\r\n\r\n${LAST}`,
    refused(400),
  ],
  [
    "a folded Transfer-Encoding",
    `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n${LAST}`,
    refused(400),
  ],
  [
    "Transfer-Encoding behind a bare LF",
    `${POST}X: y\nTransfer-Encoding: chunked\r\n\r\n${LAST}`,
    refused(400),
  ],
  [
    "Transfer-Encoding behind a bare CR",
    `${POST}X: y\rTransfer-Encoding: chunked\r\n\r\n${LAST}`,
    refused(400),
  ],
  [
    "Transfer_Encoding frames nothing",
    `${POST}Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n${LAST}`,
    one("POST a /x", LAST),
  ],
  [
    "Connection cannot name framing away",
    `${POST}Connection: content-length\r\nContent-Length: 5\r\n\r\n${LAST}`,
    one("POST a /x", LAST),
  ],
  ["TE is not Transfer-Encoding", `${GET}TE: chunked\r\n\r\n`, one("GET a /x")],
];

const CHUNKS: readonly Row[] = [
  ["an ordinary chunk", `${CHUNKED}5\r\nhello\r\n${LAST}`, one("POST a /x", "hello")],
  [
    "a size in capitals, zeros before it",
    `${CHUNKED}00A\r\n0123456789\r\n${LAST}`,
    one("POST a /x", "0123456789"),
  ],
  [
    "extensions are read and forgotten",
    `${CHUNKED}5;a;b=c;d="\\"e;= "\r\nhello\r\n${LAST}`,
    one("POST a /x", "hello"),
  ],
  [
    "a request inside a chunk",
    `${CHUNKED}${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n${LAST}`,
    one("POST a /x", HIDDEN),
  ],
  ...[
    "0x5",
    "+5",
    "-5",
    "5_0",
    " 5",
    "5 ",
    "5\t;a",
    "",
    ";a",
    "g",
    "5;",
    "5; a",
    "5;a =b",
    "5;a=",
    '5;a="b',
    '5;a="b"c',
    "5;a\u0000",
    "ffffffffffffffff",
    "10000000000000005",
    "00000000000000005",
    "20000000000000",
  ].map(
    (size): Row => [
      `chunk line ${JSON.stringify(size)}`,
      `${CHUNKED}${size}\r\nhello\r\n${LAST}`,
      refused(400),
    ],
  ),
  ["a chunk line that ends with LF", `${CHUNKED}5\nhello\r\n${LAST}`, refused(400)],
  ["a chunk line that ends with CR", `${CHUNKED}5\rhello\r\n${LAST}`, refused(400)],
  ["an extension that ends with LF", `${CHUNKED}5;a\nhello\r\n${LAST}`, refused(400)],
  ["an extension that hides a CR", `${CHUNKED}5;a=\rb\r\nhello\r\n${LAST}`, refused(400)],
  ["chunk data longer than its size", `${CHUNKED}4\r\nhello\r\n${LAST}`, refused(400)],
  ["chunk data that ends with LF", `${CHUNKED}5\r\nhello\n${LAST}`, refused(400)],
  ["a last chunk that ends with LF", `${CHUNKED}5\r\nhello\r\n0\n\n`, refused(400)],
  ["extensions without end", `${CHUNKED}5;${"a".repeat(5_000)}\r\nhello\r\n${LAST}`, refused(400)],
  ["a trailer that frames", `${CHUNKED}0\r\nContent-Length: 5\r\n\r\n`, refused(400)],
  ["trailers do not route", `${CHUNKED}0\r\nHost: b\r\nX: y\r\n\r\n`, one("POST a /x")],
  ["a bare LF in trailers", `${CHUNKED}0\r\nX: y\n\r\n`, refused(400)],
  ["a folded trailer", `${CHUNKED}0\r\nX: y\r\n z\r\n\r\n`, refused(400)],
  ["a trailer that is no field", `${CHUNKED}0\r\n${HIDDEN}`, refused(400)],
];

const LINES: readonly Row[] = [
  ["bare LF everywhere", "GET /x HTTP/1.1\nHost: a\n\n", refused(400)],
  ["a bare LF before the empty line", `${GET}X: y\n\r\n`, refused(400)],
  ["a bare CR in a value", `${GET}X: y\rz\r\n\r\n`, refused(400)],
  ["CR CR LF", `${GET}X: y\r\r\n\r\n`, refused(400)],
  ["NUL in a value", `${GET}X: y\u0000z\r\n\r\n`, refused(400)],
  ["NUL in a name", `${GET}X\u0000: y\r\n\r\n`, refused(400)],
  ["a control byte in a value", `${GET}X: \u001b[0m\r\n\r\n`, refused(400)],
  ["DEL in a value", `${GET}X: \u007f\r\n\r\n`, refused(400)],
  ["obs-fold", `${GET}X: y\r\n z\r\n\r\n`, refused(400)],
  ["obs-fold with a tab", `${GET}X: y\r\n\tz\r\n\r\n`, refused(400)],
  ["a blank before the first field", "GET /x HTTP/1.1\r\n Host: a\r\n\r\n", refused(400)],
  ["a blank before a colon", `${GET}X : y\r\n\r\n`, refused(400)],
  ["a tab before a colon", `${GET}X\t: y\r\n\r\n`, refused(400)],
  ["a field without a name", `${GET}: y\r\n\r\n`, refused(400)],
  ["a line without a colon", `${GET}X\r\n\r\n`, refused(400)],
  ["a name in parentheses", `${GET}X(y): z\r\n\r\n`, refused(400)],
  ["a name beyond ASCII", `${GET}X\u00e9: z\r\n\r\n`, refused(400)],
  ["a pseudo-field", `${GET}:path: /hidden\r\n\r\n`, refused(400)],
  ["one empty line before a request", `\r\n${GET}\r\n`, one("GET a /x")],
  ["two empty lines before a request", `\r\n\r\n${GET}\r\n`, refused(400)],
  ["a bare LF before a request", `\n${GET}\r\n`, refused(400)],
  ["a blank before a request", ` ${GET}\r\n`, refused(400)],
  ["a Connection that is no list", `${GET}Connection: close; x\r\n\r\n`, refused(400)],
  [
    "an unknown expectation",
    `${POST}Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello`,
    refused(417),
  ],
  [
    "an expectation told twice",
    `${POST}Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n`,
    refused(417),
  ],
  [
    "h2c is not passed on",
    `${GET}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
    one("GET a /x"),
  ],
];

const TARGETS: readonly Row[] = [
  ["no Host", "GET /x HTTP/1.1\r\n\r\n", refused(400)],
  ["an empty Host", "GET /x HTTP/1.1\r\nHost:\r\n\r\n", refused(400)],
  ["two Hosts", `${GET}Host: b\r\n\r\n`, refused(400)],
  ["two Hosts alike", `${GET}Host: a\r\n\r\n`, refused(400)],
  ["two Hosts in HTTP/1.0", "GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", refused(400)],
  ["no Host in HTTP/1.0", "GET /x HTTP/1.0\r\n\r\n", one("GET  /x")],
  ...[
    "u@a",
    "a b",
    "a,b",
    "a/b",
    "a?b",
    "a#b",
    "a%2eb",
    "a:",
    "a:0",
    "a:65536",
    "a:8o",
    "a:1:2",
    ":80",
    "[::1",
    "[::g]",
    "::1",
    "http://a",
    "a\\b",
    "\u00e9",
    "[]",
    "[::1]x",
    "a:000080",
  ].map((host): Row => [`Host: ${host}`, `GET /x HTTP/1.1\r\nHost: ${host}\r\n\r\n`, refused(400)]),
  [
    "a Host of IPv6 with a port",
    "GET /x HTTP/1.1\r\nHost: [fd00::1]:80\r\n\r\n",
    one("GET [fd00::1]:80 /x"),
  ],
  [
    "a Host as it was written",
    "GET /x HTTP/1.1\r\nHost: A.Example.:8080\r\n\r\n",
    one("GET A.Example.:8080 /x"),
  ],
  [
    "an absolute target that agrees",
    "GET http://a/x?y HTTP/1.1\r\nHost: A\r\n\r\n",
    one("GET a /x?y"),
  ],
  [
    "an absolute target without a path",
    "GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n",
    one("GET a /?y"),
  ],
  ["an absolute target and no Host in 1.0", "GET HTTP://a:1/x HTTP/1.0\r\n\r\n", one("GET a:1 /x")],
  [
    "an absolute target of another Host",
    "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    refused(400),
  ],
  [
    "an absolute target of another port",
    "GET http://a:81/x HTTP/1.1\r\nHost: a\r\n\r\n",
    refused(400),
  ],
  ["an absolute target and no Host", "GET http://a/x HTTP/1.1\r\n\r\n", refused(400)],
  ["an absolute target with a user", "GET http://a@b/x HTTP/1.1\r\nHost: b\r\n\r\n", refused(400)],
  ["an absolute target of nowhere", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["an absolute target of https", "GET https://a/x HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["an absolute target of a file", "GET file:///x HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", one("OPTIONS a *")],
  [
    "OPTIONS of an absolute target",
    "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    one("OPTIONS a *"),
  ],
  ["GET *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["a path without a slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", one("CONNECT a:443 ")],
  ["CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["CONNECT to a path", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["CONNECT to another Host", "CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["GET of an authority", "GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", refused(400)],
  ["a fragment", "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["a fragment behind a query", "GET /x?y#z HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["a backslash in a path", "GET /x\\..\\y HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["a backslash in a query", "GET /x?\\ HTTP/1.1\r\nHost: a\r\n\r\n", one("GET a /x?\\")],
  ["a path beyond ASCII", "GET /\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["a blank in a target", "GET /x HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["two blanks before a target", "GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["two blanks before a version", "GET /x  HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["a tab before a target", "GET\t/x HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["a blank behind a version", "GET /x HTTP/1.1 \r\nHost: a\r\n\r\n", refused(400)],
  [
    "dots and escapes are kept",
    "GET //x/%2f/../%2e HTTP/1.1\r\nHost: a\r\n\r\n",
    one("GET a //x/%2f/../%2e"),
  ],
  ["no version", "GET /x\r\nHost: a\r\n\r\n", refused(400)],
  ["a version in small letters", "GET /x http/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["HTTP/1.2", "GET /x HTTP/1.2\r\nHost: a\r\n\r\n", refused(505)],
  ["HTTP/2.0", "GET /x HTTP/2.0\r\nHost: a\r\n\r\n", refused(505)],
  ["HTTP/0.9", "GET /x HTTP/0.9\r\nHost: a\r\n\r\n", refused(505)],
  ["HTTP/1.10", "GET /x HTTP/1.10\r\nHost: a\r\n\r\n", refused(400)],
  ["HTTP/01.1", "GET /x HTTP/01.1\r\nHost: a\r\n\r\n", refused(400)],
  ["a method that is no token", "GE(T /x HTTP/1.1\r\nHost: a\r\n\r\n", refused(400)],
  ["a method without end", `${"G".repeat(33)} /x HTTP/1.1\r\nHost: a\r\n\r\n`, refused(501)],
  ["a target without end", `GET /${"x".repeat(9_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, refused(414)],
  [
    "a target of any length",
    `GET /${"x".repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    refused(414),
  ],
  ["fields without end", `${GET}${"X: y\r\n".repeat(200)}\r\n`, refused(431)],
  ["a field without end", `${GET}X: ${"y".repeat(40_000)}\r\n\r\n`, refused(431)],
  ["a head without end", `${GET}${`X: ${"y".repeat(20_000)}\r\n`.repeat(4)}\r\n`, refused(431)],
];

export const SMUGGLING_CASES: readonly SmugglingCase[] = [
  ...TWO_LENGTHS,
  ...TRANSFER_ENCODINGS,
  ...CHUNKS,
  ...LINES,
  ...TARGETS,
].map(([name, bytes, outcome]) => ({ name, bytes, outcome }));
