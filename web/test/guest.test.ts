// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { busyShare, clockIsOff, diskUsed, memoryUsed, swapUsed, traffic } from "../src/pages/vm/figures";
import { changedFiles } from "../src/pages/vm/patch";
import type { GuestStats } from "../src/api/types";

const look = (more: Partial<GuestStats> = {}): GuestStats => ({ at: "2026-01-01T00:00:00Z", networks: [], ...more });

describe("what a guest says of itself", () => {
	const before = look({ uptime_us: 10e6, cpu_busy_us: 2e6, cpu_idle_us: 8e6 });

	it("gives the share of the time between two looks", () => {
		expect(busyShare(look({ uptime_us: 12e6, cpu_busy_us: 3e6, cpu_idle_us: 9e6 }), before)).toBe(0.5);
	});

	it("gives the share since the boot at first, and after a reboot", () => {
		expect(busyShare(before)).toBe(0.2);
		expect(busyShare(look({ uptime_us: 1e6, cpu_busy_us: 1e6, cpu_idle_us: 3e6 }), before)).toBe(0.25);
	});

	it("gives none where the guest tells none, or two looks are one", () => {
		expect(busyShare(look())).toBeUndefined();
		expect(busyShare(before, before)).toBeUndefined();
	});

	it("leaves out what a guest has not got", () => {
		expect(memoryUsed(look({ memory_total_bytes: 100, memory_available_bytes: 40 }))).toEqual({ used: 60, of: 100 });
		expect(swapUsed(look({ swap_total_bytes: 0, swap_free_bytes: 0 }))).toBeUndefined();
		expect(diskUsed(look({ disk_total_bytes: 100 }))).toBeUndefined();
	});

	it("counts traffic by network, without the loopback or a counter that began anew", () => {
		const net = (received_bytes: number, sent_bytes: number): GuestStats["networks"] => [{ name: "lo", received_bytes, sent_bytes }, { name: "eth0", received_bytes, sent_bytes }];
		const then = look({ networks: net(1000, 500) });
		expect(traffic(then)).toEqual([]);
		expect(traffic(look({ at: "2026-01-01T00:00:05Z", networks: net(6000, 100) }), then)).toEqual([{ name: "eth0", received: 1000, sent: 0 }]);
	});

	it("speaks of a clock only when it is far off", () => {
		expect(clockIsOff(look({ clock_off_ms: -40 }))).toBe(false);
		expect(clockIsOff(look({ clock_off_ms: -4000 }))).toBe(true);
	});
});

describe("the files of a patch", () => {
	it("counts lines, and takes no line of a file for a header", () => {
		const patch = ["diff --git a/a.txt b/a.txt", "index 1..2 100644", "--- a/a.txt", "+++ b/a.txt", "@@ -1,2 +1,2 @@", "--- old", "+++ new", "+new file", " same"].join("\n");
		expect(changedFiles(patch)).toEqual([{ path: "a.txt", added: 2, removed: 1, what: "" }]);
	});

	it("tells new, deleted, renamed and binary files apart", () => {
		const patch = [
			"diff --git a/n b/n", "new file mode 100644", "GIT binary patch", "literal 3",
			"diff --git a/gone b/gone", "deleted file mode 100644", "--- a/gone", "+++ /dev/null", "@@ -1 +0,0 @@", "-x",
			"diff --git a/old name b/new name", "similarity index 100%", "rename from old name", "rename to new name",
		].join("\n");
		expect(changedFiles(patch)).toEqual([
			{ path: "n", added: 0, removed: 0, what: "new, binary" },
			{ path: "gone", added: 0, removed: 1, what: "deleted" },
			{ path: "new name", added: 0, removed: 0, what: "renamed" },
		]);
	});

	it("has none for an empty patch", () => {
		expect(changedFiles("")).toEqual([]);
	});
});
