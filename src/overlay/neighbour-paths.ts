// SPDX-License-Identifier: Apache-2.0
// All ways to one neighbour: what is allowed (a password forbids clear ones unless both ends trust the network), what both ends can do, which of
// them is used. Tells the other end by path messages; asks the carriers through its ports.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Neighbour, PathSession, ProbeManner } from "../mesh/ports.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import { invariant } from "../runtime/errors.ts";
import type { Random } from "../runtime/random.ts";
import type { Candidate } from "./candidate.ts";
import type { PathSealing, SleeveCipher, SleeveSession, WireguardPeer } from "./carriers.ts";
import { PathChoice } from "./choice.ts";
import { encodePathMessage, type Offer, type PathMessage, type WireguardOffer } from "./offer.ts";
import type { PathAlternative, PathStatus } from "./path-status.ts";
import type { OpenNeighbour, Path, PathKind } from "./plan.ts";
import { type SleeveAgreement, SleeveOpening } from "./sleeve-opening.ts";

/** What this host can do for any neighbour. */
export interface Abilities {
  /** undefined: it can; else why not. */
  readonly fastdp: string | undefined;
  readonly wireguard: (WireguardOffer & { insideOf(identity: Uint8Array): Ip }) | string;
  /** Best first; none: there is no sleeve here. */
  readonly ciphers: readonly SleeveCipher[];
  readonly dataPort: number;
  /** Largest packet of our containers. */
  readonly mtuBytes: number;
}
export interface NeighbourPathsPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly sealing: PathSealing;
  readonly abilities: Abilities;
  /** Sends a probe and returns its number. */
  probe(path: Path, isFullSize: boolean, manner: ProbeManner): number;
  look(): void;
  alive(rttMs: number): void;
  /** What the kernel should hold for it has changed. */
  replan(): void;
  changed(from: PathKind | undefined, to: PathKind, reason: string): void;
  newSleeveIndex(): number;
  openSleeve(session: SleeveSession): void;
  closeSleeve(localIndex: number): void;
  /** The set of WireGuard peers, or what is known of this one, has changed; it is written to the kernel before this returns. */
  wireguardChanged(): void;
  /** Another peer uses this underlay address for clear frames: its name, in words. */
  addressTaken(address: Ip, by: PeerName): string | undefined;
}

/** Best first. */
const CIPHERS: readonly SleeveCipher[] = ["aes256gcm", "chacha20poly1305"];

export class NeighbourPaths {
  readonly name: PeerName;
  /** Handed to it, as of the last look at the switch. */
  sentBytes = 0;
  readonly #ports: NeighbourPathsPorts;
  readonly #address: Ip;
  #facts: Neighbour;
  #choice: PathChoice;
  #opening: SleeveOpening | undefined;
  #sleeveIndex: number | undefined;
  #sleeveMtuBytes: number | undefined;
  #wantsSleeve = false;
  /** The connection on which ours was sent. */
  #begun: PathSession | undefined;
  /** That on which the other end's came last. */
  #offeredOn: PathSession | undefined;
  /** What the other end can do, as it said last. */
  #offer: Offer | undefined;
  #wireguard: WireguardPeer | undefined;

