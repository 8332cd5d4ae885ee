// SPDX-License-Identifier: Apache-2.0
// What becomes of a request to create a container that shall be on the network: its program waits for the interface, and it asks weave's name server.
import type { ImageConfig } from "../docker/details.ts";
import { baseName, type HostnameRules, isTooLong } from "./hostname.ts";
import type { JsonText } from "./json-text.ts";
import { mergedEnvironment, WAITER, WAITER_FOLDER, wantedAddresses } from "./rules.ts";

export interface CreateRules {
  readonly noDefaultIpalloc: boolean;
  readonly hostname: HostnameRules;
  /** Folder of the waiter on this host. */
  readonly waiterFolder: string;
}
/** Where the names of the network are answered. */
export interface NameServer {
  readonly address: string;
  /** With a dot at its end. */
  readonly domain: string;
}

/** Changes `body` in place. Returns what the operator should know.
 *  @param image undefined: Docker does not have it, and will say so @param names undefined: DNS is left alone
 *  @throws {UserError} WEAVE_CIDR cannot be read */
export function planCreate(
  body: JsonText,
  name: string,
  image: ImageConfig | undefined,
  names: NameServer | undefined,
  rules: CreateRules,
): readonly string[] {
  const environment = mergedEnvironment(image?.environment ?? [], texts(body.get("Env")));
  const wanted = wantedAddresses(text(body.get("HostConfig", "NetworkMode")), environment, rules);
  const command = commandOf(body, image);
  if (wanted === undefined) {
    // An image made of a container of ours has the waiter in its entry point, and here nothing would end its wait.
    if (command.entrypoint[0] === WAITER) setCommand(body, command.entrypoint.slice(1), command.arguments);
    return [];
  }
  if (command.entrypoint.length + command.arguments.length === 0) return []; // Docker says so itself
  if (command.entrypoint[0] !== WAITER) setCommand(body, [WAITER, ...command.entrypoint], command.arguments);
  mountWaiter(body, rules.waiterFolder);
  return names ? setNames(body, name, names, rules.hostname) : [];
}

/** Puts the waiter's folder into the host configuration that stands at `host`, in place of whatever was to be mounted there. */
export function mountWaiter(body: JsonText, folder: string, host: readonly string[] = ["HostConfig"]): void {
  const others = texts(body.get(...host, "Binds")).filter((bind) => bind.split(":")[1] !== WAITER_FOLDER);
  body.set([...host, "Binds"], [...others, `${folder}:${WAITER_FOLDER}:ro`]);
}

interface Command {
  readonly entrypoint: readonly string[];
  readonly arguments: readonly string[];
}

/** What would run, by Docker's rules: an entry point of one's own makes the image's command void. */
function commandOf(body: JsonText, image: ImageConfig | undefined): Command {
  const own = body.get("Entrypoint");
  const entrypoint = texts(own);
  const given = texts(body.get("Cmd"));
  if (entrypoint.length > 0)
    return { entrypoint: entrypoint.length === 1 && entrypoint[0] === "" ? [] : entrypoint, arguments: given };
  return {
    entrypoint: own === undefined || own === null ? (image?.entrypoint ?? []) : [],
    arguments: given.length > 0 ? given : (image?.command ?? []),
  };
}

function setCommand(body: JsonText, entrypoint: readonly string[], words: readonly string[]): void {
  body.set(["Entrypoint"], entrypoint.length === 0 ? [""] : entrypoint); // an empty list would mean the image's again
  body.set(["Cmd"], words);
}

function setNames(body: JsonText, name: string, { address, domain }: NameServer, rules: HostnameRules): readonly string[] {
  const warnings: string[] = [];
  const plainDomain = domain.replace(/\.$/, "");
  const hasOwnDomain = text(body.get("Domainname")) !== "" || text(body.get("Hostname")).includes(".");
  const chosen = baseName(name, labels(body.get("Labels")), rules);
  if (text(body.get("Hostname")) === "" && chosen !== "") {
    if (isTooLong(chosen, plainDomain))
      warnings.push(`host name '${chosen}.${plainDomain}' is longer than 64 characters, so it is not set`);
    else {
      body.set(["Hostname"], chosen);
      body.set(["Domainname"], plainDomain);
    }
  }
  const servers = texts(body.get("HostConfig", "Dns"));
  if (!servers.includes(address)) body.set(["HostConfig", "Dns"], [...servers, address]);
  if (texts(body.get("HostConfig", "DnsSearch")).length === 0) {
    // `.` leaves the search to the container's own domain; not every C library knows that one, so ours is written out.
    body.set(["HostConfig", "DnsSearch"], [hasOwnDomain ? "." : plainDomain]);
  }
  return warnings;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
/** Docker takes a single text for a list of one. */
function texts(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}
function labels(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}
