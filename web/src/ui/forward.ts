// SPDX-License-Identifier: Apache-2.0
/* Where a forward of a port is reached. */
import type { Forward } from "../api/types";

export const addressOf = (forward: Forward): string =>
	`${forward.host_address.includes(":") ? `[${forward.host_address}]` : forward.host_address}:${forward.host_port}`;

export const openForward = (forward: Forward): string => `http://${addressOf(forward)}/`;
