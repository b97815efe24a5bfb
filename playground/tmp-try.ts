import { createPlayground } from "./cluster.ts";
import { startEchoServers } from "./echo.ts";
import { openProbe, countAnswers } from "./probe.ts";
const ms=()=>performance.now();
for (const cni of ["routed","bridge"] as const) {
  let t=ms();
  await using p = await createPlayground({nodes:2,podsPerNode:2,cni, hostLink: cni==="bridge"});
  console.log(cni,"build",ms()-t); t=ms();
  await using s = await startEchoServers(p, [...p.nodes.flatMap(n=>n.pods), ...p.nodes]);
  console.log("echo",ms()-t); t=ms();
  for (const from of [p.pod(1,1), p.client, p.node(1), p.loadBalancer]) {
    await using probe = openProbe(p, from.netns);
    for (const to of [p.pod(1,1),p.pod(1,2),p.pod(2,1), p.node(2)]) for (const f of ["ip","ip6"] as const) {
      const a=to.addresses[f];
      const rs=await Promise.all([probe.tcp(a,9090),probe.udp(a,9090),probe.http(a,8080),probe.tcp(a,1),probe.udp(a,1)]);
      console.log(from.name,to.name,f,rs.map(r=>r.kind==="reply"?`${r.echo?.pod}/${r.echo?.client}/${r.echo?.local}/${r.rttUs}us`:r.kind).join("  "));
    }
    console.log(await probe.tcp("203.0.113.9",80,{timeoutMs:300}));
  }
  await using probe = openProbe(p, p.client.netns);
  const load = probe.startLoad({protocol:"tcp",address:p.pod(1,1).addresses.ip,port:9090},{ratePerSecond:500,durationMs:1000});
  console.log(JSON.stringify(await load.done));
  const c = await probe.open(p.pod(1,1).addresses.ip,9090);
  if (c.kind==="open") { console.log(await c.say("hello")); await s.stop(p.pod(1,1)); console.log(await c.say("hello2")); console.log(await probe.tcp(p.pod(1,1).addresses.ip,9090)); }
  if (p.hostAddress) console.log("host", await p.exec(p.node(1).netns,["curl","-sS","-m1",`http://${p.hostAddress}:9/`]), await p.exec(p.pod(1,1).netns,["curl","-sS","-m1",`http://${p.hostAddress}:9/`]));
  console.log("probes",ms()-t);
  t=ms(); await p[Symbol.asyncDispose](); console.log("teardown",ms()-t);
}
