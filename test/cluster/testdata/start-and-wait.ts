// Starts a control plane, prints the ids of its programs, and waits to be killed.

import { startControlPlane } from "../control-plane.ts";

const controlPlane = await startControlPlane({ controllers: [] });
const pids = [controlPlane.pid("etcd"), controlPlane.pid("kube-apiserver")];
process.stdout.write(`${pids.join(" ")}\n`);
setInterval(() => {}, 1_000);
