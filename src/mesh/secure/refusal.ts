// SPDX-License-Identifier: Apache-2.0
// Why a handshake ends early, as one byte in the clear. It is not authenticated and says no more than closing would; the words are ours.

/** Append-only. */
export const REFUSAL = { malformed: 1, wrongPassword: 2, busy: 3 } as const;
export type RefusalCode = (typeof REFUSAL)[keyof typeof REFUSAL];

const WORDS: Record<RefusalCode, string> = {
  [REFUSAL.malformed]: "the peer could not read our side of the handshake",
  [REFUSAL.wrongPassword]: "wrong password: the peer refused ours",
  [REFUSAL.busy]: "the peer has too many connections in their handshake",
};

export function refusalText(code: number | undefined): string {
  const known = Object.values(REFUSAL).find((value) => value === code);
  return known === undefined ? `the peer refused the handshake (reason ${code ?? "none"})` : WORDS[known];
}
