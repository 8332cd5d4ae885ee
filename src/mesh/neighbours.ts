// SPDX-License-Identifier: Apache-2.0
// Our direct neighbours: letting connections in, one session per peer whatever number of connections race for it, and the life of a
// session from the first message to the last sign of either its control connection or its path.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { ipOf } from "./address.ts";
import { type Admission, type Claimant, DUPLICATE_REASON, decideAdmission } from "./admission.ts";
import { encodeMessage } from "./codec.ts";
import type { Doubt } from "./doubt.ts";
import { prefersLink } from "./duplicate.ts";
import type { Referral } from "./message.ts";
import { type Acquaintance, acquaintanceOf, Neighbour, pathSessionOf } from "./neighbour.ts";
import { type Answer, Parking } from "./parking.ts";
import type { PeerName, ShortId } from "./peer-name.ts";
import { formatPeer } from "./peer-name.ts";
import type { DataPaths, Link, ProbeManner } from "./ports.ts";
import { PATH_TIMES, PING_TIMES, Prober } from "./prober.ts";

/** A neighbour whose daemon is away keeps its place so long, while its kernel answers. */
export const GRACE_MS = 5 * 60_000;
/** The loser of two connections is read from for so long, or until the winner's first message. */
const DRAIN_MS = 2000;
/** A neighbour that came back has to say within this time that its probes are answered. */
const REMOTE_SILENCE_MS = 3000;
/** What it says of its probes may be old: it has this time to say it again before we believe it against our own. */
const CONFIRM_MS = 300;
const TROUBLE_MS = 5000;

export type Outcome =
  | { readonly kind: "taken" | "duplicate"; readonly peer: PeerName }
  | { readonly kind: "refused"; readonly reason: string; readonly isFinal: boolean; readonly isSelf: boolean };

export interface NeighbourPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly paths: DataPaths;
  readonly doubt: Doubt;
  /** Ourselves, as the other end of `link` sees us. */
  self(link: Link): Claimant;
  isRevoked(key: string): boolean;
  /** The reachable peer of that name, from the topology. */
  elsewhere(name: PeerName): Claimant | undefined;
  /** Set when one more neighbour would be too many. */
  limitReached(newcomer: PeerName): number | undefined;
  /** Whom to try instead of us. */
  referral(): Referral[];
  /** One more has come. */
  makeRoom(): void;
  shortId(name: PeerName): ShortId | undefined;
  /** Asks whoever holds that name, over any path; the answer comes to `aliveAnswer`. */
  askAlive(name: PeerName, token: number): void;
  /** A number for a ping or a question, 31 bits, another each time. */
  token(): number;
  /** Two machines claim one name: tell our people and the one that was there first. */
  conflict(known: PeerName, reason: string): void;
  probe(neighbour: Neighbour, manner: ProbeManner): void;
  ping(neighbour: Neighbour): void;
  suspect(neighbour: Neighbour): void;
  /** Its path does not answer: it is told over other peers too. */
  pathDown(neighbour: Neighbour): void;
  message(neighbour: Neighbour, link: Link, bytes: Uint8Array): void;
  /** What our record says of it may have changed. */
  changed(neighbour: Neighbour): void;
  /** The control connection is open: admitted by us; nothing was received yet. */
  opened(neighbour: Neighbour): void;
  /** The other end has admitted us too. */
  welcomed(neighbour: Neighbour): void;
  controlLost(neighbour: Neighbour, reason: string): void;
  gone(neighbour: Neighbour, reason: string): void;
}

export class Neighbours {
  readonly #ports: NeighbourPorts;
  readonly #all = new Map<PeerName, Neighbour>();
  readonly #parking: Parking;
  readonly #draining = new Map<PeerName, { link: Link; timer: Disposable }>();
  #terminations = 0;
  #losses: Instant[] = [];
  #revision = 0;

  constructor(ports: NeighbourPorts) {
    this.#ports = ports;
    this.#parking = new Parking(ports.clock);
  }

