// SPDX-License-Identifier: Apache-2.0
// Reads the JUnit report of `bun test`.

export interface CaseResult {
  /** With the groups it is in, outermost first. */
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  readonly seconds: number;
  /** What is wrong, of a failed one. */
  readonly words: string;
}

export function readJunit(xml: string): CaseResult[] {
  return [...xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map((match) => {
    const [, attributes = "", body = ""] = match;
    const groups = textOf(attributes, "classname").split(" > ").reverse().filter(Boolean);
    const failure = /<failure[^>]*>([\s\S]*?)<\/failure>/.exec(body)?.[1];
    const isSkipped = /<skipped\b/.test(body);
    const isFailed = /<(failure|error)\b/.test(body);
    return {
      name: [...groups, textOf(attributes, "name")].join(" > "),
      outcome: isFailed ? "failed" : isSkipped ? "skipped" : "passed",
      seconds: Number(textOf(attributes, "time")),
      words: unescaped(failure ?? (/message="([^"]*)"/.exec(body)?.[1] || "it failed")),
    };
  });
}

function textOf(attributes: string, name: string): string {
  return unescaped(new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
function unescaped(text: string): string {
  return text.replace(/&(?:#(\d+)|(\w+));/g, (whole, code?: string, name?: string) =>
    code === undefined ? (ENTITIES[name ?? ""] ?? whole) : String.fromCodePoint(Number(code)),
  );
}
