import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";

import { planFiles, privateFolders } from "./real-node-files.ts";
import { describeNode, underlayNetwork } from "./topology.ts";

const node = { ...describeNode("im-test", underlayNetwork(7), 2), pods: [] };
const files = planFiles(
  {
    directory: "/state/node-2",
    cgroup: "im-test-nodes/node-2",
    pauseImage: "a.invalid/pause:1",
    clientAuthorityFile: "/ca.crt",
    clusterDns: "10.96.0.10",
    kubeletFile: "/bin/kubelet",
    kubeconfigFile: "/kubeconfig",
    images: ["/images/0.tar"],
  },
  node,
);

test("pods get addresses of their node's ranges, and its bridge as their router", () => {
  const [plugin] = JSON.parse(files["cni/10-bridge.conflist"] ?? "").plugins;
  assert.deepEqual(plugin.ipam.ranges, [
    [{ subnet: "10.71.2.0/24", gateway: "10.71.2.1" }],
    [{ subnet: "fd71:0:0:2::/64", gateway: "fd71:0:0:2::1" }],
  ]);
});

test("what the kubelet and containerd write lies in the node's own folders", () => {
  const script = files["start.sh"] ?? "";
  for (const folder of privateFolders) {
    assert.ok(script.includes(`mount --bind /state/node-2${folder} ${folder}\n`), folder);
  }
  const kubelet = parse(files["kubelet.yaml"] ?? "");
  assert.equal(kubelet.cgroupRoot, "/im-test-nodes/node-2");
});

test("a value that the kubelet would write for the whole machine is covered by a file", () => {
  assert.equal(files["sysctl/vm.overcommit_memory"], "1\n");
  const covered = "mount --bind /state/node-2/sysctl/vm.overcommit_memory /proc/sys/vm/";
  assert.ok(files["start.sh"]?.includes(covered));
});
