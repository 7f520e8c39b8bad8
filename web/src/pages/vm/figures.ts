// SPDX-License-Identifier: Apache-2.0
/* What a guest says of itself, worked out for people. Pure, for tests. */
import type { GuestStats } from "../../api/types";
import { instant } from "../../lib/format";

/** The share of its processors that was busy between two looks, 0 to 1; since its boot without an earlier one. */
export function busyShare(now: GuestStats, before?: GuestStats): number | undefined {
	if (now.cpu_busy_us === undefined || now.cpu_idle_us === undefined) return undefined;
	const rebooted = before && (before.uptime_us ?? 0) > (now.uptime_us ?? 0);
	const from = before && !rebooted ? before : undefined;
	const busy = now.cpu_busy_us - (from?.cpu_busy_us ?? 0);
	const all = busy + now.cpu_idle_us - (from?.cpu_idle_us ?? 0);
	return busy >= 0 && all > 0 ? Math.min(1, busy / all) : undefined;
}

export interface Used {
	used: number;
	of: number;
}

function used(total: number | undefined, free: number | undefined): Used | undefined {
	return total !== undefined && free !== undefined && total > 0 ? { used: Math.max(0, total - free), of: total } : undefined;
}

export const memoryUsed = (g: GuestStats): Used | undefined => used(g.memory_total_bytes, g.memory_available_bytes);
export const swapUsed = (g: GuestStats): Used | undefined => used(g.swap_total_bytes, g.swap_free_bytes);
export const diskUsed = (g: GuestStats): Used | undefined => used(g.disk_total_bytes, g.disk_free_bytes);

export interface Traffic {
	name: string;
	/** Bytes a second. */
	received: number;
	sent: number;
}

/** What goes over its networks, the loopback left out. Nothing before the second look. */
export function traffic(now: GuestStats, before?: GuestStats): Traffic[] {
	const passed = ((instant(now.at) ?? 0) - (instant(before?.at) ?? 0)) / 1000;
	if (!before || passed <= 0) return [];
	return now.networks.flatMap((n) => {
		const was = before.networks.find((b) => b.name === n.name);
		if (n.name === "lo" || !was) return [];
		const rate = (a = 0, b = 0): number => Math.max(0, a - b) / passed;
		return [{ name: n.name, received: rate(n.received_bytes, was.received_bytes), sent: rate(n.sent_bytes, was.sent_bytes) }];
	});
}

/** A clock that is off by less is as good as right: the question takes time, too. */
const CLOCK_OFF_MS = 1000;

export const clockIsOff = (g: GuestStats): boolean => Math.abs(g.clock_off_ms ?? 0) >= CLOCK_OFF_MS;
