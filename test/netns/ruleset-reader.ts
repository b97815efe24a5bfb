// Program: tells what the nf_tables of the namespace it was started in hold, as its parent asks on
// stdin (`ReaderCalls`, one JSON object a line). A reader that is not the agent under test.

import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import type { Element, Family } from "../../lib/nft/objects.ts";
import { answerCalls } from "../../playground/line-calls.ts";
import { TABLE } from "../../service-proxy/plan/ruleset.ts";

/** Our table of one family; elements that packets write are left out. */
export interface ReadTable {
  /** By set name, sorted by key. */
  readonly sets: Readonly<Record<string, readonly Element[]>>;
  /** By chain name: equal texts for equal rules. */
  readonly chains: Readonly<Record<string, readonly string[]>>;
}

/** Calls that this program takes on standard input. */
export interface ReaderCalls {
  readonly read: {
    readonly request: { readonly family: Family };
    readonly reply: ReadTable | null;
  };
  readonly generation: { readonly request: object; readonly reply: number };
}

if (import.meta.main) {
  const kernel = await openNetlinkKernel({ thread: "here" });
  answerCalls<ReaderCalls>({
    async read({ family }) {
      const contents = await kernel.read(family, TABLE);
      if (contents === undefined) return null;
      const sets = [...contents.sets].map(([name, elements]) => {
        const sorted = [...elements.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
        return [name, sorted] as const;
      });
      return {
        sets: Object.fromEntries(sets.sort()),
        chains: Object.fromEntries([...contents.chains].sort()),
      };
    },
    generation: () => kernel.generation(),
  });
}
