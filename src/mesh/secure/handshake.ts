// SPDX-License-Identifier: Apache-2.0
// Two ends of a TCP connection become two peers that know each other: bytes in, bytes out, no sockets, no clock.
//
//   dialler                                        listener
//   preamble                              ─────▶
//                                         ◀─────   preamble
//      with passwords:                    ◀─────   shares: CPace, one for each pair of passwords
//      proof: shares and a tag per pair   ─────▶
//                                         ◀─────   pair it chose, Noise message 1 (psk, e)
//      without:                           ◀─────   Noise message 1 (e)
//   Noise message 2 (e, ee, s, es; hello) ─────▶
//                                         ◀─────   Noise message 3 (s, se; hello)
//
// The listener is Noise's initiator: so the dialler, who chose whom to call, proves the password first, and one round trip is saved. Noise's
// prologue is everything sent before; its ephemeral keys are those of the preambles.
import { invariant, ProtocolError } from "../../runtime/errors.ts";
import type { Hello } from "../ports.ts";
import { Exporter } from "./exporter.ts";
import { FrameReader } from "./framing.ts";
import { encodeFrame, expectedBody, FRAME_HEADER_BYTES, frameLength, KIND } from "./handshake-frame.ts";
import { decodeHello, encodeHello, type HelloWords } from "./hello.ts";
import { HandshakeState, XX, XX_PSK0 } from "./noise.ts";
import { type PairKeys, PasswordProof, PROOF_TAG_BYTES, wipePairs } from "./password-proof.ts";
import {
  agreedVersion,
  decodeHead,
  decodePreamble,
  encodeHead,
  encodePreamble,
  formatVersions,
  HEAD_BYTES,
  PASSWORDS_MAX,
  PROTOCOL_VERSIONS,
  type Preamble,
  preambleLength,
  RANDOM_BYTES,
  type VersionRange,
} from "./preamble.ts";
import { REFUSAL, type RefusalCode, refusalText } from "./refusal.ts";
import { concat, ELEMENT_BYTES, KEY_BYTES, type KeyPair, type Sealing, utf8 } from "./sealing.ts";
import { Session } from "./session.ts";

export interface HandshakeOptions {
  readonly dials: boolean;
  readonly identity: KeyPair;
  /** Valid ones, at most four, as UTF-8; none: connections without a password. */
  readonly passwords: readonly Uint8Array[];
  readonly hello: HelloWords;
  readonly versions?: VersionRange;
}

export type HandshakeStep =
  | { readonly state: "continue"; readonly send: Uint8Array }
  | {
      readonly state: "done";
      readonly send: Uint8Array;
      readonly hello: Hello;
      readonly passwordUsed: boolean;
      readonly session: Session;
      readonly exporter: Exporter;
      /** What arrived behind the handshake; the session's first bytes. */
      readonly rest: Uint8Array;
    }
  /** `send` still goes out, so that the other end can say why. `isGuess`: it offered a password, and a wrong one. */
  | { readonly state: "failed"; readonly send: Uint8Array; readonly reason: string; readonly isGuess: boolean };

const NOTHING = new Uint8Array(0);
const PROLOGUE = utf8("weave control connection, protocol 3");
const SESSION_ID = utf8("weave session");
const WRONG_PASSWORD = "wrong password: the peer knows none of ours";

// listener:  head ─▶ preamble ─▶ proof ─▶ noise2 ─▶ over          (without passwords: preamble ─▶ noise2)
// dialler:   head ─▶ preamble ─▶ shares ─▶ noise1 ─▶ noise3 ─▶ over (without passwords: preamble ─▶ noise1)
type Phase =
  | { readonly name: "head" }
  | { readonly name: "preamble"; readonly theirHead: Uint8Array }
  | { readonly name: "refused" }
  | { readonly name: "shares"; readonly remote: Preamble; readonly proof: PasswordProof }
  | { readonly name: "proof"; readonly remote: Preamble; readonly proof: PasswordProof }
  | { readonly name: "noise1"; readonly remote: Preamble; readonly pairs: readonly PairKeys[] }
  | { readonly name: "noise2"; readonly remote: Preamble; readonly noise: HandshakeState }
  | { readonly name: "noise3"; readonly remote: Preamble; readonly noise: HandshakeState }
  | { readonly name: "over" };

