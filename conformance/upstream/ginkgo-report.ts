// Reads the JSON report of a Ginkgo program (`--ginkgo.json-report`, Ginkgo 2): which specs ended
// how, and why. Pure. https://onsi.github.io/ginkgo/#generating-machine-readable-reports

import type { CaseResult, Outcome } from "../case-result.ts";

interface SpecReport {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly State: string;
  /** In nanoseconds. */
  readonly RunTime: number;
  readonly Failure?: { readonly Message: string };
}

/** Labels that a suite writes into its texts, and the group that is responsible. */
const LABEL = / ?\[[^\]]+\]/g;
const REASON_CHARACTERS = 300;

/**
 * The specs that ran or skipped themselves, and those before which something failed, by name: the
 * innermost container's text and their own.
 * @param suite names them in reports
 * @param text one report for each suite of the program
 */
export function parseGinkgoReport(suite: string, text: string): readonly CaseResult[] {
  const reports = JSON.parse(text) as readonly { readonly SpecReports: readonly SpecReport[] }[];
  const specs = reports.flatMap(({ SpecReports }) => SpecReports);
  return specs
    .flatMap((spec): readonly CaseResult[] => {
      const outcome = outcomeOf(spec);
      if (outcome === undefined) return [];
      const id = nameOf(spec);
      const family = "ip" as const;
      const tookMs = spec.RunTime / 1e6;
      return [{ suite, id, name: id, family, outcome, tookMs, observations: [], leftovers: [] }];
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Undefined for what was not selected, and for the steps around specs that went well. */
function outcomeOf({ LeafNodeType, State, Failure }: SpecReport): Outcome | undefined {
  const said = Failure?.Message.replace(/\s+/g, " ").trim().slice(0, REASON_CHARACTERS);
  switch (State) {
    case "passed":
      return LeafNodeType === "It" ? { kind: "passed" } : undefined;
    case "pending":
    case "skipped":
      return said ? { kind: "skipped", why: said } : undefined;
    default:
      return { kind: "failed", why: said || State, earlier: [] };
  }
}

function nameOf({ ContainerHierarchyTexts, LeafNodeText, LeafNodeType }: SpecReport): string {
  const words = [ContainerHierarchyTexts?.at(-1), LeafNodeText || LeafNodeType];
  return words
    .map((word) => word?.replaceAll(LABEL, "").trim())
    .filter(Boolean)
    .join(": ");
}
