// SPDX-License-Identifier: Apache-2.0
// Delivery in a full mesh: h1, h2, h3 and h4 on one segment, a container on each host.
import { deliveryTests } from "../support/delivery-tests.ts";

deliveryTests("full", 4);
