// What every foreign peer is told about identities, whoever wrote it.

import type { Credential } from "./openssl-authority.ts";

export interface PeerIdentity {
  /** @default none is shown */
  readonly credential?: Credential;
  /** PEM of the roots that are trusted. */
  readonly rootsFile: string;
  /** The URI that the other side must prove. @default any */
  readonly peerId?: string;
}
