// SPDX-License-Identifier: Apache-2.0
// From a question to its answer. Names below the domain, and names without a dot, are answered here and never asked elsewhere; addresses whose
// names we know are too; everything else is for the host's own name servers.
import type { Random } from "../runtime/random.ts";
import type { Addresses, Directory } from "./directory.ts";
import {
  type Answers,
  CLASS_IN,
  EDNS_BYTES,
  MESSAGE_MAX,
  type Question,
  RCODE,
  readQuestion,
  TYPE,
  UDP_BYTES,
  writeAnswer,
  writeRefusal,
} from "./message.ts";
import { type DomainName, isBelow, isSingleLabel, type NameKey, qualify, wireName } from "./name.ts";
import { readReverse } from "./reverse.ts";

export type Transport = "udp" | "tcp";

export type Verdict =
  | { readonly kind: "reply"; readonly outcome: Outcome; readonly bytes: Uint8Array }
  | { readonly kind: "forward"; readonly question: Question }
  /** Not a request; nobody is answered. */
  | { readonly kind: "ignore" };
export type Outcome = "answered" | "no-data" | "no-name" | "malformed" | "refused";

const CLASS_ANY = 255;
const NO_ANSWERS: readonly Answers[] = [];
const A_BYTES = 4;
const AAAA_BYTES = 16;

export class Zone {
  readonly #directory: Directory;
  readonly #domain: DomainName;
  readonly #ttlSeconds: number;
  readonly #random: Random;

  constructor(options: { directory: Directory; domain: DomainName; ttlSeconds: number; random: Random }) {
    this.#directory = options.directory;
    this.#domain = options.domain;
    this.#ttlSeconds = options.ttlSeconds;
    this.#random = options.random;
  }

  /** Answers what can be answered from names. Total: whatever the bytes are. */
  answer(request: Uint8Array, transport: Transport): Verdict {
    const read = readQuestion(request);
    if ("bad" in read) {
      if (!read.bad) return { kind: "ignore" };
      return { kind: "reply", outcome: "malformed", bytes: writeRefusal(request, read.bad) };
    }
    const { question } = read;
    if (question.class !== CLASS_IN && question.class !== CLASS_ANY) {
      return this.#reply(request, question, transport, { rcode: RCODE.refused, outcome: "refused" });
    }
    const { key } = question;
    if (key === this.#domain.key) return this.#reply(request, question, transport, { rcode: RCODE.noName, outcome: "no-name" });
    if (isBelow(key, this.#domain.key)) return this.#named(request, question, transport, key);
    if (isSingleLabel(key)) return this.#named(request, question, transport, qualify(key, this.#domain.key));
    return this.#reverse(request, question, transport) ?? { kind: "forward", question };
  }

  #named(request: Uint8Array, question: Question, transport: Transport, key: NameKey): Verdict {
    const addresses = this.#directory.addresses(key);
    if (!addresses) return this.#reply(request, question, transport, { rcode: RCODE.noName, outcome: "no-name" });
    const answers = this.#answersOf(addresses, question.type);
    const outcome = answers.length > 0 ? "answered" : "no-data";
    return this.#reply(request, question, transport, { rcode: RCODE.ok, outcome, answers });
  }

  /** undefined: nobody's name here, and so for others to know. */
  #reverse(request: Uint8Array, question: Question, transport: Transport): Verdict | undefined {
    const reverse = readReverse(question.key);
    if (!reverse) return undefined;
    if (question.type !== TYPE.ptr) {
      return this.#reply(request, question, transport, { rcode: RCODE.noName, outcome: "no-name" });
    }
    const name = reverse.address && this.#directory.nameOf(reverse.address);
    if (name === undefined) return undefined;
    const data = wireName({ text: name });
    const answers = [{ type: TYPE.ptr, data, size: data.length, first: 0 }];
    return this.#reply(request, question, transport, { rcode: RCODE.ok, outcome: "answered", answers });
  }

  #answersOf({ a, aaaa }: Addresses, type: number): readonly Answers[] {
    const answers: Answers[] = [];
    if (a.length > 0 && (type === TYPE.a || type === TYPE.any)) answers.push(this.#rotated(TYPE.a, a, A_BYTES));
    if (aaaa.length > 0 && (type === TYPE.aaaa || type === TYPE.any)) answers.push(this.#rotated(TYPE.aaaa, aaaa, AAAA_BYTES));
    return answers;
  }

  /** Clients tend to take the first: each has its turn. */
  #rotated(type: number, data: Uint8Array, size: number): Answers {
    return { type, data, size, first: data.length === size ? 0 : this.#random.below(data.length / size) };
  }

  #reply(
    request: Uint8Array,
    question: Question,
    transport: Transport,
    content: { readonly rcode: number; readonly outcome: Outcome; readonly answers?: readonly Answers[] },
  ): Verdict {
    const { rcode, outcome, answers = NO_ANSWERS } = content;
    const bytes = writeAnswer(request, question, answers, {
      rcode,
      authoritative: rcode === RCODE.ok,
      ttlSeconds: this.#ttlSeconds,
      limitBytes: limitOf(question, transport),
    });
    return { kind: "reply", outcome, bytes };
  }
}

/** Bytes an answer to this client may have. */
export function limitOf({ ednsBytes }: Question, transport: Transport): number {
  if (transport === "tcp") return MESSAGE_MAX;
  return ednsBytes === undefined ? UDP_BYTES : Math.max(UDP_BYTES, Math.min(ednsBytes, EDNS_BYTES));
}
