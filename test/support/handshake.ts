// SPDX-License-Identifier: Apache-2.0
// Handshakes without sockets: two ends, and the bytes between them in the test's hands.
import { sodiumSealing } from "../../src/host/sealing.ts";
import { Handshake, type HandshakeOptions, type HandshakeStep } from "../../src/mesh/secure/handshake.ts";
import { type Sealing, utf8 } from "../../src/mesh/secure/sealing.ts";
import { helloOf } from "./transport.ts";

export type Ended = Exclude<HandshakeStep, { state: "continue" }>;

export interface EndOptions extends Partial<Omit<HandshakeOptions, "passwords">> {
  readonly passwords?: readonly string[];
  readonly sealing?: Sealing;
}

export function endOf(dials: boolean, options: EndOptions = {}): Handshake {
  const { passwords = [], sealing = sodiumSealing, ...others } = options;
  const hello = helloOf(dials ? 1 : 2);
  return new Handshake(sealing, { dials, identity: sealing.keyPair(), hello, ...others, passwords: passwords.map(utf8) });
}

/** One flight: who sent it, the how manieth of the connection, and its bytes. */
export interface Flight {
  readonly fromDialler: boolean;
  readonly number: number;
  readonly bytes: Uint8Array;
}

export interface PumpOptions {
  /** What arrives instead of a flight. */
  readonly alter?: (flight: Flight) => Uint8Array;
  /** Deliver in pieces of this size. */
  readonly pieceBytes?: number;
}

export interface Pumped {
  /** undefined: it still waits when nobody has anything more to say. */
  readonly dialler: Ended | undefined;
  readonly listener: Ended | undefined;
  /** As sent, before any change. */
  readonly flights: readonly Flight[];
}

/** Carries bytes to and fro until both ends are over or silent. */
export function pump(dialler: Handshake, listener: Handshake, options: PumpOptions = {}): Pumped {
  const flights: Flight[] = [];
  const ended: { dialler: Ended | undefined; listener: Ended | undefined } = { dialler: undefined, listener: undefined };
  let fromDialler = true;
  let bytes = dialler.start();
  while (bytes.length > 0) {
    const flight = { fromDialler, number: flights.length, bytes };
    flights.push(flight);
    const arriving = options.alter?.(flight) ?? bytes;
    const name = fromDialler ? "listener" : "dialler";
    const receiver = fromDialler ? listener : dialler;
    bytes = new Uint8Array(0);
    const size = options.pieceBytes ?? arriving.length;
    for (let at = 0; at < arriving.length && !ended[name]; at += size) {
      const step = receiver.receive(arriving.slice(at, at + size));
      bytes = Uint8Array.from([...bytes, ...step.send]);
      if (step.state !== "continue") ended[name] = step;
    }
    fromDialler = !fromDialler;
  }
  return { ...ended, flights };
}

/** The reason, or "done", or "waiting". */
export function outcomeOf(ended: Ended | undefined): string {
  if (!ended) return "waiting";
  return ended.state === "done" ? "done" : ended.reason;
}
