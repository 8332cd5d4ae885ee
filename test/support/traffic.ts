// SPDX-License-Identifier: Apache-2.0
// Traffic that runs while something happens to the network: a fast ping that knows which of its packets were lost, and a TCP stream
// whose every byte is checked.
import { readFileSync } from "node:fs";
import type { Background } from "./command.ts";
import type { Place } from "./lab-host.ts";
import { inNetns } from "./libc.ts";
import { waitFor } from "./wait.ts";

export interface PingResult {
  readonly answered: number;
  /** Sequence numbers without an answer, the one in flight at the end not counted. */
  readonly lost: readonly number[];
  readonly duplicates: number;
  /** Longest round trip in ms. */
  readonly slowestMs: number;
  /** Longest run of lost packets, as time. */
  readonly outageMs: number;
}

/** Length of the longest run of consecutive numbers in an ascending list. */
function longestRun(numbers: readonly number[]): number {
  let longest = 0;
  let run = 0;
  for (const [index, number] of numbers.entries()) {
    run = index > 0 && numbers[index - 1] === number - 1 ? run + 1 : 1;
    longest = Math.max(longest, run);
  }
  return longest;
}

/** A ping that runs until told to stop. */
export class PingRun {
  readonly #background: Background;
  readonly #address: string;

  readonly #intervalSeconds: number;

  private constructor(background: Background, address: string, intervalSeconds: number) {
    this.#background = background;
    this.#address = address;
    this.#intervalSeconds = intervalSeconds;
  }

  /** Starts and waits for the first answer. */
  static async start(from: Place, address: string, intervalSeconds = 0.002): Promise<PingRun> {
    const run = new PingRun(
      from.background(["ping", "-n", "-i", `${intervalSeconds}`, "-W", "1", address]),
      address,
      intervalSeconds,
    );
    await waitFor(`an answer from ${address}`, () => run.answers() > 0, { deadlineMs: 5_000 });
    return run;
  }

  answers(): number {
    return (this.#background.stdout.match(/icmp_seq=/g) ?? []).length;
  }

  /** Waits until so many more answers have come, so that traffic certainly went on after what was done. */
  async more(count: number, deadlineMs = 10_000): Promise<void> {
    const before = this.answers();
    await waitFor(`${count} more answers from ${this.#address}`, () => this.answers() >= before + count, { deadlineMs });
  }

  async stop(): Promise<PingResult> {
    const { stdout } = await this.#background.stop("SIGINT");
    const answers = [...stdout.matchAll(/icmp_seq=(\d+) .*time=([\d.]+) ms( \(DUP!\))?/g)];
    const seen = new Set(answers.map(([, sequence]) => Number(sequence)));
    const transmitted = Number(/(\d+) packets transmitted/.exec(stdout)?.[1] ?? 0);
    if (transmitted === 0) throw new Error(`ping ended without its summary: ${stdout.slice(-300)}`);
    const lost: number[] = [];
    for (let sequence = 1; sequence < transmitted; sequence++) if (!seen.has(sequence & 0xffff)) lost.push(sequence);
    return {
      answered: answers.length,
      lost,
      duplicates: answers.filter(([, , , duplicate]) => duplicate !== undefined).length,
      outageMs: longestRun(lost) * this.#intervalSeconds * 1_000,
      slowestMs: Math.max(0, ...answers.map(([, , time]) => Number(time))),
    };
  }
}

export interface StreamResult {
  readonly receivedBytes: number;
  /** First byte that was not what was sent, or undefined. */
  readonly damagedAt: number | undefined;
  /** Longest time without new data in ms. */
  readonly longestStallMs: number;
  /** Segments the sender had to repeat. */
  readonly retransmitted: number;
  /** The connection broke before it was stopped. */
  readonly broken: boolean;
}

const PATTERN = Uint8Array.from({ length: 65_521 }, (_, index) => (index * 197 + (index >> 8)) & 0xff);
const CHUNK_BYTES = 16_384;
const PACE_MS = 2;

/** A paced TCP stream (about 60 Mbit/s) between two places, both ends in this process. */
export class StreamRun {
  readonly #from: Place;
  readonly #retransmittedBefore: number;
  #received = 0;
  #sent = 0;
  #damagedAt: number | undefined;
  #lastData = performance.now();
  #longestStallMs = 0;
  #broken = false;
  #stopping = false;
  #socket: Bun.Socket<undefined> | undefined;
  #listener: Bun.TCPSocketListener<undefined> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  private constructor(from: Place) {
    this.#from = from;
    this.#retransmittedBefore = retransmittedSegments(from);
  }

