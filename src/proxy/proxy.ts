// SPDX-License-Identifier: Apache-2.0
// Docker's API for clients that want their containers on the network: which of their calls are changed, and how.
import type { AttachmentView } from "../attach/attacher.ts";
import type { ImageConfig } from "../docker/details.ts";
import type { Log } from "../runtime/log.ts";
import type { Interception } from "./connection.ts";
import { type CreateRules, mountWaiter, type NameServer, planCreate } from "./create.ts";
import type { RequestHead } from "./head.ts";
import { rewriteInspect } from "./inspect.ts";
import { JsonText } from "./json-text.ts";
import { callOf, waiterFolderOf } from "./rules.ts";
import type { Starts, StartsPorts } from "./starts.ts";

export interface ProxyOptions extends CreateRules {
  readonly rewriteInspect: boolean;
}
export interface ProxyPorts {
  readonly starts: Starts;
  details: StartsPorts["details"];
  /** undefined: Docker does not have it. */
  image(name: string): Promise<ImageConfig | undefined>;
  attachment(id: string): AttachmentView | undefined;
  /** undefined: containers are not to ask us for names. */
  nameServer(): NameServer | undefined;
  readonly log: Log;
}

export class DockerProxy {
  readonly #options: ProxyOptions;
  readonly #ports: ProxyPorts;

  constructor(options: ProxyOptions, ports: ProxyPorts) {
    this.#options = options;
    this.#ports = ports;
  }

  /** undefined: the call passes as it is. */
  intercept(head: Pick<RequestHead, "method" | "target">): Interception | undefined {
    const call = callOf(head);
    switch (call?.kind) {
      case undefined:
        return undefined;
      case "create":
        return { changeRequest: (body) => this.#create(call.name, body) };
      case "start":
      case "restart":
        return this.#start(call.container);
      case "exec":
        return { before: () => this.#ports.starts.settle(call.container) };
      case "inspect":
        return this.#options.rewriteInspect ? { changeAnswer: (answer) => this.#inspect(answer) } : undefined;
      default:
        return call satisfies never;
    }
  }

  async #create(name: string, text: string): Promise<string | undefined> {
    const body = readObject(text);
    if (!body) return undefined;
    const imageName = body.get("Image");
    const image = typeof imageName === "string" && imageName !== "" ? await this.#ports.image(imageName) : undefined;
    if (!image) return undefined; // Docker says so, and its client fetches it and asks again
    const before = body.text;
    for (const warning of planCreate(body, name, image, this.#ports.nameServer(), this.#options)) {
      this.#ports.log.warn("container is created without a name", { container: name, reason: warning });
    }
    return body.text === before ? undefined : body.text;
  }

  #start(word: string): Interception {
    let awaited: Disposable | undefined;
    let id: string | undefined;
    return {
      changeRequest: async (text) => {
        const details = await this.#ports.details(word);
        const place = details && waiterFolderOf(details.entrypoint);
        if (!details || place === undefined) return undefined;
        const changed = this.#withHostConfig(text, place);
        id = details.id;
        awaited = this.#ports.starts.await(id);
        return changed;
      },
      answered: async (status) => {
        if (id !== undefined && (status === 204 || status === 304)) await this.#ports.starts.started(id);
      },
      over: () => awaited?.[Symbol.dispose](),
    };
  }

  /** Old clients send the host configuration again when they start; it would replace the one we made. */
  #withHostConfig(text: string, place: string): string | undefined {
    const body = readObject(text);
    if (!body) return undefined;
    const nested = body.get("HostConfig");
    if (nested === null) return undefined;
    const host = typeof nested === "object" ? ["HostConfig"] : [];
    const fields = body.get(...host);
    if (typeof fields !== "object" || fields === null || Object.keys(fields).length === 0) return undefined;
    mountWaiter(body, this.#options.waiterFolder, place, host);
    const names = this.#ports.nameServer();
    const servers = body.get(...host, "Dns");
    if (names) body.set([...host, "Dns"], [...(Array.isArray(servers) ? servers : []), names.address]);
    return body.text;
  }

  async #inspect(answer: string): Promise<string | undefined> {
    const id = readObject(answer)?.get("Id");
    if (typeof id !== "string") return undefined;
    await this.#ports.starts.settle(id);
    const attachment = this.#ports.attachment(id);
    return attachment && rewriteInspect(answer, attachment);
  }
}

/** undefined: it is none, which is Docker's to complain about. */
function readObject(text: string): JsonText | undefined {
  try {
    return new JsonText(text);
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return undefined;
    throw thrown;
  }
}
