// SPDX-License-Identifier: Apache-2.0
// The sleeve's loop, for a thread of its own: frames from the switch out, datagrams in, and between them what the main thread says. It waits in
// epoll_wait() and never returns to an event loop while it runs.

import { SLEEVE_ETHERTYPE, SLEEVE_HEADER } from "../../native/bpf/maps.ts";
import { close, POLL, poll } from "../../native/libc/fd.ts";
import { openPacketSender } from "../../native/libc/packet-socket.ts";
import { PollSet } from "../../native/libc/poll-set.ts";
import { MSG, recv } from "../../native/libc/socket.ts";
import { RingCapture } from "../../native/libpcap/ring.ts";
import { randomBytes } from "../../native/libsodium/memory.ts";
import { ipFromBytes } from "../net/ip.ts";
import { FRAME_BYTES_MAX, RECORD } from "../overlay/sleeve/datagram.ts";
import { systemClock } from "../runtime/clock.ts";
import { loadOpenssl } from "./sleeve-ciphers.ts";
import { decodeCommand, type SleeveCommand } from "./sleeve-commands.ts";
import { Inbox } from "./sleeve-inbox.ts";
import { Injector } from "./sleeve-injector.ts";
import type { ReceiveKey } from "./sleeve-keyring.ts";
import type { SleeveCounts, SleeveEvent, SleeveFigures, SleeveSetup } from "./sleeve-messages.ts";
import { Outbox } from "./sleeve-outbox.ts";
import { Session } from "./sleeve-session.ts";
import { closeSleeveSockets, openSleeveSockets, type SleeveSockets } from "./sleeve-sockets.ts";

/** Of one turn: then the other direction is looked at. */
const FRAMES_A_TURN = 64;
const FRAMES_AT_ONCE = 8;
const OUT_BYTES_A_TURN = 400_000;
/** That may wait to be captured. */
const CAPTURE_FRAMES = 256;
const WRITABLE_MS = 20;
/** Timers are looked at so often under load. */
const TICK_MS = 25;
const NEIGHBOURS = 4096;
/** Places in what is waited for. */
const WAITS_FOR = { ipv4: 0, ipv6: 1, capture: 2, command: 3 } as const;
const VLAN_TAG_BYTES = 4;
const MACS_BYTES = 12;
const ETHERNET_BYTES = 14;

export class SleeveEngine {
  readonly #setup: SleeveSetup;
  readonly #tell: (event: SleeveEvent) => void;
  readonly #fds: SleeveSockets;
  readonly #capture: RingCapture;
  readonly #packetFd: number;
  readonly #outbox: Outbox;
  readonly #injector: Injector;
  readonly #inbox: Inbox;
  readonly #waits: PollSet;
  readonly #command = new Uint8Array(new ArrayBuffer(4096));
  readonly #keys = new Map<number, ReceiveKey<Session>>();
  readonly #sessions = new Map<number, Session>();
  /** Whom frames are sent by. */
  readonly #used: (Session | undefined)[] = new Array(NEIGHBOURS).fill(undefined);
  readonly #drops = { unknownNeighbour: 0, stranger: 0 };
  #isOver = false;
  #now = systemClock.now();
  /** Of sessions that are closed. */
  readonly #past = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0, rekeys: 0 };

