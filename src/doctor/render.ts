// SPDX-License-Identifier: Apache-2.0
// The findings for people: one line each, what to do below it, a count at the end.
import type { Finding } from "./finding.ts";

const ID_WIDTH = 15;
const WORD_WIDTH = 9;

export function renderFindings(findings: readonly Finding[]): string {
  const lines = findings.flatMap((finding) => {
    const head = `${wordOf(finding).padEnd(WORD_WIDTH)}${finding.id.padEnd(ID_WIDTH)}${finding.text}`;
    return finding.fix === "" ? [head] : [head, `${" ".repeat(WORD_WIDTH + ID_WIDTH)}-> ${finding.fix}`];
  });
  const count = (result: Finding["result"]): number => findings.filter((finding) => finding.result === result).length;
  return `${lines.join("\n")}\n\n${count("bad")} bad, ${count("unknown")} could not be seen, ${count("ok")} ok\n`;
}

function wordOf({ result, severity }: Finding): string {
  if (result === "unknown") return "?";
  return severity ?? "ok";
}
