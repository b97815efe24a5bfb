// What the tidy rules need to know about one TypeScript file, read off the compiler's own syntax
// tree. The only place that knows that API, which typescript 7.0 still calls unstable.

import {
  type ClassLikeDeclaration,
  isArrowFunction,
  isCallExpression,
  isClassDeclaration,
  isClassExpression,
  isEnumDeclaration,
  isExportAssignment,
  isExportDeclaration,
  isIdentifier,
  isImportDeclaration,
  isModuleDeclaration,
  isNewExpression,
  isNonNullExpression,
  isParameterDeclaration,
  isPropertyAccessExpression,
  isStringLiteral,
  type Node,
  type SourceFile,
  SyntaxKind,
} from "typescript/unstable/ast";
import { API } from "typescript/unstable/sync";

/** Something at a line, 1-based. */
export interface Spot {
  readonly name: string;
  readonly line: number;
}

export interface FunctionFacts extends Spot {
  readonly lines: number;
}

export interface SourceFacts {
  /** Relative to the top, as in `lib/ip/cidr.ts`. */
  readonly path: string;
  readonly lines: readonly string[];
  /** Specifiers of imports and re-exports as written; type-only ones, too. */
  readonly imports: readonly Spot[];
  /** All other string literals. */
  readonly strings: readonly string[];
  /** But for the bodies of `describe` and `suite`, which hold tables of tests. */
  readonly functions: readonly FunctionFacts[];
  /** Uses of clock, chance, process and console, as in `Date.now`. */
  readonly globals: readonly Spot[];
  /** Constructs we do not write, by what they are called. */
  readonly banned: readonly Spot[];
}

const CONFIG = "tsconfig.json";
/** Not setImmediate: giving way to others asks no clock. */
const GLOBALS: ReadonlySet<string> = new Set(
  "process console performance fetch crypto setTimeout setInterval".split(" "),
);
/** Members that make a pure object impure. */
const MEMBERS: ReadonlySet<string> = new Set(["Date.now", "Math.random"]);
const FUNCTIONS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.FunctionExpression,
  SyntaxKind.ArrowFunction,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.Constructor,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor,
]);
const KEYWORDS: ReadonlyMap<SyntaxKind, string> = new Map([
  [SyntaxKind.AnyKeyword, "any"],
  [SyntaxKind.PrivateKeyword, "private instead of #"],
  [SyntaxKind.ProtectedKeyword, "protected"],
]);

/** Parses every file of the project whose tsconfig.json stands at `root`, but for packages. */
export function readSourceFacts(root: string): readonly SourceFacts[] {
  return parse(new API({ cwd: root }), root);
}

/** Parses files that exist only as text, by path. */
export function parseSourceFacts(files: Readonly<Record<string, string>>): readonly SourceFacts[] {
  const root = "/virtual";
  const all: Record<string, string> = { ...files, [CONFIG]: '{ "include": ["**/*.ts"] }' };
  const path = (file: string): string => file.slice(root.length + 1);
  const api = new API({
    cwd: root,
    fs: {
      fileExists: (file) => (file.startsWith(root) ? path(file) in all : undefined),
      readFile: (file) => (file.startsWith(root) ? (all[path(file)] ?? null) : undefined),
      directoryExists: (name) => (name.startsWith(root) ? true : undefined),
      getAccessibleEntries: (name) =>
        name.startsWith(root) ? entriesOf(Object.keys(all), path(name)) : undefined,
      realpath: (name) => (name.startsWith(root) ? name : undefined),
    },
  });
  return parse(api, root);
}

function parse(api: API, root: string): readonly SourceFacts[] {
  try {
    const snapshot = api.updateSnapshot({ openProjects: [`${root}/${CONFIG}`] });
    const program = snapshot.getProject(`${root}/${CONFIG}`)?.program;
    if (program === undefined) throw new Error(`Cannot parse "${root}": no project there`);
    return program
      .getSourceFileNames()
      .filter((name) => name.startsWith(`${root}/`) && !name.includes("/node_modules/"))
      .map((name) => program.getSourceFile(name))
      .filter((file) => file !== undefined)
      .map((file) => factsOf(file, file.fileName.slice(root.length + 1)));
  } finally {
    api.close();
  }
}

