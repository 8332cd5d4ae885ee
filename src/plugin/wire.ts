// SPDX-License-Identifier: Apache-2.0
// Docker's requests to plugins (libnetwork's remote drivers: docs/remote.md, docs/ipam.md), read without trust: what is missing or of another type is
// refused with its name. Unknown fields are skipped, newer Dockers send more.
import { type Cidr, parseCidr } from "../net/cidr.ts";
import { type Ip, isIpv6, parseIp } from "../net/ip.ts";
import { type Mac, parseMac } from "../net/mac.ts";
import { UserError } from "../runtime/errors.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** Options somebody gave by `docker network create -o` arrive under this key. */
const GENERIC = "com.docker.network.generic";
const ID = /^[0-9a-z]{1,64}$/i;

export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** Empty when it is missing. @throws {UserError} it is no text, or a very long one */
export function readText(fields: Fields, key: string): string {
  const value = fields[key] ?? "";
  if (typeof value === "string" && value.length <= 4096) return value;
  throw bad(key, value);
}

/** Docker's ids, those of swarm included. @throws {UserError} */
export function readId(fields: Fields, key: string): string {
  const text = readText(fields, key);
  if (ID.test(text)) return text;
  throw bad(key, text);
}

/** undefined when it is empty. @throws {UserError} */
export function readCidr(fields: Fields, key: string): Cidr | undefined {
  const text = readText(fields, key);
  const cidr = text === "" ? undefined : parseCidr(text);
  if (text !== "" && (!cidr || cidr.prefixLength === 0)) throw bad(key, text);
  return cidr;
}

/** An address, with or without its prefix length; undefined when it is empty. @throws {UserError} */
export function readAddress(fields: Fields, key: string): Ip | undefined {
  const text = readText(fields, key);
  const address = text === "" ? undefined : (parseIp(text) ?? parseCidr(text)?.address);
  if (text !== "" && address === undefined) throw bad(key, text);
  return address;
}

export interface EndpointInterface {
  readonly addresses: readonly Cidr[];
  readonly mac: Mac | undefined;
}

/** The `Interface` of CreateEndpoint. @throws {UserError} */
export function readInterface(fields: Fields): EndpointInterface {
  const given = fieldsOf(fields["Interface"]);
  const v4 = readCidr(given, "Address");
  const v6 = readCidr(given, "AddressIPv6");
  if (v4 && isIpv6(v4.address)) throw bad("Address", given["Address"]);
  if (v6 && !isIpv6(v6.address)) throw bad("AddressIPv6", given["AddressIPv6"]);
  const macText = readText(given, "MacAddress");
  const mac = macText === "" ? undefined : parseMac(macText);
  if (macText !== "" && (mac === undefined || mac === 0 || Math.floor(mac / 2 ** 40) % 2 === 1)) throw bad("MacAddress", macText);
  return { addresses: [v4, v6].filter((one) => one !== undefined), mac };
}

/** Options of a network's creator. @throws {UserError} */
export function readGenericOptions(fields: Fields): ReadonlyMap<string, string> {
  const given = Object.entries(fieldsOf(fieldsOf(fields["Options"])[GENERIC]));
  return new Map(given.map(([key, value]) => [key, String(value).slice(0, 4096)]));
}

/** As Docker's users write booleans; empty: true, as of a flag. @throws {UserError} */
export function readFlag(options: ReadonlyMap<string, string>, key: string, fallback: boolean): boolean {
  const text = options.get(key);
  if (text === undefined) return fallback;
  if (/^(|1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw new UserError("bad-request", `network option ${key}='${text}' is neither true nor false`);
}

function bad(key: string, value: unknown): UserError {
  const shown = typeof value === "string" ? value.slice(0, 100) : typeof value;
  return new UserError("bad-request", `cannot read '${key}' of Docker's request: '${shown}'`);
}
