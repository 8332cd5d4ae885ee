// SPDX-License-Identifier: Apache-2.0
// This host's X25519 identity in the data directory: made at the first start, never written again. From it come the peer's name and the
// fingerprint people compare. File: three lines of text, `weave identity 1`, the secret key in hex, 8 bytes of its BLAKE2b in hex.
import { chmodSync, linkSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { blake2b } from "../../native/libsodium/hash.ts";
import { equal, wipe } from "../../native/libsodium/memory.ts";
import { newSecretKey, publicKeyOf, X25519_BYTES } from "../../native/libsodium/x25519.ts";
import { type PeerName, peerNameFrom } from "../mesh/peer-name.ts";
import type { KeyPair } from "../mesh/secure/sealing.ts";
import { localUnicastMac } from "../net/mac.ts";
import { syncDirectory, writeDurably } from "../runtime/durable-file.ts";
import { errorText, invariant, UserError } from "../runtime/errors.ts";

export const IDENTITY_FILE = "identity.key";
const VERSION = 1;
const HEADER = `weave identity ${VERSION}`;
const HEADERS = /^weave identity (\d{1,9})$/;
const CHECK_BYTES = 8;
const FILE_BYTES_MAX = 4096;

export interface Identity {
  readonly keys: KeyPair;
  /** Taken from the public key. */
  readonly name: PeerName;
  readonly fingerprint: string;
  /** Made just now: this host is new, or its old key was damaged. */
  readonly isNew: boolean;
  /** Health warnings for people. */
  readonly warnings: readonly string[];
}

/** Loads the identity, or makes one. `wallMs` is the time, for the name of a damaged file kept aside.
 *  @throws {UserError} the file cannot be read, written or trusted */
export function loadIdentity(dataDir: string, wallMs: number): Identity {
  const path = join(dataDir, IDENTITY_FILE);
  const warnings: string[] = [];
  try {
    if (!exists(path)) return identityOf(create(dataDir, path), true, warnings);
    protect(path, warnings);
    const keys = read(path);
    if (keys) return identityOf(keys, false, warnings);
    const aside = setAside(path, wallMs);
    warnings.push(
      `the identity key was damaged: it is kept as ${aside} and this host got a new one, so it is a new peer to the others; ` +
        `restore ${path} from a backup and restart weave to have the old one back, or tell the mesh with 'weave rmpeer' that the old peer is gone`,
    );
    return identityOf(create(dataDir, path), true, warnings);
  } catch (thrown) {
    if (thrown instanceof UserError || !(thrown instanceof Error) || !("code" in thrown)) throw thrown;
    throw new UserError(
      "unavailable",
      `cannot use the identity key ${path}: ${errorText(thrown)}`,
      hintFor(String(thrown.code)),
      {
        cause: thrown,
      },
    );
  }
}

/** First 48 bits of the key's BLAKE2b-256, made a local unicast MAC. */
export function peerNameOf(publicKey: Uint8Array): PeerName {
  const hash = blake2b(publicKey, 32);
  const view = new DataView(hash.buffer);
  const name = peerNameFrom(localUnicastMac(view.getUint16(0) * 2 ** 32 + view.getUint32(2)));
  invariant(name !== undefined, "a local address is never zero");
  return name;
}

/** 128 bits of the key's BLAKE2b-256 for people to compare: `3f2a-91c0-…`, eight groups. */
export function fingerprintOf(publicKey: Uint8Array): string {
  return blake2b(publicKey, 32)
    .subarray(0, 16)
    .toHex()
    .replace(/.{4}(?!$)/g, "$&-");
}

function identityOf(keys: KeyPair, isNew: boolean, warnings: readonly string[]): Identity {
  return { keys, name: peerNameOf(keys.publicKey), fingerprint: fingerprintOf(keys.publicKey), isNew, warnings };
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Only root may read it and only root may have made it. */
function protect(path: string, warnings: string[]): void {
  const { mode, uid } = lstatSync(path);
  if ((mode & 0o170000) !== 0o100000) {
    throw new UserError("conflict", `the identity key ${path} is not a regular file`, "move it away; weave makes a new one");
  }
  const ours = process.geteuid?.() ?? 0;
  if (uid !== ours && uid !== 0) {
    const hint = `make sure nobody else put it there, then "chown ${ours} ${path}"`;
    throw new UserError("forbidden", `the identity key ${path} belongs to user ${uid}`, hint);
  }
  if ((mode & 0o077) === 0) return;
  chmodSync(path, 0o600);
  const was = (mode & 0o777).toString(8).padStart(4, "0");
  warnings.push(
    `the identity key ${path} was open to other users (mode ${was}); that is corrected, but if somebody may have read it ` +
      "make a new identity with 'weave reset'",
  );
}

/** undefined: damaged. @throws {UserError} of a newer version, which is no damage: this host would become another peer */
function read(path: string): KeyPair | undefined {
  if (lstatSync(path).size > FILE_BYTES_MAX) return undefined;
  const [header, key, check, ...rest] = readFileSync(path, "utf8").split("\n");
  const version = Number(HEADERS.exec(header ?? "")?.[1] ?? 0);
  if (version > VERSION) {
    throw new UserError(
      "conflict",
      `the identity key ${path} was written by a newer weave (version ${version}, this one knows ${VERSION})`,
      "install that version again, or move the file away to make this host a new peer",
    );
  }
  if (header !== HEADER || rest.join("") !== "" || !/^[0-9a-f]{64}$/.test(key ?? "") || !/^[0-9a-f]{16}$/.test(check ?? "")) {
    return undefined;
  }
  const secretKey = newSecretKey(); // stable memory, overwritten
  secretKey.set(Uint8Array.fromHex(key ?? ""));
  invariant(secretKey.length === X25519_BYTES, "an X25519 key has 32 bytes");
  return equal(checkOf(secretKey), Uint8Array.fromHex(check ?? ""))
    ? { secretKey, publicKey: publicKeyOf(secretKey) }
    : undefined;
}

function checkOf(secretKey: Uint8Array): Uint8Array {
  return blake2b(secretKey).subarray(0, CHECK_BYTES);
}

/** Whole or not at all: written beside, synced, then linked to its name. A key somebody else made meanwhile wins. */
function create(dataDir: string, path: string): KeyPair {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const secretKey = newSecretKey();
  const beside = `${path}.new-${process.pid}`;
  rmSync(beside, { force: true });
  const text = Buffer.from(`${HEADER}\n${secretKey.toHex()}\n${checkOf(secretKey).toHex()}\n`);
  try {
    writeDurably(beside, text);
    linkSync(beside, path);
    syncDirectory(dataDir);
  } catch (thrown) {
    wipe(secretKey);
    const other = thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST" ? read(path) : undefined;
    if (other) return other;
    throw thrown;
  } finally {
    wipe(text);
    rmSync(beside, { force: true });
  }
  return { secretKey, publicKey: publicKeyOf(secretKey) };
}

/** Its new path. */
function setAside(path: string, wallMs: number): string {
  const time = new Date(wallMs).toISOString().replace(/[-:]|\.\d+/g, "");
  let aside = `${path}.damaged-${time}`;
  for (let n = 2; exists(aside); n++) aside = `${path}.damaged-${time}-${n}`;
  renameSync(path, aside);
  return aside;
}

function hintFor(code: string): string {
  if (code === "ENOSPC" || code === "EDQUOT") return "free some space on that file system";
  if (code === "EROFS") return "choose a writable directory with --data-dir";
  if (code === "EACCES" || code === "EPERM") return "weave has to run as root";
  return "";
}
