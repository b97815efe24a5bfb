// Writes what the planner says of routes, and what this mesh supports, into the status of the
// objects themselves, for as long as this process leads.

import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../lib/clock/clock.ts";
import { type Condition, formatTime, mergeConditions } from "../../lib/kube/api/condition.ts";
import { asList, type JsonRecord } from "../../lib/kube/api/fields.ts";
import { mergeParents, type ParentStatus } from "../../lib/kube/api/route-parents.ts";
import type { XMesh } from "../../lib/kube/api/x-mesh.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import type { Leadership } from "../../lib/kube/lease.ts";
import type { StatusBook } from "../../lib/kube/status-book.ts";
import type { StatusEvent, StatusSubject } from "../../lib/kube/status-keeper.ts";
import { runStatusLoop } from "../../lib/kube/status-loop.ts";
import type { NextStatus } from "../../lib/kube/status-writer.ts";
import { type KubeStore, keyOf } from "../../lib/kube/store.ts";
import { MESH_FEATURES } from "../model/mesh-features.ts";
import { CONTROLLER_NAME } from "../model/route-status.ts";
import type { AnyRoute } from "../plan/route-attachment.ts";
import { makeRoutePlanner, routesOf } from "../plan/route-plan.ts";

export interface RouteStatusParts {
  readonly store: KubeStore;
  /** Notes the objects of `store`. */
  readonly book: StatusBook;
  readonly client: Pick<KubeClient, "getJson" | "patch">;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly onEvent: (event: RouteStatusEvent) => void;
}

export type RouteStatusEvent =
  | StatusEvent
  /** All routes were judged. */
  | { readonly kind: "judged"; readonly durationMs: number };

/** Keeps statuses until the leadership ends, and resolves when no write is under way any more. */
export function runRouteStatus(leadership: Leadership, parts: RouteStatusParts): Promise<void> {
  const { store, book } = parts;
  return runStatusLoop(leadership, {
    ...parts,
    isReady: () => store.synced,
    sources: [store, book],
    subjects: makeSubjects(parts),
  });
}

/** Everything whose status is ours to write, with what it should say. */
function makeSubjects(parts: RouteStatusParts): () => readonly StatusSubject[] {
  const { book, clock, onEvent, store } = parts;
  const plan = makeRoutePlanner();
  const now = (): string => formatTime(clock.wallMs());
  const subject = (
    object: AnyRoute | XMesh,
    verdict: unknown,
    next: NextStatus,
  ): readonly StatusSubject[] => {
    const target = book.of(object);
    if (target === undefined) return [];
    return [{ key: `${object.kind} ${keyOf(object)}`, target, verdict, next }];
  };
  return () => {
    const startMs = clock.monotonicMs();
    const { statuses } = plan(store);
    onEvent({ kind: "judged", durationMs: clock.monotonicMs() - startMs });
    const judged = new Map(
      statuses.map(({ kind, namespace, name, parents }) => [
        `${kind} ${namespace}/${name}`,
        parents,
      ]),
    );
    const ours = [...store.xMeshes.values()].filter(
      ({ controllerName }) => controllerName === CONTROLLER_NAME,
    );
    return [
      ...[...routesOf(store)].flatMap((route) => {
        // Of a route that no longer names a Service our entries go.
        const parents = judged.get(`${route.kind} ${keyOf(route)}`) ?? [];
        return subject(route, parents, (status) => nextRouteStatus(status, parents, now()));
      }),
      ...ours.flatMap((mesh) =>
        subject(mesh, mesh.generation, (status) => nextMeshStatus(status, mesh, now())),
      ),
    ];
  };
}

/** What to change in a route's status; undefined for nothing. */
export function nextRouteStatus(
  status: JsonRecord,
  wanted: readonly ParentStatus[],
  now: string,
): JsonRecord | undefined {
  const current = asList(status["parents"]);
  const parents = mergeParents(current, wanted, { controllerName: CONTROLLER_NAME, now });
  return isDeepStrictEqual(parents, current) ? undefined : { parents };
}

const MESH_TYPES: ReadonlySet<string> = new Set(["Accepted"]);

/** What to change in a mesh's status; undefined for nothing. */
export function nextMeshStatus(
  status: JsonRecord,
  mesh: XMesh,
  now: string,
): JsonRecord | undefined {
  const next = {
    conditions: mergeConditions(asList(status["conditions"]), [acceptance(mesh)], {
      ours: MESH_TYPES,
      now,
    }),
    supportedFeatures: MESH_FEATURES.map(({ name }) => ({ name })),
  };
  const { conditions, supportedFeatures } = status;
  return isDeepStrictEqual(next, { conditions, supportedFeatures }) ? undefined : next;
}

function acceptance({ generation, parameters }: XMesh): Condition {
  const common = { type: "Accepted", observedGeneration: generation };
  if (parameters === undefined) {
    const message = "innermesh serves this mesh";
    return { ...common, status: "True", reason: "Accepted", message };
  }
  const message = `want no parametersRef: got ${parameters}`;
  return { ...common, status: "False", reason: "InvalidParameters", message };
}
