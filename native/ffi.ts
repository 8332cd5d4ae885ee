// SPDX-License-Identifier: Apache-2.0
// Memory, pointers, C strings and libraries for everything below `native/`. Arguments are coerced silently by bun:ffi (undefined
// becomes 0, 1.9 becomes 1), so raw symbols are called only inside small typed functions.
import { dlopen, type FFIFunction, type Library, type Pointer, ptr, read, toArrayBuffer } from "bun:ffi";

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
  readonly packages: string;
  constructor(message: string, packages: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MissingLibraryError";
    this.packages = packages;
  }
}

export interface LibrarySpec<Required extends Prototypes> {
  /** Versioned sonames, best first; the unversioned one exists only beside a -dev package. */
  readonly sonames: readonly string[];
  /** What an operator installs, for the error's text: `libpcap0.8 (Debian, Ubuntu) or libpcap (Fedora)`. */
  readonly packages: string;
  readonly symbols: Required;
}

export interface LoadedLibrary<Required extends Prototypes> {
  readonly soname: string;
  readonly symbols: Symbols<Required>;
  /** Opens symbols that older versions of the library lack; undefined when any of them is missing. */
  optional<Extra extends Prototypes>(symbols: Extra): Symbols<Extra> | undefined;
}

/** Opens the first of the sonames that exists and has all symbols. @throws {MissingLibraryError} none does */
export function loadLibrary<Required extends Prototypes>(spec: LibrarySpec<Required>): LoadedLibrary<Required> {
  let failure: unknown;
  for (const soname of spec.sonames) {
    try {
      const { symbols } = dlopen(soname, spec.symbols);
      return { soname, symbols, optional: (extra) => openOptional(soname, extra) };
    } catch (thrown) {
      if (isForbiddenToCompile(thrown)) throw new Error(NO_COMPILER, { cause: thrown });
      // A library that exists but lacks a symbol says more than the next name that does not exist.
      if (failure === undefined || !isAbsent(thrown)) failure = thrown;
    }
  }
  const names = spec.sonames.join(", ");
  const why = isAbsent(failure) ? `cannot load ${names}` : `${names}: ${failure instanceof Error ? failure.message : failure}`;
  throw new MissingLibraryError(`${why}; install ${spec.packages}`, spec.packages, { cause: failure });
}

/** The same, opened at the first call and kept. For use as `const lib = lazyLibrary({...})` … `lib().symbols`. */
export function lazyLibrary<Required extends Prototypes>(spec: LibrarySpec<Required>): () => LoadedLibrary<Required> {
  let loaded: LoadedLibrary<Required> | undefined;
  return () => {
    loaded ??= loadLibrary(spec);
    return loaded;
  };
}

function openOptional<Extra extends Prototypes>(soname: string, symbols: Extra): Symbols<Extra> | undefined {
  try {
    return dlopen(soname, symbols).symbols;
  } catch (thrown) {
    if (thrown instanceof TypeError) return undefined; // the symbol is missing; anything else is a real failure
    throw thrown;
  }
}

const NO_COMPILER =
  "the runtime may not have memory that is both writable and executable, which it needs to call C libraries: take out MemoryDenyWriteExecute, or what else forbids it";

function isForbiddenToCompile(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.message.includes("requires the JIT");
}

function isAbsent(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === "ERR_DLOPEN_FAILED";
}
