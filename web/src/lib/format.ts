// SPDX-License-Identifier: Apache-2.0
/* Numbers and times for people. Everything here is pure: same input, same text. */

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 -> "1.5 KiB". Three significant digits at most. */
export function bytes(n: number): string {
	let value = Math.abs(n);
	let unit = 0;
	while (value >= 1023.5 && unit < BINARY.length - 1) {
		value /= 1024;
		unit++;
	}
	const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
	const text = String(Number(value.toFixed(digits)));
	return `${n < 0 ? "−" : ""}${text} ${BINARY[unit]}`;
}

export const mib = (n: number): string => bytes(n * 1024 * 1024);

/** A span of time in at most two units: "350 ms", "4.2 s", "3 min 20 s", "2 d 4 h". */
export function duration(ms: number): string {
	if (!Number.isFinite(ms)) return "–";
	const abs = Math.abs(ms);
	const sign = ms < 0 ? "−" : "";
	if (abs === 0) return "0 s";
	if (abs < 1) return `${sign}${Math.round(abs * 1000)} µs`;
	if (abs < 999.5) return `${sign}${Math.round(abs)} ms`;
	if (abs < 59_950) {
		const s = abs / 1000;
		return `${sign}${s < 9.95 ? s.toFixed(1).replace(/\.0$/, "") : Math.round(s)} s`;
	}
	const seconds = Math.round(abs / 1000);
	const parts: [number, string][] = [
		[Math.floor(seconds / 86_400), "d"],
		[Math.floor(seconds / 3600) % 24, "h"],
		[Math.floor(seconds / 60) % 60, "min"],
		[seconds % 60, "s"],
	];
	const first = parts.findIndex(([n]) => n > 0);
	return (
		sign +
		parts
			.slice(first, first + 2)
			.filter(([n]) => n > 0)
			.map(([n, unit]) => `${n} ${unit}`)
			.join(" ")
	);
}

/** Like duration(), in one unit: for table cells. */
export function span(ms: number): string {
	const text = duration(ms);
	const match = /^(−?\S+ (?:µs|ms|s|min|h|d))(?: .*)?$/.exec(text);
	return match?.[1] ?? text;
}

const UNITS: [string, number][] = [["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]];

/** Seconds as the CLI takes them, in the largest unit that loses nothing: 5400 -> "90m", 0 -> "0". */
export function spanText(seconds: number): string {
	const [unit, size] = UNITS.find(([, n]) => seconds % n === 0) ?? ["s", 1];
	return seconds === 0 ? "0" : `${seconds / size}${unit}`;
}

/** Seconds of "90", "15m", "2h", "7d" or "1h 30m"; NaN for anything else, undefined for nothing. */
export function parseSpan(text: string): number | undefined {
	const given = text.trim().toLowerCase();
	if (given === "") return undefined;
	if (/^\d+$/.test(given)) return Number(given);
	if (!/^(\d+\s*[dhms]\s*)+$/.test(given)) return NaN;
	return [...given.matchAll(/(\d+)\s*([dhms])/g)].reduce((sum, [, n, unit]) => sum + Number(n) * (UNITS.find(([u]) => u === unit)?.[1] ?? NaN), 0);
}

/** "just now", "5 min ago", "in 2 h". */
export function ago(then: number, now: number): string {
	const ms = now - then;
	if (Math.abs(ms) < 5000) return "just now";
	return ms > 0 ? `${span(Math.floor(ms / 1000) * 1000)} ago` : `in ${span(Math.ceil(-ms / 1000) * 1000)}`;
}

export function percent(part: number, whole: number): number {
	if (!(whole > 0) || !Number.isFinite(part)) return 0;
	return Math.min(100, Math.max(0, (part / whole) * 100));
}

/** 1234567 -> "1,234,567", in every locale, so that copied numbers look alike. */
export function count(n: number): string {
	return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

export function plural(n: number, one: string, many = `${one}s`): string {
	return `${count(n)} ${n === 1 ? one : many}`;
}

const two = (n: number): string => n.toString().padStart(2, "0");

/** "14:05:09", or with the date when it is not the day of `now`. */
export function clock(t: number, now: number, utc: boolean): string {
	const date = new Date(t);
	const today = new Date(now);
	const get = (d: Date): [number, number, number] =>
		utc
			? [d.getUTCFullYear(), d.getUTCMonth() + 1, d.getUTCDate()]
			: [d.getFullYear(), d.getMonth() + 1, d.getDate()];
	const time = utc
		? `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
		: `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
	const [y, m, d] = get(date);
	if (get(today).join() === [y, m, d].join()) return time;
	return `${y}-${two(m)}-${two(d)} ${time}`;
}

/** Milliseconds since the epoch, of what the API gives: RFC 3339 text, or a number of seconds, ms or µs. */
export function instant(value: unknown): number | undefined {
	if (typeof value === "string") {
		const t = Date.parse(value);
		return Number.isNaN(t) ? undefined : t;
	}
	if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) return undefined;
	if (value > 1e14) return value / 1000;
	if (value > 1e11) return value;
	return value * 1000;
}

/** "sha256:0123456789abcdef…" -> "0123456789ab". */
export function shortDigest(digest: string): string {
	return digest.replace(/^[a-z0-9]+:/, "").slice(0, 12);
}