  /** `facts.address` is an IP address. */
  constructor(facts: Neighbour, address: Ip, ports: NeighbourPathsPorts) {
    this.name = facts.name;
    this.#facts = facts;
    this.#address = address;
    this.#ports = ports;
    this.#choice = new PathChoice(kindsFor(facts), {
      clock: ports.clock,
      random: ports.random,
      send: (kind, isFullSize, manner) => ports.probe(this.#pathOf(kind), isFullSize, manner),
      look: () => ports.look(),
      alive: (rttMs) => ports.alive(rttMs),
      changed: (from, to, reason) => {
        ports.changed(from, to, reason);
        ports.replan();
      },
      tell: (kind, isUp) => this.#send({ type: "state", kind, isUp }),
      sleeve: (need) => this.#needSleeve(need),
      sentBytes: () => this.sentBytes,
    });
  }

  get facts(): Neighbour {
    return this.#facts;
  }
  get address(): Ip {
    return this.#address;
  }
  get isEncrypted(): boolean {
    return mustEncrypt(this.#facts);
  }
  get used(): PathKind | undefined {
    return this.#choice.used;
  }
  get wireguardPeer(): WireguardPeer | undefined {
    return this.#wireguard;
  }
  /** Its clear frames are taken from its underlay address. */
  get takesClear(): boolean {
    return this.#choice.candidates.some(({ kind, isOffered }) => kind === "fastdp" && isOffered);
  }

  /** Whether a neighbour with these facts needs other candidates than this one has. */
  isOther(facts: Neighbour, address: Ip): boolean {
    return mustEncrypt(facts) !== this.isEncrypted || address !== this.#address;
  }

  /** New facts: a control connection came or went, or its short id changed. `adopted`: the way the kernel uses already. */
  update(facts: Neighbour, adopted?: Path): void {
    this.#facts = facts;
    if (adopted) this.#adopt(adopted);
    this.#considerFastdp();
    if (facts.session && facts.session !== this.#begun) this.#begin(facts.session);
    if (!facts.transports.includes("sleeve") || this.#ports.abilities.ciphers.length === 0) {
      this.#choice.withdraw(
        "sleeve",
        this.#ports.abilities.ciphers.length === 0 ? "there is no sleeve here" : "the peer has no sleeve",
      );
    }
    if (this.isEncrypted) this.#considerWireguard();
  }

  /** Why no frame can ever reach it as things are; undefined: there is a way, or may be. */
  get blocked(): string | undefined {
    const { transports } = this.#facts;
    const { abilities } = this.#ports;
    if (transports.includes("sleeve") && abilities.ciphers.length > 0) return undefined;
    const best = this.#choice.candidates.find(({ kind }) => kind !== "sleeve");
    const isPossible = best && (best.isOffered || this.#mayComeToTerms);
    return isPossible ? undefined : `no transport is left: ${best?.reason ?? ""}`;
  }
  get #mayComeToTerms(): boolean {
    return this.isEncrypted && this.#whyNoWireguard() === undefined;
  }

  received(session: PathSession, message: PathMessage): void {
    if (session !== this.#facts.session) return;
    switch (message.type) {
      case "offer":
        this.#offered(session, message);
        return;
      case "sleeve-open":
        this.#opening?.remoteOpens(message);
        return;
      case "sleeve-idle":
        this.#opening?.remoteIdle();
        return;
      case "wireguard-ready":
        if (this.#wireguard) this.#choice.offer("wireguard");
        return;
      case "state":
        this.#choice.remote(message.kind, message.isUp);
        return;
      default:
        message satisfies never;
    }
  }

  probe(manner: ProbeManner): void {
    this.#choice.probe(manner);
  }
  answered(kind: PathKind, sequence: number, rttMs: number): void {
    this.#choice.answered(kind, sequence, rttMs);
  }
  /** The network changed. */
  hint(): void {
    this.#considerFastdp();
    this.#choice.hint();
  }
  /** The sleeve lost all its sessions. */
  sleeveLost(reason: string): void {
    this.#sleeveIndex = undefined;
    this.#choice.withdraw("sleeve", reason);
    this.#opening?.renew();
  }
  /** The sleeve found out what fits into one datagram. */
  sleeveMtu(bytes: number): void {
    this.#sleeveMtuBytes = bytes;
  }
  /** Paths that can be probed now, the one in use first. */
  probeable(): readonly Path[] {
    const offered = this.#choice.candidates.filter(({ isOffered }) => isOffered).map(({ kind }) => kind);
    return offered.sort((a) => (a === this.used ? -1 : 1)).map((kind) => this.#pathOf(kind));
  }

  /** Largest packet that containers of both hosts can have. */
  get pathMtuBytes(): number {
    return Math.min(this.#ports.abilities.mtuBytes, this.#offer?.mtuBytes ?? Number.POSITIVE_INFINITY);
  }

  plan(): OpenNeighbour {
    const { shortId, dataPort } = this.#facts;
    const kinds = this.#choice.candidates.filter((candidate) => this.#accepts(candidate)).map(({ kind }) => kind);
    const { used } = this;
    return {
      shortId,
      dataPort,
      send: used && this.#pathOf(used),
      accept: kinds.map((kind) => this.#pathOf(kind)),
      mtuBytes: this.pathMtuBytes,
    };
  }

  /** The other end may begin with a way before we do. */
  #accepts({ kind, isOffered }: Candidate): boolean {
    return isOffered || (kind === "wireguard" && this.#wireguard !== undefined);
  }

  status(): PathStatus {
    const [best] = this.#choice.candidates;
    const used = this.#choice.candidates.find(({ kind }) => kind === this.used);
    const alternatives = this.#choice.candidates.map((candidate): PathAlternative => {
      const { kind, state, reason, sinceMs, rttMs } = candidate;
      return {
        transport: nameOf(kind),
        encrypted: this.isEncrypted,
        state: state === "seeking" ? "probing" : candidate.isUsable || state !== "up" ? state : "down",
        reason: candidate.remoteUp === false && reason === "" ? "the peer gets no answer there" : reason,
        sinceMs,
        mtuBytes: candidate.isUsable ? this.#mtuOf(kind) : null,
        rttMs: rttMs ?? null,
      };
    });
    return {
      transport: used ? nameOf(used.kind) : "none",
      encrypted: used !== undefined && this.isEncrypted,
      mtuBytes: used ? this.#mtuOf(used.kind) : null,
      rttMs: used?.rttMs ?? null,
      loss: used?.loss ?? 0,
      reason: used && used === best ? "" : `${labelOf(best?.kind, this.isEncrypted)}: ${alternatives[0]?.reason ?? ""}`,
      sinceMs: this.#choice.usedSinceMs,
      alternatives,
    };
  }

  /** Its frames are refused from now on. */
  close(): void {
    this.#choice.stop();
    this.#opening?.end();
    if (this.#sleeveIndex !== undefined) this.#ports.closeSleeve(this.#sleeveIndex);
    this.#sleeveIndex = undefined;
    this.#wireguard = undefined;
  }

  #adopt(path: Path): void {
    if (path.kind === "sleeve" || (path.kind === "wireguard") !== this.isEncrypted) return;
    const { wireguard } = this.#ports.abilities;
    if (path.kind === "wireguard") {
      if (typeof wireguard === "string") return;
      this.#wireguard = { name: this.name, inside: wireguard.insideOf(this.#facts.publicKey), agreed: undefined };
      this.#ports.wireguardChanged();
    }
    this.#choice.adopt(path.kind);
  }

  #considerFastdp(): void {
    if (this.isEncrypted) return;
    const reason = this.#whyNoFastdp();
    if (reason === undefined) this.#choice.offer("fastdp");
    else this.#choice.withdraw("fastdp", reason);
  }
  #whyNoFastdp(): string | undefined {
    const { abilities } = this.#ports;
    const { transports, dataPort } = this.#facts;
    if (abilities.fastdp !== undefined) return abilities.fastdp;
    if (!transports.includes("fastdp")) return "the peer has the fast datapath switched off";
    if (dataPort !== abilities.dataPort) {
      return `its data port is UDP ${dataPort}, ours is UDP ${abilities.dataPort}: all hosts need the same --port`;
    }
    const other = this.#ports.addressTaken(this.#address, this.name);
    return other && `its address ${this.#address} is also that of peer ${other}`;
  }

  #considerWireguard(): void {
    const reason = this.#whyNoWireguard();
    if (reason !== undefined) {
      this.#wireguard = undefined;
      this.#choice.withdraw("wireguard", reason);
    } else if (!this.#wireguard) {
      this.#choice.explain("wireguard", "the peer has not offered its key yet");
    }
  }
  #whyNoWireguard(): string | undefined {
    const { wireguard } = this.#ports.abilities;
    if (typeof wireguard === "string") return wireguard;
    if (this.#facts.transports.includes("wireguard")) return undefined;
    return this.#facts.transports.includes("fastdp")
      ? "the peer has no WireGuard"
      : "the peer has the fast datapath switched off";
  }

  /** A new control connection: what was agreed on the last one holds until this one has spoken. */
  #begin(session: PathSession): void {
    const { mtuBytes, ciphers, wireguard } = this.#ports.abilities;
    this.#opening?.end();
    this.#opening = undefined;
    this.#begun = session;
    this.#send({
      type: "offer",
      seen: parseIp(session.remoteAddress) ?? this.#address,
      mtuBytes,
      ciphers,
      wireguard: typeof wireguard === "string" || !this.isEncrypted ? undefined : wireguard,
    });
    this.#choice.restate();
  }

  #offered(session: PathSession, offer: Offer): void {
    if (session === this.#offeredOn) return; // once on each connection
    this.#offeredOn = session;
    this.#offer = offer;
    const cipher = this.isEncrypted
      ? CIPHERS.find((it) => this.#ports.abilities.ciphers.includes(it) && offer.ciphers.includes(it))
      : "none";
    const hasSleeve = this.#ports.abilities.ciphers.length > 0 && offer.ciphers.length > 0;
    if (hasSleeve && cipher) this.#prepareSleeve(session, cipher);
    else this.#choice.withdraw("sleeve", "there is no cipher that both ends have");
    if (this.isEncrypted) this.#agreeOnWireguard(session, offer);
    this.#ports.replan(); // its MTU
  }

  #prepareSleeve(session: PathSession, cipher: SleeveCipher): void {
    const secret = this.isEncrypted ? session.takeSecret("sleeve") : undefined;
    if (this.isEncrypted && !secret) return; // the connection is over already
    this.#opening = new SleeveOpening(
      {
        session,
        sealing: this.#ports.sealing,
        newIndex: () => this.#ports.newSleeveIndex(),
        opened: (agreement) => this.#openSleeve(session, agreement),
        closed: (localIndex) => this.#closeSleeve(localIndex),
      },
      secret,
      cipher,
    );
    const isOnly = this.#choice.candidates.every(
      ({ kind, isOffered }) => kind === "sleeve" || (!isOffered && !this.#mayComeToTerms),
    );
    if (this.#wantsSleeve || isOnly) this.#needSleeve("wanted");
  }
  #needSleeve(need: "wanted" | "idle"): void {
    this.#wantsSleeve = need === "wanted";
    if (this.#wantsSleeve) this.#opening?.want();
    else this.#opening?.idle();
  }
  #openSleeve(session: PathSession, agreement: SleeveAgreement): void {
    const { shortId, dataPort } = this.#facts;
    this.#sleeveIndex = agreement.localIndex; // the carrier lets an earlier one go by itself
    const { initiator } = session;
    this.#ports.openSleeve({ ...agreement, neighbour: shortId, initiator, address: this.#address, port: dataPort - 1 });
    this.#choice.offer("sleeve");
    this.#ports.replan();
  }
  #closeSleeve(localIndex: number): void {
    this.#ports.closeSleeve(localIndex);
    if (this.#sleeveIndex !== localIndex) return;
    this.#sleeveIndex = undefined;
    this.#choice.withdraw("sleeve", "not needed");
    this.#ports.replan();
  }

  #agreeOnWireguard(session: PathSession, offer: Offer): void {
    const { wireguard } = this.#ports.abilities;
    if (typeof wireguard === "string" || !offer.wireguard) {
      this.#wireguard = undefined;
      this.#choice.withdraw("wireguard", this.#whyNoWireguard() ?? "the peer offers no WireGuard");
      return;
    }
    const isNatted = offer.seen !== parseIp(session.localAddress);
    // Whom we could dial we can reach; who dialled us may be behind a NAT and comes to us, or has the address we see.
    const endpoint = { address: this.#address, port: offer.wireguard.port };
    this.#wireguard = {
      name: this.name,
      inside: wireguard.insideOf(this.#facts.publicKey),
      agreed: {
        publicKey: offer.wireguard.publicKey,
        presharedKey: session.takeSecret("wireguard"),
        endpoint,
        keepalive: isNatted,
      },
    };
    this.#ports.wireguardChanged();
    this.#ports.replan();
    this.#send({ type: "wireguard-ready" });
  }

  #pathOf(kind: PathKind): Path {
    if (kind === "sleeve") return { kind };
    if (kind === "fastdp") return { kind, address: this.#address };
    const { wireguard } = this.#ports.abilities;
    invariant(typeof wireguard !== "string", "a path through WireGuard where there is none");
    return { kind, address: wireguard.insideOf(this.#facts.publicKey) };
  }
  #mtuOf(kind: PathKind): number | null {
    return kind === "sleeve" ? (this.#sleeveMtuBytes ?? null) : this.#ports.abilities.mtuBytes;
  }
  #send(message: PathMessage): void {
    this.#facts.session?.send(encodePathMessage(message));
  }
}

function mustEncrypt({ passwordUsed, trusted }: Neighbour): boolean {
  return passwordUsed && !trusted;
}
function kindsFor(facts: Neighbour): readonly PathKind[] {
  return mustEncrypt(facts) ? ["wireguard", "sleeve"] : ["fastdp", "sleeve"];
}
function nameOf(kind: PathKind): "fastdp" | "sleeve" {
  return kind === "sleeve" ? "sleeve" : "fastdp";
}
function labelOf(kind: PathKind | undefined, isEncrypted: boolean): string {
  return kind === "sleeve" || kind === undefined ? "sleeve" : isEncrypted ? "encrypted fastdp" : "fastdp";
}
