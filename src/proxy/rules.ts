// SPDX-License-Identifier: Apache-2.0
// Which containers are weave's, and which of Docker's calls concern them. Everything else passes.
import { parseAddressRequests } from "../attach/address.ts";
import type { RequestHead } from "./head.ts";

/** Where containers have the waiter's folder: the first of these that they do not use themselves. Only ever added to, for containers live long. */
export const WAITER_FOLDERS: readonly string[] = ["/w", "/weave-wait"];
const NETWORK_MODES: readonly string[] = ["", "default", "bridge", "none"];

/** The addresses a container is to have, as attach takes them; undefined: it is left alone. None: one in the default subnet.
 *  @throws {UserError} WEAVE_CIDR cannot be read */
export function wantedAddresses(
  networkMode: string,
  environment: readonly string[],
  { noDefaultIpalloc }: { readonly noDefaultIpalloc: boolean },
): readonly string[] | undefined {
  if (!NETWORK_MODES.includes(networkMode)) return undefined;
  const text = environment.findLast((one) => one.startsWith("WEAVE_CIDR="))?.slice("WEAVE_CIDR=".length);
  if (text === undefined) return noDefaultIpalloc ? undefined : [];
  const words = text.split(/\s+/).filter((word) => word !== "");
  if (words.length === 1 && words[0] === "none") return undefined;
  parseAddressRequests(words);
  return words;
}

/** The program that waits, in that folder. */
export function waiterIn(folder: string): string {
  return `${folder}/w`;
}
/** Where a container has the waiter, as the beginning of its entry point says; undefined: its program does not wait. */
export function waiterFolderOf([first]: readonly string[]): string | undefined {
  return WAITER_FOLDERS.find((folder) => first === waiterIn(folder));
}

/** Client's environment over the image's. */
export function mergedEnvironment(image: readonly string[], own: readonly string[]): readonly string[] {
  return [...image, ...own];
}

export type Call =
  | { readonly kind: "create"; readonly name: string }
  /** By name or id, as the client wrote it. */
  | { readonly kind: "start" | "restart" | "exec" | "inspect"; readonly container: string };

/** undefined: none of ours. */
export function callOf({ method, target }: Pick<RequestHead, "method" | "target">): Call | undefined {
  const [path = "", query = ""] = target.replace(/^https?:\/\/[^/]*/i, "").split(/\?(.*)/s);
  const plain = decoded(path).replace(/^\/v[0-9.]+\//, "/");
  if (method === "POST" && plain === "/containers/create") {
    return { kind: "create", name: new URLSearchParams(query).get("name")?.replace(/^\//, "") ?? "" };
  }
  const [, container = "", verb = ""] = /^\/containers\/([^/]+)\/(start|restart|exec|json)$/.exec(plain) ?? [];
  if (container === "") return undefined;
  if (method === "GET" && verb === "json") return { kind: "inspect", container };
  if (method === "POST" && (verb === "start" || verb === "restart" || verb === "exec")) return { kind: verb, container };
  return undefined;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // Docker will say what is wrong with it
  }
}