  /** Listens at `to`, connects from `from` to `address`, and streams from then on. */
  static async start(from: Place, to: Place, address: string, port = 5_201): Promise<StreamRun> {
    const stream = new StreamRun(from);
    stream.#listener = inNetns(to.netns, () =>
      Bun.listen({
        hostname: address.includes(":") ? "::" : "0.0.0.0",
        port,
        socket: { data: (_, chunk) => stream.#take(chunk) },
      }),
    );
    // The socket must be made in the foreign namespace, so the call is; its result is awaited at home.
    const connecting = inNetns(from.netns, () =>
      Bun.connect({
        hostname: address,
        port,
        socket: {
          data: () => undefined,
          close: () => stream.#ended(),
          error: () => stream.#ended(),
        },
      }),
    );
    stream.#socket = await connecting;
    stream.#lastData = performance.now();
    stream.#timer = setInterval(() => stream.#push(), PACE_MS);
    await stream.more(1);
    return stream;
  }

  #ended(): void {
    if (!this.#stopping) this.#broken = true;
  }

  #push(): void {
    const at = this.#sent % PATTERN.byteLength;
    const taken = this.#socket?.write(PATTERN.subarray(at, Math.min(at + CHUNK_BYTES, PATTERN.byteLength))) ?? 0;
    if (taken > 0) this.#sent += taken;
  }

  #take(chunk: Uint8Array): void {
    const now = performance.now();
    this.#longestStallMs = Math.max(this.#longestStallMs, now - this.#lastData);
    this.#lastData = now;
    for (let at = 0; at < chunk.byteLength; ) {
      const from = this.#received % PATTERN.byteLength;
      const length = Math.min(chunk.byteLength - at, PATTERN.byteLength - from);
      const same = Buffer.compare(chunk.subarray(at, at + length), PATTERN.subarray(from, from + length)) === 0;
      if (!same) this.#damagedAt ??= this.#received;
      this.#received += length;
      at += length;
    }
  }

  /** Waits until so many more bytes have arrived. */
  async more(bytes: number, deadlineMs = 10_000): Promise<void> {
    const before = this.#received;
    await waitFor(`${bytes} more bytes of the stream`, () => this.#received >= before + bytes, { deadlineMs });
  }

  stop(): StreamResult {
    this.#stopping = true;
    clearInterval(this.#timer);
    const longestStallMs = Math.max(this.#longestStallMs, performance.now() - this.#lastData);
    const retransmitted = retransmittedSegments(this.#from) - this.#retransmittedBefore;
    this.#socket?.terminate();
    this.#listener?.stop(true);
    return { receivedBytes: this.#received, damagedAt: this.#damagedAt, longestStallMs, retransmitted, broken: this.#broken };
  }
}

/** TCP segments sent again so far in a place's network namespace. */
export function retransmittedSegments(place: Place): number {
  const text = inNetns(place.netns, () => readFileSync("/proc/thread-self/net/snmp", "utf8"));
  const [names, values] = text.split("\n").filter((line) => line.startsWith("Tcp:"));
  const column = names?.split(" ").indexOf("RetransSegs") ?? -1;
  return Number(values?.split(" ")[column] ?? 0);
}
