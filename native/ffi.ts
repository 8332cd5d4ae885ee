// SPDX-License-Identifier: Apache-2.0
// Memory, pointers, C strings and libraries for everything below `native/`. Arguments are coerced silently by bun:ffi (undefined
// becomes 0, 1.9 becomes 1), so raw symbols are called only inside small typed functions.
import { dlopen, type FFIFunction, type Library, type Pointer, ptr, read, toArrayBuffer } from "bun:ffi";
import { type PackageNames, packageHere } from "./packages.ts";

/** Memory whose address never changes. Make it with `allocate` or `bytesOf`, not with `new Uint8Array(n)`. */
export type Bytes = Uint8Array<ArrayBuffer>;
/** An address in C's memory. Above 2^53 bun:ffi hands it out as a bigint. Never leaves the folder that obtained it. */
export type Address = Pointer | bigint;

/** `size` zero bytes for C. A plain `new Uint8Array(n)` of up to 1000 bytes lives in the collector's heap and moves. */
export function allocate(size: number): Bytes {
  return new Uint8Array(new ArrayBuffer(size));
}

/** A copy of `source` that C may look at. */
export function bytesOf(source: Uint8Array): Bytes {
  const copy = allocate(source.length);
  copy.set(source);
  return copy;
}

/** `text` as UTF-8 with its NUL. @throws {TypeError} the text holds a NUL, which C would take for its end */
export function cString(text: string): Bytes {
  if (text.includes("\0")) throw new TypeError(`a C string cannot hold a NUL: ${JSON.stringify(text)}`);
  return bytesOf(Buffer.from(`${text}\0`, "utf8"));
}

/** Text from `at` up to the NUL, to `end` or to the end of `bytes`, whichever comes first. */
export function readCString(bytes: Uint8Array, at = 0, end = bytes.length): string {
  const nul = bytes.indexOf(0, at);
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, (nul < 0 || nul > end ? end : nul) - at).toString("utf8");
}

/** Text behind a `char *`, cut at `limit` bytes. */
export function stringAt(address: Address, limit = 4096): string {
  let length = 0;
  while (length < limit && read.u8(address, length) !== 0) length++;
  return length === 0 ? "" : Buffer.from(new Uint8Array(toArrayBuffer(address, 0, length))).toString("utf8");
}

/** A copy of `length` bytes of C's memory. */
export function copyFrom(address: Address, length: number): Bytes {
  return length === 0 ? allocate(0) : bytesOf(new Uint8Array(toArrayBuffer(address, 0, length)));
}

/** Where `bytes` starts. Does not keep it alive: hold a reference as long as C may use the address. */
export function addressOf(bytes: Bytes): Pointer {
  return ptr(bytes);
}

/** A block C and JavaScript both work in, its views made once: what is read and written at an offset needs no object. `base` is where C finds
 *  it; outside `native/` it is handed on and not used. */
export class Arena {
  readonly bytes: Bytes;
  readonly view: DataView<ArrayBuffer>;
  readonly base: number;

  constructor(bytes: Bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.base = addressOf(bytes);
  }
  /** `size` zero bytes. */
  static allocate(size: number): Arena {
    return new Arena(allocate(size));
  }
  /** C's own memory, without a copy. Not to be used once C has freed it. */
  static over(address: Pointer, size: number): Arena {
    return new Arena(new Uint8Array(toArrayBuffer(address, 0, size)));
  }
}

/** A place in memory C and JavaScript share; an `Arena` fits. */
export interface Block {
  readonly base: number;
}

/** The address of an offset. Nothing checks that it lies inside. */
export function addressIn(block: Block, at: number): Pointer {
  return (block.base + at) as Pointer;
}

