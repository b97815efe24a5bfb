// The definitions of our own policy kinds: what a server refuses, what `kubectl get` shows, and a
// status that only the controller writes. They outlive an uninstalled chart: with a definition all
// its objects go, and with them what they deny.

import type { Manifest } from "./manifest.ts";
import {
  checked,
  described,
  grpcMatch,
  httpMatch,
  labelSelector,
  listOf,
  MAX_COSTLY,
  name,
  objectOf,
  ruleFields,
  type Schema,
  someOf,
  statusFields,
  word,
} from "./policy-schema.ts";

export const POLICY_GROUP = "innermesh.io";

interface Definition {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly scope: "Namespaced" | "Cluster";
  readonly schema: Schema;
  readonly columns: readonly Column[];
}

interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
}

const ENFORCED: Column = {
  name: "Enforced",
  type: "string",
  jsonPath: '.status.conditions[?(@.type=="Enforced")].status',
};
const AGE: Column = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

const ingress = objectOf(
  {
    ...ruleFields("from"),
    http: described(someOf(httpMatch, { maxItems: MAX_COSTLY }), "Requests; any of these."),
    grpc: described(someOf(grpcMatch), "Calls; any of these, beside http."),
  },
  checked([
    "!(has(self.http) || has(self.grpc)) || !has(self.ports)" +
      " || self.ports.all(p, p.protocol == 'TCP')",
    "want TCP ports alone beside http and grpc",
  ]),
);

const accountPolicy = objectOf(
  {
    podSelector: described(
      labelSelector,
      "Pods of this namespace; with serviceAccounts, both hold.",
    ),
    serviceAccounts: described(someOf(name), "Pods that run as one of these."),
    policyTypes: described(
      listOf(word("Ingress", "Egress"), { maxItems: 2 }),
      "As NetworkPolicy's: Ingress always, Egress where there are rules for it.",
    ),
    action: described(
      { ...word("Allow", "Deny", "Audit"), default: "Allow" },
      "Allow: what no rule matches is denied. Deny: what a rule matches is. Audit: it is told.",
    ),
    ingress: listOf(ingress),
    egress: listOf(objectOf(ruleFields("to"))),
  },
  checked([
    "has(self.podSelector) || has(self.serviceAccounts)",
    "want podSelector or serviceAccounts: {} is all pods of the namespace",
  ]),
);

const exception = objectOf(
  { namespaces: someOf(name), namespaceSelector: labelSelector, podSelector: labelSelector },
  checked([
    "has(self.namespaces) != has(self.namespaceSelector)",
    "want namespaces or namespaceSelector, and not both",
  ]),
);

const meshPolicy = objectOf(
  {
    default: described(
      word("Open", "IdentityRequired", "Deny"),
      "What holds for pods that no policy selects. IdentityRequired: who proves itself may pass.",
    ),
    exceptions: described(listOf(exception), "Pods for which the default is Open."),
  },
  { required: ["default"] },
);

const DEFINITIONS: readonly Definition[] = [
  {
    kind: "ServiceAccountPolicy",
    plural: "serviceaccountpolicies",
    singular: "serviceaccountpolicy",
    shortName: "sap",
    scope: "Namespaced",
    schema: objectOf(
      {
        spec: accountPolicy,
        status: objectOf({
          ...statusFields,
          selectedPods: { type: "integer", format: "int32" },
        }),
      },
      {
        description: "Who may call whom, by ServiceAccounts that are proved and by requests.",
        required: ["spec"],
      },
    ),
    columns: [
      { name: "Action", type: "string", jsonPath: ".spec.action" },
      { name: "Pods", type: "integer", jsonPath: ".status.selectedPods" },
      ENFORCED,
      AGE,
    ],
  },
  {
    kind: "MeshPolicy",
    plural: "meshpolicies",
    singular: "meshpolicy",
    shortName: "mp",
    scope: "Cluster",
    schema: objectOf(
      { spec: meshPolicy, status: objectOf(statusFields) },
      {
        description: "What holds in the whole mesh where no policy speaks.",
        required: ["spec"],
        ...checked(["self.metadata.name == 'default'", "want the name default: others do nothing"]),
      },
    ),
    columns: [{ name: "Default", type: "string", jsonPath: ".spec.default" }, ENFORCED, AGE],
  },
];

export const policyDefinitions: readonly Manifest[] = DEFINITIONS.map((definition) => {
  const { kind, plural, singular, shortName, scope, schema, columns } = definition;
  return {
    name: `crd-${plural}`,
    object: {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: {
        name: `${plural}.${POLICY_GROUP}`,
        labels: { "app.kubernetes.io/part-of": "innermesh" },
        annotations: { "helm.sh/resource-policy": "keep" },
      },
      spec: {
        group: POLICY_GROUP,
        names: {
          kind,
          listKind: `${kind}List`,
          plural,
          singular,
          shortNames: [shortName],
          categories: ["innermesh"],
        },
        scope,
        versions: [
          {
            name: "v1alpha1",
            served: true,
            storage: true,
            subresources: { status: {} },
            additionalPrinterColumns: columns,
            schema: { openAPIV3Schema: schema },
          },
        ],
      },
    },
    comments: { "metadata.annotations": " With it all policies would go, and what they deny." },
  };
});
