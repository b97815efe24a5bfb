// Asks the node's process who has which identity.

import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import type { IdentityQuestion } from "../../service-proxy/model/identity-part.ts";
import { Unreachable } from "../exit.ts";
import { connectNode } from "../node-connection.ts";

/** @throws Unreachable when nobody answers, or identities are off there */
export async function askIdentities(
  socket: string,
  question: IdentityQuestion,
): Promise<IdentityReport> {
  const node = await connectNode(socket);
  try {
    node.ask({ verb: "identity", ...question });
    const answer = await node.next();
    if (answer.kind === "identity") return answer.report as IdentityReport;
    throw new Unreachable("The node's process answers something else");
  } finally {
    node.close();
  }
}