function factsOf(file: SourceFile, path: string): SourceFacts {
  const imports: Spot[] = [];
  const strings: string[] = [];
  const functions: FunctionFacts[] = [];
  const globals: Spot[] = [];
  const banned: Spot[] = [];
  const lineOf = (node: Node): number =>
    file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;

  const visit = (node: Node, parent: Node): void => {
    const line = lineOf(node);
    if (isStringLiteral(node)) {
      if (isImporting(parent)) imports.push({ name: node.text, line });
      else strings.push(node.text);
    }
    if (FUNCTIONS.has(node.kind) && !holdsTests(parent)) {
      const lines = file.getLineAndCharacterOfPosition(node.getEnd()).line + 2 - line;
      functions.push({ name: nameOf(node, parent), line, lines });
    }
    const used = globalUse(node, parent);
    if (used !== undefined) globals.push({ name: used, line });
    const name = bannedName(node, parent);
    if (name !== undefined) banned.push({ name, line });
    node.forEachChild((child) => visit(child, node));
  };
  file.forEachChild((child) => visit(child, file));
  return { path, lines: file.text.split("\n"), imports, strings, functions, globals, banned };
}

function isImporting(parent: Node): boolean {
  if (isImportDeclaration(parent) || isExportDeclaration(parent)) return true;
  return isCallExpression(parent) && parent.expression.kind === SyntaxKind.ImportKeyword;
}

function holdsTests(parent: Node): boolean {
  if (!isCallExpression(parent)) return false;
  return ["describe", "suite"].includes(parent.expression.getText());
}

function nameOf(node: Node, parent: Node): string {
  const named = isArrowFunction(node) ? parent : node;
  let name = "function";
  named.forEachChild((child) => {
    if (name === "function" && isIdentifier(child)) name = child.text;
  });
  return name;
}

function globalUse(node: Node, parent: Node): string | undefined {
  if (isPropertyAccessExpression(node)) {
    const text = `${node.expression.getText()}.${node.name.text}`;
    return MEMBERS.has(text) ? text : undefined;
  }
  if (isNewExpression(node)) {
    const fresh = node.expression.getText() === "Date" && (node.arguments?.length ?? 0) === 0;
    return fresh ? "new Date()" : undefined;
  }
  if (!isIdentifier(node) || !GLOBALS.has(node.text)) return undefined;
  if (isPropertyAccessExpression(parent)) {
    return parent.expression === node ? node.text : undefined;
  }
  return isCallExpression(parent) && parent.expression === node ? node.text : undefined;
}

function bannedName(node: Node, parent: Node): string | undefined {
  if (isNonNullExpression(node)) return "non-null !";
  if (isEnumDeclaration(node)) return "enum";
  if (isModuleDeclaration(node)) return "namespace";
  if (isExportAssignment(node)) return "default export";
  if (isExportDeclaration(node) && node.moduleSpecifier !== undefined) return "re-export";
  if (node.kind === SyntaxKind.DefaultKeyword && !isSwitchPart(parent)) return "default export";
  if (isParameterDeclaration(node) && (node.modifiers?.length ?? 0) > 0) {
    return "parameter property";
  }
  if (isClassDeclaration(node) || isClassExpression(node)) return foreignBase(node);
  // A constructor cannot be called #constructor.
  if (parent.kind === SyntaxKind.Constructor) return undefined;
  return KEYWORDS.get(node.kind);
}

function isSwitchPart(node: Node): boolean {
  return node.kind === SyntaxKind.DefaultClause || node.kind === SyntaxKind.CaseBlock;
}

/** Inheritance is for errors. */
function foreignBase(node: ClassLikeDeclaration): string | undefined {
  const clauses = node.heritageClauses ?? [];
  const base = clauses.find((clause) => clause.token === SyntaxKind.ExtendsKeyword)?.types[0];
  if (base === undefined || base.expression.getText().endsWith("Error")) return undefined;
  return `extends ${base.expression.getText()}`;
}

function entriesOf(
  files: readonly string[],
  folder: string,
): { files: string[]; directories: string[] } {
  const prefix = folder === "" ? "" : `${folder}/`;
  const inside = files.filter((file) => file.startsWith(prefix));
  const rest = inside.map((file) => file.slice(prefix.length).split("/"));
  return {
    files: rest.filter((parts) => parts.length === 1).map(([name = ""]) => name),
    directories: [...new Set(rest.filter((parts) => parts.length > 1).map(([name = ""]) => name))],
  };
}
