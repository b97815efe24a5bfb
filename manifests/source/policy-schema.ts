// The parts that policies are made of, as structural OpenAPI schemas: selectors, peers, ports,
// requests. Lists have limits: the API server counts what a rule may cost before it takes one.

/** A structural schema of apiextensions.k8s.io/v1. */
export type Schema = Readonly<Record<string, unknown>>;

const MAX_ITEMS = 64;
/** Of what rules look at item by item. */
export const MAX_COSTLY = 32;
const NAME = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/** RFC 6335: one letter at least, no two dashes beside each other. */
const PORT_NAME = "^([0-9]+(-[0-9]+)*-?)?[a-z](-?[a-z0-9])*$";

/** Without control characters. */
const PRINTED = "^[^\\x00-\\x1f\\x7f-\\x9f]*$";

/** @param rest what else a schema says, such as a description */
export function objectOf(properties: Readonly<Record<string, Schema>>, rest: Schema = {}): Schema {
  return { type: "object", ...rest, properties };
}

export function listOf(items: Schema, rest: Schema = {}): Schema {
  return { type: "array", maxItems: MAX_ITEMS, "x-kubernetes-list-type": "atomic", ...rest, items };
}

/** A list that is absent or has items. */
export function someOf(items: Schema, rest: Schema = {}): Schema {
  return listOf(items, { minItems: 1, ...rest });
}

export function word(...words: readonly string[]): Schema {
  return { type: "string", enum: words };
}

export function text(maxLength: number, pattern?: string): Schema {
  return { type: "string", maxLength, ...(pattern !== undefined && { pattern }) };
}

/** What a server checks beyond types, in CEL. */
export function checked(...rules: readonly (readonly [rule: string, message: string])[]): Schema {
  return { "x-kubernetes-validations": rules.map(([rule, message]) => ({ rule, message })) };
}

export function described(schema: Schema, description: string): Schema {
  return { ...schema, description };
}

export const name = text(253, NAME);

export const labelSelector: Schema = objectOf(
  {
    matchLabels: { type: "object", additionalProperties: { type: "string" } },
    matchExpressions: listOf(
      objectOf(
        {
          key: { type: "string" },
          operator: word("In", "NotIn", "Exists", "DoesNotExist"),
          values: listOf({ type: "string" }),
        },
        { required: ["key", "operator"] },
      ),
    ),
  },
  { "x-kubernetes-map-type": "atomic" },
);

const cidr = { ...text(49), ...checked(["isCIDR(self)", "want a prefix like 10.1.0.0/24"]) };

const ipBlock = objectOf(
  { cidr, except: listOf(cidr, { maxItems: MAX_COSTLY }) },
  {
    required: ["cidr"],
    ...checked([
      "!has(self.except) || self.except.all(e, cidr(self.cidr).containsCIDR(e))",
      "want prefixes inside cidr in except",
    ]),
  },
);

const serviceAccount = objectOf(
  {
    name: described(name, "Any, where it is absent."),
    namespace: described(name, "The policy's own, where nothing is said."),
    namespaceSelector: labelSelector,
    trustDomain: described(
      text(255, "^[a-z0-9._-]+$"),
      "This mesh's own, where it is absent. Of others only names are known.",
    ),
    selector: described(labelSelector, "Labels of the ServiceAccount."),
  },
  checked(
    [
      "!has(self.namespace) || !has(self.namespaceSelector)",
      "want one of namespace and its selector",
    ],
    [
      "!has(self.trustDomain) || !(has(self.namespaceSelector) || has(self.selector))",
      "want name and namespace beside trustDomain: labels are not known there",
    ],
  ),
);

