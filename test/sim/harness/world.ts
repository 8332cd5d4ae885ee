// SPDX-License-Identifier: Apache-2.0
// A simulated world of hosts on one network and one clock. Everything in it follows from its seed.
import { decodeMessage } from "../../../src/mesh/codec.ts";
import type { Message } from "../../../src/mesh/message.ts";
import type { Wire } from "../../../src/mesh/options.ts";
import type { PeerName } from "../../../src/mesh/peer-name.ts";
import { applyDelta, type PeerRecord, type RecordDelta } from "../../../src/mesh/record.ts";
import { type Random, seededRandom } from "../../../src/runtime/random.ts";
import { type HostOptions, SimHost } from "./host.ts";
import { Network } from "./network.ts";
import { VirtualTime } from "./virtual-clock.ts";

export class World {
  readonly seed: number;
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly network: Network;
  readonly hosts: SimHost[] = [];
  readonly wire: Wire;
  verbose = false;
  keepLogs = true;
  readonly #byIp = new Map<string, SimHost>();

  constructor(seed: number) {
    this.seed = seed;
    this.random = seededRandom(seed);
    this.network = new Network(this.time, this.random);
    this.wire = sharedWire();
  }

  /** One more machine, switched on, its daemon not yet started. */
  addHost(options: Partial<HostOptions> = {}): SimHost {
    const index = this.hosts.length + 1;
    const publicKey = Uint8Array.from({ length: 32 }, () => this.random.below(256));
    const host = new SimHost(this, {
      ip: `10.${Math.floor(index / 250) % 250}.${Math.floor(index / 62_500)}.${(index % 250) + 1}`,
      name: (1 + this.random.below(2 ** 48 - 1)) as PeerName,
      nickname: `host${index}`,
      publicKey,
      ...options,
    });
    this.hosts.push(host);
    this.#byIp.set(host.ip, host);
    return host;
  }
  addHosts(count: number, options: Partial<HostOptions> = {}): SimHost[] {
    return Array.from({ length: count }, () => this.addHost(options));
  }
  hostAt(ip: string): SimHost | undefined {
    return this.#byIp.get(ip);
  }
  hostNamed(name: PeerName): SimHost | undefined {
    return this.hosts.find((host) => host.name === name);
  }

  run(ms: number): void {
    this.time.runUntil(this.time.now() + ms);
  }
  /** Runs until `holds`, at most `limitMs`; returns how long that took. @throws {Error} naming the seed, when it never held */
  runUntil(holds: () => boolean, limitMs: number, what: string, stepMs = 10): number {
    const start = this.time.now();
    while (!holds()) {
      if (this.time.now() - start >= limitMs) throw new Error(`seed ${this.seed}: not ${what} after ${limitMs} ms`);
      this.run(stepMs);
    }
    return this.time.now() - start;
  }
}

/** Decodes each buffer once for all receivers and keeps one copy of each version of each record, or 500 peers need 500 copies. */
function sharedWire(): Wire {
  const messages = new WeakMap<Uint8Array, { message: Message | undefined }>();
  const applied = new WeakMap<RecordDelta, PeerRecord>();
  const intern = recordPool();
  const share = (message: Message | undefined): Message | undefined => {
    if (message?.type === "record") return { ...message, record: intern(message.record) };
    if (message?.type === "records") return { ...message, records: message.records.map(intern) };
    return message;
  };
  return {
    decode(bytes) {
      const known = messages.get(bytes);
      if (known) return known.message;
      const message = share(decodeMessage(bytes));
      messages.set(bytes, { message });
      return message;
    },
    applyDelta(record, delta) {
      if (record.name !== delta.name || record.uid !== delta.uid || record.version !== delta.base) return undefined;
      const known = applied.get(delta);
      if (known) return known;
      const made = applyDelta(record, delta);
      if (made) applied.set(delta, intern(made));
      return made && applied.get(delta);
    },
  };
}

/** Returns for each record the first copy seen of that version; old versions are forgotten. */
function recordPool(): (record: PeerRecord) => PeerRecord {
  const records = new Map<PeerName, Map<string, PeerRecord>>();
  return (record) => {
    const versions = records.get(record.name) ?? new Map<string, PeerRecord>();
    records.set(record.name, versions);
    const key = `${record.uid} ${record.version}`;
    const known = versions.get(key);
    if (known) return known;
    versions.set(key, record);
    if (versions.size > 8) versions.delete(versions.keys().next().value!);
    return record;
  };
}
