// What peers are told: where they listen, what is behind them, and their certificates.

import type { Target } from "./rig.ts";
import type { Door, Side } from "./tunnel-subject.ts";

export interface TunnelPeerPlan {
  /** Where the client's side takes connections. */
  readonly doors: Readonly<Record<Door, Target>>;
  /** Where they lead: the authority of CONNECT. */
  readonly targets: Readonly<Record<Door, Target>>;
  /** Where the server's side takes tunnels. */
  readonly server: Target;
  /** PEM. */
  readonly files: Readonly<Record<Side, { readonly chainFile: string; readonly keyFile: string }>>;
  readonly rootsFile: string;
}
