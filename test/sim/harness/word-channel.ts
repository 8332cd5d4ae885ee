// SPDX-License-Identifier: Apache-2.0
// The simplest state worth gossiping: a set of words that only grows. Deltas and digests are words joined by commas.
import type { Gossip, GossipHandler } from "../../../src/mesh/ports.ts";
import { ProtocolError } from "../../../src/runtime/errors.ts";
import type { SimHost } from "./host.ts";

const encode = (words: readonly string[]): Uint8Array => new TextEncoder().encode([...words].sort().join(","));
const decode = (bytes: Uint8Array): string[] => new TextDecoder().decode(bytes).split(",").filter(Boolean);

export class WordChannel implements GossipHandler {
  readonly words = new Set<string>();
  readonly letters: string[] = [];
  merges = 0;
  readonly #gossip: Gossip;

  constructor(host: SimHost, name = "words") {
    this.#gossip = host.mesh!.channel(name, this);
  }

  say(word: string): void {
    this.words.add(word);
    this.#gossip.broadcast(encode([word]));
  }
  /** Sends bytes that no handler can read. */
  babble(): void {
    this.#gossip.broadcast(encode(["!"]));
  }
  write(to: SimHost, text: string): boolean {
    return this.#gossip.unicast(to.name, encode([text]));
  }

  merge(_from: number, delta: Uint8Array): Uint8Array | undefined {
    this.merges++;
    const said = decode(delta);
    if (said.includes("!")) throw new ProtocolError("not a word");
    const fresh = said.filter((word) => !this.words.has(word));
    for (const word of fresh) this.words.add(word);
    if (fresh.length === 0) return undefined;
    return fresh.length === said.length ? delta : encode(fresh);
  }
  received(_from: number, message: Uint8Array): void {
    this.letters.push(...decode(message));
  }
  digest(): Uint8Array {
    return encode([...this.words]);
  }
  missing(digest: Uint8Array): Uint8Array | undefined {
    const theirs = new Set(decode(digest));
    const lacking = [...this.words].filter((word) => !theirs.has(word));
    return lacking.length > 0 ? encode(lacking) : undefined;
  }
}
