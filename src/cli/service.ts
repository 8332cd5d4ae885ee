// SPDX-License-Identifier: Apache-2.0
// The daemon as a service of this host: is it there, start it, stop it. Through systemd where that is the first process and has our unit,
// otherwise as a detached process.
import { ApiClient, Unreachable } from "../api/client.ts";
import { API_SOCKET } from "../api/listen.ts";
import type { Health } from "../api/status.ts";
import type { DaemonConfig } from "../config/load.ts";
import { OPTIONS } from "../config/options.ts";
import { isRunning, listenerOf, type ProcessRef, selfCommand, signalProcess, startDetached } from "../host/process.ts";
import { isSystemdBooted, isUnitInstalled, startUnit, stopUnit, unitLog, unitProperty, unitState } from "../host/systemd.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import type { Cli } from "./context.ts";
import { until } from "./wait.ts";

export const UNIT = "weave.service";
export const LOG_PATH = "/run/weave/daemon.log";

const POLL_MS = 20;
/** Time a daemon has to get ready. */
export const READY_LIMIT_MS = 60_000;
/** Time the daemon has to end by itself, as `docker stop` gives. */
const STOP_LIMIT_MS = 10_000;
const ASK_LIMIT_MS = 3_000;
const SHOWN_LINES = 10;

/** For the runtime in the executable, which reads it before any of our code runs; the unit file says the same.
 *
 *  An idle daemon would spend most of its time on the first two: garbage collected every second (it is collected as it grows, by the runtime and by
 *  the daemon), and holes in the heap given back to the kernel after every turn of the loop (now every 10 s at most). Together 0.44 % of a core
 *  before, 0.2 % after; 2 MB more are held. The third keeps a collection of these few megabytes on one thread: others would be started for each.
 *
 *  The others say when code is hot enough to be compiled and optimised, which by default is soon. That costs a daemon more than it brings: 20 of them
 *  spent 5.5 to 6.7 s of user time to become a full mesh, and now 3.3 to 3.5. The sleeve's loops run so often that they are optimised all the same. */
export const RUNTIME_ENVIRONMENT = {
  BUN_GC_TIMER_DISABLE: "1",
  MIMALLOC_PURGE_HOLES_MIN_INTERVAL: "10000",
  BUN_JSC_numberOfGCMarkers: "1",
  BUN_JSC_thresholdForJITSoon: "1000",
  BUN_JSC_thresholdForJITAfterWarmUp: "5000",
  BUN_JSC_thresholdForOptimizeSoon: "100000",
  BUN_JSC_thresholdForOptimizeAfterWarmUp: "100000",
  BUN_JSC_thresholdForOptimizeAfterLongWarmUp: "100000",
} as const;

/** This host's daemon, wherever other commands are told to go. */
export function localClient(): ApiClient {
  return new ApiClient({ kind: "unix", path: API_SOCKET });
}

/** undefined: none is running. @throws {Unreachable} one is, and does not answer or may not be asked */
export async function runningDaemon(client: ApiClient = localClient()): Promise<Health | undefined> {
  try {
    return await client.call("health", {}, { limitMs: ASK_LIMIT_MS });
  } catch (thrown) {
    if (thrown instanceof Unreachable && thrown.why === "absent") return undefined;
    throw thrown;
  }
}

/** Starts the daemon and waits until it is ready. @throws {StillStarting} it is not, so far @throws {UserError} it ended, or could not be started */
export async function startDaemon(cli: Cli, config: DaemonConfig): Promise<Health> {
  if (!usesSystemd()) return await startByOurselves(cli, config);
  if (config.dataDir !== OPTIONS.dataDir.default) {
    throw new UserError(
      "conflict",
      `cannot use --data-dir '${config.dataDir}': the daemon is started by ${UNIT}`,
      "put WEAVE_DATA_DIR into the unit's environment with 'systemctl edit weave', and start it with systemctl",
    );
  }
  const failure = await startUnit(UNIT);
  if (failure !== undefined) {
    await stopUnit(UNIT); // or it would be tried again and again
    throw await didNotStart(cli, failure.replaceAll(/\s*\n\s*/g, " "), await unitLog(UNIT, SHOWN_LINES), `journalctl -u ${UNIT}`);
  }
  const health = await untilReady(cli, () => undefined, `journalctl -u ${UNIT}`);
  if ((await unitProperty(UNIT, "UnitFileState")) === "disabled")
    cli.err("weave launch: it is not started at the next boot; for that: systemctl enable weave\n");
  return health;
}

