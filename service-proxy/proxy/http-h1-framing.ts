// Where the body of a response ends, in HTTP/1.1's words.

import {
  CHUNKED,
  type H1Body,
  type H1RequestHead,
  NO_BODY,
  UNTIL_CLOSE,
} from "../../lib/http/h1-head.ts";

/** @param body as the endpoint framed it, in whatever version */
export function frameResponse(
  body: H1Body,
  status: number,
  { method, version }: H1RequestHead,
): H1Body {
  const hasNone = method === "HEAD" || status === 204 || status === 304;
  switch (body.kind) {
    case "tunnel":
      return body;
    case "length":
      if (status === 204) return NO_BODY;
      return hasNone ? { kind: "none", statedBytes: body.lengthBytes } : body;
    case "none":
      return hasNone ? body : { kind: "length", lengthBytes: 0 };
    case "chunked":
    case "until-close":
      if (hasNone) return NO_BODY;
      return version === "1.1" ? CHUNKED : UNTIL_CLOSE;
    default:
      return body satisfies never;
  }
}
