// A rig whose stages have names: for tests that send more than a table can say.

import type { HttpCall } from "./http-client-protocol.ts";
import type { HttpService, RouteSpec } from "./http-manifests.ts";
import { HttpRig, type HttpStage } from "./http-rig.ts";
import type { Json } from "./http-route-rules.ts";

/** One route on a Service of the stage's own. */
export interface NamedStage {
  /** @default "HTTPRoute" */
  readonly kind?: "HTTPRoute" | "GRPCRoute";
  /** Empty: no route. */
  readonly rules: readonly Json[];
  readonly service?: Partial<HttpService>;
}

export class NamedStages<Name extends string> implements AsyncDisposable {
  readonly rig: HttpRig;
  readonly #stages: Readonly<Record<Name, NamedStage>>;

  /** Use `build`. */
  constructor(rig: HttpRig, stages: Readonly<Record<Name, NamedStage>>) {
    this.rig = rig;
    this.#stages = stages;
  }

  static async build<Name extends string>(
    stages: Readonly<Record<Name, NamedStage>>,
  ): Promise<NamedStages<Name>> {
    const rig = await HttpRig.build(
      Object.values<NamedStage>(stages).map((stage, index) => stageOf(stage, index + 1)),
    );
    return new NamedStages(rig, stages);
  }

  numberOf(name: Name): number {
    return Object.keys(this.#stages).indexOf(name) + 1;
  }

  /** A request to the stage's ClusterIP. */
  at(name: Name, path = "/", more: Partial<HttpCall> = {}): HttpCall {
    return { ...this.rig.target(this.numberOf(name), more.protocol), path, ...more };
  }

  /** Other rules for the stage's route. */
  change(name: Name, rules: readonly Json[]): Promise<void> {
    return this.rig.stage(stageOf({ ...this.#stages[name], rules }, this.numberOf(name)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.rig[Symbol.asyncDispose]();
  }
}

/** What a backend remembers a request under, and how it treats it: see `parseBehaviour`. */
export function marked(id: string, behave = ""): Pick<HttpCall, "headers"> {
  return { headers: { "x-case": id, "x-behave": behave } };
}

function stageOf({ kind, rules, service }: NamedStage, number: number): HttpStage {
  const route: RouteSpec = { rules, ...(kind !== undefined && { kind }) };
  return { number, routes: rules.length === 0 ? [] : [route], ...(service && { service }) };
}
