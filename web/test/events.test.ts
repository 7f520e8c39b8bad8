// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { gist } from "../src/pages/events/gist";
import { whoText } from "../src/ui/who";
import type { ApiEvent } from "../src/api/types";

const event = (kind: string, data: Record<string, unknown>): ApiEvent => ({ id: 1, time: "2026-01-01T00:00:00Z", kind, target: "m8f34eks6bhdkyza", data: data as Record<string, never> });

describe("the gist of an event", () => {
	it("is the request itself, and its status where it was refused", () => {
		expect(gist(event("request", { request: "vm_exec", method: "POST", path: "/vms/web/exec", status: 200 }))).toEqual({ text: "POST /vms/web/exec" });
		expect(gist(event("request", { request: "vm_exec", method: "POST", path: "/vms/web/exec", status: 409 }))).toEqual({ state: "refused", text: "POST /vms/web/exec · 409" });
	});

	it("is the command, and how it ended", () => {
		const data = { id: "m8f36c73yqz4pv3y", vm: "m8f34eks6bhdkyza", argv: ["sh", "-c", "make test\nexit 3"], tty: false, temporary: false, pid: 87, signal: null, timed_out: false, output_bytes: 101 };
		expect(gist(event("exec.started", { ...data, state: "running", exit_code: null, output_bytes: 0 }))).toEqual({ state: "running", text: "make test" });
		expect(gist(event("exec.ended", { ...data, state: "exited", exit_code: 3 }))).toEqual({ state: "exited", text: "make test · exit 3 · 101 B of output" });
		expect(gist(event("exec.ended", { ...data, argv: ["sleep", "9"], state: "exited", exit_code: null, signal: 15, output_bytes: 0 })).text).toBe("sleep 9 · killed by signal 15");
	});

	it("is the phase of a run while it goes on", () => {
		expect(gist(event("run.changed", { argv: ["make"], state: "running", phase: "creating" }))).toEqual({ state: "running", text: "make · creating" });
		expect(gist(event("run.ended", { argv: ["make"], state: "failed", phase: "ended", exit_code: 2 }))).toEqual({ state: "failed", text: "make · exit 2" });
	});

	it("is the new state with its reason, or with the one before", () => {
		expect(gist(event("vm.state", { state: "failed", from: "running", reason: "QEMU killed by SIGKILL" }))).toEqual({ state: "failed", text: "QEMU killed by SIGKILL" });
		expect(gist(event("vm.state", { state: "paused", from: "running", reason: "" }))).toEqual({ state: "paused", text: "was running" });
	});

	it("says what is left, without ids and what is empty", () => {
		expect(gist(event("snapshot.added", { vm: "m8f34eks6bhdkyza" }))).toEqual({ text: "" });
		expect(gist(event("token.created", { scope: "run" }))).toEqual({ text: "scope run" });
		expect(gist(event("operation.ended", { kind: "vm.snapshot", state: "failed", stages: [], error: { detail: "No room." } }))).toEqual({ state: "failed", text: "vm snapshot: No room." });
	});
});

describe("who asked", () => {
	it("gives sessions of browsers a name that can be read", () => {
		expect(whoText("token:dashboard-m8f36j2d7kwtpt27", "token:dashboard-m8f36j2d7kwtpt27")).toBe("this browser");
		expect(whoText("token:dashboard-m8f36j2d7kwtpt27", "uid:0")).toBe("a browser");
		expect(whoText("token:ci", "uid:0")).toBe("token ci");
		expect(whoText("uid:0", "uid:0")).toBe("uid:0 (you)");
		expect(whoText("server", undefined)).toBe("server");
	});
});
