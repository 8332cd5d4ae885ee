// SPDX-License-Identifier: Apache-2.0
// Certificates of the proxy's TCP addresses, and those with which we speak to Docker at one.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DockerTls } from "../docker/endpoint.ts";
import { fileErrorText, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { ProxyTls } from "./listen.ts";

export interface TlsConfig {
  readonly tls: boolean;
  readonly tlsverify: boolean;
  readonly tlscacert: string;
  readonly tlscert: string;
  readonly tlskey: string;
  readonly noDetectTls: boolean;
  readonly dockerTlsVerify: boolean;
  /** Folder of `ca.pem`, `cert.pem`, `key.pem`. */
  readonly dockerCertPath: string;
  readonly dockerApi: string;
}

/** undefined: Docker is spoken to in clear. @throws {UserError} a file cannot be read */
export function dockerTls({ dockerApi, dockerTlsVerify, dockerCertPath }: TlsConfig): DockerTls | undefined {
  const isSocket = /^(unix:\/\/)?\//.test(dockerApi);
  if (isSocket || !(dockerTlsVerify || /^https:/i.test(dockerApi))) return undefined;
  const read = (name: string): string => readPem(join(dockerCertPath, name), "for Docker's API");
  return { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") };
}

/** undefined: the proxy speaks in clear. Without flags of its own it does as the Docker daemon of this host does.
 *  @throws {UserError} a file cannot be read */
export function proxyTls(
  config: TlsConfig,
  log: Log,
  dockerFlags: () => ReadonlyMap<string, string> | undefined,
): ProxyTls | undefined {
  let flags: ReadonlyMap<string, string> = new Map();
  const isAsked = config.tls || config.tlsverify;
  if (!isAsked && !config.noDetectTls) {
    const found = dockerFlags();
    if (!found) log.warn("no Docker daemon runs here whose TLS flags could be taken over", { hint: "--no-detect-tls" });
    flags = found ?? flags;
  }
  const isOn = (name: string): boolean => flags.has(name) && !/^(0|f|false)$/i.test(flags.get(name) ?? "");
  const verifies = config.tlsverify || (!isAsked && isOn("tlsverify"));
  if (!isAsked && !verifies && !isOn("tls")) return undefined;
  const path = (own: string, flag: string, name: string): string => own || flags.get(flag) || join(config.dockerCertPath, name);
  const read = (place: string): string => readPem(place, "for the Docker proxy");
  return {
    cert: read(path(config.tlscert, "tlscert", "cert.pem")),
    key: read(path(config.tlskey, "tlskey", "key.pem")),
    clientCa: verifies ? read(path(config.tlscacert, "tlscacert", "ca.pem")) : undefined,
  };
}

function readPem(path: string, what: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    throw new UserError(
      "bad-request",
      `cannot read the certificate '${path}' ${what}: ${fileErrorText(thrown)}`,
      "see --docker-cert-path, --tlscacert, --tlscert and --tlskey",
      { cause: thrown },
    );
  }
}
