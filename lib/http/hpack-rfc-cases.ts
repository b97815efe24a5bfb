// The header blocks of RFC 7541 appendix C: series of blocks that share a table, and what they say.

import { fieldLines } from "./h2-case-peer.ts";

export interface BlockSeries {
  readonly name: string;
  /** Each block as hexadecimal digits, with its fields. */
  readonly blocks: readonly (readonly [hex: string, fields: readonly string[]])[];
}

const SITE = ":authority: www.example.com";
const REQUESTS: readonly (readonly string[])[] = [
  fieldLines(":method: GET", ":scheme: http", ":path: /", SITE),
  fieldLines(":method: GET", ":scheme: http", ":path: /", SITE, "cache-control: no-cache"),
  fieldLines(
    ":method: GET",
    ":scheme: https",
    ":path: /index.html",
    SITE,
    "custom-key: custom-value",
  ),
];

const PRIVATE = "cache-control: private";
const DATE = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const LOCATION = "location: https://www.example.com";
const RESPONSES: readonly (readonly string[])[] = [
  fieldLines(":status: 302", PRIVATE, DATE, LOCATION),
  fieldLines(":status: 307", PRIVATE, DATE, LOCATION),
  fieldLines(
    ":status: 200",
    PRIVATE,
    DATE.replace(":21 ", ":22 "),
    LOCATION,
    "content-encoding: gzip",
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  ),
];

/** The examples of responses assume a table of 256 bytes: this block head makes it so. */
const TABLE_OF_256 = "3fe101";

export const RFC_SERIES: readonly BlockSeries[] = [
  {
    name: "C.2.1 literal with indexing",
    blocks: [
      ["400a637573746f6d2d6b65790d637573746f6d2d686561646572", ["custom-key", "custom-header"]],
    ],
  },
  {
    name: "C.2.2 literal without indexing",
    blocks: [["040c2f73616d706c652f70617468", [":path", "/sample/path"]]],
  },
  {
    name: "C.2.3 literal never indexed",
    blocks: [["100870617373776f726406736563726574", ["password", "secret"]]],
  },
  { name: "C.2.4 indexed", blocks: [["82", [":method", "GET"]]] },
  series("C.3 requests without Huffman", REQUESTS, [
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
  ]),
  series("C.4 requests with Huffman", REQUESTS, [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
  ]),
  series("C.5 responses without Huffman, with eviction", RESPONSES, [
    `${TABLE_OF_256}4803333032580770726976617465611d4d6f6e2c203231204f63742032303133` +
      "2032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
    "4803333037c1c0bf",
    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a6970" +
      "7738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d61" +
      "67653d333630303b2076657273696f6e3d31",
  ]),
  series("C.6 responses with Huffman, with eviction", RESPONSES, [
    `${TABLE_OF_256}488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a6` +
      "2d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2" +
      "e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
  ]),
];

function series(
  name: string,
  lists: readonly (readonly string[])[],
  blocks: readonly string[],
): BlockSeries {
  return { name, blocks: blocks.map((hex, i) => [hex, lists[i] ?? []]) };
}
