// A fingerprint of a set's elements that does not depend on their order and follows additions and
// removals one by one: two tables are compared without carrying either to the other.

import type { Element } from "./objects.ts";

/** Two independent 32-bit sums and a count: an accidental match is a matter of 2^-64. */
export class ElementDigest {
  #count = 0;
  #first = 0;
  #second = 0;

  add(element: Element): void {
    this.#change(element, 1);
  }

  remove(element: Element): void {
    this.#change(element, -1);
  }

  /** Equal for equal elements, whatever order they came in. */
  toString(): string {
    const [first, second] = [this.#first, this.#second].map((sum) => (sum >>> 0).toString(16));
    return `${this.#count}:${first}:${second}`;
  }

  #change({ key, data, comment }: Element, sign: 1 | -1): void {
    const first = hash(hash(hash(0x811c9dc5, key), data ?? ""), comment ?? "");
    const second = hash(hash(hash(0x5bd1e995, comment ?? ""), data ?? ""), key);
    this.#count += sign;
    this.#first = (this.#first + sign * first) | 0;
    this.#second = (this.#second + sign * second) | 0;
  }
}

/** The digest of elements that are all at hand. */
export function digestOf(elements: Iterable<Element>): string {
  const digest = new ElementDigest();
  for (const element of elements) digest.add(element);
  return digest.toString();
}

/** FNV-1a over UTF-16 units, with a final step that marks where a part ends. */
function hash(seed: number, text: string): number {
  let value = seed;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return Math.imul(value ^ 0x100, 0x01000193);
}
