// Asks the agent of a node over HTTP, with limits to how long and how much it may answer.

import { isIPv6 } from "node:net";

/** @throws Error whose message says what stood in the way, in few words */
export type AskAgent = (address: string, path: string) => Promise<string>;

const TIMEOUT_MS = 3_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** @param port of the agents' health servers */
export function makeAskAgent(port: number): AskAgent {
  return async (address, path) => {
    const host = isIPv6(address) ? `[${address}]` : address;
    const url = `http://${host}:${port}${path}`;
    const response = await fetch(url, {
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).catch((cause: unknown) => {
      throw new Error(`its agent does not answer on port ${port}`, { cause });
    });
    const text = await readBounded(response);
    if (response.status === 404) throw new Error("its agent enforces no policies");
    if (response.status !== 200) throw new Error(`its agent answers ${response.status}`);
    return text;
  };
}

async function readBounded({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error("its agent's answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
