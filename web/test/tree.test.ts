// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { DEPTH_MAX, tree, whoIsAt } from "../src/pages/snapshots/tree";
import type { Snapshot, Vm } from "../src/api/types";

const snapshot = (id: string, parent?: string): Snapshot => ({
	id, vm: "v", vm_name: "v", image: "mini", vcpus: 1, memory_mib: 1, disk_mib: 1, memory: true, size_bytes: 1,
	created: `2026-01-01T00:00:0${id.length}Z-${id}`, ...(parent ? { parent } : {}),
});
const shape = (list: Snapshot[]): string[] => tree(list).map(({ snapshot: s, depth }) => `${depth}${s.id}`);

describe("the tree of snapshots", () => {
	it("puts children below their parents", () => {
		expect(shape([snapshot("c", "a"), snapshot("a"), snapshot("b"), snapshot("d", "c"), snapshot("e", "a")])).toEqual(["0a", "1c", "2d", "1e", "0b"]);
	});

	it("keeps what lost its parent", () => expect(shape([snapshot("b", "gone")])).toEqual(["0b"]));

	it("hides nothing in a circle, and ends", () => {
		expect(shape([snapshot("a", "b"), snapshot("b", "a"), snapshot("c", "c")]).sort()).toEqual(["0a", "0b", "0c"]);
	});

	it("does not run out of room", () => {
		const deep = Array.from({ length: 40 }, (_, i) => snapshot("x".repeat(i + 1), i ? "x".repeat(i) : undefined));
		expect(Math.max(...tree(deep).map((b) => b.depth))).toBe(DEPTH_MAX);
	});
});

describe("who is at a snapshot", () => {
	const vm = (name: string, at?: string): Vm => ({
		id: name, name, state: "running", since: "", image: "mini", vcpus: 1, memory_mib: 1, disk_mib: 1, labels: {}, network: "none", nat: false, created: "", ...(at ? { snapshot: at } : {}),
	});

	it("is the VM that it was taken of, where its disk goes on from it", () => {
		expect(whoIsAt(snapshot("a"), [vm("v", "a"), vm("w")])).toEqual({ current: true, others: [] });
		expect(whoIsAt(snapshot("a"), [vm("v", "b")])).toEqual({ current: false, others: [] });
	});

	it("is also every VM that was made from it, by name", () => {
		expect(whoIsAt(snapshot("a"), [vm("z", "a"), vm("v", "b"), vm("k", "a")])).toEqual({ current: false, others: ["k", "z"] });
	});
});
