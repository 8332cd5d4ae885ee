// SPDX-License-Identifier: Apache-2.0
// Delivery in a ring: h1 ── h2 ── h3 ── h4 ── h1, a container on each host.
import { deliveryTests } from "../support/delivery-tests.ts";

deliveryTests("ring", 4);
