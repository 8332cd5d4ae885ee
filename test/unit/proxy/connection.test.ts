// SPDX-License-Identifier: Apache-2.0
// Bytes between a client and Docker over real sockets, with a Docker that answers as each test says.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDockerEndpoint } from "../../../src/docker/endpoint.ts";
import type { Interception } from "../../../src/proxy/connection.ts";
import type { RequestHead } from "../../../src/proxy/head.ts";
import { type ProxyEndpoint, ProxyListeners } from "../../../src/proxy/listen.ts";
import { connectDocker } from "../../../src/proxy/upstream.ts";
import { type Clock, systemClock } from "../../../src/runtime/clock.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { VirtualTime } from "../../sim/harness/virtual-clock.ts";
import { waitFor } from "../../support/wait.ts";

let owned: AsyncDisposableStack;
afterEach(async () => await owned.disposeAsync());

interface End {
  readonly socket: Socket;
  /** All it was sent so far. */
  text(): string;
  ended(): boolean;
  closed(): boolean;
}
function end(socket: Socket): End {
  const parts: Buffer[] = [];
  let [ended, closed] = [false, false];
  socket.on("data", (data) => void parts.push(Buffer.from(data)));
  socket.on("end", () => {
    ended = true;
  });
  socket.on("close", () => {
    closed = true;
  });
  socket.on("error", () => {});
  return { socket, text: () => Buffer.concat(parts).toString("latin1"), ended: () => ended, closed: () => closed };
}

interface Setup {
  client(): Promise<End>;
  /** Docker's ends, one for each connection of the proxy to it. */
  readonly docker: readonly End[];
}
async function start(
  answer: (docker: End) => void,
  intercept: (head: RequestHead) => Interception | undefined = () => undefined,
  { clock = systemClock, connectionsMax }: { readonly clock?: Clock; readonly connectionsMax?: number } = {},
): Promise<Setup> {
  owned = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "weave-proxy-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  const docker: End[] = [];
  const upstream: Server = createServer({ allowHalfOpen: true }, (socket) => {
    docker.push(end(socket));
    answer(docker.at(-1) as End);
  });
  await new Promise<void>((resolve) => upstream.listen(join(folder, "docker.sock"), resolve));
  owned.defer(() => {
    for (const { socket } of docker) socket.destroy();
    upstream.close();
  });
  const endpoint: ProxyEndpoint = { kind: "unix", path: join(folder, "proxy.sock") };
  const ports = {
    connect: () => connectDocker(parseDockerEndpoint(join(folder, "docker.sock")), systemClock),
    intercept,
    clock,
    log: silentLog,
  };
  owned.use(await ProxyListeners.open([endpoint], undefined, ports, connectionsMax));
  const client = async (): Promise<End> => {
    const socket = connect({ path: endpoint.path, allowHalfOpen: true });
    owned.defer(() => void socket.destroy());
    const made = end(socket);
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    return made;
  };
  return { client, docker };
}
const shows = (one: End, text: string): Promise<unknown> =>
  waitFor(`'${text.slice(0, 60)}'`, () => one.text() === text, { show: () => one.text().slice(0, 300) });