  get(name: PeerName): Neighbour | undefined {
    return this.#all.get(name);
  }
  all(): IterableIterator<Neighbour> {
    return this.#all.values();
  }
  get count(): number {
    return this.#all.size;
  }
  /** Grows when one comes or goes. */
  get revision(): number {
    return this.#revision;
  }
  /** Connections that ended so far. */
  get terminations(): number {
    return this.#terminations;
  }

  /** Takes over a link whose handshake has finished; `report` is called once, perhaps later. */
  admit(link: Link, report: (outcome: Outcome) => void): void {
    this.#apply(link, this.#decide(link, false), report);
  }

  #decide(link: Link, verified: boolean): Admission {
    const newcomer = claimantOf(acquaintanceOf(link));
    const session = this.#all.get(newcomer.name);
    return decideAdmission({
      self: this.#ports.self(link),
      newcomer,
      isRevoked: this.#ports.isRevoked(newcomer.key),
      session: session && {
        ...claimantOf(session.facts),
        controlUp: session.link !== undefined,
        sameHost: ipOf(session.facts.address) === ipOf(newcomer.address),
        newWins: session.link !== undefined && prefersLink(link, session.link),
      },
      elsewhere: this.#ports.elsewhere(newcomer.name),
      verified,
      limitReached: session ? undefined : this.#ports.limitReached(newcomer.name),
    });
  }

  #apply(link: Link, admission: Admission, report: (outcome: Outcome) => void): void {
    const name = link.hello.name;
    switch (admission.verdict) {
      case "self":
        link.refuse("cannot connect to ourself");
        report({ kind: "refused", reason: "cannot connect to ourself", isFinal: true, isSelf: true });
        return;
      case "refuse":
        if (admission.refer) link.send(encodeMessage({ type: "refer", peers: this.#ports.referral() }));
        this.#refuse(link, admission.reason, admission.isFinal, report);
        return;
      case "ask":
        this.#ask(link, admission, report);
        return;
      case "take":
        this.#take(link);
        report({ kind: "taken", peer: name });
        return;
      default:
        admission satisfies never;
    }
  }

  #refuse(link: Link, reason: string, isFinal: boolean, report: (outcome: Outcome) => void): void {
    this.#terminations++;
    link.refuse(reason);
    report({ kind: "refused", reason, isFinal, isSelf: false });
  }

  #ask(link: Link, admission: Admission & { verdict: "ask" }, report: (outcome: Outcome) => void): void {
    const name = link.hello.name;
    const token = this.#ports.token();
    const resolve = (answer: Answer): void => this.#answered(link, admission, answer, report);
    this.#parking.park(name, { link, token, resolve });
    const session = this.#all.get(name);
    if (session?.link) session.send({ type: "ping", token });
    else this.#ports.askAlive(name, token);
  }

  #answered(link: Link, admission: Admission & { verdict: "ask" }, answer: Answer, report: (outcome: Outcome) => void): void {
    if (answer === "silent") {
      this.#apply(link, this.#decide(link, true), report);
    } else if (answer === "superseded" || admission.suspicion === "duplicate") {
      this.#terminations++;
      link.refuse(DUPLICATE_REASON);
      report({ kind: "duplicate", peer: link.hello.name });
    } else {
      if (admission.suspicion === "conflict") this.#ports.conflict(link.hello.name, admission.reason);
      this.#refuse(link, admission.reason, false, report);
    }
  }

  /** `name` answered the question `token`, over the mesh from the life `uid`, or on the connection it has with us. */
  aliveAnswer(name: PeerName, token: number, uid?: string): void {
    const parked = this.#parking.get(name);
    if (parked?.token === token && uid !== parked.link.hello.uid) this.#parking.settle(name, "alive");
  }

  #take(link: Link): void {
    const facts = acquaintanceOf(link);
    const known = this.#all.get(facts.name);
    const neighbour = known ?? this.#create(facts);
    if (known) this.#relink(known, facts);
    neighbour.link = link;
    neighbour.session = pathSessionOf(link);
    neighbour.hasLeft = false;
    neighbour.isCut = false;
    neighbour.heardAt = this.#ports.clock.now();
    neighbour.sinceMs = this.#ports.clock.wallMs();
    neighbour.staleTimer?.[Symbol.dispose]();
    neighbour.ping.watch();
    link.start({
      message: (bytes) => this.#received(neighbour, link, bytes),
      closed: (reason) => this.#closed(neighbour, link, reason),
    });
    if (neighbour.link !== link) return; // closed already
    this.openPath(neighbour);
    this.#ports.opened(neighbour);
    if (neighbour.pathUp) neighbour.send({ type: "path", up: true, ask: false });
    if (known) neighbour.path.check("urgent");
    else neighbour.path.seek();
    this.#ports.changed(neighbour);
    if (!known) this.#ports.makeRoom();
  }

  /** A session gets another connection: the other one lost against it, or was closed. */
  #relink(neighbour: Neighbour, facts: Acquaintance): void {
    const old = neighbour.link;
    if (!old) this.#ports.log.info("control connection back", { peer: labelOf(neighbour), address: facts.address });
    if (old && neighbour.facts.uid === facts.uid) this.#drain(neighbour.name, old);
    else old?.refuse("replaced by a new process of the same peer");
    if (old) this.#terminations++;
    neighbour.facts = facts;
    if (neighbour.remotePathUp) neighbour.remoteSince = this.#ports.clock.now();
  }

  #create(facts: Acquaintance): Neighbour {
    const { clock, doubt } = this.#ports;
    const neighbour: Neighbour = new Neighbour(
      facts,
      {
        path: new Prober(clock, doubt, PATH_TIMES, {
          send: (manner) => this.#ports.probe(neighbour, manner),
          found: () => this.#pathTurned(neighbour, true),
          suspected: () => this.#ports.suspect(neighbour),
          dead: () => this.#pathTurned(neighbour, false),
        }),
        ping: new Prober(clock, doubt, PING_TIMES, {
          send: () => this.#ports.ping(neighbour),
          found: () => {},
          suspected: () => {},
          dead: () => this.#controlDead(neighbour),
        }),
      },
      { now: clock.now(), wallMs: clock.wallMs() },
    );
    this.#all.set(facts.name, neighbour);
    this.#revision++;
    return neighbour;
  }

  /** Begins with a neighbour of our own last life: its path is taken for alive until the first probes tell. */
  restore(facts: Acquaintance): void {
    if (this.#all.has(facts.name)) return;
    const neighbour = this.#create(facts);
    neighbour.welcomed = true;
    neighbour.pathUp = true;
    neighbour.remotePathUp = true;
    neighbour.wasEstablished = true;
    this.openPath(neighbour);
    neighbour.path.watch();
    neighbour.path.check("urgent");
    this.#becomeStale(neighbour);
  }

  /** Makes the neighbour known to the switch, or known again because facts changed. */
  openPath(neighbour: Neighbour): void {
    const shortId = this.#ports.shortId(neighbour.name) ?? neighbour.facts.shortId;
    neighbour.blocked = this.#ports.paths.open(neighbour.pathFacts(shortId));
  }

  #drain(name: PeerName, link: Link): void {
    this.#endDrain(name);
    this.#draining.set(name, { link, timer: this.#ports.clock.after(DRAIN_MS, () => this.#endDrain(name)) });
  }

  #endDrain(name: PeerName): void {
    const draining = this.#draining.get(name);
    if (!draining) return;
    this.#draining.delete(name);
    draining.timer[Symbol.dispose]();
    draining.link.refuse(DUPLICATE_REASON);
  }

  #received(neighbour: Neighbour, link: Link, bytes: Uint8Array): void {
    if (neighbour.link !== link && this.#draining.get(neighbour.name)?.link !== link) return;
    neighbour.heardAt = this.#ports.clock.now();
    if (neighbour.link === link) this.#endDrain(neighbour.name);
    this.#ports.message(neighbour, link, bytes);
  }

  /** What is said on a connection that lost against another concerns nobody. */
  pathMessage(neighbour: Neighbour, link: Link, payload: Uint8Array): void {
    if (neighbour.link === link && neighbour.session) this.#ports.paths.received(neighbour.name, neighbour.session, payload);
  }

  /** The first message of the other end: it has admitted us. */
  welcome(neighbour: Neighbour): void {
    if (neighbour.welcomed) return;
    neighbour.welcomed = true;
    this.#ports.log.info("neighbour connected", { peer: labelOf(neighbour), address: neighbour.facts.address });
    this.#ports.welcomed(neighbour);
    this.#ports.changed(neighbour);
    this.#settle(neighbour);
  }

  #pathTurned(neighbour: Neighbour, isUp: boolean): void {
    neighbour.pathUp = isUp;
    neighbour.isCut = !isUp && neighbour.link !== undefined;
    if (!isUp) this.#losses.push(this.#ports.clock.now());
    neighbour.send({ type: "path", up: isUp, ask: false });
    if (!isUp && !neighbour.link) {
      this.#remove(neighbour, "its host does not answer");
      return;
    }
    if (!isUp) {
      neighbour.ping.check("urgent");
      this.#ports.pathDown(neighbour);
    }
    this.#settle(neighbour);
  }

  /** It answered on the control connection. */
  ponged(neighbour: Neighbour, token: number): void {
    neighbour.ping.answered(0);
    this.aliveAnswer(neighbour.name, token);
    if (!neighbour.isCut) return;
    neighbour.isCut = false;
    this.#ports.changed(neighbour);
  }

  /** Several paths were lost in the last seconds, so there is no relying on others to pass things on. */
  get isTroubled(): boolean {
    const after = this.#ports.clock.now() - TROUBLE_MS;
    this.#losses = this.#losses.filter((at) => at > after);
    return this.#losses.length > 1;
  }

  /** The neighbour says how its probes to us fare, and may ask the same of us. */
  remotePath(neighbour: Neighbour, isUp: boolean, manner: "tell" | "ask"): void {
    if (manner === "ask") neighbour.send({ type: "path", up: neighbour.pathUp, ask: false });
    if (isUp || neighbour.doubted) this.#believe(neighbour, isUp);
    else this.doubtRemotePath(neighbour);
  }

  /** Its probes are said not to be answered. After an outage that is often old news, which waited for TCP to try again, and to act on it would
   *  end a path that works: so it is asked again, and believed at once only when our own probes are not answered either. */
  doubtRemotePath(neighbour: Neighbour): void {
    if (!neighbour.established) this.#believe(neighbour, false);
    else if (!neighbour.doubted) this.#askAgain(neighbour);
    neighbour.path.check("urgent");
  }

  #askAgain(neighbour: Neighbour): void {
    neighbour.send({ type: "path", up: true, ask: true });
    const askedAt = this.#ports.clock.now();
    const decide = () => {
      const isOverdue = this.#ports.clock.now() - askedAt > REMOTE_SILENCE_MS;
      if (neighbour.answeredAt < askedAt || isOverdue || !neighbour.link) this.#believe(neighbour, false);
      else neighbour.doubted = this.#ports.clock.after(CONFIRM_MS, decide);
    };
    neighbour.doubted = this.#ports.clock.after(CONFIRM_MS, decide);
  }

  #believe(neighbour: Neighbour, isUp: boolean): void {
    neighbour.doubted?.[Symbol.dispose]();
    neighbour.doubted = undefined;
    neighbour.remoteSince = undefined;
    neighbour.remotePathUp = isUp;
    this.#settle(neighbour);
  }

  /** Called now and then: what one end said may not have reached the other. */
  remind(neighbour: Neighbour): void {
    if (!neighbour.link) return;
    if (neighbour.pathUp && !neighbour.remotePathUp) neighbour.send({ type: "path", up: true, ask: true });
    const { remoteSince } = neighbour;
    const isSilent = remoteSince !== undefined && this.#ports.clock.now() - remoteSince > REMOTE_SILENCE_MS;
    if (isSilent) this.#believe(neighbour, false);
  }

  /** Tells people and our record when it became established or ceased to be. */
  #settle(neighbour: Neighbour): void {
    if (neighbour.established === neighbour.wasEstablished) return;
    neighbour.wasEstablished = neighbour.established;
    neighbour.sinceMs = this.#ports.clock.wallMs();
    this.#ports.log.info(neighbour.established ? "path established" : "path lost", {
      peer: labelOf(neighbour),
      address: neighbour.facts.address,
      reason: neighbour.reason() || undefined,
    });
    this.#ports.changed(neighbour);
  }

  #controlDead(neighbour: Neighbour): void {
    const link = neighbour.link;
    if (!link) return;
    link.close();
    this.#closed(neighbour, link, "no answer on the control connection");
  }

  #closed(neighbour: Neighbour, link: Link, reason: string): void {
    if (this.#draining.get(neighbour.name)?.link === link) this.#endDrain(neighbour.name);
    if (neighbour.link !== link) return;
    this.#terminations++;
    neighbour.link = undefined;
    neighbour.ping.stop();
    const parked = this.#parking.get(neighbour.name);
    if (neighbour.welcomed && neighbour.pathUp && neighbour.blocked === undefined && !neighbour.hasLeft) {
      this.#becomeStale(neighbour);
      this.#ports.log.info("control connection lost", { peer: labelOf(neighbour), address: neighbour.facts.address, reason });
      neighbour.path.check("urgent");
      this.#ports.controlLost(neighbour, reason);
    } else {
      this.#remove(neighbour, reason);
    }
    if (parked) this.#parking.settle(neighbour.name, "silent");
  }

  #becomeStale(neighbour: Neighbour): void {
    neighbour.sinceMs = this.#ports.clock.wallMs();
    neighbour.staleTimer?.[Symbol.dispose]();
    neighbour.staleTimer = this.#ports.clock.after(GRACE_MS, () => this.#remove(neighbour, "its daemon did not come back"));
  }

  /** Ends the session for a reason of ours and tells the other end. */
  expel(neighbour: Neighbour, reason: string): void {
    const link = neighbour.link;
    neighbour.send({ type: "leave", comesBack: false });
    neighbour.link = undefined;
    link?.refuse(reason);
    if (link) this.#terminations++;
    this.#remove(neighbour, reason);
  }

  #remove(neighbour: Neighbour, reason: string): void {
    if (this.#all.get(neighbour.name) !== neighbour) return;
    this.#all.delete(neighbour.name);
    this.#revision++;
    this.#dispose(neighbour);
    this.#ports.paths.close(neighbour.name);
    this.#ports.controlLost(neighbour, reason);
    this.#ports.gone(neighbour, reason);
  }

  #dispose(neighbour: Neighbour): void {
    neighbour.path.stop();
    neighbour.ping.stop();
    neighbour.staleTimer?.[Symbol.dispose]();
    neighbour.doubted?.[Symbol.dispose]();
    this.#endDrain(neighbour.name);
  }

  /** Ends everything here; the data paths stay open. */
  stop(comesBack: boolean): void {
    this.#parking.clear();
    for (const neighbour of this.#all.values()) {
      const link = neighbour.link;
      neighbour.send({ type: "leave", comesBack });
      neighbour.link = undefined;
      link?.close();
      this.#dispose(neighbour);
      if (!comesBack) this.#ports.paths.close(neighbour.name);
    }
    this.#all.clear();
  }
}

function labelOf({ name, facts }: Neighbour): string {
  return formatPeer(name, facts.nickname);
}

function claimantOf(facts: Acquaintance): Claimant {
  return { name: facts.name, nickname: facts.nickname, uid: facts.uid, key: facts.key, address: facts.address };
}
