// SPDX-License-Identifier: Apache-2.0
import { sketch, token } from "../../api/client";
import { curl } from "../../lib/shell";
import { createCommand } from "./command";

export const endpoint = (): { origin: string; token: boolean } => ({
	origin: location.origin,
	token: token.value !== "" || location.protocol.startsWith("http"),
});

const FIRST = { name: "first", image: "mini", vcpus: 1, memory_mib: 256 };

/** The first VM as commands: the CLI's needs no token on the server's machine. */
export const createExamples = (): string[] => [createCommand(FIRST) ?? "", curl(sketch("post", "/vms", {}, FIRST), endpoint())];
