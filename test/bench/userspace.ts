// SPDX-License-Identifier: Apache-2.0
// Other user-space networks from Debian, each between two hosts of a lab as its own manual sets two hosts up, encrypted, with the cipher it
// takes by itself. Only those that are installed.
import type { Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import type { Path } from "./netbench.ts";

export interface Userspace {
  readonly name: string;
  /** What has to be in the path of commands. */
  readonly programs: readonly string[];
  /** Files, then the command that runs in the foreground, of the first or second host. */
  setUp(host: Host, own: End, other: End): Promise<readonly string[]>;
  /** A link to which it gives no address itself. */
  readonly bareLink?: string;
}
/** One of the two hosts. */
export interface End {
  readonly isFirst: boolean;
  readonly underlay: string;
  readonly inside: string;
}

/** Below it each host has files of its own, because /run is its own. */
const ROOT = "/run/bench";
const INSIDE_BITS = 24;

async function write(host: Host, path: string, text: string, mode = "600"): Promise<void> {
  const script = `mkdir -p "$(dirname ${path})" && cat >${path} && chmod ${mode} ${path}`;
  await host.must(["sh", "-c", script], { stdin: text });
}
/** Keys are made once, on the first host, and taken from there: `tar` of everything below ROOT. */
async function copyAll(from: Host, to: Host): Promise<void> {
  const packed = await from.must(["sh", "-c", `tar -C ${ROOT} -cf - . | base64`]);
  await to.must(["sh", "-c", `mkdir -p ${ROOT} && base64 -d | tar -C ${ROOT} -xf -`], { stdin: packed });
}
function nameOf({ isFirst }: End): "a" | "b" {
  return isFirst ? "a" : "b";
}
function otherHost(host: Host): Host {
  const other = host.lab.hosts.find(({ name }) => name !== host.name && name.slice(0, -1) === host.name.slice(0, -1));
  if (other === undefined) throw new Error(`'${host.name}' is not one of a pair`);
  return other;
}

const tinc: Userspace = {
  name: "tinc 1.0",
  programs: ["tincd"],
  async setUp(host, own, other) {
    if (own.isFirst) {
      for (const end of [own, other]) {
        const directory = `${ROOT}/${nameOf(end)}`;
        await write(host, `${directory}/tinc.conf`, `Name = ${nameOf(end)}\nMode = switch\nInterface = tinc0\n`);
        await write(host, `${directory}/hosts/${nameOf(end)}`, `Address = ${end.underlay}\n`);
        await write(
          host,
          `${directory}/tinc-up`,
          `#!/bin/sh\nip address add ${end.inside}/${INSIDE_BITS} dev tinc0\nip link set tinc0 up\n`,
          "700",
        );
        await host.must(["tincd", "-c", directory, "-K2048"]);
      }
      await host.must([
        "sh",
        "-c",
        `cd ${ROOT} && cp a/hosts/a b/hosts/ && cp b/hosts/b a/hosts/ && echo 'ConnectTo = b' >>a/tinc.conf`,
      ]);
    } else await copyAll(otherHost(host), host);
    return ["tincd", "-c", `${ROOT}/${nameOf(own)}`, "-D", "--pidfile=/run/bench/tinc.pid"];
  },
};

const nebula: Userspace = {
  name: "nebula",
  programs: ["nebula", "nebula-cert"],
  async setUp(host, own, other) {
    if (own.isFirst) {
      await host.must(["mkdir", "-p", ROOT]);
      const sign = [own, other].map((end) => `nebula-cert sign -name ${nameOf(end)} -ip ${end.inside}/${INSIDE_BITS}`);
      await host.must(["sh", "-c", [`cd ${ROOT}`, "nebula-cert ca -name bench", ...sign].join(" && ")]);
    } else await copyAll(otherHost(host), host);
    const all = "[{ port: any, proto: any, host: any }]";
    const config = `
pki: { ca: ${ROOT}/ca.crt, cert: ${ROOT}/${nameOf(own)}.crt, key: ${ROOT}/${nameOf(own)}.key }
static_host_map: { "${other.inside}": ["${other.underlay}:4242"] }
lighthouse: { am_lighthouse: false, hosts: [] }
listen: { host: 0.0.0.0, port: 4242 }
tun: { dev: nebula0, mtu: 1420 }
firewall: { outbound: ${all}, inbound: ${all} }
`;
    await write(host, `${ROOT}/config.yml`, config);
    return ["nebula", "-config", `${ROOT}/config.yml`];
  },
};

const fastd: Userspace = {
  name: "fastd, salsa2012+umac",
  programs: ["fastd"],
  bareLink: "fastd0",
  async setUp(host, own, other) {
    if (own.isFirst) {
      const keys = `mkdir -p ${ROOT} && cd ${ROOT} && for it in a b; do fastd --machine-readable --generate-key >$it.secret; done && for it in a b; do echo "secret \\"$(cat $it.secret)\\";" | fastd --machine-readable --show-key -c - >$it.public; done`;
      await host.must(["sh", "-c", keys]);
    } else await copyAll(otherHost(host), host);
    const secret = (await host.must(["cat", `${ROOT}/${nameOf(own)}.secret`])).trim();
    const key = (await host.must(["cat", `${ROOT}/${nameOf(other)}.public`])).trim();
    // Only the second one dials: when both do at once, each ends up with the session of its own handshake and does not understand the other.
    const remote = own.isFirst ? "" : `remote ${other.underlay} port 10000;`;
    const config = `
mode tap;
drop capabilities no;
interface "fastd0";
method "salsa2012+umac";
mtu 1406;
bind ${own.underlay}:10000;
secret "${secret}";
peer "other" { key "${key}"; ${remote} }
`;
    await write(host, `${ROOT}/fastd.conf`, config);
    return ["fastd", "-c", `${ROOT}/fastd.conf`];
  },
};

const openvpn: Userspace = {
  name: "OpenVPN, AES-256-GCM",
  programs: ["openvpn", "openssl"],
  async setUp(host, own, other) {
    if (own.isFirst) {
      const certificate = (name: string) =>
        `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ${name}.key -out ${name}.crt -days 2 -subj /CN=${name} 2>&1`;
      await host.must(["sh", "-c", `mkdir -p ${ROOT} && cd ${ROOT} && ${certificate("a")} && ${certificate("b")}`]);
    } else await copyAll(otherHost(host), host);
    const shown = await host.must([
      "openssl",
      "x509",
      "-fingerprint",
      "-sha256",
      "-noout",
      "-in",
      `${ROOT}/${nameOf(other)}.crt`,
    ]);
    const fingerprint = shown.trim().split("=").at(-1) ?? "";
    const role = own.isFirst ? ["--tls-server", "--dh", "none"] : ["--tls-client"];
    return [
      "openvpn",
      ...["--dev", "tun0", "--dev-type", "tun", "--proto", "udp", "--port", "1194", "--remote", other.underlay],
      ...["--ifconfig", own.inside, other.inside, ...role, "--data-ciphers", "AES-256-GCM", "--disable-dco"],
      ...["--cert", `${ROOT}/${nameOf(own)}.crt`, "--key", `${ROOT}/${nameOf(own)}.key`, "--peer-fingerprint", fingerprint],
    ];
  },
};

export const USERSPACE: readonly Userspace[] = [tinc, nebula, fastd, openvpn];

/** Why it cannot be measured here; undefined: it can. */
export function missing({ programs }: Userspace): string | undefined {
  const absent = programs.filter((program) => Bun.which(program, { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` }) === null);
  return absent.length === 0 ? undefined : `${absent.join(", ")} not installed: bash packaging/setup.sh bench`;
}

/** Starts it on both hosts and waits until they reach each other through it. @throws {Error} they do not; it is stopped again */
export async function userspacePath(of: Userspace, hosts: readonly [Host, Host], ends: readonly [End, End]): Promise<Path> {
  const [from, to] = hosts;
  const [first, second] = ends;
  const commands = [await of.setUp(from, first, second), await of.setUp(to, second, first)] as const;
  await using undo = new AsyncDisposableStack();
  const running = [undo.use(from.background(commands[0])), undo.use(to.background(commands[1]))];
  const said = () => running.map(({ stdout, stderr }) => `${stdout}\n${stderr}`.trim().slice(-1_500)).join("\n---\n");
  const { bareLink } = of;
  if (bareLink !== undefined) {
    for (const [host, { inside }] of [
      [from, first],
      [to, second],
    ] as const) {
      const isUp = async () => (await host.run(["ip", "link", "set", bareLink, "up"])).code === 0;
      await waitFor(`link ${bareLink}`, isUp, { show: said });
      await host.must(["ip", "address", "add", `${inside}/${INSIDE_BITS}`, "dev", bareLink]);
    }
  }
  if (!(await from.reaches(second.inside, 15_000)))
    throw new Error(`no answer through it within 15 s; both ends said:\n${said()}`);
  undo.move();
  return { from, to, address: second.inside };
}
