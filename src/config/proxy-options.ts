// SPDX-License-Identifier: Apache-2.0
// Options of the Docker API proxy.
import { badValue, flagOption, listOption, textOption } from "./option.ts";
import { formatListenAddress, type ListenAddress, parseListenAddress, readPath } from "./values.ts";

/** `[tcp://][ip]:port` or `[unix://]/path` */
export function readProxyEndpoint(text: string): ListenAddress {
  const parsed = parseListenAddress(text);
  if (parsed) return parsed;
  return badValue("proxy-listen", text, "not an address to listen on", "write unix:///path or tcp://127.0.0.1:12375");
}

/** As Go writes regular expressions. */
export function readPatternText(text: string): string {
  try {
    new RegExp(text.replaceAll("(?P<", "(?<"), "u");
    return text;
  } catch {
    return badValue("hostname-match", text, "not a regular expression", "write for example ^prefix-(.*)$");
  }
}

const pem = (flag: string, doc: string) =>
  textOption<string>({ flag, hint: "PATH", default: "", doc, read: (text) => (text === "" ? "" : readPath(flag)(text)) });

export const PROXY_OPTIONS = {
  noProxy: flagOption({ flag: "no-proxy", doc: "no Docker API proxy on this host" }),
  proxyListen: listOption<ListenAddress>({
    flag: "proxy-listen",
    hint: "ENDPOINT",
    doc: "where Docker's clients reach the proxy: [unix://]/path or [tcp://][IP]:PORT, any number; also -H; without it unix:///run/weave/weave.sock",
    read: readProxyEndpoint,
    write: formatListenAddress,
  }),
  hostnameFromLabel: textOption<string>({
    flag: "hostname-from-label",
    hint: "KEY",
    default: "",
    doc: "containers of the proxy are called by the value of this label, if they have it",
    read: (text) => text,
  }),
  hostnameMatch: textOption<string>({
    flag: "hostname-match",
    hint: "REGEXP",
    default: "(.*)",
    doc: "what of a container's name --hostname-replacement replaces",
    read: readPatternText,
  }),
  hostnameReplacement: textOption<string>({
    flag: "hostname-replacement",
    hint: "TEXT",
    default: "$1",
    doc: "what matches --hostname-match becomes this in the host name; $1 stands for its first group",
    read: (text) => text,
  }),
  rewriteInspect: flagOption({
    flag: "rewrite-inspect",
    doc: "docker inspect through the proxy shows the address on the network",
  }),
  noDefaultIpalloc: flagOption({
    flag: "no-default-ipalloc",
    doc: "containers of the proxy get an address only when WEAVE_CIDR asks for one",
  }),
  noRewriteHosts: flagOption({ flag: "no-rewrite-hosts", doc: "leave /etc/hosts of the proxy's containers as Docker makes it" }),
  noMulticastRoute: flagOption({ flag: "no-multicast-route", doc: "no route for multicast in the proxy's containers" }),
  withoutDns: flagOption({
    flag: "without-dns",
    doc: "the proxy's containers ask Docker's name servers, and are not known by name",
  }),
  tls: flagOption({ flag: "tls", doc: "the proxy's TCP addresses are encrypted" }),
  tlsverify: flagOption({ flag: "tlsverify", doc: "the same, and clients must show a certificate" }),
  tlscacert: pem("tlscacert", "authority of the clients' certificates, PEM"),
  tlscert: pem("tlscert", "the proxy's certificate, PEM"),
  tlskey: pem("tlskey", "the proxy's key, PEM"),
  dockerTlsVerify: flagOption({
    flag: "docker-tls-verify",
    env: "DOCKER_TLS_VERIFY",
    doc: "Docker's API at a TCP address is encrypted; it and weave show certificates to each other",
  }),
  dockerCertPath: textOption<string>({
    flag: "docker-cert-path",
    hint: "PATH",
    env: "DOCKER_CERT_PATH",
    default: "/root/.docker",
    doc: "folder of ca.pem, cert.pem and key.pem for TLS with Docker and, when nothing else is given, of the proxy",
    read: readPath("docker-cert-path"),
  }),
  noDetectTls: flagOption({ flag: "no-detect-tls", doc: "do not take over the TLS flags of the Docker daemon that runs here" }),
} as const;
