// SPDX-License-Identifier: Apache-2.0
// The shape of a driver: methods by Docker's names for them.
import type { Fields } from "./wire.ts";

/** Fires when Docker should have its answer; whatever still waits then ends. */
export type Method = (request: Fields, signal: AbortSignal) => object | Promise<object>;
export type Methods = Readonly<Record<string, Method>>;