const peer = objectOf(
  {
    podSelector: described(labelSelector, "Pods, in the policy's namespace or those selected."),
    namespaceSelector: labelSelector,
    ipBlock,
    serviceAccounts: described(
      someOf(serviceAccount),
      "Who proves with a certificate that it is one of these.",
    ),
  },
  checked([
    "(has(self.podSelector) || has(self.namespaceSelector) ? 1 : 0) + (has(self.ipBlock) ? 1 : 0)" +
      " + (has(self.serviceAccounts) ? 1 : 0) == 1",
    "want selectors, ipBlock or serviceAccounts, and only one of them",
  ]),
);

const port = objectOf(
  {
    protocol: { ...word("TCP", "UDP", "SCTP"), default: "TCP" },
    port: {
      "x-kubernetes-int-or-string": true,
      anyOf: [{ type: "integer" }, { type: "string" }],
      minimum: 1,
      maximum: 65_535,
      maxLength: 15,
      pattern: PORT_NAME,
    },
    endPort: { type: "integer", format: "int32", minimum: 1, maximum: 65_535 },
  },
  checked([
    "!has(self.endPort) || (has(self.port) && type(self.port) == int && self.endPort >= self.port)",
    "want endPort from port on, which is a number",
  ]),
);

/** What rules about both directions have; the peers' field has its own name in each. */
export function ruleFields(peers: "from" | "to"): Readonly<Record<string, Schema>> {
  return {
    name: described(text(100, PRINTED), "Stands in verdicts."),
    [peers]: described(listOf(peer), "Any of these; everybody, where it is absent or empty."),
    ports: described(listOf(port), "Any of these; everything, where it is absent or empty."),
  };
}

/** Segments that are literal or {*}, and at the end perhaps {**} or nothing. */
const TEMPLATE = "^(/([^/{}]+|[{][*][}]))*(/([{][*][*][}])?)?$";

const path = objectOf(
  {
    type: described(
      word("Exact", "Prefix", "Template"),
      "Prefix: whole segments. Template: {*} is a segment, {**} at the end any number of them.",
    ),
    value: text(1_024, "^/"),
  },
  {
    required: ["type", "value"],
    ...checked(
      [
        "!self.value.matches('//|/[.][.]?(/|$)|%2[fF]|[?#]')",
        "want a path without empty and dot segments, encoded slashes and queries",
      ],
      [
        `self.type == 'Template' ? self.value.matches('${TEMPLATE}') : !self.value.matches('[{}]')`,
        "want {*} and {**} as whole segments, in templates alone, {**} as the last",
      ],
    ),
  },
);

const header = objectOf(
  {
    name: text(256, "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"),
    value: described(text(4_096), "Present, whatever it says, where it is absent."),
  },
  { required: ["name"] },
);

export const httpMatch = objectOf(
  {
    methods: someOf(text(32, "^[A-Z][-A-Z0-9_]*$")),
    path,
    hosts: described(
      someOf(text(253, "^([*][.])?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")),
      "*.example.com is one label or more.",
    ),
    headers: someOf(header),
  },
  { minProperties: 1 },
);

export const grpcMatch = objectOf(
  {
    service: text(512, "^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*$"),
    method: described(text(256, "^[A-Za-z_][A-Za-z0-9_]*$"), "Any, where it is absent."),
  },
  { required: ["service"] },
);

const condition = objectOf(
  {
    type: text(316),
    status: word("True", "False", "Unknown"),
    reason: text(1_024),
    message: text(32_768),
    observedGeneration: { type: "integer", format: "int64", minimum: 0 },
    lastTransitionTime: { type: "string", format: "date-time" },
  },
  { required: ["type", "status", "reason", "message", "lastTransitionTime"] },
);

/** What the controller writes about a policy. */
export const statusFields: Readonly<Record<string, Schema>> = {
  observedGeneration: { type: "integer", format: "int64" },
  conditions: described(
    {
      type: "array",
      maxItems: 8,
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["type"],
      items: condition,
    },
    "Accepted: it was read. Enforced: every node does what it says.",
  ),
  nodes: objectOf({
    enforced: { type: "integer", format: "int32" },
    total: { type: "integer", format: "int32" },
  }),
  lastError: text(4_096),
};
