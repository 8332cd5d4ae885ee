// SPDX-License-Identifier: Apache-2.0
// Counters stand next to what they count. A counter family has a Prometheus name ending in its unit or `_total` and a
// closed set of reasons; the metrics face renders the registry, nobody else reads it.

export interface Counter {
  readonly name: string;
  readonly help: string;
  add(label?: string, amount?: number): void;
  /** Label value -> count; the empty label is the family without labels. */
  read(): ReadonlyMap<string, number>;
}

/** Every counter of one daemon. Constructed by the composition root and handed down. */
export class Counters {
  readonly #families = new Map<string, Counter & { readonly labelName: string }>();

  /** The family `name`, made on first use. `labelName` is the one label's name, usually `reason`. */
  family(name: string, help: string, labelName = "reason"): Counter {
    const known = this.#families.get(name);
    if (known) return known;
    const counts = new Map<string, number>();
    const family = {
      name,
      help,
      labelName,
      add: (label = "", amount = 1) => void counts.set(label, (counts.get(label) ?? 0) + amount),
      read: () => counts,
    };
    this.#families.set(name, family);
    return family;
  }

  all(): Iterable<Counter & { readonly labelName: string }> {
    return this.#families.values();
  }
}
