// SPDX-License-Identifier: Apache-2.0
import { sketch, token } from "../../api/client";
import { curl } from "../../lib/shell";

export const endpoint = (): { origin: string; token: boolean } => ({
	origin: location.origin,
	token: token.value !== "" || location.protocol.startsWith("http"),
});

/** The first VM as a command. */
export function createExample(): string {
	return curl(sketch("post", "/vms", {}, { name: "first", image: "mini", vcpus: 1, memory_mib: 256 }), endpoint());
}
