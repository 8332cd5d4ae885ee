// SPDX-License-Identifier: Apache-2.0
// `weave status connections`: `<dir> <address> <state> <info> <attributes>`, one line each, attributes sorted and separated by a space.
import type { ConnectionStatus, StatusModel } from "../status.ts";
import { arrow, attributesOf, isLive, peerText, timeText } from "./text.ts";

export function renderConnections({ router }: StatusModel): string {
  return router.connections.map((connection) => `${line(connection)}\n`).join("");
}

function line(connection: ConnectionStatus): string {
  const head = `${arrow(connection.outbound)} ${connection.address.padEnd(21)} ${connection.state.padEnd(11)}`;
  return [head, connectionInfo(connection), ...shownAttributes(connection)].filter((part) => part !== "").join(" ");
}

/** Transport and peer of a live connection; the error and the next attempt of a target. */
export function connectionInfo(connection: ConnectionStatus): string {
  if (isLive(connection)) {
    const info = `${connection.overlay.padEnd(6)} ${peerText(connection.peer)}`;
    if (!connection.passwordUsed) return info;
    return `${(connection.encrypted ? "encrypted" : "unencrypted").padEnd(11)} ${info}`;
  }
  if (connection.state !== "failed") return connection.state === "connecting" ? "" : connection.reason;
  const retry = connection.retryAtMs === null ? "never" : timeText(connection.retryAtMs);
  return `${connection.reason}, retry: ${retry}`;
}

function shownAttributes(connection: ConnectionStatus): readonly string[] {
  if (!isLive(connection)) return [];
  const shown = [...attributesOf(connection)].filter(([key]) => key !== "name");
  return shown.map(([key, value]) => `${key}=${quoted(String(value))}`);
}

function quoted(text: string): string {
  return /[\s"]/.test(text) ? JSON.stringify(text) : text;
}
