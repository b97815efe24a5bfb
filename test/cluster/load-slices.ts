// The EndpointSlices of a synthetic load: names, shapes and addresses, no I/O.

export const TARGET_PORT = 8080;
/** As many as the endpointslice controller puts into one slice by default. */
const ENDPOINTS_PER_SLICE = 100;

export interface LoadEndpoint {
  readonly addresses: readonly string[];
  readonly conditions: {
    readonly ready: boolean;
    readonly serving: boolean;
    readonly terminating: boolean;
  };
  readonly nodeName?: string;
}

/** An EndpointSlice as it is sent. */
export interface LoadSlice {
  readonly apiVersion: "discovery.k8s.io/v1";
  readonly kind: "EndpointSlice";
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly addressType: "IPv4";
  readonly endpoints: readonly LoadEndpoint[];
  readonly ports: readonly {
    readonly name: string;
    readonly port: number;
    readonly protocol: "TCP";
  }[];
}

export interface EndpointOptions {
  /** Address of one endpoint. @default distinct ones from 10.128.0.0/9 */
  readonly address?: (service: number, endpoint: number) => string;
  /** Endpoints take these in turn. @default none */
  readonly nodeNames?: readonly string[];
}

/** Plans the slices of `service-<number>`: `count` ready endpoints, one slice at least. */
export function planSlices(
  namespace: string,
  number: number,
  count: number,
  options: EndpointOptions,
): readonly LoadSlice[] {
  const { nodeNames = [] } = options;
  const address =
    options.address ?? ((service, endpoint) => ipv4(0x0a_80_00_01 + service * count + endpoint));
  const endpoints = Array.from({ length: count }, (_, endpoint) => {
    const nodeName = nodeNames[(number + endpoint) % Math.max(1, nodeNames.length)];
    return {
      addresses: [address(number, endpoint)],
      conditions: { ready: true, serving: true, terminating: false },
      ...(nodeName === undefined ? {} : { nodeName }),
    };
  });
  const sliceCount = Math.max(1, Math.ceil(count / ENDPOINTS_PER_SLICE));
  return Array.from({ length: sliceCount }, (_, index) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `service-${number}-${index}`,
      namespace,
      labels: {
        "kubernetes.io/service-name": `service-${number}`,
        "endpointslice.kubernetes.io/managed-by": "innermesh-test",
      },
    },
    addressType: "IPv4",
    endpoints: endpoints.slice(index * ENDPOINTS_PER_SLICE, (index + 1) * ENDPOINTS_PER_SLICE),
    ports: [{ name: "http", port: TARGET_PORT, protocol: "TCP" }],
  }));
}

/** The slice with its first endpoint at an address of 10.64.0.0/10 of its own for each `update`. */
export function moveFirstEndpoint(slice: LoadSlice, update: number): LoadSlice {
  const [first, ...rest] = slice.endpoints;
  if (first === undefined) return slice;
  return {
    ...slice,
    endpoints: [{ ...first, addresses: [ipv4(0x0a_40_00_01 + update)] }, ...rest],
  };
}

/** Dotted text of a 32-bit address. */
export function ipv4(bits: number): string {
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join(".");
}
