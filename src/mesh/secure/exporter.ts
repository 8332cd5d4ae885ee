// SPDX-License-Identifier: Apache-2.0
// Secrets for the data paths, bound to one handshake: as fresh, as authenticated and as forward-secret as the session itself. The idea is
// that of TLS's exporters (RFC 5705).
import { PATH_SECRETS, type PathSecret } from "../ports.ts";
import { hmac } from "./kdf.ts";
import { KEY_BYTES, type Sealing, utf8 } from "./sealing.ts";

const LABEL = "weave data path: ";

export class Exporter {
  readonly #sealing: Sealing;
  readonly #secrets = new Map<PathSecret, Uint8Array>();

  /** Takes over `key`, 64 bytes, and wipes it. */
  constructor(sealing: Sealing, key: Uint8Array) {
    this.#sealing = sealing;
    for (const use of PATH_SECRETS) this.#secrets.set(use, hmac(sealing, key, utf8(`${LABEL}${use}`)).slice(0, KEY_BYTES));
    sealing.wipe(key);
  }
  /** The secret for this use, 32 bytes, which belongs to the caller from now on; undefined the second time. */
  take(use: PathSecret): Uint8Array | undefined {
    const secret = this.#secrets.get(use);
    this.#secrets.delete(use);
    return secret;
  }
  wipe(): void {
    for (const secret of this.#secrets.values()) this.#sealing.wipe(secret);
    this.#secrets.clear();
  }
}
