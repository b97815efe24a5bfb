// Asks the node's process who has which identity.

import { setTimeout as sleep } from "node:timers/promises";
import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import type { IdentityQuestion } from "../../service-proxy/model/identity-part.ts";
import { Unreachable } from "../exit.ts";
import { connectNode } from "../node-connection.ts";

/** A process that is stopped takes connections and says nothing. */
const ANSWER_TIMEOUT_MS = 5_000;

/** @throws Unreachable when nobody answers, or identities are off there */
export async function askIdentities(
  socket: string,
  question: IdentityQuestion,
): Promise<IdentityReport> {
  const node = await connectNode(socket);
  const answered = new AbortController();
  const silence = sleep(ANSWER_TIMEOUT_MS, undefined, { signal: answered.signal });
  try {
    node.ask({ verb: "identity", ...question });
    const answer = await Promise.race([node.next(), silence]);
    if (answer === undefined) {
      throw new Unreachable(`The node's process says nothing for ${ANSWER_TIMEOUT_MS / 1_000} s`);
    }
    if (answer.kind === "identity") return answer.report as IdentityReport;
    throw new Unreachable("The node's process answers something else");
  } finally {
    answered.abort();
    silence.catch(() => {});
    node.close();
  }
}
