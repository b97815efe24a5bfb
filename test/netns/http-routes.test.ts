// Every feature of HTTPRoute that one request shows, sent for real: which backend sees which head,
// and what the client gets. What takes many requests is in http-traffic.test.ts.

import { after, before, describe, test } from "node:test";
import { FILTER_CASES } from "./http-filter-cases.ts";
import { HEAD_CASES } from "./http-head-cases.ts";
import { MATCH_CASES } from "./http-match-cases.ts";
import { HttpRig } from "./http-rig.ts";
import { checkRouteCase } from "./http-route-case.ts";

const CASES = [...MATCH_CASES, ...FILTER_CASES, ...HEAD_CASES];

describe("HTTPRoutes on Services, sent", () => {
  let rig: HttpRig;
  before(async () => {
    rig = await HttpRig.build(CASES.map((one, index) => ({ ...one, number: index + 1 })));
  });
  after(() => rig[Symbol.asyncDispose]());

  for (const [index, one] of CASES.entries()) {
    test(one.name, () => checkRouteCase(rig, one, index + 1));
  }
});
