// SPDX-License-Identifier: Apache-2.0
// The mesh as the rest of the daemon sees it: finished handshakes, probe replies and people's wishes go in, routes and views come out.
import { UserError } from "../runtime/errors.ts";
import { ipOf } from "./address.ts";
import { MeshCore } from "./core.ts";
import type { MeshOptions, MeshPorts } from "./options.ts";
import { type PeerName, parsePeerName } from "./peer-name.ts";
import type { Gossip, GossipHandler, Hello, Link, MeshView, Routes } from "./ports.ts";
import { viewOf } from "./view.ts";

export class Mesh {
  readonly #core: MeshCore;

  /** Nothing is dialled, probed or told before `start`. */
  constructor(options: MeshOptions, ports: MeshPorts) {
    this.#core = new MeshCore(options, ports);
  }

  /** Begins to dial, to watch and to tell routes; those of our last life at once. */
  start(): void {
    const { liveness, sync, routes } = this.#core;
    liveness.start();
    sync.start();
    routes.start();
  }

  /** Ends all connections and tells the neighbours how: "restarting", they keep us while our kernel answers; "leaving", they drop us
   *  at once and our data paths are closed. */
  stop(manner: "restarting" | "leaving" = "restarting"): void {
    const { saver, connector, liveness, sync, conflicts, neighbours, publisher, routes } = this.#core;
    saver.now();
    connector.stop();
    liveness.stop();
    sync.stop();
    conflicts.stop();
    neighbours.stop(manner === "restarting");
    publisher.stop();
    routes.stop();
    saver.stop();
  }

  /** What to say in a handshake with `remoteAddress` (`ip:port`). Made anew for each attempt. */
  helloFor(remoteAddress: string): Omit<Hello, "publicKey"> {
    return this.#core.hello(remoteAddress);
  }

  /** An inbound handshake has finished; takes over `link`. */
  accepted(link: Link): void {
    this.#core.connector.addressAlive(link.remoteAddress);
    this.#core.admit(link, (outcome) => {
      const { remoteAddress: address } = link;
      if (outcome.kind === "refused" && !outcome.isSelf && this.#core.turnedAway.add(address, outcome.reason))
        this.#core.ports.log.warn("connection refused", { address, reason: outcome.reason });
    });
  }
  /** A host connected to us and did not get through the handshake; `gaveUp`: it ended that itself. True: that is news. */
  turnedAway(remoteAddress: string, reason: string, gaveUp: boolean): boolean {
    return this.#core.turnedAway.add(remoteAddress, reason, gaveUp);
  }

  /** Keeps trying to reach these until they are forgotten; `replace`: and forgets all others.
   *  @throws {UserError} one is not a host; then nothing has changed */
  connect(targets: readonly string[], options: { readonly replace: boolean } = { replace: false }): void {
    this.#core.connector.connect(targets, options.replace);
  }
  /** Unknown targets are ignored. Existing connections stay. */
  forget(targets: readonly string[]): void {
    this.#core.connector.forget(targets);
  }
  /** As their owner wrote them, sorted. */
  targets(): string[] {
    return this.#core.connector.targets();
  }

  /** Others that control messages reach now, with their nicknames. */
  peers(): ReadonlyMap<PeerName, string> {
    const { topology, publisher } = this.#core;
    const others = [...topology.reachable()].filter((name) => name !== publisher.record.name);
    return new Map(others.map((name) => [name, topology.get(name)?.nickname ?? ""]));
  }

  /** A path probe of ours came back after `rttMs`. */
  pathReply(name: PeerName, rttMs: number): void {
    this.#core.pathReply(name, rttMs);
  }

  /** An address or link of this host changed: everybody is tried again at once. */
  networkChanged(): void {
    const { connector, neighbours } = this.#core;
    connector.networkChanged();
    for (const neighbour of neighbours.all()) neighbour.path.check("urgent");
  }

  /** Handshakes need a password from now on: neighbours that came without one are let go, their data paths closed, and all tried again. */
  passwordRequired(): void {
    const { connector, neighbours } = this.#core;
    for (const neighbour of [...neighbours.all()]) {
      if (!neighbour.facts.passwordUsed) neighbours.expel(neighbour, "a password is needed now");
    }
    connector.networkChanged();
  }

  /** Fewer networks are trusted: neighbours to which data goes in clear only because they lay in one are let go, their data paths closed, and
   *  tried again. Returns how many. */
  trustChanged(): number {
    const { connector, neighbours, options } = this.#core;
    const distrusted = [...neighbours.all()].filter(({ facts }) => facts.trusted && !options.trusts(ipOf(facts.address)));
    for (const neighbour of distrusted) neighbours.expel(neighbour, "its network is not trusted any more");
    if (distrusted.length > 0) connector.networkChanged();
    return distrusted.length;
  }

  /** Takes over the channel `name`; one handler each. */
  channel(name: string, handler: GossipHandler): Gossip {
    return this.#core.gossip.channel(name, handler);
  }

  /** Refuses a public key (64 hex digits), or the key of a known peer (its name), everywhere and for ever; returns the key.
   *  @throws {UserError} neither */
  revoke(keyOrName: string): string {
    const { topology, neighbours } = this.#core;
    const isKey = /^[0-9a-f]{64}$/i.test(keyOrName);
    const name = isKey ? undefined : parsePeerName(keyOrName);
    const key = isKey ? keyOrName.toLowerCase() : name && (topology.get(name)?.key ?? neighbours.get(name)?.facts.key);
    if (key === undefined) {
      const hint = "see 'weave status peers', or give the key itself";
      throw new UserError("not-found", `no peer or key '${keyOrName}' is known`, hint);
    }
    this.#core.revoke([key]);
    return key;
  }

  view(): MeshView {
    const { publisher, topology, neighbours, connector, revocations, warnings } = this.#core;
    return viewOf({
      self: publisher.record,
      topology,
      neighbours,
      attempts: connector.attempts(),
      turnedAway: this.#core.turnedAway.list(),
      targets: this.targets(),
      routes: this.routes(),
      revoked: revocations.list(),
      warnings: warnings.list(),
    });
  }
  routes(): Routes {
    return this.#core.routes.routes;
  }
}
