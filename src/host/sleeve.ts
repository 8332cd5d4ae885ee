// SPDX-License-Identifier: Apache-2.0
// The user-space sleeve as the main thread holds it: a Worker that carries frames between the switch and neighbours by UDP (sleeve-engine.ts).
import { close } from "../../native/libc/fd.ts";
import { SOCK, sendTo, socketPair } from "../../native/libc/socket.ts";
import type { Ip } from "../net/ip.ts";
import type { SleeveSession } from "../overlay/carriers.ts";
import { encodeCommand, type SleeveCommand } from "./sleeve-commands.ts";
import type { SleeveEvent, SleeveFigures, SleeveSetup } from "./sleeve-messages.ts";

// In the executable every file lies beside every other, here it does not.
const WORKER = new URL(import.meta.url.includes("$bunfs") ? "./sleeve-worker.ts" : "../sleeve-worker.ts", import.meta.url).href;

export interface SleeveOptions {
  readonly port: number;
  readonly host?: Ip | undefined;
  readonly captureLink: string;
  readonly largestMtuBytes: number;
}
export interface SleeveListener {
  /** Inner IP packet that fits into one datagram. */
  mtu(localIndex: number, bytes: number): void;
  /** The neighbour's datagrams come from there now. */
  moved(localIndex: number, address: Ip, port: number): void;
  /** It ended by itself; all sessions are gone. */
  failed(reason: string): void;
}

export class Sleeve implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #commandFd: number;
  readonly #listener: SleeveListener;
  readonly #over = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<void>();
  #figures: ((figures: SleeveFigures) => void)[] = [];
  #isOver = false;
  #isStopping = false;
  #isReady = false;

  private constructor(options: SleeveOptions, listener: SleeveListener) {
    this.#listener = listener;
    const [ours, theirs] = socketPair(SOCK.SEQPACKET | SOCK.NONBLOCK);
    this.#commandFd = ours;
    const setup: SleeveSetup = { ...options, host: options.host, commandFd: theirs };
    this.#worker = new Worker(WORKER, { smol: true });
    this.#worker.onmessage = ({ data }: MessageEvent<SleeveEvent>) => this.#heard(data);
    this.#worker.onerror = (event) => this.#ended(event.message);
    this.#over.promise.finally(() => close(theirs));
    this.#worker.postMessage(setup);
  }

  /** Resolves when it runs. In the calling thread's namespace. @throws {Error} the port is in use, the link is missing, a library too */
  static async open(options: SleeveOptions, listener: SleeveListener): Promise<Sleeve> {
    const sleeve = new Sleeve(options, listener);
    await sleeve.#ready.promise;
    return sleeve;
  }

  /** Takes over the secret. */
  openSession(session: SleeveSession): void {
    this.#command({ type: "open", session });
    session.secret?.fill(0);
  }
  closeSession(localIndex: number): void {
    this.#command({ type: "close", localIndex });
  }
  async figures(): Promise<SleeveFigures | undefined> {
    if (this.#isOver) return undefined;
    const answer = Promise.withResolvers<SleeveFigures>();
    this.#figures.push(answer.resolve);
    this.#command({ type: "figures" });
    return await Promise.race([answer.promise, this.#over.promise.then(() => undefined)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    this.#command({ type: "stop" });
    await this.#over.promise;
  }

  #command(command: SleeveCommand): void {
    if (this.#isOver) return;
    const bytes = Buffer.from(encodeCommand(command));
    const stable = new Uint8Array(new ArrayBuffer(bytes.length));
    stable.set(bytes);
    sendTo(this.#commandFd, stable, stable.length, 0, null);
    stable.fill(0);
    bytes.fill(0);
  }

  #heard(event: SleeveEvent): void {
    switch (event.type) {
      case "ready":
        this.#isReady = true;
        this.#ready.resolve();
        return;
      case "mtu":
        this.#listener.mtu(event.localIndex, event.bytes);
        return;
      case "moved":
        this.#listener.moved(event.localIndex, event.address, event.port);
        return;
      case "figures":
        for (const resolve of this.#figures.splice(0)) resolve(event.figures);
        return;
      case "over":
        this.#ended(event.reason);
        return;
      default:
        event satisfies never;
    }
  }
  #ended(reason: string | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ready.reject(new Error(reason ?? "the sleeve ended"));
    this.#worker.terminate();
    close(this.#commandFd);
    this.#over.resolve();
    if (this.#isReady && !this.#isStopping) this.#listener.failed(reason ?? "it ended");
  }
}
