// SPDX-License-Identifier: Apache-2.0
// The allocator's disk as memory: it outlives an allocator, and can be told to be full.
import type { Freed, IpamChange, IpamJournal, Lease, StoredIpam } from "../../src/ipam/lease.ts";
import { UserError } from "../../src/runtime/errors.ts";

export class MemoryJournal implements IpamJournal {
  readonly leases = new Map<number, Lease>();
  readonly freed = new Map<number, Freed>();
  memory: Uint8Array | undefined;
  commits = 0;
  isFull = false;

  load(): StoredIpam {
    return { memory: this.memory, leases: [...this.leases.values()], freed: [...this.freed.values()] };
  }
  commit(change: IpamChange): void {
    if (this.isFull) throw new UserError("unavailable", "cannot write database: the disk is full");
    this.commits++;
    this.memory = change.memory ?? this.memory;
    for (const lease of change.put) {
      this.leases.set(lease.address, lease);
      this.freed.delete(lease.address);
    }
    for (const freed of change.freed) {
      this.leases.delete(freed.lease.address);
      this.freed.set(freed.lease.address, freed);
    }
    for (const address of change.drop) {
      this.leases.delete(address);
      this.freed.delete(address);
    }
  }
}
