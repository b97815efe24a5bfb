// The one form of a request's path that is matched, authorised and forwarded (fault F52). What
// backends are known to read in two ways is refused; what all of them read alike is made equal.

/** Bytes that some backend takes for something else: a separator, an end, a hidden segment. */
const REFUSED = /[\0-\x20\x7f-\uffff\\#]|%(?![0-9A-Fa-f]{2})|%(?:00|2[fF]|5[cC])/;
/** What a path that is normal already does not contain. */
const UNUSUAL = /%|\/\/|\/\./;
/** RFC 3986 §2.3 */
const UNRESERVED = /^[A-Za-z0-9\-._~]$/;

/**
 * The normal form of a path in origin-form, its query untouched; undefined asks for 400.
 *
 * - Percent-encoded unreserved characters are decoded, other encodings written in upper case.
 * - Empty segments are merged: `//` means the same as `/`.
 * - `.` and `..` segments are removed; a path that climbs above its root is refused.
 * - Refused too: encoded `/`, `\` and NUL, `\`, `#`, broken encodings, bytes that are no printable
 *   ASCII, and segments such as `..;x`, which servlet containers take for `..`.
 *
 * `*` and the empty path of CONNECT are normal. Idempotent; never throws.
 */
export function normalisePath(path: string): string | undefined {
  if (path === "*" || path === "") return path;
  if (!path.startsWith("/")) return undefined;
  const queryAt = path.indexOf("?");
  const pathPart = queryAt === -1 ? path : path.slice(0, queryAt);
  if (REFUSED.test(pathPart)) return undefined;
  const query = queryAt === -1 ? "" : path.slice(queryAt);
  if (query !== "" && /[\0-\x20\x7f-\uffff#]/.test(query)) return undefined;
  if (!UNUSUAL.test(pathPart)) return path;
  const normal = removeDotSegments(decodeUnreserved(pathPart));
  if (normal === undefined) return undefined;
  return `${normal}${query}`;
}

/** The path before its query. */
export function withoutQuery(path: string): string {
  const queryAt = path.indexOf("?");
  return queryAt === -1 ? path : path.slice(0, queryAt);
}

function decodeUnreserved(path: string): string {
  if (!path.includes("%")) return path;
  return path.replace(/%[0-9A-Fa-f]{2}/g, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return UNRESERVED.test(character) ? character : encoded.toUpperCase();
  });
}

/** RFC 3986 §5.2.4, but empty segments go too, and nothing is above the root. */
function removeDotSegments(path: string): string | undefined {
  const kept: string[] = [];
  const segments = path.split("/");
  for (const segment of segments) {
    if (/^\.{1,2};/.test(segment)) return undefined;
    if (segment === "..") {
      if (kept.pop() === undefined) return undefined;
    } else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  const last = segments.at(-1);
  const folder = last === "" || last === "." || last === "..";
  return kept.length === 0 ? "/" : `/${kept.join("/")}${folder ? "/" : ""}`;
}
