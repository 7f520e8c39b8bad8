// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { createCommand } from "../src/pages/create/command";

describe("create as a command", () => {
	it("has an option for every field", () => {
		expect(
			createCommand({ name: "web", image: "python:3.12", vcpus: 2, memory_mib: 512, disk_mib: 4096, labels: { team: "ci", note: "two words" }, ttl_s: 60, nat: false, start: false, from_snapshot: "06a1" }),
		).toBe("banger vm create --name web --image python:3.12 --vcpus 2 --memory 512 --disk 4096 --label team=ci --label 'note=two words' --ttl 60s --no-nat --no-start --from-snapshot 06a1");
		expect(createCommand({ start: true })).toBe("banger vm create");
	});

	it("stays silent about what the CLI can't say", () => expect(createCommand({ restore_memory: false })).toBeUndefined());
});
