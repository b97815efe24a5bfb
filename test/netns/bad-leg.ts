// Puts a bad cable between a host of a playground and the switch: see `leg-pump.ts`.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Playground } from "../../playground/cluster.ts";

const PUMP = fileURLToPath(new URL("./leg-pump.ts", import.meta.url));
const NODE = [process.execPath, "--disable-warning=ExperimentalWarning"];

/**
 * From now on, until the playground goes, what the host sends and gets is lost, doubled and mixed
 * up, a share of it.
 * @param host an outsider or a node, by its name: its port of the switch is called so
 */
export async function spoilLeg(playground: Playground, host: string): Promise<void> {
  const { underlay } = playground;
  const [outer, inner] = [`leg-${host}`, `leg-${host}-in`];
  const run = async (words: string): Promise<string> => {
    const { code, stdout, stderr } = await playground.exec(underlay, ["ip", ...words.split(" ")]);
    assert.equal(code, 0, `ip ${words}: ${stderr}`);
    return stdout;
  };
  await run(`link add ${outer} type veth peer name ${inner}`);
  for (const name of [outer, inner]) await run(`link set ${name} addrgenmode none`);
  await run(`link set ${inner} master br0 up`);
  await run(`link set ${outer} up`);
  await run(`link set ${host} nomaster`);
  const indexOf = async (name: string): Promise<string> => {
    const [link] = JSON.parse(await run(`-j link show dev ${name}`)) as { ifindex: number }[];
    return String(link?.ifindex);
  };
  const ends = [await indexOf(host), await indexOf(outer)];
  for (const indexes of [ends, ends.toReversed()]) {
    playground.spawn(underlay, [...NODE, PUMP, ...indexes], { stdio: "inherit" });
  }
}
