// SPDX-License-Identifier: Apache-2.0
// A BPF map behind its descriptor: elements as bytes, one by one or many in one call.
import { ERRNO, SystemError } from "../errno.ts";
import { allocate, type Bytes, bytesOf, OutParameter } from "../ffi.ts";
import { close } from "../libc/fd.ts";
import { checkedCall } from "./messages.ts";
import { libbpf } from "./symbols.ts";

/** struct bpf_map_info, linux/bpf.h: as much of it as is read here. */
export const MAP_INFO = { size: 24, type: 0, id: 4, keySize: 8, valueSize: 12, maxEntries: 16, flags: 20 } as const;
// enum bpf_map_type
const PER_CPU_TYPES = [5, 6, 10, 21]; // PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH, PERCPU_CGROUP_STORAGE
/** Elements asked for at once: a few first, because most maps hold few whatever they have room for. */
const FIRST_BATCH_ELEMENTS = 256;
const BATCH_ELEMENTS = 16_384;
const ENOTSUPP = 524; // the kernel's own, not in errno.h

export interface MapShape {
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
}

/** Number of CPUs the kernel could ever have: that many values has each element of a per-CPU map. */
export function possibleCpus(): number {
  return checkedCall("libbpf_num_possible_cpus", "", () => libbpf().symbols.libbpf_num_possible_cpus());
}

export class BpfMap implements Disposable {
  readonly name: string;
  readonly shape: MapShape;
  /** Bytes of one element's value as it is read and written: for per-CPU maps those of all CPUs. */
  readonly valueBytes: number;
  #fd: number | null;
  readonly #owned: boolean;

  private constructor(name: string, fd: number, owned: boolean) {
    this.name = name;
    this.#fd = fd;
    this.#owned = owned;
    this.shape = readShape(fd, name);
    const { type, valueSize } = this.shape;
    this.valueBytes = PER_CPU_TYPES.includes(type) ? ((valueSize + 7) & ~7) * possibleCpus() : valueSize;
  }

