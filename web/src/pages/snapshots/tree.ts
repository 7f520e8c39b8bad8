// SPDX-License-Identifier: Apache-2.0
/* Snapshots in the order of their descent. */
import type { Snapshot, Vm } from "../../api/types";

export interface Branch {
	snapshot: Snapshot;
	depth: number;
}

export const DEPTH_MAX = 8;

/** Children below their parents, oldest first; one whose parent is gone stands at the top. */
export function tree(list: Snapshot[]): Branch[] {
	const known = new Set(list.map((s) => s.id));
	const children = new Map<string, Snapshot[]>();
	for (const snapshot of [...list].sort((a, b) => a.created.localeCompare(b.created))) {
		const parent = snapshot.parent && known.has(snapshot.parent) && snapshot.parent !== snapshot.id ? snapshot.parent : "";
		children.set(parent, [...(children.get(parent) ?? []), snapshot]);
	}
	const result: Branch[] = [];
	const seen = new Set<string>();
	const waiting: Branch[] = (children.get("") ?? []).map((snapshot) => ({ snapshot, depth: 0 })).reverse();
	for (let next = waiting.pop(); next; next = waiting.pop()) {
		if (seen.has(next.snapshot.id)) continue;
		seen.add(next.snapshot.id);
		result.push(next);
		const depth = Math.min(next.depth + 1, DEPTH_MAX);
		for (const child of [...(children.get(next.snapshot.id) ?? [])].reverse()) waiting.push({ snapshot: child, depth });
	}
	/* a circle can only come from a broken store; nothing is hidden because of it */
	for (const snapshot of list) if (!seen.has(snapshot.id)) result.push({ snapshot, depth: 0 });
	return result;
}

export interface Here {
	/** The disk of the VM that it was taken of goes on from it. */
	current: boolean;
	/** Names of other VMs whose disks do. */
	others: string[];
}

/** Who is at a snapshot: by the latest one in the history of each VM's disk. */
export function whoIsAt(snapshot: Snapshot, vms: Iterable<Vm>): Here {
	const at = [...vms].filter((vm) => vm.snapshot === snapshot.id);
	return { current: at.some((vm) => vm.id === snapshot.vm), others: at.filter((vm) => vm.id !== snapshot.vm).map((vm) => vm.name).sort() };
}