  /** @throws {SystemError} the port is in use, the link is not there  @throws {PcapError} */
  constructor(setup: SleeveSetup, tell: (event: SleeveEvent) => void) {
    this.#setup = setup;
    this.#tell = tell;
    using undo = new DisposableStack();
    this.#fds = openSleeveSockets(setup.port, setup.host);
    undo.defer(() => closeSleeveSockets(this.#fds));
    const options = { frames: CAPTURE_FRAMES, snapBytes: FRAME_BYTES_MAX + SLEEVE_HEADER.size };
    this.#capture = undo.use(RingCapture.open(setup.captureLink, options, (at, length) => this.#hand(at, length)));
    this.#packetFd = openPacketSender(setup.captureLink);
    undo.defer(() => close(this.#packetFd));
    this.#outbox = new Outbox({ ...this.#fds, waitWritable: (fd) => poll(fd, POLL.OUT, WRITABLE_MS) !== 0 });
    this.#injector = new Injector(this.#packetFd);
    this.#inbox = new Inbox({
      frame: (from, at, frameBytes, neighbour, mark) => this.#injector.add(from, at, frameBytes, neighbour, mark),
      keyOf: (index) => this.#keys.get(index),
      control: (session, kind, payload) => this.#control(session, kind, payload),
      moved: (session) => this.#moved(session),
    });
    this.#waits = new PollSet([this.#fds.ipv4, this.#fds.ipv6, this.#capture.fd, setup.commandFd]);
    undo.move();
  }

  /** Runs until it is told to stop, then gives back port and link. @throws {PcapError} the link went away */
  run(): void {
    try {
      this.#loop();
    } finally {
      this.#close(); // the thread ends, and its descriptors would not
    }
  }
  /** Nothing is asked of a descriptor that did not say it has something: that would cost as much as a frame. */
  #loop(): void {
    let tickAt = 0;
    let waitMs = 0;
    while (!this.#isOver) {
      const isAnyReady = this.#waits.wait(waitMs) > 0;
      this.#now = systemClock.now();
      if (isAnyReady) {
        if (this.#waits.ready(WAITS_FOR.capture) !== 0) this.#sendTurn();
        this.#receiveTurn();
        if (this.#waits.ready(WAITS_FOR.command) !== 0) this.#takeCommands();
        waitMs = TICK_MS; // when timers are due is looked up once it is quiet
      }
      if (isAnyReady && this.#now < tickAt) continue;
      this.#due();
      tickAt = this.#now + TICK_MS;
      waitMs = this.#untilDueMs();
    }
  }

  #close(): void {
    for (const session of [...this.#sessions.values()]) session.keys.close();
    this.#waits[Symbol.dispose]();
    this.#capture[Symbol.dispose]();
    close(this.#packetFd);
    closeSleeveSockets(this.#fds);
  }

  #sendTurn(): void {
    let frames = 0;
    while (frames < FRAMES_A_TURN && this.#outbox.pendingBytes < OUT_BYTES_A_TURN) {
      const taken = this.#capture.deliver(FRAMES_AT_ONCE);
      frames += taken;
      if (taken < FRAMES_AT_ONCE) break;
    }
    if (frames > 0) this.#outbox.flush(this.#now);
  }
  /** A frame from the switch, behind the header of the sleeve link. */
  #hand(header: number, length: number): void {
    const { view, bytes } = this.#capture.memory;
    if (length < SLEEVE_HEADER.size + ETHERNET_BYTES || view.getUint16(header + SLEEVE_HEADER.ethertype) !== SLEEVE_ETHERTYPE) {
      this.#drops.stranger++;
      return;
    }
    const session = this.#used[view.getUint16(header + SLEEVE_HEADER.neighbour) % NEIGHBOURS];
    if (!session) {
      this.#drops.unknownNeighbour++;
      return;
    }
    const ttlVni = view.getUint32(header + SLEEVE_HEADER.ttlVni);
    const gsoBytes = view.getUint16(header + SLEEVE_HEADER.gsoSize);
    const tagProtocol = view.getUint16(header + SLEEVE_HEADER.vlanProtocol);
    let at = header + SLEEVE_HEADER.size;
    let frameBytes = length - SLEEVE_HEADER.size;
    if (tagProtocol !== 0) {
      // The tag was beside the frame; it goes behind the MACs, which move into the room the header leaves.
      const tci = view.getUint16(header + SLEEVE_HEADER.vlanTci);
      bytes.copyWithin(at - VLAN_TAG_BYTES, at, at + MACS_BYTES);
      at -= VLAN_TAG_BYTES;
      view.setUint16(at + MACS_BYTES, tagProtocol);
      view.setUint16(at + MACS_BYTES + 2, tci);
      frameBytes += VLAN_TAG_BYTES;
    }
    this.#outbox.frame(session, ttlVni, this.#capture.memory, at, frameBytes, gsoBytes, this.#now);
  }

  #receiveTurn(): void {
    const { ipv4, ipv6 } = this.#fds;
    let any = false;
    if (this.#waits.ready(WAITS_FOR.ipv4) !== 0) any = this.#inbox.receive(ipv4, this.#now);
    if (this.#waits.ready(WAITS_FOR.ipv6) !== 0) any = this.#inbox.receive(ipv6, this.#now) || any;
    if (!any) return;
    this.#injector.flush();
    this.#outbox.flush(this.#now); // answers
  }

  // Sessions

  #takeCommands(): void {
    for (;;) {
      const length = recv(this.#setup.commandFd, this.#command, MSG.DONTWAIT);
      if (length === undefined) return;
      if (length === 0) {
        this.#isOver = true; // the main thread is gone
        return;
      }
      this.#obey(decodeCommand(this.#command.subarray(0, length)));
    }
  }
  #obey(command: SleeveCommand): void {
    switch (command.type) {
      case "open":
        this.#open(command);
        return;
      case "close":
        this.#remove(this.#sessions.get(command.localIndex));
        return;
      case "figures":
        this.#tell({ type: "figures", figures: this.#figures() });
        return;
      case "stop":
        this.#isOver = true;
        return;
      default:
        command satisfies never;
    }
  }
  #open({ session }: SleeveCommand & { type: "open" }): void {
    this.#remove(this.#sessions.get(session.localIndex));
    const opened = new Session(session, this.#setup.largestMtuBytes, this.#now, {
      send: (to, kind, payload, sizeBytes = 0) => this.#outbox.control(to, kind, payload, sizeBytes, this.#now),
      newIndex: () => this.#newIndex(),
      addReceiveKey: (key) => void this.#keys.set(key.index, key),
      dropReceiveKey: (key) => this.#dropReceiveKey(key),
      up: (up) => this.#up(up),
      mtuChanged: (changed) => this.#tell({ type: "mtu", localIndex: changed.localIndex, bytes: changed.innerBytes }),
    });
    this.#sessions.set(session.localIndex, opened);
    this.#used[session.neighbour] ??= opened;
    opened.greet(this.#now);
    this.#outbox.flush(this.#now);
  }
  #up(session: Session): void {
    const before = this.#used[session.neighbour];
    this.#used[session.neighbour] = session;
    if (before !== session) before?.keys.retire(this.#now);
  }
  #remove(session: Session | undefined): void {
    if (!session) return;
    session.keys.close();
    for (const name of ALL_COUNTS) this.#past[name] += countsOf(session)[name];
    this.#inbox.forget(session);
    this.#sessions.delete(session.localIndex);
    if (this.#used[session.neighbour] !== session) return;
    this.#used[session.neighbour] = [...this.#sessions.values()].findLast((other) => other.neighbour === session.neighbour);
  }
  #moved(session: Session): void {
    const { view, bytes } = session.name;
    const address = ipFromBytes(session.isIpv6 ? bytes.slice(8, 24) : bytes.slice(4, 8));
    this.#tell({ type: "moved", localIndex: session.localIndex, address, port: view.getUint16(2) });
  }
  #dropReceiveKey(key: ReceiveKey<Session>): void {
    if (this.#keys.get(key.index) === key) this.#keys.delete(key.index);
    this.#inbox.forgetKey(key);
  }
  #newIndex(): number {
    for (;;) {
      const bytes = randomBytes(4);
      const index = new DataView(bytes.buffer).getUint32(0);
      if (index !== 0 && !this.#keys.has(index)) return index;
    }
  }

  #control(session: Session, kind: number, payload: Uint8Array): void {
    switch (kind) {
      case RECORD.mtuProbe:
        if (payload.length >= 2) this.#outbox.control(session, RECORD.mtuAnswer, payload.slice(0, 2), 0, this.#now);
        return;
      case RECORD.mtuAnswer:
        if (payload.length >= 2) session.mtuAnswered((payload[0]! << 8) | payload[1]!, this.#now);
        return;
      case RECORD.rekeyOffer:
        session.keys.offered(payload, this.#now);
        return;
      case RECORD.rekeyAnswer:
        session.rekeyAnswered(payload, this.#now);
        return;
    }
  }

  // Time

  #due(): void {
    for (const session of this.#sessions.values()) {
      if (session.dueAt() <= this.#now) session.due(this.#now);
      if (session.keys.isOver) this.#remove(session);
      else if (session.isUp && session.cipherName !== "none") loadOpenssl();
    }
    this.#outbox.flush(this.#now);
  }
  #untilDueMs(): number {
    let dueAt = Number.POSITIVE_INFINITY;
    for (const session of this.#sessions.values()) dueAt = Math.min(dueAt, session.dueAt());
    if (dueAt === Number.POSITIVE_INFINITY) return -1;
    return Math.max(1, Math.ceil(dueAt - this.#now));
  }

  #figures(): SleeveFigures {
    const { received, dropped } = this.#capture.stats();
    return {
      captured: received,
      injected: this.#injector.frames,
      drops: {
        ...this.#outbox.drops,
        ...this.#inbox.drops,
        ...this.#injector.drops,
        captureFull: dropped,
        ...this.#drops,
      },
      sessions: [...this.#sessions.values()].map((session) => ({
        localIndex: session.localIndex,
        neighbour: session.neighbour,
        cipher: session.cipherName,
        isUp: session.isUp,
        segments: session.segments,
        innerBytes: session.innerBytes,
        pathMtuBytes: session.mtu.bytes,
        ...countsOf(session),
      })),
      closed: { ...this.#past },
    };
  }
}

const ALL_COUNTS = ["sent", "sentBytes", "received", "receivedBytes", "rekeys"] as const;
function countsOf(session: Session): SleeveCounts {
  return { ...session.counts, rekeys: session.keys.rekeys };
}
