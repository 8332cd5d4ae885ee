// SPDX-License-Identifier: Apache-2.0
// The service: does the daemon run, would it start, is its compiler working, what does it complain of itself.
import { readFileSync } from "node:fs";
import { checkSleevePort } from "../host/sleeve-port.ts";
import { isSystemdBooted, isUnitInstalled, unitLog, unitProperty, unitState } from "../host/systemd.ts";
import { checkListen } from "../host/tcp-listen.ts";
import { UserError } from "../runtime/errors.ts";
import type { Check, Patient } from "./examine.ts";
import { bad, type Finding, ok, unknown } from "./finding.ts";

const UNIT = "weave.service";
/** How the daemon's line begins when it refuses to start. */
const REFUSAL = "weave daemon: ";
const LOG_LINES = 10;
const LOG = "journalctl -u weave, or /run/weave/daemon.log where it was started without systemd";

export const service: Check = {
  id: "service",
  async look({ daemon, version, links, config }) {
    switch (daemon.state) {
      case "running":
        return [running(daemon.status, version)];
      case "denied":
        return [unknown("service", "no permission to ask the daemon", "run it as root, or as a member of the group 'weave'")];
      case "silent":
        return [bad("service", "error", "the daemon does not answer", `see ${LOG}; 'weave stop' ends it`)];
      case "absent": {
        const goesOn = links.get(config.weaveBridge) !== undefined;
        const network = goesOn ? "; the network goes on forwarding as it was left" : "";
        return [bad("service", "error", `the daemon does not run${await unitWords()}${network}`, await howToStart())];
      }
      default:
        return daemon satisfies never;
    }
  },
};

function running({ version: theirs, ready, pid }: { version: string; ready: boolean; pid: number }, ours: string): Finding {
  if (!ready) return bad("service", "warning", `the daemon (pid ${pid}) is not ready yet`, `see ${LOG}`);
  if (theirs === ours) return ok("service", `the daemon runs: version ${theirs}, pid ${pid}`);
  const fix = "restart it with 'systemctl restart weave'; the network goes on meanwhile";
  return bad("service", "warning", `the daemon runs version ${theirs}, this command is ${ours}`, fix);
}

async function unitWords(): Promise<string> {
  if (!isSystemdBooted() || !isUnitInstalled(UNIT)) return "";
  const { active } = await unitState(UNIT);
  const lines = active === "inactive" ? [] : await unitLog(UNIT, LOG_LINES);
  const last = lines.findLast((line) => line.startsWith(REFUSAL)) ?? lines.at(-1); // systemd has its say after each end
  return `: ${UNIT} is ${active}${last === undefined ? "" : `, it last said '${last}'`}`;
}

async function howToStart(): Promise<string> {
  if (!isSystemdBooted() || !isUnitInstalled(UNIT)) return "weave launch";
  return (await unitState(UNIT)).active === "failed" ? `see ${LOG}; then systemctl restart weave` : "systemctl start weave";
}

export const configuration: Check = {
  id: "configuration",
  look({ misconfigured, daemon, config }) {
    if (misconfigured !== undefined) {
      const text = `the next start will fail: ${misconfigured.message}`;
      return [bad("configuration", daemon.state === "running" ? "warning" : "error", text, misconfigured.hint)];
    }
    return [ok("configuration", `it can be read; port ${config.port}, ${passwordWords(config)}`)];
  },
};

function passwordWords({ passwords }: Patient["config"]): string {
  return passwords.length === 0 ? "no password" : `${passwords.length} password${passwords.length === 1 ? "" : "s"}`;
}

/** Only while no daemon runs: then whoever has its port keeps it from starting. */
export const listening: Check = {
  id: "listen",
  look({ daemon, config: { host, port } }) {
    if (daemon.state !== "absent") return [];
    try {
      checkListen(host, port);
      checkSleevePort(host, port);
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown;
      return [bad("listen", "error", thrown.message, thrown.hint)];
    }
    return [ok("listen", `TCP and UDP port ${port} are free for the daemon`)];
  },
};

const NO_JIT = "the daemon's compiler cannot work, so it is many times slower";

/** The runtime compiles into memory that is writable and executable; when it may not have such memory it interprets and says nothing. */
export const jit: Check = {
  id: "jit",
  async look({ daemon }) {
    const fix = `take MemoryDenyWriteExecute out: systemctl edit weave; systemctl restart weave`;
    const isBooted = isSystemdBooted() && isUnitInstalled(UNIT);
    if (isBooted && (await unitProperty(UNIT, "MemoryDenyWriteExecute")) === "yes") {
      return [bad("jit", "warning", `${NO_JIT}: ${UNIT} has MemoryDenyWriteExecute=yes`, fix)];
    }
    if (daemon.state !== "running") return [unknown("jit", "the daemon does not run, or may not be asked")];
    if (hasCompilerMemory(daemon.status.pid)) return [ok("jit", "the daemon's compiler works")];
    const why = "it has no memory that is writable and executable";
    return [
      bad(
        "jit",
        "warning",
        `${NO_JIT}: ${why}`,
        "see what forbids it: a service manager, a container, SELinux; or BUN_JSC_useJIT",
      ),
    ];
  },
};

/** Anonymous memory with all three rights, proc_pid_maps(5). @throws it may not be seen */
function hasCompilerMemory(pid: number): boolean {
  return /^\S+ rwxp \S+ 00:00 0\s*$/m.test(readFileSync(`/proc/${pid}/maps`, "utf8"));
}

const ELSEWHERE = /^the host's firewall drops |^cloned identity/; // these have checks of their own

export const health: Check = {
  id: "health",
  look({ daemon }) {
    if (daemon.state !== "running") return [unknown("health", "the daemon does not run, or may not be asked")];
    const warnings = daemon.status.warnings.filter((warning) => !ELSEWHERE.test(warning));
    if (warnings.length === 0) return [ok("health", "the daemon has nothing to warn of")];
    return warnings.map((warning) => bad("health", "warning", warning, "see 'weave status'"));
  },
};
