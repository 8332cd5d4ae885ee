// SPDX-License-Identifier: Apache-2.0
// Delivery in a chain: h1 ── h2 ── h3 ── h4, a container on each host.
import { deliveryTests } from "../support/delivery-tests.ts";

deliveryTests("chain", 4);
