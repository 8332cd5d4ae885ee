// SPDX-License-Identifier: Apache-2.0
// What becomes of a request to create a container that shall be on the network: its program waits for the interface, and it asks weave's name server.
import { normalize } from "node:path/posix";
import type { ImageConfig } from "../docker/details.ts";
import { UserError } from "../runtime/errors.ts";
import { baseName, type HostnameRules, isTooLong } from "./hostname.ts";
import type { JsonText } from "./json-text.ts";
import { mergedEnvironment, WAITER_FOLDERS, waiterFolderOf, waiterIn, wantedAddresses } from "./rules.ts";

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
 *  @throws {UserError} WEAVE_CIDR cannot be read; there is no place for the waiter */
export function planCreate(
  body: JsonText,
  name: string,
  image: ImageConfig | undefined,
  names: NameServer | undefined,
  rules: CreateRules,
): readonly string[] {
  const environment = mergedEnvironment(image?.environment ?? [], texts(body.get("Env")));
  const wanted = wantedAddresses(text(body.get("HostConfig", "NetworkMode")), environment, rules);
  const asked = commandOf(body, image);
  // An image made of a container of ours has the waiter in its entry point already.
  const waited = waiterFolderOf(asked.entrypoint) !== undefined;
  const command = waited ? { ...asked, entrypoint: asked.entrypoint.slice(1) } : asked;
  if (wanted === undefined) {
    if (waited) setCommand(body, command.entrypoint, command.arguments); // here nothing would end its wait
    return [];
  }
  if (command.entrypoint.length + command.arguments.length === 0) return []; // Docker says so itself
  const place = freePlace([...mountsOf(body, ["HostConfig"], rules.waiterFolder), ...placesOf(body, image, command)]);
  setCommand(body, [waiterIn(place), ...command.entrypoint], command.arguments);
  mountWaiter(body, rules.waiterFolder, place);
  return names ? setNames(body, name, names, rules.hostname) : [];
}

/** Puts the waiter's folder at `place`, into the host configuration that stands at `host`. @throws {UserError} something else is to be mounted there */
export function mountWaiter(body: JsonText, folder: string, place: string, host: readonly string[] = ["HostConfig"]): void {
  if (mountsOf(body, host, folder).some((path) => isWithin(path, place))) {
    throw new UserError(
      "conflict",
      `a mount at '${place}' would hide the program there that waits for the network`,
      "give the mount when the container is created, then that program goes elsewhere",
    );
  }
  const others = texts(body.get(...host, "Binds")).filter((bind) => !isWaiterBind(bind, folder));
  body.set([...host, "Binds"], [...others, `${folder}:${place}:ro`]);
}

/** A client that makes a container like another one repeats our part of it. */
function isWaiterBind(bind: string, folder: string): boolean {
  return bind.startsWith(`${folder}:`);
}

/** Where a host configuration mounts something, ours left out. */
function mountsOf(body: JsonText, host: readonly string[], folder: string): readonly string[] {
  const binds = texts(body.get(...host, "Binds")).filter((bind) => !isWaiterBind(bind, folder));
  const mounts = body.get(...host, "Mounts");
  return [
    ...binds.map((bind) => bind.split(":")[1] ?? bind),
    ...(Array.isArray(mounts)
      ? mounts.map((mount: unknown) => text(entries(mount).findLast(([key]) => key.toLowerCase() === "target")?.[1]))
      : []),
    ...entries(body.get(...host, "Tmpfs")).map(([path]) => path),
  ];
}

/** Further paths that a container uses itself, as far as they can be known: a folder of ours there would hide its files. */
function placesOf(body: JsonText, image: ImageConfig | undefined, command: Command): readonly string[] {
  return [
    ...entries(body.get("Volumes")).map(([path]) => path),
    ...(image?.volumes ?? []),
    text(body.get("WorkingDir")) || (image?.workingDir ?? ""),
    ...command.entrypoint,
    ...command.arguments,
  ];
}

function freePlace(used: readonly string[]): string {
  const place = WAITER_FOLDERS.find((folder) => !used.some((path) => isWithin(path, folder)));
  if (place !== undefined) return place;
  throw new UserError(
    "conflict",
    `the container uses ${WAITER_FOLDERS.map((folder) => `'${folder}'`).join(" and ")}, where the program could be that waits for the network`,
    "mount elsewhere, or leave it off the network with WEAVE_CIDR=none",
  );
}

function isWithin(path: string, folder: string): boolean {
  return `${normalize(path)}/`.startsWith(`${folder}/`);
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
function entries(value: unknown): readonly (readonly [string, unknown])[] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}
function labels(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}