/** Answers each complete request without a body with its number. */
function numbers(docker: End): void {
  let answered = 0;
  docker.socket.on("data", () => {
    for (let have = docker.text().split("\r\n\r\n").length - 1; answered < have; answered++) {
      docker.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${answered}`);
    }
  });
}

test("several requests on one connection, also sent at once, byte for byte over one connection to Docker", async () => {
  const { client, docker } = await start(numbers);
  const one = await client();
  const request = "GET /x HTTP/1.1\r\nHOST: odd  \r\nx-A:b\r\n\r\n";
  one.socket.write(request + request);
  await waitFor("two answers", () => one.text().endsWith("1"));
  one.socket.write(request);
  const answer = (number: number): string => `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${number}`;
  await shows(one, answer(0) + answer(1) + answer(2));
  expect(docker.map((end) => end.text())).toEqual([request.repeat(3)]);
  one.socket.end();
  await waitFor("all to be closed", () => one.closed() && docker[0]?.ended());
});

test("a body waits for 100 Continue where Docker asks for it, and chunks pass as they are", async () => {
  const { client, docker } = await start((end) => {
    end.socket.once("data", () => end.socket.write("HTTP/1.1 100 Continue\r\n\r\n"));
    end.socket.on("data", () => {
      if (end.text().endsWith("0\r\nT: x\r\n\r\n"))
        end.socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n");
    });
  });
  const one = await client();
  const head = "POST /build HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
  one.socket.write(head);
  await shows(one, "HTTP/1.1 100 Continue\r\n\r\n");
  const body = `5\r\nhello\r\n${(200_000).toString(16)}\r\n${"z".repeat(200_000)}\r\n0\r\nT: x\r\n\r\n`;
  one.socket.write(body);
  await waitFor("the answer", () => one.text().endsWith("0\r\n\r\n"));
  expect(docker[0]?.text()).toBe(head + body);
  expect(one.text()).toEndWith("chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n");
});

test("an upgraded connection is two streams: half closed by the client, closed by Docker", async () => {
  const { client, docker } = await start((end) => {
    end.socket.once("data", () => end.socket.write("HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nfirst"));
  });
  const one = await client();
  const head = "POST /exec/x/start HTTP/1.1\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}";
  one.socket.write(`${head}early`); // what comes behind the request belongs to the stream
  await waitFor("the upgrade", () => one.text().endsWith("first"));
  one.socket.end("\0\x01 GET / HTTP/1.1");
  await waitFor("the client's end", () => docker[0]?.ended());
  expect(docker[0]?.text()).toBe(`${head}early\0\x01 GET / HTTP/1.1`);
  docker[0]?.socket.end("last");
  await waitFor("Docker's end", () => one.ended());
  expect(one.text()).toEndWith("firstlast");
  await waitFor("all to be closed", () => one.closed() && docker[0]?.closed());
});

test("an answer without length is a stream in both directions", async () => {
  const { client, docker } = await start((end) => {
    end.socket.once("data", () => end.socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"));
  });
  const one = await client();
  one.socket.write("POST /containers/x/attach HTTP/1.1\r\n\r\n");
  await waitFor("the answer", () => one.text().endsWith("\r\n\r\n"));
  one.socket.end("stdin");
  await waitFor("stdin and its end", () => docker[0]?.text().endsWith("stdin") && docker[0].ended());
  docker[0]?.socket.end("out");
  await waitFor("Docker's end", () => one.ended() && one.text().endsWith("out"));
});

test("who does not read makes the other side wait, in both directions", async () => {
  const size = 64_000_000;
  const { client, docker } = await start((end) => {
    end.socket.once("data", () => {
      end.socket.pause();
      end.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      end.socket.write(Buffer.alloc(size, "d"));
    });
  });
  const one = await client();
  one.socket.pause();
  one.socket.write(`POST /x HTTP/1.1\r\nContent-Length: ${size}\r\n\r\n`);
  one.socket.write(Buffer.alloc(size, "c"));
  const before = process.memoryUsage.rss();
  const [up, down] = [one.socket, () => docker[0]?.socket] as const;
  let last = "";
  // Both ends stop once the kernel's buffers and ours are full, long before everything has gone.
  await waitFor("both to stall", async () => {
    const now = `${up.bytesWritten - up.writableLength} ${(down()?.bytesWritten ?? 0) - (down()?.writableLength ?? 0)}`;
    const stalls = now === last && docker.length > 0;
    last = now;
    await Bun.sleep(100);
    return stalls;
  });
  expect(up.writableLength + (down()?.writableLength ?? 0)).toBeGreaterThan(1.8 * size);
  expect(process.memoryUsage.rss() - before).toBeLessThan(size);
  down()?.resume();
  one.socket.resume();
  await waitFor("everything to arrive", () => up.writableLength === 0 && one.text().length > size, {
    deadlineMs: 30_000,
    everyMs: 100,
  });
  await waitFor("everything to arrive at Docker", () => (docker[0]?.socket.bytesRead ?? 0) > size, {
    deadlineMs: 30_000,
    everyMs: 100,
  });
});

test("a client that goes away while Docker streams is told to Docker", async () => {
  const { client, docker } = await start((end) => {
    end.socket.once("data", () => end.socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"));
  });
  const one = await client();
  one.socket.write("GET /events HTTP/1.1\r\n\r\n");
  await waitFor("the first event", () => one.text().endsWith("a\r\n"));
  one.socket.destroy();
  await waitFor("Docker to hear of it", () => docker[0]?.ended());
});

test("a Docker that closes early is passed on: what it said, and the end", async () => {
  const { client } = await start((end) => {
    end.socket.once("data", () => end.socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"));
  });
  const one = await client();
  one.socket.write("PUT /containers/x/archive HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\nbegin");
  await waitFor("the end", () => one.ended());
  expect(one.text()).toEndWith("\r\n\r\nno");
});

test("what is no HTTP is refused in Docker's form and closed, and Docker does not see it", async () => {
  const { client, docker } = await start(numbers);
  for (const text of [
    "hello\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    `GET / HTTP/1.1\r\nA: ${"x".repeat(2_000_000)}`,
  ]) {
    const one = await client();
    one.socket.write(text);
    await waitFor("the refusal", () => one.ended());
    expect(one.text()).toMatch(
      /^HTTP\/1\.1 4\d\d [^\r]+\r\nContent-Type: application\/json\r\nConnection: close\r\nContent-Length: \d+\r\n\r\n\{"message":"weave proxy: .*"\}\n$/,
    );
  }
  expect(docker).toEqual([]);
});

test("a request and its answer are changed whole; a refusal of ours leaves the connection usable", async () => {
  const intercept = ({ target }: RequestHead): Interception | undefined => {
    if (target === "/change") return { changeRequest: async (body) => body.toUpperCase() };
    if (target === "/refuse") return { changeRequest: () => Promise.reject(new UserError("conflict", "no", "so what")) };
    if (target === "/hold") return { answered: () => Promise.reject(new UserError("unavailable", "not attached")) };
    if (target === "/answer") return { changeAnswer: async (body) => `${body}!` };
    return undefined;
  };
  const { client, docker } = await start((end) => {
    end.socket.on("data", () =>
      end.socket.write("HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    );
  }, intercept);
  const one = await client();
  const plain = "HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  const refusal = (status: string, message: string): string => {
    const body = `${JSON.stringify({ message })}\n`;
    return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  };
  one.socket.write("POST /change HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\nX-Y: z\r\n\r\n");
  await shows(one, "HTTP/1.1 100 Continue\r\n\r\n");
  one.socket.write("3\r\nabc\r\n0\r\n\r\n");
  let expected = `HTTP/1.1 100 Continue\r\n\r\n${plain}`;
  await shows(one, expected);
  one.socket.write("POST /refuse HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
  expected += refusal("409 Conflict", "weave: no; so what");
  await shows(one, expected);
  one.socket.write("POST /hold HTTP/1.1\r\n\r\n");
  expected += refusal("503 Service Unavailable", "weave: not attached");
  await shows(one, expected);
  one.socket.write("GET /answer HTTP/1.1\r\n\r\n");
  expected += "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 4\r\n\r\nabc!";
  await shows(one, expected);
  one.socket.write("GET /plain HTTP/1.1\r\n\r\n");
  expected += plain;
  await shows(one, expected);
  expect(docker.map((end) => end.text())).toEqual([
    "POST /change HTTP/1.1\r\nX-Y: z\r\nContent-Length: 3\r\n\r\nABCPOST /hold HTTP/1.1\r\n\r\nGET /answer HTTP/1.1\r\n\r\nGET /plain HTTP/1.1\r\n\r\n",
  ]);
});

test("without Docker the client hears where it was looked for", async () => {
  owned = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "weave-proxy-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "proxy.sock");
  const endpoint = parseDockerEndpoint("/nowhere/docker.sock");
  const ports = {
    connect: () => connectDocker(endpoint, systemClock),
    intercept: () => undefined,
    clock: systemClock,
    log: silentLog,
  };
  owned.use(await ProxyListeners.open([{ kind: "unix", path }], undefined, ports));
  const response = await fetch("http://docker/version", { unix: path });
  expect([response.status, await response.json()]).toEqual([
    502,
    { message: "weave proxy: Docker does not answer at unix:///nowhere/docker.sock; is it running?" },
  ]);
});

describe("clients that hold on", () => {
  const MINUTE_MS = 60_000;
  const virtual = (): { readonly clock: Clock; advance(ms: number): void } => {
    const time = new VirtualTime();
    const clock: Clock = { now: () => time.now(), wallMs: () => time.now(), after: (ms, fire) => time.after(ms, fire) };
    return { clock, advance: (ms) => time.runUntil(time.now() + ms) };
  };
  /** Has the proxy itself answered everything that came before this moment? */
  const settled = async (client: () => Promise<End>): Promise<void> => {
    const other = await client();
    other.socket.write("GET /settled HTTP/1.1\r\n\r\n");
    await waitFor("an answer to somebody else", () => other.text() !== "");
    other.socket.destroy();
  };

  test("one without a request is closed after ten minutes, one that has been answered too, one that listens is not", async () => {
    const { clock, advance } = virtual();
    const { client } = await start(numbers, undefined, { clock });
    const [silent, served] = [await client(), await client()];
    served.socket.write("GET /x HTTP/1.1\r\n\r\n");
    await waitFor("its answer", () => served.text().endsWith("0"));
    await settled(client);
    advance(9 * MINUTE_MS);
    await settled(client);
    expect([silent.ended(), served.ended()]).toEqual([false, false]);
    served.socket.write("GET /x HTTP/1.1\r\n\r\n");
    await waitFor("its second answer", () => served.text().endsWith("1"));
    advance(MINUTE_MS);
    await waitFor("the silent one to be closed", () => silent.ended());
    expect([silent.text(), served.ended()]).toEqual(["", false]);
    await settled(client);
    advance(10 * MINUTE_MS);
    await waitFor("the other one to be closed", () => served.ended());
  });

  test("streams may be silent for hours", async () => {
    const { clock, advance } = virtual();
    const { client, docker } = await start(
      (end) => {
        end.socket.on("data", () => {
          const upgrade = end.text().startsWith("POST") ? "101 UPGRADED\r\nUpgrade: tcp" : "200 OK\r\nTransfer-Encoding: chunked";
          if (end.text().endsWith("\r\n\r\n")) end.socket.write(`HTTP/1.1 ${upgrade}\r\n\r\n`);
        });
      },
      undefined,
      { clock },
    );
    const [events, attached] = [await client(), await client()];
    events.socket.write("GET /events HTTP/1.1\r\n\r\n");
    attached.socket.write("POST /containers/x/attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\n");
    await waitFor("both to be answered", () => events.text() !== "" && attached.text() !== "");
    advance(48 * 60 * MINUTE_MS);
    for (const { socket } of docker) socket.write("1\r\nx\r\n");
    await waitFor("news on both", () => [events, attached].every((one) => one.text().endsWith("x\r\n")));
    attached.socket.write("typed");
    await waitFor("what was typed", () => docker.some((end) => end.text().endsWith("typed")));
  });

  test("a head of a byte now and then is given up after a minute, a body that is read after five", async () => {
    const { clock, advance } = virtual();
    const change: Interception = { changeRequest: async (body) => body };
    const { client } = await start(numbers, ({ target }) => (target === "/change" ? change : undefined), { clock });
    const drip = async (begin: string, forMs: number): Promise<string> => {
      const one = await client();
      one.socket.write(begin);
      for (let spentMs = 0; spentMs <= forMs && !one.ended(); spentMs += 20_000) {
        await settled(client);
        one.socket.write("x");
        await settled(client);
        advance(20_000);
      }
      await waitFor("the end", () => one.ended());
      return /"message":"(.*)"/.exec(one.text())?.[1] ?? one.text();
    };
    expect(await drip("GET /x HTTP/1.1\r\nA: ", 60_000)).toBe("weave proxy: it was not complete after 60 s");
    const post = "POST /change HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
    expect(await drip(post, 300_000)).toBe("weave proxy: it was not complete after 300 s");
    const stopped = await client();
    stopped.socket.write(post);
    await settled(client);
    advance(30_000);
    await waitFor("the end", () => stopped.ended());
    expect(stopped.text()).toContain("408 Request Timeout");
    expect(stopped.text()).toContain("nothing more of the request came for 30 s");
  });

  test("whoever comes when all places are taken gets that of the one who has waited longest for nothing", async () => {
    const { clock, advance } = virtual();
    const { client } = await start(
      (end) => end.socket.on("data", () => end.socket.write("HTTP/1.1 200 OK\r\n\r\n")), // and goes on for ever
      undefined,
      { clock, connectionsMax: 2 },
    );
    const busy = async (): Promise<End> => {
      const one = await client();
      one.socket.write("GET /events HTTP/1.1\r\n\r\n");
      await waitFor("an answer", () => one.text() !== "");
      return one;
    };
    const [first, second] = [await busy(), await client()];
    advance(1000);
    const third = await busy();
    await waitFor("the idle one to go", () => second.ended() || second.closed());
    const fourth = await client();
    await waitFor("the refusal", () => fourth.ended() || fourth.closed());
    expect(fourth.text()).toContain("503 Service Unavailable");
    expect([first.ended(), third.ended()]).toEqual([false, false]);
  });
});
