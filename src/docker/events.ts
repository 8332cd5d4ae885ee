// SPDX-License-Identifier: Apache-2.0
// Starts and ends of containers, as they happen. The stream is opened again after every break, from where it ended, so nothing is missed while Docker
// keeps it; what Docker forgot over its own restart is covered by `connected`, at which everything should be looked at once.
//
//   waiting ──timer──▶ connecting ──answer──▶ streaming ──end, error──▶ waiting (1 s, doubling to 3 s, ±25 %)
import { type Clock, every } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import type { DockerClient } from "./client.ts";
import { type ContainerEvent, decodeEvent } from "./decode.ts";

const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 3_000; // containers wait for us to hear of their Docker
/** An event with every label of a container is some kB; a line beyond this is not from Docker. */
const LINE_LIMIT_BYTES = 1_048_576;

export interface DockerEventHandlers {
  /** Docker answers, for the first time or again. */
  connected(): void;
  event(event: ContainerEvent): void;
}

export class DockerEvents implements AsyncDisposable {
  readonly #ports: { readonly client: DockerClient; readonly clock: Clock; readonly random: Random; readonly log: Log };
  readonly #handlers: DockerEventHandlers;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  #wake: () => void = () => {};
  #lastNs: bigint | undefined;
  #isConnected = false;

  /** Begins at once. */
  constructor(
    ports: { readonly client: DockerClient; readonly clock: Clock; readonly random: Random; readonly log: Log },
    handlers: DockerEventHandlers,
  ) {
    this.#ports = ports;
    this.#handlers = handlers;
    this.#ended = this.#run();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#ended;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  async #run(): Promise<void> {
    let delayMs = FIRST_DELAY_MS;
    while (!this.#stop.signal.aborted) {
      await this.#untilThere();
      const wasConnected = await this.#follow();
      delayMs = wasConnected ? FIRST_DELAY_MS : Math.min(LONGEST_DELAY_MS, delayMs * 2);
      await this.#pause(delayMs * (0.75 + this.#ports.random.below(500) / 1000));
    }
  }

  /** Until there is somebody who could answer, or the end. */
  async #untilThere(): Promise<void> {
    const { client, clock } = this.#ports;
    if (client.isThere()) return;
    const there = Promise.withResolvers<void>();
    this.#wake = there.resolve;
    using _looks = every(clock, LONGEST_DELAY_MS, () => client.isThere() && there.resolve());
    if (!this.#stop.signal.aborted) await there.promise;
  }

  /** Streams until the end. Tells whether Docker answered at all. */
  async #follow(): Promise<boolean> {
    const { client, log } = this.#ports;
    try {
      const response = await client.get(this.#path(), this.#stop.signal);
      if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
      this.#isConnected = true;
      log.info("docker answers", { endpoint: client.endpoint.text });
      this.#handlers.connected();
      await this.#read(response.body);
      log.info("docker ended the event stream");
    } catch (thrown) {
      // Not being there is a normal state and is not told again at every attempt.
      if (this.#isConnected && !this.#stop.signal.aborted) log.info("docker went away", { reason: whyAway(thrown) });
    }
    const wasConnected = this.#isConnected;
    this.#isConnected = false;
    return wasConnected;
  }

  #path(): string {
    const filters = encodeURIComponent(JSON.stringify({ type: ["container"], event: ["create", "start", "die", "destroy"] }));
    return `/events?filters=${filters}${this.#lastNs === undefined ? "" : `&since=${sinceText(this.#lastNs)}`}`;
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of body) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > LINE_LIMIT_BYTES) throw new Error("an event without end");
      for (const line of lines) this.#take(line);
    }
  }

  // `since` includes its moment, so the last event comes once more.
  #take(line: string): void {
    const event = decodeEvent(line);
    if (!event || (this.#lastNs !== undefined && event.timeNs <= this.#lastNs)) return;
    this.#lastNs = event.timeNs;
    this.#handlers.event(event);
  }

  #pause(ms: number): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#ports.clock.after(ms, resolve);
      this.#wake = () => {
        timer[Symbol.dispose]();
        resolve();
      };
    });
  }
}

// Bun's words for a closed connection go on with advice to programmers.
function whyAway(thrown: unknown): string {
  const isClosed = thrown instanceof Error && "code" in thrown && thrown.code === "ECONNRESET";
  return isClosed ? "it closed the connection" : errorText(thrown);
}

/** Seconds and nanoseconds, as Docker reads them: `1700000000.000000042`. */
export function sinceText(timeNs: bigint): string {
  return `${timeNs / 1_000_000_000n}.${String(timeNs % 1_000_000_000n).padStart(9, "0")}`;
}
