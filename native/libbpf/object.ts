// SPDX-License-Identifier: Apache-2.0
// A compiled BPF object: opened from memory, its maps taken from their pins or made and pinned, its programs checked by the kernel.
import { errno, isSystemError, SystemError } from "../errno.ts";
import { type Address, bytesOf, stringAt } from "../ffi.ts";
import { BpfMap, readInfo } from "./map.ts";
import { attemptedCall, checkedCall, lastMessages } from "./messages.ts";
import { libbpf } from "./symbols.ts";

/** struct bpf_prog_info, linux/bpf.h: the beginning. */
export const PROGRAM_INFO = { size: 8, type: 0, id: 4 } as const;

/** A loaded program. The descriptor belongs to the object it came from. */
export interface Program {
  readonly name: string;
  readonly fd: number;
  /** The kernel's number for it, unique while the machine runs. */
  readonly id: number;
}

// A signal interrupts the verifier with EAGAIN; libbpf tries five times at once (PROG_LOAD_ATTEMPTS, libbpf_internal.h), too few for a burst.
const INTERRUPTED_MS = 2_000;

export class BpfObject implements Disposable {
  #object: Address | null;
  readonly #maps = new Map<string, BpfMap>();

  private constructor(object: Address) {
    this.#object = object;
  }

  /** Loads the object: `pinPath` says where each map is pinned (one that is there already is used, with its contents); the kernel checks every
   *  program. Takes some 25 ms. @throws {SystemError} with the verifier's last words; EINVAL also when a pinned map has another shape */
  static load(name: string, bytes: Uint8Array, pinPath: (map: string) => string): BpfObject {
    const end = performance.now() + INTERRUPTED_MS;
    for (;;) {
      try {
        return BpfObject.#loadOnce(name, bytes, pinPath);
      } catch (thrown) {
        if (performance.now() > end || !isSystemError(thrown, "EAGAIN")) throw thrown;
      }
    }
  }

  // An object that failed to load cannot be loaded again: each attempt opens it anew.
  static #loadOnce(name: string, bytes: Uint8Array, pinPath: (map: string) => string): BpfObject {
    const image = bytesOf(bytes); // libbpf copies what it needs while opening
    let opened: Address | null = null;
    let failure = 0;
    attemptedCall(() => {
      opened = libbpf().symbols.bpf_object__open_mem(image, image.length, null);
      failure = opened === null ? errno() : 0;
      return 0;
    });
    if (opened === null) throw new SystemError("bpf_object__open_mem", name, failure, lastMessages());
    const object = new BpfObject(opened);
    try {
      for (const [map, address] of object.#mapAddresses()) {
        checkedCall("bpf_map__set_pin_path", map, () => libbpf().symbols.bpf_map__set_pin_path(address, pinPath(map)));
      }
      checkedCall("bpf_object__load", name, () => libbpf().symbols.bpf_object__load(object.#open()));
      for (const [map, address] of object.#mapAddresses()) {
        object.#maps.set(map, BpfMap.borrow(map, libbpf().symbols.bpf_map__fd(address)));
      }
      return object;
    } catch (thrown) {
      object[Symbol.dispose]();
      throw thrown;
    }
  }

  [Symbol.dispose](): void {
    if (this.#object === null) return;
    for (const map of this.#maps.values()) map[Symbol.dispose]();
    libbpf().symbols.bpf_object__close(this.#object);
    this.#object = null;
  }

  /** @throws {RangeError} the object has no such map */
  map(name: string): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new RangeError(`the BPF object has no map '${name}'`);
    return map;
  }
  /** @throws {RangeError} the object has no such program */
  program(name: string): Program {
    const program = libbpf().symbols.bpf_object__find_program_by_name(this.#open(), name);
    if (program === null) throw new RangeError(`the BPF object has no program '${name}'`);
    const fd = libbpf().symbols.bpf_program__fd(program);
    return { name, fd, id: readInfo(fd, PROGRAM_INFO.size, name).getUint32(PROGRAM_INFO.id, true) };
  }

  *#mapAddresses(): Generator<readonly [string, Address]> {
    const lib = libbpf().symbols;
    for (
      let map = lib.bpf_object__next_map(this.#open(), null);
      map !== null;
      map = lib.bpf_object__next_map(this.#open(), map)
    ) {
      const name = lib.bpf_map__name(map);
      yield [name === null ? "" : stringAt(name), map];
    }
  }
  #open(): Address {
    if (this.#object === null) throw new TypeError("the BPF object is closed");
    return this.#object;
  }
}
