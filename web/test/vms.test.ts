// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Vm } from "../src/api/types";
import { COLUMNS, INITIAL, bootMs, chosenColumns, fitting, moved, resized, sorted, steady } from "../src/pages/vms/columns";
import { begun, grown, rowsInSight } from "../src/lib/virtual";
import { mergeVms } from "../src/store/live";

function vm(name: string, more: Partial<Vm> = {}): Vm {
	return {
		id: `id-${name}`, name, state: "running", since: "2026-01-01T00:00:00Z", image: "mini", vcpus: 1, memory_mib: 256,
		disk_mib: 1024, labels: {}, network: "user", nat: true, created: "2026-01-01T00:00:00Z", ...more,
	};
}
const names = (list: Vm[]): string[] => list.map((v) => v.name);

describe("the list of VMs", () => {
	it("sorts both ways, equals by name", () => {
		const list = [vm("c", { vcpus: 2 }), vm("b", { vcpus: 1 }), vm("a", { vcpus: 2 })];
		expect(names(sorted(list, "name"))).toEqual(["a", "b", "c"]);
		expect(names(sorted(list, "-name"))).toEqual(["c", "b", "a"]);
		expect(names(sorted(list, "vcpus"))).toEqual(["b", "a", "c"]);
		expect(names(sorted(list, "-vcpus"))).toEqual(["a", "c", "b"]);
		expect(names(sorted(list, "nonsense"))).toEqual(["a", "b", "c"]);
		expect(names(list)).toEqual(["c", "b", "a"]);
	});

	it("puts what failed first", () => {
		const list = [vm("a"), vm("b", { state: "stopped" }), vm("c", { state: "failed" })];
		expect(names(sorted(list, "state"))).toEqual(["c", "a", "b"]);
	});

	it("stays put under the pointer", () => {
		const order = ["id-b", "id-a", "id-gone"];
		expect(names(steady([vm("a"), vm("b"), vm("new")], order))).toEqual(["b", "a", "new"]);
	});

	it("shows fewer columns where there is less room, the name and state always", () => {
		const columns = COLUMNS.filter((c) => INITIAL.includes(c.id));
		expect(fitting(columns, 2000)).toEqual(columns);
		const few = fitting(columns, 600).map((c) => c.id);
		expect(few).toContain("name");
		expect(few).toContain("state");
		expect(few.length).toBeLessThan(columns.length);
		expect(fitting(columns, 0).map((c) => c.id)).toEqual(["name", "state"]);
	});

	it("takes order and widths of columns from the address, whatever stands there", () => {
		expect(chosenColumns(["memory~200", "name", "memory", "nonsense", "state~9", "disk~x"]).map((c) => [c.id, c.width])).toEqual([
			["memory", "200px"], ["name", COLUMNS[0]?.width], ["state", COLUMNS[1]?.width], ["disk", COLUMNS.find((c) => c.id === "disk")?.width],
		]);
		expect(chosenColumns(["image"]).map((c) => c.id)).toEqual(["name", "image"]);
		expect(moved(["a", "b~90", "c"], "b", 0)).toEqual(["b~90", "a", "c"]);
		expect(moved(["a", "b", "c"], "a", 99)).toEqual(["b", "c", "a"]);
		expect(moved(["a", "b"], "z", 0)).toEqual(["a", "b"]);
		expect(resized(["a", "b"], "b", 120.4)).toEqual(["a", "b~120"]);
		expect(resized(["a", "b~120"], "b", 1)).toEqual(["a", "b~48"]);
		expect(resized(["a", "b~120"], "b", 0)).toEqual(["a", "b"]);
	});

	it("knows how long a boot took, once it is over", () => {
		expect(bootMs(vm("a"))).toBeUndefined();
		expect(bootMs(vm("a", { stages: [{ name: "x", start_ms: 0, duration_ms: 10 }, { name: "y", start_ms: 10, duration_ms: 5 }] }))).toBe(15);
		expect(bootMs(vm("a", { stages: [{ name: "x", start_ms: 0 }] }))).toBeUndefined();
	});

	it("draws only the rows in sight", () => {
		expect(rowsInSight(1000, 44, 0, 880, 8)).toEqual({ first: 0, end: 28 });
		expect(rowsInSight(1000, 44, 44 * 500, 880, 8)).toEqual({ first: 492, end: 528 });
		expect(rowsInSight(1000, 44, 44 * 5000, 880, 8)).toEqual({ first: 1000, end: 1000 });
		expect(rowsInSight(3, 44, -200, 880, 8)).toEqual({ first: 0, end: 3 });
		expect(rowsInSight(0, 44, 0, 880, 8)).toEqual({ first: 0, end: 0 });
	});

	it("draws what came into sight at once and the rest in steps", () => {
		const sight = { first: 500, end: 520 };
		const full = { first: 492, end: 528 };
		const far = grown({ first: 0, end: 28 }, sight, full, 6);
		expect(far).toEqual(sight);
		const near = grown(far, sight, full, 6);
		expect(near).toEqual({ first: 494, end: 526 });
		expect(grown(near, sight, full, 6)).toEqual(full);
		expect(grown(full, { first: 505, end: 525 }, { first: 497, end: 533 }, 6)).toEqual({ first: 497, end: 533 });
		expect(grown({ first: 800, end: 830 }, { first: 0, end: 4 }, { first: 0, end: 4 }, 0)).toEqual({ first: 0, end: 4 });
	});

	it("begins with the upper rows, and fills the screen in steps", () => {
		const sight = { first: 0, end: 20 };
		const first = begun({ first: 0, end: 8 }, sight, 8);
		expect(first).toEqual({ first: 0, end: 16 });
		expect(begun(first, sight, 8)).toEqual(sight);
		/* somebody scrolls meanwhile */
		expect(begun({ first: 0, end: 8 }, { first: 500, end: 520 }, 8)).toEqual({ first: 500, end: 508 });
		expect(begun({ first: 0, end: 8 }, { first: 0, end: 3 }, 8)).toEqual({ first: 0, end: 3 });
	});

	it("keeps the objects that did not change", () => {
		const old = new Map([vm("a"), vm("b")].map((v) => [v.id, v]));
		const next = mergeVms(old, [vm("a"), vm("b", { state: "stopped" }), vm("c")]);
		expect(next.get("id-a")).toBe(old.get("id-a"));
		expect(next.get("id-b")).not.toBe(old.get("id-b"));
		expect([...next.keys()]).toEqual(["id-a", "id-b", "id-c"]);
	});
});
