// SPDX-License-Identifier: Apache-2.0
// One client of the proxy: its requests one after the other over one connection to Docker. Bytes go through as they come, in both directions at once;
// only what an interception changes is read whole. When Docker takes the connection over (attach, exec, sessions), it is two streams from then on.
//
//   request head ─▶ [interception: body read, changed] ─▶ Docker ─▶ response head ─▶ [held, changed] ─▶ body ─▶ next request
//                                                                        └─ 101, or a body without end ─▶ two streams
import type { Clock } from "../runtime/clock.ts";
import { errorText, InvariantError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import {
  encodeRequest,
  encodeResponse,
  headerHas,
  MalformedHttp,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
  requestBody,
  responseBody,
} from "./head.ts";
import { BODY_BYTES_MAX, copyBody, encodeRefusal, Refusal, readBody, readHead, refusalOf } from "./message.ts";
import { type Wire, WireClosed } from "./wire.ts";

/** What is done to one request and its answer. Whatever it throws becomes the answer. */
export interface Interception {
  /** The request's body as Docker shall get it; undefined: as it is. */
  changeRequest?(body: string): Promise<string | undefined>;
  /** Before Docker gets the request. */
  before?(): Promise<void>;
  /** Docker has answered; the client gets the answer when this is done. */
  answered?(status: number): Promise<void>;
  /** The body of a good answer as the client shall get it; undefined: as it is. */
  changeAnswer?(body: string): Promise<string | undefined>;
  /** In any case, last. */
  over?(): void;
}

/** A connection without a request is closed after that long; Docker's own clients give up theirs sooner. */
const IDLE_MS = 600_000;

export interface ConnectionPorts {
  /** @throws {Refusal} Docker is not there */
  connect(): Promise<Wire>;
  intercept(head: RequestHead): Interception | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export class Connection {
  readonly #client: Wire;
  readonly #ports: ConnectionPorts;
  #docker: Wire | undefined;
  #waitsSince: number | undefined;

  constructor(client: Wire, ports: ConnectionPorts) {
    this.#client = client;
    this.#ports = ports;
    client.whenClosed(() => {
      if (!client.hasUnread) this.#docker?.destroy();
    });
  }

  /** Returns when the connection is over. Never throws. */
  async serve(): Promise<void> {
    try {
      while (await this.#one());
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      await this.#refuse(thrown);
    } finally {
      this.#client.finish();
      this.#docker?.destroy();
    }
  }
  /** Since when it has had no request; undefined: it has one. */
  get waitsSince(): number | undefined {
    return this.#waitsSince;
  }
  stop(): void {
    this.#client.destroy();
    this.#docker?.destroy();
  }

  async #refuse(thrown: unknown): Promise<void> {
    if (thrown instanceof WireClosed) return;
    const refusal = refusalOf(thrown);
    this.#ports.log.debug("docker request refused", { reason: refusal.message });
    await this.#client.write(encodeRefusal(refusal, true)).catch(() => undefined); // the client may have gone
  }

  /** One request. Tells whether there may be another one. */
  async #one(): Promise<boolean> {
    const { clock } = this.#ports;
    this.#waitsSince = clock.now();
    const bytes = await readHead(this.#client, { clock, idleMs: IDLE_MS });
    this.#waitsSince = undefined;
    if (!bytes) return false;
    const head = parseRequestHead(bytes);
    const interception = this.#ports.intercept(head);
    try {
      return interception ? await this.#intercepted(head, bytes, interception) : await this.#passedOn(head, bytes, undefined);
    } finally {
      interception?.over?.();
    }
  }

  async #intercepted(head: RequestHead, bytes: Uint8Array, interception: Interception): Promise<boolean> {
    const { changeRequest } = interception;
    let whole: Uint8Array | undefined;
    try {
      if (changeRequest) whole = await this.#changed(head, changeRequest);
      await interception.before?.();
    } catch (thrown) {
      if (!changeRequest || thrown instanceof InvariantError || thrown instanceof WireClosed || thrown instanceof MalformedHttp)
        throw thrown;
      const refusal = refusalOf(thrown);
      if ([408, 413].includes(refusal.status)) throw refusal; // the rest of the body is still to come
      this.#ports.log.info("docker request refused", { reason: refusal.message });
      await this.#client.write(encodeRefusal(refusal, false));
      return true;
    }
    return await this.#passedOn(head, whole ?? bytes, interception, whole !== undefined);
  }

  /** The whole request as Docker gets it. */
  async #changed(head: RequestHead, change: (body: string) => Promise<string | undefined>): Promise<Uint8Array> {
    const length = requestBody(head);
    if (headerHas(head, "expect", "100-continue")) await this.#client.write(Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"));
    const body = await readBody(this.#client, length, this.#ports.clock, BODY_BYTES_MAX);
    const changed = await change(body.toString());
    return encodeRequest(head, changed === undefined ? body : Buffer.from(changed));
  }

  async #passedOn(
    head: RequestHead,
    bytes: Uint8Array,
    interception: Interception | undefined,
    isWhole = false,
  ): Promise<boolean> {
    const client = this.#client;
    const length = requestBody(head);
    const docker = await this.#upstream();
    await docker.write(bytes);
    const sent = isWhole ? Promise.resolve(true) : copyBody(client, docker, length);
    // A client that goes away, or only says that it will send no more, is told to Docker, which then gives up what it does for it.
    const followed = sent.then((all) => {
      const ended = (): void => {
        if (!client.hasUnread) docker.end();
      };
      if (all) client.whenEnded(ended);
      else docker.end();
    });
    followed.catch(() => docker.end()); // told where the answer is waited for
    return await this.#answer(head, docker, followed, interception);
  }

  async #upstream(): Promise<Wire> {
    if (this.#docker && !this.#docker.hasEnded && !this.#docker.isClosed) return this.#docker;
    this.#docker?.destroy();
    this.#docker = await this.#ports.connect();
    return this.#docker;
  }

  async #answer(
    request: RequestHead,
    docker: Wire,
    sent: Promise<void>,
    interception: Interception | undefined,
  ): Promise<boolean> {
    for (;;) {
      const bytes = await this.#answerHead(docker);
      const head = parseResponseHead(bytes);
      if (head.status >= 200 || head.status === 101) {
        return await this.#finalAnswer(request, head, bytes, docker, sent, interception);
      }
      await this.#client.write(bytes);
    }
  }

  async #answerHead(docker: Wire): Promise<Uint8Array> {
    try {
      const bytes = await readHead(docker);
      if (bytes) return bytes;
    } catch (thrown) {
      throw new Refusal(502, `weave proxy: Docker's answer cannot be read: ${errorText(thrown)}`, { cause: thrown });
    }
    throw new Refusal(502, "weave proxy: Docker closed the connection without an answer");
  }

  async #finalAnswer(
    request: RequestHead,
    head: ResponseHead,
    bytes: Uint8Array,
    docker: Wire,
    sent: Promise<void>,
    interception: Interception | undefined,
  ): Promise<boolean> {
    const client = this.#client;
    const length = responseBody(request.method, head);
    const ended = new Promise<void>((resolve) => docker.whenEnded(resolve));
    const own = interception && head.status !== 101 ? await this.#ownAnswer(head, docker, length, interception) : undefined;
    if (own) await client.write(own);
    else {
      await client.write(bytes);
      if (head.status === 101 || length.kind === "until-close") {
        await this.#streams(docker, sent);
        return false;
      }
      if (!(await copyBody(docker, client, length))) throw new WireClosed(); // the client must see that something is missing
    }
    await Promise.race([sent.catch(() => undefined), ended]);
    client.whenEnded(undefined);
    // Between two requests: a connection that Docker closes is closed.
    docker.whenEnded(() => {
      if (!client.hasUnread) client.stopReading();
    });
    return !docker.hasEnded;
  }

  /** The answer when it is not Docker's, or not as Docker gave it. */
  async #ownAnswer(
    head: ResponseHead,
    docker: Wire,
    length: ReturnType<typeof responseBody>,
    { answered, changeAnswer }: Interception,
  ): Promise<Uint8Array | undefined> {
    if (changeAnswer && head.status === 200 && length.kind !== "until-close") {
      const body = await readBody(docker, length, undefined, BODY_BYTES_MAX);
      return encodeResponse(head, Buffer.from((await changeAnswer(body.toString())) ?? body));
    }
    if (!answered) return undefined;
    try {
      await answered(head.status);
      return undefined;
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      if (length.kind !== "until-close") await readBody(docker, length, undefined, BODY_BYTES_MAX);
      const refusal = refusalOf(thrown);
      this.#ports.log.info("docker request failed", { reason: refusal.message });
      return encodeRefusal(refusal, false);
    }
  }

  /** Both directions on their own, until Docker's side ends. */
  async #streams(docker: Wire, sent: Promise<void>): Promise<void> {
    const client = this.#client;
    const up = sent.then(async () => {
      client.whenEnded(undefined);
      await pump(client, docker);
      if (client.isClosed) docker.destroy();
      else docker.end();
    });
    const down = pump(docker, client).finally(() => client.stopReading());
    const [, result] = await Promise.allSettled([up.catch(() => docker.destroy()), down]);
    if (result.status === "rejected" && !(result.reason instanceof WireClosed)) throw result.reason;
  }
}

async function pump(from: Wire, to: Wire): Promise<void> {
  for (let bytes = await from.read(); bytes !== undefined; bytes = await from.read()) await to.write(bytes);
}
