// SPDX-License-Identifier: Apache-2.0
// Which operation a method and path mean. Paths are few, so they are tried in order.
import { CONTRACT, type OperationName } from "./contract.ts";

export type Found =
  | { readonly name: OperationName; readonly params: Readonly<Record<string, string>> }
  /** The path exists, the method does not; the methods that do. */
  | { readonly allow: readonly string[] }
  | undefined;

const NAMES = Object.keys(CONTRACT) as OperationName[]; // exactly the keys the mapped type has

/** Fills the `{name}` parts of `path`. */
export function fillPath(path: string, params: Readonly<Record<string, string>>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ""));
}

/** @param pathname still percent-encoded */
export function findOperation(method: string, pathname: string, options: { readonly readOnly: boolean }): Found {
  const allow: string[] = [];
  for (const name of NAMES) {
    const route = CONTRACT[name];
    if (options.readOnly && !route.readOnly) continue;
    const params = matchPath(route.path, pathname);
    if (params === undefined) continue;
    if (route.method === method) return { name, params };
    allow.push(route.method);
  }
  return allow.length > 0 ? { allow } : undefined;
}

function matchPath(pattern: string, pathname: string): Readonly<Record<string, string>> | undefined {
  const wanted = pattern.split("/");
  const given = pathname.split("/");
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const text = decodePart(given[index] ?? "");
    if (text === undefined) return undefined;
    if (part.startsWith("{") && text !== "") params[part.slice(1, -1)] = text;
    else if (part !== text) return undefined;
  }
  return params;
}

function decodePart(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // a malformed escape names nothing
  }
}
