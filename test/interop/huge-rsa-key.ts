// An RSA key too long to be reasonable, within a second: its two factors are products of short
// primes. Weak, and as slow to use as a real one, which is all that a bad peer needs.

import { createPrivateKey, generatePrimeSync, type KeyObject } from "node:crypto";

const PRIME_BITS = 256;
const EXPONENT = 65_537n;

interface Factor {
  readonly value: bigint;
  /** (p - 1)(p' - 1)... of its primes. */
  readonly totient: bigint;
}

/** @param bits of the modulus, give or take a few; a multiple of 512 */
export function hugeRsaKey(bits: number): KeyObject {
  const [p, q] = [newFactor(bits / 2), newFactor(bits / 2)];
  const d = inverse(EXPONENT, p.totient * q.totient);
  const numbers = {
    n: p.value * q.value,
    e: EXPONENT,
    d,
    p: p.value,
    q: q.value,
    dp: d % p.totient,
    dq: d % q.totient,
    qi: inverse(q.value, p.value),
  };
  const encoded = Object.entries(numbers).map(([name, value]) => [name, base64url(value)]);
  return createPrivateKey({ key: { kty: "RSA", ...Object.fromEntries(encoded) }, format: "jwk" });
}

function newFactor(bits: number): Factor {
  let factor: Factor = { value: 1n, totient: 1n };
  for (let made = 0; made < bits; made += PRIME_BITS) {
    const prime = generatePrimeSync(PRIME_BITS, { bigint: true });
    if ((prime - 1n) % EXPONENT === 0n || factor.value % prime === 0n) return newFactor(bits);
    factor = { value: factor.value * prime, totient: factor.totient * (prime - 1n) };
  }
  return factor;
}

/** By Euclid's extended algorithm; `value` and `modulus` have no common factor. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [rest, next] = [modulus, value % modulus];
  let [before, found] = [0n, 1n];
  while (next > 1n) {
    const times = rest / next;
    [rest, next] = [next, rest - times * next];
    [before, found] = [found, before - times * found];
  }
  return (found + modulus) % modulus;
}

function base64url(value: bigint): string {
  const hex = value.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex").toString("base64url");
}
