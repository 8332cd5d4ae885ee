// SPDX-License-Identifier: Apache-2.0
// One HTTP operation as a value: where it is, how its request is read (by the server) and written (by the client), and the same for its
// answer. Both ends derive from it, so they cannot differ.

/** A request as it travels, already bounded and split. */
export interface RawRequest {
  /** Values of the `{name}` parts of the path. */
  readonly params: Readonly<Record<string, string>>;
  /** The query, and a form body when there is one. */
  readonly query: URLSearchParams;
  /** The JSON body; undefined when there is none. */
  readonly body: unknown;
  /** The Accept header. */
  readonly accept: string;
}

export interface Answer {
  readonly status: number;
  /** undefined: no body */
  readonly type: typeof TEXT | typeof METRICS | "application/json" | undefined;
  readonly body: string;
}

export interface Reply<Response> {
  /** Statuses besides 2xx that are an answer and no error. */
  readonly accepts?: readonly number[];
  write(response: Response): Answer;
  /** @throws {Error} the body is not what the contract says */
  read(answer: { readonly status: number; readonly body: string }): Response;
}

export interface Route<Request, Response> {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Parts are separated by `/`; `{name}` stands for one non-empty part. */
  readonly path: string;
  readonly doc: string;
  /** Also served by the status listener. */
  readonly readOnly: boolean;
  /** How refusals look: `{code, message, hint}`, or plain text on the paths that scripts of Weave Net users know. */
  readonly errors: "json" | "text";
  readonly reply: Reply<Response>;
  /** @throws {UserError} the request is malformed */
  parse(raw: RawRequest): Request;
  encode(request: Request): Partial<RawRequest>;
}

const METRICS = "text/plain; version=0.0.4; charset=utf-8";
const TEXT = "text/plain; charset=utf-8";

/** 200 with text as it is. */
export const textReply: Reply<string> = {
  write: (body) => ({ status: 200, type: TEXT, body }),
  read: ({ body }) => body,
};

/** Prometheus text; scrapers choose their parser by the version. */
export const metricsReply: Reply<string> = { ...textReply, write: (body) => ({ status: 200, type: METRICS, body }) };

export const noContentReply: Reply<undefined> = {
  write: () => ({ status: 204, type: undefined, body: "" }),
  read: () => undefined,
};

/** JSON objects; the reader trusts the daemon for the keys but not for the kind of thing. */
export function jsonReply<Response extends object>(): Reply<Response> {
  return {
    write: (response) => ({ status: 200, type: "application/json", body: `${JSON.stringify(response)}\n` }),
    read({ body }) {
      const value: unknown = JSON.parse(body);
      if (typeof value !== "object" || value === null) throw new Error("the daemon's answer is not a JSON object");
      return value as Response; // same build or same apiVersion on the other end
    },
  };
}

/** Text of the status pages: 503 with the same text until the daemon is ready. */
export interface StatusText {
  readonly ready: boolean;
  readonly text: string;
}
export const statusReply: Reply<StatusText> = {
  accepts: [503],
  write: ({ ready, text }) => ({ status: ready ? 200 : 503, type: TEXT, body: text }),
  read: ({ status, body }) => ({ ready: status === 200, text: body }),
};