function usesSystemd(): boolean {
  return isSystemdBooted() && isUnitInstalled(UNIT);
}

async function startByOurselves(cli: Cli, { dataDir }: DaemonConfig): Promise<Health> {
  // Options, passwords among them, reach the daemon by launch.json: other users can read command lines and root's can read environments.
  const command = [...selfCommand(), "daemon", "--data-dir", dataDir];
  const { PATH = "/usr/sbin:/usr/bin:/sbin:/bin", TZ } = cli.env;
  const env = { PATH, ...(TZ === undefined ? {} : { TZ }), ...RUNTIME_ENVIRONMENT };
  const started = startDetached(command, { logPath: LOG_PATH, env });
  const died = () => {
    const how = started.ended();
    return how === undefined ? undefined : didNotStart(cli, how, started.lastLines(SHOWN_LINES), LOG_PATH);
  };
  return await untilReady(cli, died, LOG_PATH);
}

async function untilReady(cli: Cli, died: () => UserError | undefined, log: string): Promise<Health> {
  const client = localClient();
  const outcome = await until(cli.clock, { everyMs: POLL_MS, limitMs: READY_LIMIT_MS }, async () => {
    const error = died();
    if (error !== undefined) return { error };
    const health = await client.call("health", {}, { limitMs: ASK_LIMIT_MS }).catch(unlessUnreachable);
    return health?.ready ? { health } : undefined;
  });
  if (outcome?.health !== undefined) return outcome.health;
  if (outcome?.error !== undefined) throw outcome.error;
  const seconds = READY_LIMIT_MS / 1000;
  throw new StillStarting("unavailable", `the daemon is not ready after ${seconds} s; it goes on trying`, `see ${log}`);
}

function unlessUnreachable(thrown: unknown): undefined {
  if (!(thrown instanceof Unreachable)) throw thrown;
}

/** The daemon runs, and may get ready later. */
export class StillStarting extends UserError {}

/** How the daemon's line begins when it refuses to start. */
const REFUSAL = "weave daemon: ";

/** In the daemon's own words when it refused; otherwise after the end of its log. */
function didNotStart(cli: Cli, how: string, lines: readonly string[], log: string): UserError {
  const refusal = lines.findLast((line) => line.startsWith(REFUSAL));
  if (refusal !== undefined) return new UserError("unavailable", refusal.slice(REFUSAL.length));
  for (const line of lines) cli.err(`${line}\n`);
  return new UserError("unavailable", `the daemon ended while starting: ${how}`, `see ${log}`);
}

/** Ends the daemon and waits until it is gone; the network goes on forwarding. False: none was running. */
export async function stopDaemon(cli: Cli): Promise<boolean> {
  if (usesSystemd()) {
    const { active } = await unitState(UNIT);
    if (active !== "inactive" && active !== "failed") {
      const failure = await stopUnit(UNIT);
      if (failure !== undefined)
        throw new UserError("unavailable", `cannot stop ${UNIT}: ${failure}`, `see journalctl -u ${UNIT}`);
      return true;
    }
  }
  const daemon = listenerOf(API_SOCKET); // also one that somebody started in the foreground
  if (daemon === undefined) return false;
  if (await endWith(cli, daemon, "SIGTERM")) return true;
  cli.err(`weave: the daemon (pid ${daemon.pid}) does not end by itself, killing it\n`);
  if (await endWith(cli, daemon, "SIGKILL")) return true;
  throw new UserError(
    "unavailable",
    `the daemon (pid ${daemon.pid}) cannot be killed`,
    "the kernel holds it; see its stack in /proc",
  );
}

async function endWith(cli: Cli, daemon: ProcessRef, signal: "SIGTERM" | "SIGKILL"): Promise<boolean> {
  try {
    signalProcess(daemon, signal);
  } catch (thrown) {
    throw new UserError("forbidden", `cannot stop the daemon (pid ${daemon.pid}): ${errorText(thrown)}`, "run as root", {
      cause: thrown,
    });
  }
  const gone = () => (isRunning(daemon) ? undefined : true);
  return (await until(cli.clock, { everyMs: POLL_MS, limitMs: STOP_LIMIT_MS }, gone)) === true;
}
