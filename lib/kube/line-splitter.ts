// Bytes in, lines out: a watch is one JSON document per line, cut anywhere by the network.

export type SplitLines =
  | { readonly kind: "lines"; readonly lines: readonly string[] }
  /** The stream is of no use any more: nothing says where the next line starts. */
  | { readonly kind: "too-long" };

export interface LineSplitter {
  /** Returns the lines that `chunk` completed, without their newlines, decoded as UTF-8. */
  push(chunk: Uint8Array): SplitLines;
  /** Bytes of the line that has no end yet. */
  readonly pendingBytes: number;
}

const NEWLINE = 10;

/** @param maxLineBytes the longest line accepted, without its newline */
export function makeLineSplitter(maxLineBytes: number): LineSplitter {
  // Parts are joined once per line, not once per chunk: a long line costs O(n), not O(n²).
  let parts: Buffer[] = [];
  let pendingBytes = 0;
  return {
    get pendingBytes() {
      return pendingBytes;
    },
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      const lines: string[] = [];
      let start = 0;
      for (;;) {
        const end = bytes.indexOf(NEWLINE, start);
        if (pendingBytes + (end < 0 ? bytes.length : end) - start > maxLineBytes) {
          return { kind: "too-long" };
        }
        if (end < 0) break;
        const rest = bytes.subarray(start, end);
        const line = parts.length === 0 ? rest : Buffer.concat([...parts, rest]);
        lines.push(line.toString("utf8"));
        parts = [];
        pendingBytes = 0;
        start = end + 1;
      }
      if (start < bytes.length) {
        parts.push(bytes.subarray(start));
        pendingBytes += bytes.length - start;
      }
      return { kind: "lines", lines };
    },
  };
}
