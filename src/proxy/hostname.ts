// SPDX-License-Identifier: Apache-2.0
// The host name a container gets when its creator gave it none.

export interface HostnameRules {
  /** Label whose value is taken instead of the container's name; empty: none. */
  readonly fromLabel: string;
  readonly match: RegExp;
  /** `$1`, `${name}` and `$name` stand for groups of the match. */
  readonly replacement: string;
}

/** With its domain a host name is a name of the kernel: HOST_NAME_MAX. */
const LONGEST = 64;

/** Reads a pattern as Go writes them, whose names of groups look different. @throws {SyntaxError} */
export function readPattern(text: string): RegExp {
  return new RegExp(text.replaceAll("(?P<", "(?<"), "gu");
}

/** Empty: none. */
export function baseName(name: string, labels: Readonly<Record<string, string>>, rules: HostnameRules): string {
  const label = rules.fromLabel === "" ? "" : (labels[rules.fromLabel] ?? "");
  return transform(label === "" ? name : label, rules);
}

/** @param domain without a dot at its end */
export function isTooLong(name: string, domain: string): boolean {
  return name.length + 1 + domain.length > LONGEST;
}

function transform(name: string, { match, replacement }: HostnameRules): string {
  let end = -1;
  return name.replace(match, (found: string, ...more: unknown[]) => {
    const groups = typeof more.at(-1) === "object" ? (more.pop() as Readonly<Record<string, string | undefined>>) : {};
    const [at, captures] = [more.at(-2) as number, more.slice(0, -2) as (string | undefined)[]];
    if (found === "" && at === end) return ""; // as in Go, nothing is found right behind a match
    end = at + found.length;
    return replacement.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (word: string, bare?: string, braced?: string) => {
      if (word === "$$") return "$";
      const group = bare ?? braced ?? "";
      return (group === "0" ? found : /^\d+$/.test(group) ? captures[Number(group) - 1] : groups[group]) ?? "";
    });
  });
}
