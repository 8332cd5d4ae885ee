// SPDX-License-Identifier: Apache-2.0
// Delivery in a star: h2, h3, h4 and h5 each with a cable to h1, a container on each host.
import { deliveryTests } from "../support/delivery-tests.ts";

deliveryTests("star", 5);
