// Everything that is installed, in the order in which it applies.

import { caManifests } from "./ca.ts";
import { controllerManifests } from "./controller.ts";
import type { Manifest } from "./manifest.ts";
import { nodeManifests } from "./node.ts";
import { policyDefinitions } from "./policy-crds.ts";
import type { Lookup } from "./values.ts";

/** @param value what stands in for each value: its default, or a template */
export function installationManifests(value: Lookup): readonly Manifest[] {
  return [
    ...policyDefinitions,
    ...nodeManifests(value),
    ...controllerManifests(value),
    ...caManifests,
  ];
}
