import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Mesh } from "./mesh-rig.ts";
test("x", async () => {
  await using mesh = await Mesh.build({});
  await mesh.served.serve({ number: 1, pods: ["pod-2-1"] });
  await mesh.ready();
  const loads = (["ip","ip6"] as const).flatMap((f) => [mesh.load("pod-1-1", mesh.served.address("cluster",1,f)), mesh.load("pod-1-1", mesh.at("pod-2-1",f)), mesh.load("pod-2-2", mesh.at("pod-1-2",f))]);
  const t0 = performance.now();
  let done = false; const bad: string[] = [];
  const talking = (async () => { while (!done) { const a = await mesh.talk("pod-1-1", mesh.served.address("cluster",1,"ip"), {timeoutMs: 5000}); if (!a.includes("sees")) bad.push(`${(performance.now() - t0).toFixed(0)} ${a}`); } })();
  await delay(500);
  await mesh.replaceAgent(1);
  console.error("replaced", performance.now() - t0);
  await delay(5000);
  done = true; await talking;
  const l = await mesh.lost(loads);
  console.error(l.started, l.failures.length, l.failures.slice(0,5), bad.length, bad.slice(0, 5), bad.at(-1));
  await delay(1500);
  for (const n of [1,2]) {
    const { body } = await mesh.agent(n).get(10249, "/metrics");
    console.error(n, body.split("\n").filter((l) => /^innermesh_(tunnel_[hcs]|identity|proxy_w|tcp)/.test(l) && !/bucket/.test(l)).join("\n"));
    console.error(mesh.agent(n).log.filter((l) => !l.includes("certificate ")).slice(-15).join("\n"));
  }
});
