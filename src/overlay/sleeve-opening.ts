// SPDX-License-Identifier: Apache-2.0
// Opening and closing the sleeve to one neighbour, over their control connection. Whoever needs it says so with an index and a nonce; the other
// end answers with its own, unless it has spoken first; when both are known each opens its end. It is closed when neither needs it.
import type { PathSession } from "../mesh/ports.ts";
import { concat, utf8 } from "../mesh/secure/sealing.ts";
import type { PathSealing, SleeveCipher } from "./carriers.ts";
import { encodePathMessage, SLEEVE_NONCE_BYTES } from "./offer.ts";

const KEY_BYTES = 32;
const LABEL = utf8("weave sleeve session");

interface End {
  readonly index: number;
  readonly nonce: Uint8Array;
}
/** What an open sleeve needs to know. */
export interface SleeveAgreement {
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly secret: Uint8Array | undefined;
  readonly cipher: SleeveCipher;
}
export interface SleeveOpeningPorts {
  readonly session: PathSession;
  readonly sealing: PathSealing;
  /** An index nobody else has. */
  newIndex(): number;
  opened(agreement: SleeveAgreement): void;
  closed(localIndex: number): void;
}

export class SleeveOpening {
  readonly #ports: SleeveOpeningPorts;
  /** The connection's, from which each opening takes its own; undefined: clear. */
  readonly #secret: Uint8Array | undefined;
  readonly #cipher: SleeveCipher;
  #local: End | undefined;
  #remote: End | undefined;
  #isWanted = false;
  #isWantedThere = false;

  constructor(ports: SleeveOpeningPorts, secret: Uint8Array | undefined, cipher: SleeveCipher) {
    this.#ports = ports;
    this.#secret = secret;
    this.#cipher = cipher;
  }

  get localIndex(): number | undefined {
    return this.#remote && this.#local?.index;
  }

  want(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#show();
  }
  idle(): void {
    if (!this.#isWanted) return;
    this.#isWanted = false;
    this.#ports.session.send(encodePathMessage({ type: "sleeve-idle" }));
    this.#closeWhenIdle();
  }
  remoteOpens({ index, nonce, isWanted }: End & { readonly isWanted: boolean }): void {
    this.#isWantedThere = isWanted;
    if (!isWanted && !this.#isWanted) return; // an answer that comes too late: our word that we are idle is on its way
    if (this.#remote?.index === index) return;
    // It began anew. Our own index stays, because it may have been told already; the new nonce makes other keys of it.
    const isAnew = this.#remote !== undefined;
    if (isAnew && this.#local) this.#ports.closed(this.#local.index);
    this.#remote = { index, nonce };
    if (!this.#local || isAnew) this.#show(); // it may have forgotten ours
    this.#open(this.#remote);
  }
  remoteIdle(): void {
    this.#isWantedThere = false;
    this.#closeWhenIdle();
  }
  /** The carrier lost its sessions: they begin anew with other keys, because counters are lost too. */
  renew(): void {
    this.#local = undefined;
    this.#remote = undefined;
    if (this.#isWanted || this.#isWantedThere) this.#show();
  }
  /** The connection is over, or another has taken its place. The session itself may stay until then. */
  end(): void {
    if (this.#secret) this.#ports.sealing.wipe(this.#secret);
  }

  /** Tells our index, a new one unless the last was never used. Repeated, it says that we want the sleeve again. */
  #show(): void {
    this.#local ??= { index: this.#ports.newIndex(), nonce: this.#ports.sealing.random(SLEEVE_NONCE_BYTES) };
    this.#ports.session.send(encodePathMessage({ type: "sleeve-open", ...this.#local, isWanted: this.#isWanted }));
  }
  #open(remote: End): void {
    const local = this.#local;
    if (!local) return;
    this.#ports.opened({
      localIndex: local.index,
      remoteIndex: remote.index,
      secret: this.#derive(local, remote),
      cipher: this.#cipher,
    });
  }
  #closeWhenIdle(): void {
    if (this.#isWanted || this.#isWantedThere) return;
    const { localIndex } = this;
    this.#local = undefined;
    this.#remote = undefined;
    if (localIndex !== undefined) this.#ports.closed(localIndex);
  }

  /** Nonces of both ends make it another for every opening. */
  #derive(local: End, remote: End): Uint8Array | undefined {
    if (!this.#secret) return undefined;
    const [first, second] = this.#ports.session.initiator ? [local, remote] : [remote, local];
    const input = concat(LABEL, this.#secret, bytesOf(first), bytesOf(second));
    const hash = this.#ports.sealing.blake2b(input);
    const secret = hash.slice(0, KEY_BYTES);
    this.#ports.sealing.wipe(input);
    this.#ports.sealing.wipe(hash);
    return secret;
  }
}

function bytesOf({ index, nonce }: End): Uint8Array {
  const bytes = new Uint8Array(4 + nonce.length);
  new DataView(bytes.buffer).setUint32(0, index);
  bytes.set(nonce, 4);
  return bytes;
}
