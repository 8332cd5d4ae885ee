// SPDX-License-Identifier: Apache-2.0
// What the API server needs of the daemon. The daemon implements it from mesh, attach, expose and the switch; tests with a fake.
// Methods throw UserError for what the operator can mend; anything else is answered as an internal error.
import type { DnsBackend } from "./dns.ts";
import type { IpOwners } from "./ipam-contract.ts";
import type { PingRequest, PingResponse } from "./ping.ts";
import type { Health, PsEntry, StatusModel } from "./status.ts";

export interface Backend {
  status(): StatusModel;
  /** undefined: there is no name service on this host. */
  readonly dns: DnsBackend | undefined;
  health(): Health;
  /** Adds targets; `replace` first forgets all others. Valid ones are added even when others are refused. */
  connect(peers: readonly string[], options: { readonly replace: boolean }): Promise<readonly RefusedTarget[]>;
  /** Unknown targets are ignored. */
  forget(peers: readonly string[]): Promise<void>;
  attach(request: AttachRequest, signal: AbortSignal): Promise<AddressesResponse>;
  /** Detaching what is not attached is no error: the answer then has no addresses. */
  detach(request: DetachRequest, signal: AbortSignal): Promise<AddressesResponse>;
  /** Gives the host itself addresses. Idempotent. */
  expose(request: ExposeRequest, signal: AbortSignal): Promise<AddressesResponse>;
  /** Takes them back. Idempotent. */
  hide(addresses: readonly string[]): Promise<AddressesResponse>;
  /** Another bridge of this host becomes part of the network. Idempotent. */
  joinBridge(name: string): Promise<JoinedBridges>;
  leaveBridge(name: string): Promise<JoinedBridges>;
  /** Everything attached, the host's own address first; or, with words, what these containers have, in their order. */
  ps(words: readonly string[]): Promise<readonly PsEntry[]>;
  /** This host leaves for good: whatever peers must take over from it is handed over now. */
  leave(): Promise<void>;
  /** @param id nickname or peer name */
  removePeer(id: string, options: { readonly revoke: boolean }): Promise<RemovedPeer>;
  ping(request: PingRequest, signal: AbortSignal): Promise<PingResponse>;
  /** Waits until addresses can be allocated. @throws {UserError} not-found: they are not allocated here */
  ring(signal: AbortSignal): Promise<void>;
  /** An address with its prefix length; `cancelled` when the container that was to be checked does not run. */
  ipAllocate(query: IpQuery, signal: AbortSignal): Promise<string>;
  ipClaim(claim: IpClaim, signal: AbortSignal): Promise<undefined>;
  /** Separated by spaces. */
  ipLookup(query: IpQuery): string;
  ipList(): IpOwners;
  /** @param ip undefined: all of them */
  ipRelease(id: string, ip: string | undefined): Promise<void>;
  defaultSubnet(): string;
  /** Four digits of a hash of each password that is valid now. */
  passwords(): readonly string[];
  /** One more is valid from now on. The first of all closes connections that were made without. */
  addPassword(password: string): Promise<PasswordChange>;
  /** @param options.force also the last one */
  removePassword(password: string, options: { readonly force: boolean }): Promise<PasswordChange>;
  /** Takes over what has changed in the configuration. @throws {UserError} it cannot be used; nothing was changed */
  reload(): Promise<Reloaded>;
  /** Prometheus text. */
  metrics(): Promise<string>;
}

/** All other bridges that are part of the network now. */
export interface JoinedBridges {
  readonly bridges: readonly string[];
}

export interface RefusedTarget {
  readonly peer: string;
  readonly reason: string;
}

/** Addresses of requests are words as the operator wrote them (`10.2.1.1/24`, `ip:…`, `net:…`); the use cases read them. */
export interface AttachRequest {
  /** Container id or name, process id, a namespace's name or path; the name of the device for a tap. */
  readonly target: string;
  readonly tap: boolean;
  readonly addresses: readonly string[];
  readonly noMulticastRoute: boolean;
  /** Let it send from any MAC and address, such as those of guests inside it. */
  readonly noSpoofCheck: boolean;
  /** Write the container's /etc/hosts. */
  readonly rewriteHosts: boolean;
  /** `name:ip` for more lines in it. */
  readonly addHosts: readonly string[];
  /** Do not make it known by name. */
  readonly withoutDns: boolean;
}
export interface DetachRequest {
  readonly target: string;
  readonly tap: boolean;
  /** None: all it has. */
  readonly addresses: readonly string[];
}
export interface ExposeRequest {
  readonly addresses: readonly string[];
  /** Traffic between the network and the outside is translated to the host's address. */
  readonly masquerade: boolean;
  /** Make the addresses known by this name. */
  readonly fqdn?: string;
}
export interface AddressesResponse {
  /** Given, or taken away. */
  readonly addresses: readonly string[];
  /** What the operator should know although it was done; whole sentences. */
  readonly warnings?: readonly string[];
}

export interface IpQuery {
  readonly id: string;
  /** undefined: the default one. */
  readonly subnet: string | undefined;
  /** `id` is a container: only when it runs, and only as long. */
  readonly checkAlive: boolean;
}
export interface IpClaim {
  readonly id: string;
  readonly cidr: string;
  readonly checkAlive: boolean;
  /** Recorded at once while there is no ring. */
  readonly noErrorOnUnknown: boolean;
}

export interface RemovedPeer {
  readonly revoked: boolean;
  /** undefined: address allocation is not running here. */
  readonly addressesTakenOver?: number;
}

export interface Reloaded {
  /** Flags of what counts from now on, and `peers`. */
  readonly changed: readonly string[];
  /** Flags of what has changed too and counts after a restart. */
  readonly needRestart: readonly string[];
  /** What the operator should know; whole sentences. */
  readonly warnings: readonly string[];
}

export interface PasswordChange {
  /** False: it was so already. */
  readonly changed: boolean;
  /** Of those that are valid now. */
  readonly fingerprints: readonly string[];
  /** What the operator should know; whole sentences. */
  readonly warnings: readonly string[];
}
