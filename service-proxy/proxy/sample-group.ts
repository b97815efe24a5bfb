// A group of endpoints for tests, and chance that can be repeated.

import type { Balancing, ProxyEndpoint, ProxyGroup } from "../model/proxy-plan.ts";

/** `count` endpoints, 10.0.0.1:80 and on; `zones` are given in turn. */
export function sampleEndpoints(count: number, zones: readonly string[] = []): ProxyEndpoint[] {
  return Array.from({ length: count }, (_, i) => {
    const zone = zones[i % Math.max(1, zones.length)];
    const address = `10.0.${i >> 8}.${(i & 255) + 1}`;
    return { address, port: 80, local: false, ...(zone === undefined ? {} : { zone }) };
  });
}

export function sampleGroup(
  endpoints: readonly ProxyEndpoint[],
  balancing: Partial<Balancing> = {},
): ProxyGroup {
  return {
    service: "default/web",
    port: 80,
    endpoints,
    balancing: { algorithm: "peak-ewma", ...balancing },
    protocol: "http1",
    proxyProtocol: false,
  };
}

/** Mulberry32: numbers in [0, 1), the same for the same seed. */
export function sampleRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