  /** Takes over nothing: `fd` belongs to a loaded object. */
  static borrow(name: string, fd: number): BpfMap {
    return new BpfMap(name, fd, false);
  }
  /** Opens a pinned one. @throws {SystemError} ENOENT: nothing is pinned there */
  static openPinned(name: string, path: string): BpfMap {
    const fd = checkedCall("bpf_obj_get", path, () => libbpf().symbols.bpf_obj_get(path));
    try {
      return new BpfMap(name, fd, true);
    } catch (thrown) {
      close(fd);
      throw thrown;
    }
  }
  [Symbol.dispose](): void {
    if (this.#fd !== null && this.#owned) close(this.#fd);
    this.#fd = null;
  }

  /** undefined: no such element. @throws {SystemError} */
  get(key: Uint8Array): Bytes | undefined {
    const value = allocate(this.valueBytes);
    const result = libbpf().symbols.bpf_map_lookup_elem(this.#open(), bytesOf(key), value);
    if (result === 0) return value;
    if (result === -ERRNO.ENOENT) return undefined;
    throw new SystemError("bpf_map_lookup_elem", this.name, -result);
  }
  /** The same into memory that the caller keeps. False: no such element. @throws {SystemError} */
  read(key: Bytes, into: Bytes): boolean {
    if (key.length !== this.shape.keySize || into.length !== this.valueBytes) {
      throw new RangeError(
        `an element of '${this.name}' has ${this.shape.keySize}+${this.valueBytes} bytes, not ${key.length}+${into.length}`,
      );
    }
    const result = libbpf().symbols.bpf_map_lookup_elem(this.#open(), key, into);
    if (result !== 0 && result !== -ERRNO.ENOENT) throw new SystemError("bpf_map_lookup_elem", this.name, -result);
    return result === 0;
  }
  /** Makes or replaces the element. @throws {SystemError} E2BIG: the map is full */
  set(key: Uint8Array, value: Uint8Array): void {
    if (key.length !== this.shape.keySize || value.length !== this.valueBytes) {
      throw new RangeError(
        `an element of '${this.name}' has ${this.shape.keySize}+${this.valueBytes} bytes, not ${key.length}+${value.length}`,
      );
    }
    checkedCall("bpf_map_update_elem", this.name, () =>
      libbpf().symbols.bpf_map_update_elem(this.#open(), bytesOf(key), bytesOf(value), 0),
    );
  }
  /** False: there was none. @throws {SystemError} */
  delete(key: Uint8Array): boolean {
    const result = libbpf().symbols.bpf_map_delete_elem(this.#open(), bytesOf(key));
    if (result !== 0 && result !== -ERRNO.ENOENT) throw new SystemError("bpf_map_delete_elem", this.name, -result);
    return result === 0;
  }

  /** Every element, each as its own copy. Elements that come or go meanwhile may be missing or be there twice. @throws {SystemError} */
  *entries(): Generator<readonly [key: Bytes, value: Bytes]> {
    for (const chunk of this.chunks()) {
      for (let i = 0; i < chunk.count; i++) {
        const { keySize } = this.shape;
        yield [
          chunk.keys.slice(i * keySize, (i + 1) * keySize),
          chunk.values.slice(i * this.valueBytes, (i + 1) * this.valueBytes),
        ];
      }
    }
  }

  /** The same as a few large pieces, for maps of many elements: `count` keys and values one behind the other. The buffers are used again
   *  for the next piece. @throws {SystemError} */
  *chunks(): Generator<{ readonly count: number; readonly keys: Bytes; readonly values: Bytes }> {
    let capacity = 0;
    let keys = allocate(0);
    let values = allocate(0);
    const grow = (elements: number): void => {
      capacity = elements;
      keys = allocate(elements * this.shape.keySize);
      values = allocate(elements * this.valueBytes);
    };
    grow(Math.min(this.shape.maxEntries, FIRST_BATCH_ELEMENTS));
    const cursorBytes = Math.max(8, this.shape.keySize);
    const cursor = allocate(cursorBytes);
    const next = allocate(cursorBytes);
    const count = new OutParameter();
    for (let first = true; ; ) {
      count.u32 = capacity;
      const batch = libbpf().symbols.bpf_map_lookup_batch;
      const result = batch(this.#open(), first ? null : cursor, next, keys, values, count.bytes, null);
      if (result === -ERRNO.ENOSPC && count.u32 === 0) {
        grow(capacity * 2); // one hash bucket has more elements than fit
        continue;
      }
      if (first && (result === -ERRNO.EINVAL || result === -ENOTSUPP)) {
        yield* this.#oneByOne(); // kernels before 5.6, and per-CPU arrays before 5.13
        return;
      }
      if (result !== 0 && result !== -ERRNO.ENOENT && result !== -ERRNO.ENOSPC) {
        throw new SystemError("bpf_map_lookup_batch", this.name, -result);
      }
      if (count.u32 > 0) yield { count: count.u32, keys, values };
      if (result === -ERRNO.ENOENT) return;
      cursor.set(next);
      first = false;
      if (capacity === FIRST_BATCH_ELEMENTS) grow(Math.min(this.shape.maxEntries, BATCH_ELEMENTS));
    }
  }

  *#oneByOne(): Generator<{ readonly count: number; readonly keys: Bytes; readonly values: Bytes }> {
    const lib = libbpf().symbols;
    let key: Bytes | null = null;
    // A foreign deletion restarts the walk from the beginning, so it is bounded.
    for (let steps = 0; steps <= this.shape.maxEntries * 2; steps++) {
      const next = allocate(this.shape.keySize);
      const result = lib.bpf_map_get_next_key(this.#open(), key, next);
      if (result === -ERRNO.ENOENT) return;
      if (result !== 0) throw new SystemError("bpf_map_get_next_key", this.name, -result);
      const value = this.get(next);
      if (value) yield { count: 1, keys: next, values: value };
      key = next;
    }
  }

  #open(): number {
    if (this.#fd === null) throw new TypeError(`the map '${this.name}' is closed`);
    return this.#fd;
  }
}

function readShape(fd: number, name: string): MapShape {
  const view = readInfo(fd, MAP_INFO.size, name);
  return {
    type: view.getUint32(MAP_INFO.type, true),
    keySize: view.getUint32(MAP_INFO.keySize, true),
    valueSize: view.getUint32(MAP_INFO.valueSize, true),
    maxEntries: view.getUint32(MAP_INFO.maxEntries, true),
  };
}

/** The first `size` bytes of what the kernel tells of a map, program or link. @throws {SystemError} */
export function readInfo(fd: number, size: number, object: string): DataView {
  const info = allocate(size);
  const length = new OutParameter();
  length.u32 = size;
  checkedCall("bpf_obj_get_info_by_fd", object, () => libbpf().symbols.bpf_obj_get_info_by_fd(fd, info, length.bytes));
  return new DataView(info.buffer);
}
