// core/v1 Node: the fields Innermesh reads, checked at the edge.

export interface Node {
  readonly kind: "Node";
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  /** InternalIP and ExternalIP addresses, canonical, in the object's order. */
  readonly addresses: readonly { readonly type: string; readonly address: string }[];
  readonly podCIDRs: readonly string[];
  readonly taintKeys: readonly string[];
  readonly deleting: boolean;
}
