// Asks the node's process who has which identity.

import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import type { IdentityQuestion } from "../../service-proxy/model/identity-part.ts";
import { askNode } from "../node-connection.ts";

/** @throws Unreachable when nobody answers, or identities are off there */
export async function askIdentities(
  socket: string,
  question: IdentityQuestion,
): Promise<IdentityReport> {
  const { report } = await askNode(socket, { verb: "identity", ...question }, "identity");
  return report as IdentityReport;
}
