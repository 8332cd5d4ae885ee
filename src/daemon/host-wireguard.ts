// SPDX-License-Identifier: Apache-2.0
// WireGuard of this host, from the moment on that data has to be encrypted: at the daemon's start, or when the first password comes.
import { Wireguard, type WireguardOptions } from "../host/wireguard.ts";

export interface HostWireguardOptions extends WireguardOptions {
  /** Data may go through the kernel at all. */
  readonly fastdp: boolean;
}

export class HostWireguard implements Disposable {
  readonly #options: HostWireguardOptions;
  #current: Wireguard | string;

  constructor(options: HostWireguardOptions) {
    this.#options = options;
    this.#current = options.fastdp ? "no password is set" : "the fast datapath is switched off here";
  }

  /** A text: why there is none. */
  get current(): Wireguard | string {
    return this.#current;
  }

  /** Sets it up, unless it is there. @throws {SystemError} */
  begin(): Wireguard | string {
    const { fastdp, log, ...options } = this.#options;
    if (!fastdp || typeof this.#current !== "string") return this.#current;
    this.#current = Wireguard.open({ ...options, log });
    if (typeof this.#current === "string") log.warn("no WireGuard: encrypted data goes over sleeve", { reason: this.#current });
    return this.#current;
  }

  /** What differed in the kernel and was mended. @throws {UserError} @throws {SystemError} */
  repair(): string[] {
    return typeof this.#current === "string" ? [] : this.#current.repair();
  }

  [Symbol.dispose](): void {
    if (typeof this.#current !== "string") this.#current[Symbol.dispose]();
  }
}
