// SPDX-License-Identifier: Apache-2.0
// Docker's HTTP API (https://docs.docker.com/reference/api/engine/), as far as attach needs it; Podman answers the same at its own socket. Docker not
// being there is a normal state: it is told only to who asks for a container.
import { existsSync } from "node:fs";
import type { Container, ContainerRuntime } from "../attach/ports.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import { decodeContainer, decodeRunning, type RunningContainer } from "./decode.ts";
import { type ContainerDetails, decodeDetails, decodeImage, type ImageConfig } from "./details.ts";
import type { DockerEndpoint } from "./endpoint.ts";

const ANSWER_TIMEOUT_MS = 10_000; // inspect waits for locks that a container's start or stop may hold for seconds
const SEND_TIMEOUT_MS = 120_000;
/** What Docker takes as a name or the beginning of an id. */
const CONTAINER_WORD = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;

export class DockerClient implements ContainerRuntime {
  readonly endpoint: DockerEndpoint;

  constructor(endpoint: DockerEndpoint) {
    this.endpoint = endpoint;
  }

  /** False: nobody can answer, because there is no socket. Costs far less than asking. */
  isThere(): boolean {
    return this.endpoint.socketPath === undefined || existsSync(this.endpoint.socketPath);
  }

  async inspect(word: string): Promise<Container | undefined> {
    if (!CONTAINER_WORD.test(word)) return undefined;
    const response = await this.get(`/containers/${encodeURIComponent(word)}/json`);
    if (response.status === 404) {
      const why = await messageOf(response);
      if (/multiple/i.test(why)) throw ambiguous(word);
      return undefined;
    }
    return decodeContainer(await this.#answer(response, `inspect container '${word}'`));
  }

  /** Containers that run now. @throws {UserError} unavailable */
  running(): Promise<readonly RunningContainer[]> {
    return this.#list("/containers/json");
  }
  /** Stopped ones, too. @throws {UserError} unavailable */
  containers(): Promise<readonly RunningContainer[]> {
    return this.#list("/containers/json?all=1");
  }
  /** Those that ran and do not any more. @throws {UserError} unavailable */
  exited(): Promise<readonly RunningContainer[]> {
    return this.#list(`/containers/json?all=1&filters=${encodeURIComponent('{"status":["exited"]}')}`);
  }
  async #list(path: string): Promise<readonly RunningContainer[]> {
    return decodeRunning(await this.#answer(await this.get(path), "list containers"));
  }

  /** More of a container than attach needs; undefined: there is none. @throws {UserError} unavailable; conflict: the prefix fits several */
  async details(word: string): Promise<ContainerDetails | undefined> {
    const response = await this.get(`/containers/${encodeURIComponent(word)}/json`);
    if (response.status === 404 || response.status === 400) {
      if (/multiple/i.test(await messageOf(response))) throw ambiguous(word);
      return undefined;
    }
    return decodeDetails(await this.#answer(response, `inspect container '${word}'`));
  }

  /** undefined: Docker does not have it. @throws {UserError} unavailable */
  async image(name: string): Promise<ImageConfig | undefined> {
    const response = await this.get(`/images/${name.split("/").map(encodeURIComponent).join("/")}/json`);
    if (response.status === 404) return undefined;
    return decodeImage(await this.#answer(response, `inspect image '${name}'`));
  }

  /** Ends a container at once, and no restart policy starts it again. One that does not run is no error. @throws {UserError} unavailable */
  async kill(id: string): Promise<void> {
    const response = await this.#request(`/containers/${encodeURIComponent(id)}/kill`, undefined, { method: "POST" });
    const why = await messageOf(response);
    if (!response.ok && response.status !== 404 && response.status !== 409) {
      throw new UserError("unavailable", `Docker cannot kill container '${id.slice(0, 12)}': ${why} (HTTP ${response.status})`);
    }
  }

  /** Why it could not be started; undefined: it runs. @throws {UserError} unavailable */
  async start(id: string): Promise<string | undefined> {
    const signal = AbortSignal.timeout(SEND_TIMEOUT_MS);
    const response = await this.#request(`/containers/${encodeURIComponent(id)}/start`, signal, { method: "POST" });
    const why = await messageOf(response);
    return response.ok || response.status === 304 ? undefined : why; // 304: it ran already
  }

  /** The answer to one GET; undefined: there is no such thing. @throws {UserError} unavailable */
  async json(path: string, what: string): Promise<unknown> {
    const response = await this.get(path);
    if (response.status !== 404) return await this.#answer(response, what);
    await response.text();
    return undefined;
  }
  /** @throws {UserError} unavailable */
  async post(path: string, body: object): Promise<Response> {
    const request = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    return await this.#request(path, undefined, request);
  }
  /** What may take its time; whatever comes back is read. @throws {UserError} unavailable */
  async send(path: string, body: Blob | string, type: string, what: string): Promise<void> {
    const signal = AbortSignal.timeout(SEND_TIMEOUT_MS);
    const response = await this.#request(path, signal, { method: "POST", body, headers: { "Content-Type": type } });
    if (!response.ok)
      throw new UserError("unavailable", `Docker cannot ${what}: ${await messageOf(response)} (HTTP ${response.status})`);
    await response.text();
  }
  /** Why it could not be removed; undefined: it has gone. @throws {UserError} unavailable */
  async remove(path: string): Promise<string | undefined> {
    const response = await this.#request(path, undefined, { method: "DELETE" });
    const why = await messageOf(response);
    return response.ok || response.status === 404 ? undefined : why;
  }

  /** One GET, whatever its status. The body may go on for ever when `signal` is given; otherwise the answer must come within 10 s.
   *  @throws {UserError} unavailable: nothing answers */
  get(path: string, signal?: AbortSignal): Promise<Response> {
    return this.#request(path, signal, {});
  }

  async #request(path: string, signal: AbortSignal | undefined, request: RequestInit): Promise<Response> {
    const { base, socketPath, tls } = this.endpoint;
    const limit = signal ?? AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    // Bun ends a response that is silent for six minutes unless told otherwise (seen on 1.4.5); the type does not know the option.
    const init: BunFetchRequestInit & { timeout: false } = { ...request, signal: limit, timeout: false, ...(tls ? { tls } : {}) };
    try {
      return await fetch(base + path, socketPath === undefined ? init : { ...init, unix: socketPath });
    } catch (thrown) {
      if (signal?.aborted) throw thrown;
      const late = limit.aborted ? ` within ${ANSWER_TIMEOUT_MS / 1000} s` : "";
      throw new UserError(
        "unavailable",
        `Docker does not answer at ${this.endpoint.text}${late}`,
        "start Docker, or give a network namespace or a PID instead of a container",
        { cause: thrown },
      );
    }
  }

  async #answer(response: Response, what: string): Promise<unknown> {
    if (!response.ok) {
      throw new UserError("unavailable", `Docker cannot ${what}: ${await messageOf(response)} (HTTP ${response.status})`);
    }
    try {
      return await response.json();
    } catch (thrown) {
      throw new UserError("unavailable", `Docker's answer to '${what}' cannot be read: ${errorText(thrown)}`, "", {
        cause: thrown,
      });
    }
  }
}

/** Docker's own words about an error. */
async function messageOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && "message" in body && typeof body.message === "string") return body.message;
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) throw thrown;
  }
  return text.trim().slice(0, 200) || "no reason given";
}

function ambiguous(word: string): UserError {
  return new UserError("conflict", `'${word}' fits several containers`, "give more digits of the id, or the name");
}
