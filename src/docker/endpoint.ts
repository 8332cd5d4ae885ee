// SPDX-License-Identifier: Apache-2.0
// Where Docker's API is, as `--docker-api` and DOCKER_HOST write it.
import { UserError } from "../runtime/errors.ts";

export interface DockerEndpoint {
  /** As shown to people. */
  readonly text: string;
  /** Path of the socket; undefined for TCP. */
  readonly socketPath: string | undefined;
  /** Beginning of every URL, without a slash at its end. */
  readonly base: string;
  /** undefined: it is not encrypted. */
  readonly tls?: DockerTls;
}
/** What both ends show each other, in PEM. */
export interface DockerTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export const DEFAULT_DOCKER_ENDPOINT = "unix:///var/run/docker.sock";

/** Reads `unix:///path`, `/path`, `tcp://host:port` or `host:port`; with `tls` also `https://host:port`. @throws {UserError} bad-request */
export function parseDockerEndpoint(text: string, tls?: DockerTls): DockerEndpoint {
  const path = /^(?:unix:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { text: `unix://${path}`, socketPath: path, base: "http://docker" };
  const address = /^(?:tcp:\/\/|https?:\/\/)?([^/\s:]+|\[[0-9a-f:.]+\]):(\d{1,5})\/?$/i.exec(text);
  const port = Number(address?.[2]);
  if (address && port >= 1 && port <= 65_535 && (tls || !/^https:/i.test(text))) {
    const place = `${address[1]}:${port}`;
    const common = { text: `tcp://${place}`, socketPath: undefined };
    return tls ? { ...common, base: `https://${place}`, tls } : { ...common, base: `http://${place}` };
  }
  throw new UserError(
    "bad-request",
    `'${text}' is not an address of Docker's API`,
    `write it as ${DEFAULT_DOCKER_ENDPOINT} or tcp://127.0.0.1:2375`,
  );
}
