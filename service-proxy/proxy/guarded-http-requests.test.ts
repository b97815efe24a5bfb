import assert from "node:assert/strict";
import { test } from "node:test";
import type { JudgedRequest } from "./guarded-http-requests.ts";
import {
  ALLOW,
  anything,
  CLOSE,
  echo,
  guard,
  httpPod,
  notAdmin,
  statusesOf,
} from "./sample-guarded-pod.ts";
import { talk } from "./sample-http-proxy.ts";

test("no other spelling of a path gets around its rule", async (t) => {
  const pod = await httpPod(t, echo);
  const guarded = guard(t, pod.port, notAdmin);
  const get = async (path: string): Promise<number | undefined> =>
    statusesOf(await talk(guarded.port, `GET ${path} HTTP/1.1\r\n${CLOSE}`))[0];
  const denied = [
    "/admin",
    "/admin/",
    "/admin?x",
    "//admin",
    "///admin//users",
    "/./admin",
    "/x/../admin",
    "/x/y/../../admin",
    "/%61dmin",
    "/%61%64%6D%69%6e/users",
    "/x/%2e%2e/admin",
    "/%2e/admin",
    "/admin;x",
    "/admin;x=1/users",
    "/;x/admin",
    "/x;a/../admin",
    "http://db.shop/admin",
    "HTTP://db.shop//admin",
  ];
  for (const path of denied) assert.equal(await get(path), 403, path);
  const refused = [
    "/x%2fadmin",
    "/%2Fadmin",
    "/..%2fadmin",
    "/x\\admin",
    "/x%5cadmin",
    "/admin%00",
    "/../admin",
    "/..;/admin",
    "/x/..;y/admin",
    "/admin#x",
    "/%zz",
    "admin",
    "http://db.shop@evil/admin",
  ];
  for (const path of refused) assert.equal(await get(path), 400, path);
  for (const path of ["/administer", "/x/admin", "/a;admin", "/?/admin", "/%2561dmin"]) {
    assert.equal(await get(path), 200, path);
  }
});

test("what is judged is what the pod gets", async (t) => {
  const pod = await httpPod(t, (request, response) => response.end(request.url));
  const guarded = guard(t, pod.port, anything);
  const answer = await talk(guarded.port, `GET /a//b/../%7Ec?d=//e HTTP/1.1\r\n${CLOSE}`);
  assert.match(answer, /\/a\/~c\?d=\/\/e$/m);
  assert.deepEqual(
    guarded.judged.map(({ path }) => path),
    ["/a/~c"],
  );
});

test("the judge sees hosts and headers in one form", async (t) => {
  const pod = await httpPod(t, echo);
  const guarded = guard(t, pod.port, anything);
  const ask = async (lines: string, version = "1.1"): Promise<JudgedRequest> => {
    guarded.judged.length = 0;
    const head = `GET / HTTP/${version}\r\n${lines}Connection: close, X-Hop\r\n\r\n`;
    assert.deepEqual(statusesOf(await talk(guarded.port, head)), [200]);
    return guarded.judged[0] ?? assert.fail();
  };
  for (const host of ["db.shop", "DB.Shop", "db.shop:8080", "DB.SHOP.", "db.shop.:80"]) {
    assert.equal((await ask(`Host: ${host}\r\n`)).host, "db.shop", host);
  }
  assert.equal((await ask("Host: [FD00::1]:80\r\n")).host, "[fd00::1]");
  assert.equal((await ask("", "1.0")).host, "");
  const lines = "Host: db.shop\r\nX-Role: a\r\nx-rOLE:   b \r\nX-Hop: me\r\n";
  const asked = await ask(lines);
  assert.deepEqual(
    ["x-role", "host", "x-hop", "x-none"].map((name) => asked.header(name)),
    ["a,b", "db.shop", undefined, undefined],
  );
});

test("a header that comes twice is judged in all ways in which a pod may read it", async (t) => {
  const pod = await httpPod(t, echo);
  const isEvil = (request: JudgedRequest): boolean => request.header("x-role") === "evil";
  const notEvil = guard(t, pod.port, (one) => ({ kind: isEvil(one) ? "deny" : "allow", rule: "" }));
  const isGood = (request: JudgedRequest): boolean => request.header("x-role") === "good";
  const onlyGood = guard(t, pod.port, (one) => ({
    kind: isGood(one) ? "allow" : "deny",
    rule: "",
  }));
  const ask = async (lines: readonly string[]): Promise<readonly (number | undefined)[]> => {
    const head = `GET / HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join("")}${CLOSE}`;
    const answers = [await talk(notEvil.port, head), await talk(onlyGood.port, head)];
    return answers.map((answer) => statusesOf(answer)[0]);
  };
  assert.deepEqual(await ask(["X-Role: good"]), [200, 200]);
  assert.deepEqual(await ask(["X-Role: good", "X-Role: good"]), [200, 403]);
  for (const lines of [
    ["X-Role: good", "X-Role: evil"],
    ["X-Role: evil", "X-Role: good"],
    ["X-Role: good", "X-Role: evil", "X-Role: good"],
    ["X_Role: evil"],
    ["X-Role: good", "X_Role: evil"],
    Array.from({ length: 40 }, () => "X-Role: good"),
  ]) {
    assert.deepEqual(await ask(lines), [403, 403], lines.join());
  }
  assert.deepEqual(await ask(["X-Role: good", "X-Other: a", "X-Other: b"]), [200, 200]);
});

test("of all readings of a request that is allowed the last one is known for it", async (t) => {
  const pod = await httpPod(t, echo);
  const more: boolean[] = [];
  const guarded = guard(t, pod.port, (request) => {
    request.header("x-role");
    more.push(request.isReadAgain());
    return ALLOW;
  });
  const ask = async (path: string, ...lines: readonly string[]): Promise<readonly boolean[]> => {
    const fields = lines.map((line) => `X-Role: ${line}\r\n`).join("");
    await talk(guarded.port, `GET ${path} HTTP/1.1\r\n${fields}${CLOSE}`);
    return more.splice(0);
  };
  assert.deepEqual(await ask("/"), [false]);
  assert.deepEqual(await ask("/", "a"), [false]);
  assert.deepEqual(await ask("/", "a", "b"), [true, true, false]);
  assert.deepEqual(await ask("/a;x", "a"), [true, false]);
  assert.deepEqual(await ask("/a;x", "a", "b"), [true, true, true, true, true, false]);
  // Too many to be read, so that it is denied whatever the rules say.
  assert.deepEqual(await ask("/", ...Array.from({ length: 40 }, () => "a")), [true]);
});
