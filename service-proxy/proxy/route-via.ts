// The Via field (RFC 9110 §7.6.3): which proxies a message came through, in order, each with the
// version in which it got the message.

import type { FieldLines } from "../../lib/http/message.ts";

const VIA = { http1: "1.1 innermesh", http2: "2.0 innermesh" } as const;

/** @param received how the message came here; HTTP/1.0 is spoken as 1.1 */
export function addVia<Head extends { readonly fields: FieldLines }>(
  head: Head,
  received: keyof typeof VIA,
): Head {
  return { ...head, fields: [...head.fields, "via", VIA[received]] };
}
