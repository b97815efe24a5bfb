// What waits for a slow reader: there may be thousands of them, so each costs what it holds.

/** A copy with memory of its own: one of `Buffer.from` may hold on to 64 KiB shared with others. */
export function copyToKeep(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start);
  bytes.copy(copy, 0, start, end);
  return copy;
}

/** What is left of kept bytes, in twice its memory at most; as often as they are halved, a copy. */
export function restOf(bytes: Buffer, start: number): Buffer {
  const isMost = (bytes.length - start) * 2 > bytes.buffer.byteLength;
  return isMost ? bytes.subarray(start) : copyToKeep(bytes, start, bytes.length);
}
