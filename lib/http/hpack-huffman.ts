// The Huffman code of HPACK (RFC 7541 §5.2, appendix B). It is canonical: the lengths of its codes
// give the codes. Decoding walks a table of states, half a byte at a time; half a byte ends at most
// one code, because the shortest has five bits.

/** Bits of the code of each octet, in base 36; last, those of the end of the string. */
export const HUFFMAN_CODE_LENGTHS =
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca" +
  "d67777777777777777777777878djde6f56565666577666567655677777fbeds" +
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn" +
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq" +
  "u";

const END_OF_STRING = 256;
/** Transitions: the next state in bits 0 to 7, then the octet that came out in bits 8 to 15. */
const EMITS = 1 << 16;
const FAILS = 1 << 17;
/** Of a state, not a transition: the bits since the last code are fewer than 8 and all ones. */
const MAY_END = 1 << 18;

/** 16 transitions of each of the 256 states; MAY_END tells of the state a transition leads to. */
const TRANSITIONS: Uint32Array = makeTransitions();

/**
 * Decodes a string into `out`, which holds 8 bytes for every 5 of input. Never throws.
 * @returns the bytes written, or -1: padding of 8 bits or more, or not of ones, or an end of string
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number, out: Buffer): number {
  let transition = MAY_END;
  let written = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    transition = TRANSITIONS[((transition & 0xff) << 4) | (byte >> 4)] ?? FAILS;
    if (transition & EMITS) out[written++] = transition >> 8;
    else if (transition & FAILS) return -1;
    transition = TRANSITIONS[((transition & 0xff) << 4) | (byte & 15)] ?? FAILS;
    if (transition & EMITS) out[written++] = transition >> 8;
    else if (transition & FAILS) return -1;
  }
  return transition & MAY_END ? written : -1;
}

/** The inner nodes of the code's tree are the states; state 0 is its root. */
function makeTransitions(): Uint32Array {
  const { children, mayEnd } = makeTree();
  const table = new Uint32Array(256 * 16);
  for (let index = 0; index < table.length; index++) {
    let state = index >> 4;
    let emitted = 0;
    for (let bit = 3; bit >= 0; bit--) {
      const next = children[state * 2 + ((index >> bit) & 1)] ?? 0;
      if (next >= 0) {
        state = next;
        continue;
      }
      const symbol = -1 - next;
      emitted = symbol === END_OF_STRING ? FAILS : EMITS | (symbol << 8);
      if (emitted === FAILS) break;
      state = 0;
    }
    table[index] = emitted | state | (mayEnd.has(state) ? MAY_END : 0);
  }
  return table;
}

/** @returns two children of each inner node: another inner node, or -1 - symbol */
function makeTree(): { children: Int16Array; mayEnd: ReadonlySet<number> } {
  const children = new Int16Array(256 * 2);
  let nodes = 1;
  let code = 0;
  for (let bits = 5; bits <= 30; bits++, code *= 2) {
    for (let symbol = 0; symbol <= END_OF_STRING; symbol++) {
      if (Number.parseInt(HUFFMAN_CODE_LENGTHS.charAt(symbol), 36) !== bits) continue;
      let node = 0;
      for (let bit = bits - 1; bit > 0; bit--) {
        const edge = node * 2 + ((code >> bit) & 1);
        if (children[edge] === 0) children[edge] = nodes++;
        node = children[edge] ?? 0;
      }
      children[node * 2 + (code & 1)] = -1 - symbol;
      code++;
    }
  }
  const mayEnd = new Set([0]);
  for (let node = 0, depth = 0; depth < 7; depth++) {
    node = children[node * 2 + 1] ?? 0;
    mayEnd.add(node);
  }
  return { children, mayEnd };
}
