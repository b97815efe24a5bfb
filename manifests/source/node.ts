// All manifests of the node role, in the order in which they apply.

import { accessManifests } from "./access.ts";
import { configurationManifests } from "./configuration.ts";
import { daemonSetManifest } from "./daemon-set.ts";
import type { Manifest } from "./manifest.ts";
import type { Lookup } from "./values.ts";

/** @param value what stands in for each value: its default, or a template */
export function nodeManifests(value: Lookup): readonly Manifest[] {
  return [...accessManifests, ...configurationManifests(value), daemonSetManifest(value)];
}
