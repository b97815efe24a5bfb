// What a real node's programs are told, as text: containerd, the CNI plugins, the kubelet, and the
// shell that starts them in namespaces of their own. Paths are those that they see.

import { stringify } from "yaml";

import { bridgeAddresses, type PlaygroundNode } from "./topology.ts";

export interface RealNodeFiles {
  /** Holds the node's files; visible under this path inside too. */
  readonly directory: string;
  /** Path of the node's cgroup in every hierarchy. */
  readonly cgroup: string;
  /** Name of the image that holds a pod's namespaces. */
  readonly pauseImage: string;
  /** PEM file of the authority whose clients may use the kubelet. */
  readonly clientAuthorityFile: string;
  /** Where cluster DNS answers, for pods. */
  readonly clusterDns: string;
  readonly kubeletFile: string;
  readonly kubeconfigFile: string;
  /** Image archives to have before the kubelet starts. */
  readonly images: readonly string[];
}

/** Folders of the machine that the node has its own of. */
export const privateFolders = ["/run", "/var/lib", "/var/log"] as const;

/**
 * Values that the kubelet wants and would otherwise write, for the whole machine: files with them
 * lie over the real ones.
 */
const machineSysctls: Readonly<Record<string, number>> = {
  "vm/overcommit_memory": 1,
  "vm/panic_on_oom": 0,
  "kernel/panic": 10,
  "kernel/panic_on_oops": 1,
  "kernel/keys/root_maxkeys": 1_000_000,
  "kernel/keys/root_maxbytes": 25_000_000,
};

/** Every file of the node's directory, by name. */
export function planFiles(
  files: RealNodeFiles,
  node: PlaygroundNode,
): Readonly<Record<string, string>> {
  return {
    "containerd.toml": containerdConfig(files),
    "cni/10-bridge.conflist": JSON.stringify(cniConfig(node), null, 2),
    "kubelet.yaml": stringify(kubeletConfig(files)),
    "resolv.conf": "",
    "start.sh": startScript(files, node),
    ...Object.fromEntries(
      Object.entries(machineSysctls).map(([key, value]) => [sysctlFile(key), `${value}\n`]),
    ),
  };
}

/** https://github.com/containerd/containerd/blob/release/1.6/docs/cri/config.md */
function containerdConfig({ directory, pauseImage }: RealNodeFiles): string {
  return `version = 2
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${directory}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
`;
}

/** Pods hang on the bridge that the playground made; host-local counts their addresses. */
function cniConfig({ number, podCidrs }: PlaygroundNode): object {
  const gateways = bridgeAddresses(number);
  return {
    cniVersion: "0.4.0",
    name: "playground",
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        // Its own ipMasq would hide a pod's address from pods of other nodes, too.
        ipMasq: false,
        // A pod that reaches itself through a Service.
        hairpinMode: true,
        ipam: {
          type: "host-local",
          ranges: [
            [{ subnet: podCidrs.ip, gateway: gateways.ip }],
            [{ subnet: podCidrs.ip6, gateway: gateways.ip6 }],
          ],
          routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
        },
      },
    ],
  };
}

/** https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ */
function kubeletConfig(files: RealNodeFiles): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: false },
      x509: { clientCAFile: files.clientAuthorityFile },
    },
    authorization: { mode: "AlwaysAllow" },
    clusterDNS: [files.clusterDns],
    clusterDomain: "cluster.local",
    resolvConf: `${files.directory}/resolv.conf`,
    volumePluginDir: "/var/lib/kubelet/volume-plugins",
    podLogsDir: "/var/log/pods",
    // The machine's cgroups are whatever they are, and shared.
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${files.cgroup}`,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    localStorageCapacityIsolation: false,
    evictionHard: {
      "memory.available": "50Mi",
      "nodefs.available": "1%",
      "imagefs.available": "1%",
    },
    imageGCHighThresholdPercent: 100,
  };
}

/**
 * Runs as process 1 of new process and mount namespaces, in the node's network namespace. It ends
 * with the first of the two programs, and all that runs in the node ends with it.
 */
function startScript(files: RealNodeFiles, { name, addresses }: PlaygroundNode): string {
  const { directory } = files;
  const own = privateFolders.map((folder) => `mount --bind ${directory}${folder} ${folder}`);
  const sysctls = Object.keys(machineSysctls).map(
    (key) =>
      `[ ! -e /proc/sys/${key} ] || ` +
      `mount --bind ${directory}/${sysctlFile(key)} /proc/sys/${key}`,
  );
  const imports = files.images.map((path) => `ctr -n k8s.io images import ${path} >&3`);
  return `set -e
mount --make-rshared /
${own.join("\n")}
${sysctls.join("\n")}
exec 3>>${directory}/images.log
containerd --config ${directory}/containerd.toml >>${directory}/containerd.log 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.1; done
${imports.join("\n")}
${files.kubeletFile} --config=${directory}/kubelet.yaml --kubeconfig=${files.kubeconfigFile} \\
  --hostname-override=${name} --node-ip=${addresses.ip},${addresses.ip6} \\
  >>${directory}/kubelet.log 2>&1 &
wait -n
`;
}

function sysctlFile(key: string): string {
  return `sysctl/${key.replaceAll("/", ".")}`;
}