/** Writes a C pointer or size_t. Above 2^53 there are none in user space. */
export function writeWord(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  view.setUint32(at, value - high * 2 ** 32, true); // `%` would be a call, and cost six times as much
  view.setUint32(at + 4, high, true);
}
export function readWord(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

/** Room for one value C writes through a pointer argument: pass `bytes`, then read `u32`, `i32`, `u64` or `address`. */
export class OutParameter {
  readonly bytes: Bytes = allocate(8);
  readonly #view = new DataView(this.bytes.buffer);
  get u32(): number {
    return this.#view.getUint32(0, true);
  }
  set u32(value: number) {
    this.#view.setUint32(0, value, true);
  }
  get i32(): number {
    return this.#view.getInt32(0, true);
  }
  get u64(): bigint {
    return this.#view.getBigUint64(0, true);
  }
  set u64(value: bigint) {
    this.#view.setBigUint64(0, value, true);
  }
  /** null when C wrote NULL. */
  get address(): Address | null {
    const value = this.u64;
    if (value === 0n) return null;
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? (Number(value) as Pointer) : value;
  }
}

type Prototypes = Record<string, FFIFunction>;
/** The callable form of a symbol table. */
export type Symbols<Table extends Prototypes> = Library<Table>["symbols"];

/** A C library is not installed, or too old. */
export class MissingLibraryError extends Error {
  /** What an operator installs on this host. */
  readonly packages: string;
  constructor(message: string, packages: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MissingLibraryError";
    this.packages = packages;
  }
}

/** A copy of a library inside the executable. */
export interface OwnCopy {
  /** What it needs of the host. */
  readonly packages: PackageNames;
  /** Where C finds it; it may be disposed as soon as it is loaded. undefined: this executable was built without one, or the host forbids programs
   *  in memory. */
  open(): (Disposable & { readonly path: string }) | undefined;
}

export interface LibrarySpec<Required extends Prototypes> {
  /** Versioned sonames, best first; the unversioned one exists only beside a -dev package. */
  readonly sonames: readonly string[];
  /** What an operator installs. */
  readonly packages: PackageNames;
  readonly symbols: Required;
  /** For hosts without one that fits; theirs comes first, because their distribution mends it. */
  readonly ownCopy?: OwnCopy;
}

export interface LoadedLibrary<Required extends Prototypes> {
  readonly soname: string;
  /** Not the host's. */
  readonly isOwnCopy: boolean;
  readonly symbols: Symbols<Required>;
}

/** Opens the first of the sonames that exists and has all symbols, else our own copy. @throws {MissingLibraryError} none does */
export function loadLibrary<Required extends Prototypes>(spec: LibrarySpec<Required>): LoadedLibrary<Required> {
  const failures: Failure[] = [];
  for (const soname of spec.sonames) {
    const opened = open(soname, spec.symbols);
    if ("symbols" in opened) return { soname, isOwnCopy: false, symbols: opened.symbols };
    failures.push(opened);
  }
  using copy = spec.ownCopy?.open();
  if (copy) {
    const opened = open(copy.path, spec.symbols);
    if ("symbols" in opened) return { soname: spec.sonames[0] ?? "", isOwnCopy: true, symbols: opened.symbols };
    failures.push({ ...opened, why: `the executable's own copy: ${opened.why}` });
  }
  // A library that exists but cannot be used says more than a name that does not exist.
  const { why, cause } = failures.find(({ isAbsent }) => !isAbsent) ?? { why: undefined, cause: undefined };
  const names = spec.sonames.join(", ");
  const packages = packageHere((copy && spec.ownCopy?.packages) ?? spec.packages);
  const text = why === undefined ? `cannot load ${names}` : `cannot use ${names}: ${why}`;
  throw new MissingLibraryError(`${text}; install ${packages}`, packages, { cause });
}

/** The same, opened at the first call and kept. For use as `const lib = lazyLibrary({...})` … `lib().symbols`. */
export function lazyLibrary<Required extends Prototypes>(spec: LibrarySpec<Required>): () => LoadedLibrary<Required> {
  let loaded: LoadedLibrary<Required> | undefined;
  return () => {
    loaded ??= loadLibrary(spec);
    return loaded;
  };
}

interface Failure {
  readonly why: string;
  readonly isAbsent: boolean;
  readonly cause?: unknown;
}

/** Loads by C's own means first: where the system has no such library, Bun's dlopen would take one of that name from the current folder, and
 *  anybody may have put it there. */
function open<Table extends Prototypes>(name: string, symbols: Table): { readonly symbols: Symbols<Table> } | Failure {
  const { dlopen: load, dlerror } = loader();
  if (load(cString(name), RTLD_NOW) === null) {
    const words = dlerror();
    const why = words === null ? "no reason was given" : stringAt(words);
    return { why, isAbsent: why.startsWith(`${name}: cannot open shared object file`) };
  }
  try {
    return dlopen(name, symbols);
  } catch (thrown) {
    if (isForbiddenToCompile(thrown)) throw new Error(NO_COMPILER, { cause: thrown });
    return { why: thrown instanceof Error ? thrown.message : `${thrown}`, isAbsent: false, cause: thrown };
  }
}

const RTLD_NOW = 2; // bits/dlfcn.h
const LOADER = {
  dlopen: { args: ["ptr", "i32"], returns: "ptr" }, // void *dlopen(const char *, int)
  dlerror: { args: [], returns: "ptr" }, // char *dlerror(void)
} as const;
let ownLoader: Symbols<typeof LOADER> | undefined;

/** Both libraries are in every process already: the runtime needs them. */
function loader(): Symbols<typeof LOADER> {
  ownLoader ??= openLoader();
  return ownLoader;
}
function openLoader(): Symbols<typeof LOADER> {
  try {
    return dlopen("libc.so.6", LOADER).symbols;
  } catch (thrown) {
    if (isForbiddenToCompile(thrown)) throw new Error(NO_COMPILER, { cause: thrown }); // a TypeError too
    if (thrown instanceof TypeError) return dlopen("libdl.so.2", LOADER).symbols; // where they were before glibc 2.34
    throw thrown;
  }
}

const NO_COMPILER =
  "the runtime may not have memory that is both writable and executable, which it needs to call C libraries: take out MemoryDenyWriteExecute, or what else forbids it";

function isForbiddenToCompile(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.message.includes("requires the JIT");
}