export class Handshake {
  readonly #sealing: Sealing;
  readonly #options: HandshakeOptions;
  readonly #versions: VersionRange;
  readonly #ephemeral: KeyPair;
  readonly #preamble: Uint8Array;
  #phase: Phase = { name: "head" };
  #reader = new FrameReader(HEAD_BYTES, () => 0);
  /** Everything both ends sent so far and agree on. */
  #transcript: Uint8Array = NOTHING;

  constructor(sealing: Sealing, options: HandshakeOptions) {
    invariant(options.passwords.length <= PASSWORDS_MAX, "more passwords than a preamble can announce");
    this.#sealing = sealing;
    this.#options = options;
    this.#versions = options.versions ?? PROTOCOL_VERSIONS;
    this.#ephemeral = sealing.keyPair();
    this.#preamble = encodePreamble(this.#versions, {
      ephemeral: this.#ephemeral.publicKey,
      random: sealing.random(RANDOM_BYTES),
      name: options.hello.name,
      passwords: options.passwords.length,
    });
  }
  /** What goes out before anything came in: the dialler's preamble; a listener is silent until it is spoken to. */
  start(): Uint8Array {
    return this.#options.dials ? this.#preamble : NOTHING;
  }
  /** Takes bytes from the wire. Once it has returned `done` or `failed` it is over and must not be called again. */
  receive(chunk: Uint8Array): HandshakeStep {
    invariant(this.#phase.name !== "over", "bytes for a handshake that is over");
    const send: Uint8Array[] = [];
    try {
      this.#reader.push(chunk);
      for (;;) {
        const read = this.#reader.next();
        if (!read) return { state: "continue", send: concat(...send) };
        const step = this.#take(read.header, read.body, send);
        if (step) return step;
      }
    } catch (thrown) {
      if (!(thrown instanceof ProtocolError)) throw thrown;
      return this.#fail(send, thrown.message, REFUSAL.malformed);
    }
  }
  /** Forgets all secrets; for a handshake that is given up. Harmless at any time. */
  wipe(): void {
    this.#sealing.wipe(this.#ephemeral.secretKey);
    const phase = this.#phase;
    if (phase.name === "shares" || phase.name === "proof") phase.proof.wipe();
    if (phase.name === "noise1") wipePairs(this.#sealing, phase.pairs);
    if (phase.name === "noise2" || phase.name === "noise3") phase.noise.wipe();
    this.#phase = { name: "over" };
  }

  #take(header: Uint8Array, body: Uint8Array, send: Uint8Array[]): HandshakeStep | undefined {
    const phase = this.#phase;
    if (phase.name === "head") return this.#takeHead(header, send);
    if (phase.name === "preamble") return this.#takePreamble(phase.theirHead, header, body, send);
    if (header[2] === KIND.refusal) return this.#fail([], refusalText(body[0]));
    switch (phase.name) {
      case "shares":
        return this.#takeShares(phase.remote, phase.proof, expectedBody(KIND.shares, header, body), send);
      case "proof":
        return this.#takeProof(phase.remote, phase.proof, expectedBody(KIND.proof, header, body), send);
      case "noise1":
        return this.#takeNoise1(phase.remote, phase.pairs, expectedBody(KIND.noise, header, body), send);
      case "noise2":
        return this.#takeNoise2(phase.remote, phase.noise, expectedBody(KIND.noise, header, body), send);
      case "noise3":
        return this.#takeNoise3(phase.remote, phase.noise, expectedBody(KIND.noise, header, body), send);
      default:
        throw new ProtocolError("the peer goes on after a refusal");
    }
  }
  #takeHead(head: Uint8Array, send: Uint8Array[]): HandshakeStep | undefined {
    const theirs = decodeHead(head);
    if (agreedVersion(this.#versions, theirs) === undefined) {
      if (!this.#options.dials) send.push(encodeHead(this.#versions));
      const ours = formatVersions(this.#versions);
      return this.#fail(send, `remote version range ${formatVersions(theirs)} is incompatible with ours ${ours}`);
    }
    this.#phase = { name: "preamble", theirHead: head.slice() };
    this.#readOnWith(new FrameReader(2, preambleLength));
    return undefined;
  }
  #takePreamble(theirHead: Uint8Array, header: Uint8Array, body: Uint8Array, send: Uint8Array[]): HandshakeStep | undefined {
    if (body.length === 0 && this.#options.dials) {
      this.#phase = { name: "refused" };
      this.#readOnWith(new FrameReader(FRAME_HEADER_BYTES, frameLength));
      return undefined;
    }
    const remote = decodePreamble(body);
    const theirs = concat(theirHead, header, body);
    const { dials } = this.#options;
    if (!dials) send.push(this.#preamble);
    this.#transcript = dials ? concat(this.#preamble, theirs) : concat(theirs, this.#preamble);
    this.#readOnWith(new FrameReader(FRAME_HEADER_BYTES, frameLength));
    if (this.#sealing.equal(remote.ephemeral, this.#ephemeral.publicKey)) {
      throw new ProtocolError("the other end sends our own bytes back");
    }
    return this.#afterPreambles(remote, send);
  }
  #afterPreambles(remote: Preamble, send: Uint8Array[]): HandshakeStep | undefined {
    const ours = this.#options.passwords.length;
    if (ours > 0 && remote.passwords === 0) {
      return this.#fail(send, "password specified, but peer requested an unencrypted connection");
    }
    if (ours === 0 && remote.passwords > 0) {
      return this.#fail(send, "no password specified, but peer requested an encrypted connection");
    }
    const { dials } = this.#options;
    if (ours === 0) {
      if (dials) this.#phase = { name: "noise1", remote, pairs: [] };
      else this.#beginNoise(remote, undefined, NOTHING, send);
      return undefined;
    }
    const proof = this.#startProof(remote);
    this.#phase = { name: dials ? "shares" : "proof", remote, proof };
    if (!dials) this.#sendFrame(send, KIND.shares, proof.shares);
    return undefined;
  }
  #startProof(remote: Preamble): PasswordProof {
    const { dials, passwords, hello } = this.#options;
    const [dialler, listener] = dials ? [hello.name, remote.name] : [remote.name, hello.name];
    return new PasswordProof(this.#sealing, {
      dials,
      passwords,
      remotePasswords: remote.passwords,
      sessionId: this.#sealing.blake2b(concat(SESSION_ID, this.#transcript)),
      dialler: utf8(dialler.toString(16)),
      listener: utf8(listener.toString(16)),
    });
  }
  /** Dialler: answers with its own shares and shows that it knows the passwords. */
  #takeShares(remote: Preamble, proof: PasswordProof, shares: Uint8Array, send: Uint8Array[]): undefined {
    if (shares.length !== proof.pairs * ELEMENT_BYTES) throw new ProtocolError("shares of another number of passwords");
    this.#note(KIND.shares, shares);
    const ours = proof.shares;
    const pairs = proof.finish(shares, concat(this.#transcript, ours));
    if (!pairs) throw new ProtocolError("a share is no group element");
    this.#phase = { name: "noise1", remote, pairs };
    this.#sendFrame(send, KIND.proof, concat(ours, ...pairs.map((pair) => pair.tag)));
  }
  /** Listener: picks the pair whose tag is right. */
  #takeProof(remote: Preamble, proof: PasswordProof, body: Uint8Array, send: Uint8Array[]): HandshakeStep | undefined {
    const tagsAt = proof.pairs * ELEMENT_BYTES;
    if (body.length !== tagsAt + proof.pairs * PROOF_TAG_BYTES) throw new ProtocolError("a proof of another number of passwords");
    const shares = body.slice(0, tagsAt);
    const pairs = proof.finish(shares, concat(this.#transcript, shares));
    if (!pairs) throw new ProtocolError("a share is no group element");
    this.#note(KIND.proof, body);
    const tagOf = (pair: number) => body.subarray(tagsAt + pair * PROOF_TAG_BYTES, tagsAt + (pair + 1) * PROOF_TAG_BYTES);
    const chosen = pairs.findIndex((pair, i) => this.#sealing.equal(pair.tag, tagOf(i)));
    const psk = pairs[chosen]?.psk.slice();
    wipePairs(this.#sealing, pairs);
    if (!psk) return this.#fail(send, WRONG_PASSWORD, REFUSAL.wrongPassword);
    this.#beginNoise(remote, psk, Uint8Array.of(chosen), send);
    return undefined;
  }
  /** Listener: Noise message 1, behind the number of the pair it chose. */
  #beginNoise(remote: Preamble, psk: Uint8Array | undefined, choice: Uint8Array, send: Uint8Array[]): void {
    const noise = this.#noise(psk, choice);
    const message = noise.write(NOTHING);
    invariant(message !== undefined, "message 1 has no DH");
    this.#phase = { name: "noise2", remote, noise };
    send.push(encodeFrame(KIND.noise, concat(choice, message)));
  }
  #takeNoise1(remote: Preamble, pairs: readonly PairKeys[], body: Uint8Array, send: Uint8Array[]): HandshakeStep | undefined {
    const choice = body.slice(0, pairs.length > 0 ? 1 : 0);
    const psk = pairs[choice[0] ?? 0]?.psk.slice();
    wipePairs(this.#sealing, pairs);
    if (pairs.length > 0 && !psk) throw new ProtocolError("the peer chose a pair of passwords that does not exist");
    const noise = this.#noise(psk, choice);
    this.#phase = { name: "noise3", remote, noise };
    const payload = noise.read(body.subarray(choice.length));
    if (!payload && !psk) throw new ProtocolError("the handshake was changed on the way");
    if (!payload) return this.#fail(send, WRONG_PASSWORD, REFUSAL.wrongPassword);
    this.#checkEphemeral(remote, noise);
    const message = noise.write(encodeHello(this.#options.hello));
    if (!message) throw new ProtocolError("the peer's ephemeral key is of low order");
    send.push(encodeFrame(KIND.noise, message));
    return undefined;
  }
  #takeNoise2(remote: Preamble, noise: HandshakeState, body: Uint8Array, send: Uint8Array[]): HandshakeStep {
    const hello = this.#readHello(remote, noise, body);
    const message = noise.write(encodeHello(this.#options.hello));
    if (!message) throw new ProtocolError("the peer's key is of low order");
    send.push(encodeFrame(KIND.noise, message));
    return this.#finish(noise, hello, send);
  }
  #takeNoise3(remote: Preamble, noise: HandshakeState, body: Uint8Array, send: Uint8Array[]): HandshakeStep {
    return this.#finish(noise, this.#readHello(remote, noise, body), send);
  }

  #noise(psk: Uint8Array | undefined, choice: Uint8Array): HandshakeState {
    const { dials, identity } = this.#options;
    return new HandshakeState(this.#sealing, {
      pattern: psk ? XX_PSK0 : XX,
      initiator: !dials,
      prologue: concat(PROLOGUE, this.#transcript, choice),
      staticKey: identity,
      ephemeralKey: this.#ephemeral,
      presharedKeys: psk ? [psk] : [],
    });
  }
  #checkEphemeral(remote: Preamble, noise: HandshakeState): void {
    const used = noise.remoteEphemeral;
    if (!used || !this.#sealing.equal(used, remote.ephemeral))
      throw new ProtocolError("the peer uses another key than it announced");
  }
  #readHello(remote: Preamble, noise: HandshakeState, body: Uint8Array): Hello {
    const payload = noise.read(body);
    const publicKey = noise.remoteStatic;
    if (!payload || publicKey?.length !== KEY_BYTES) throw new ProtocolError("the handshake was changed on the way");
    this.#checkEphemeral(remote, noise);
    const words = decodeHello(payload);
    if (words.name !== remote.name) throw new ProtocolError("the peer's name differs from the one it announced");
    return { ...words, publicKey };
  }
  #finish(noise: HandshakeState, hello: Hello, send: Uint8Array[]): HandshakeStep {
    const { exporterKey, ...ciphers } = noise.split();
    const session = new Session(ciphers);
    const exporter = new Exporter(this.#sealing, exporterKey);
    const rest = this.#reader.rest().slice();
    this.wipe();
    const passwordUsed = this.#options.passwords.length > 0;
    return { state: "done", send: concat(...send), hello, passwordUsed, session, exporter, rest };
  }
  /** With `refusal` the other end is told; without, it sees the reason by itself or told us. */
  #fail(send: readonly Uint8Array[], reason: string, refusal?: RefusalCode): HandshakeStep {
    const early = this.#phase.name === "head" || this.#phase.name === "preamble"; // nothing we send would be read as a frame
    this.wipe();
    const last = refusal === undefined || early ? NOTHING : encodeFrame(KIND.refusal, Uint8Array.of(refusal));
    return { state: "failed", send: concat(...send, last), reason, isGuess: refusal === REFUSAL.wrongPassword };
  }
  #sendFrame(send: Uint8Array[], kind: number, body: Uint8Array): void {
    send.push(encodeFrame(kind, body));
    this.#note(kind, body);
  }
  #note(kind: number, body: Uint8Array): void {
    this.#transcript = concat(this.#transcript, encodeFrame(kind, body));
  }
  #readOnWith(reader: FrameReader): void {
    reader.push(this.#reader.rest());
    this.#reader = reader;
  }
}
