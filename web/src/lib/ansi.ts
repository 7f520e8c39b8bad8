// SPDX-License-Identifier: Apache-2.0
/*
 * Lines of a console: colours and weights are kept as class names, every other control sequence is
 * dropped, and a carriage return overwrites what stands before it, as on a terminal. What comes in
 * is written by guests: nothing of it ever becomes markup.
 */

export interface Span {
	text: string;
	/** Class names such as "fg2 bold"; "" for plain. */
	style: string;
}

export const LINE_MAX = 8192;

interface Pen {
	fg: number;
	bg: number;
	bold: boolean;
	dim: boolean;
	italic: boolean;
	underline: boolean;
}

const plain = (): Pen => ({ fg: -1, bg: -1, bold: false, dim: false, italic: false, underline: false });

function names(pen: Pen): string {
	const list: string[] = [];
	if (pen.fg >= 0) list.push(`fg${pen.fg}`);
	if (pen.bg >= 0) list.push(`bg${pen.bg}`);
	if (pen.bold) list.push("bold");
	if (pen.dim) list.push("faint");
	if (pen.italic) list.push("italic");
	if (pen.underline) list.push("under");
	return list.join(" ");
}

/** The nearest of the 16 basic colours. */
function basic(codes: number[], i: number): [number, number] {
	if (codes[i + 1] === 5) {
		const n = codes[i + 2] ?? 7;
		if (n < 16) return [n, 2];
		if (n >= 232) return [n < 244 ? 8 : 7, 2];
		const c = n - 16;
		return [nearest(Math.floor(c / 36) * 51, (Math.floor(c / 6) % 6) * 51, (c % 6) * 51), 2];
	}
	if (codes[i + 1] === 2) return [nearest(codes[i + 2] ?? 0, codes[i + 3] ?? 0, codes[i + 4] ?? 0), 4];
	return [-1, 0];
}

function nearest(r: number, g: number, b: number): number {
	const bright = Math.max(r, g, b) > 170 ? 8 : 0;
	const bit = (v: number): number => (v > 96 ? 1 : 0);
	return (bit(r) | (bit(g) << 1) | (bit(b) << 2)) + bright;
}

function apply(pen: Pen, codes: number[]): Pen {
	let next = { ...pen };
	for (let i = 0; i < codes.length; i++) {
		const c = codes[i] ?? 0;
		if (c === 0) next = plain();
		else if (c === 1) next.bold = true;
		else if (c === 2) next.dim = true;
		else if (c === 3) next.italic = true;
		else if (c === 4) next.underline = true;
		else if (c === 22) next.bold = next.dim = false;
		else if (c === 23) next.italic = false;
		else if (c === 24) next.underline = false;
		else if (c >= 30 && c <= 37) next.fg = c - 30;
		else if (c >= 90 && c <= 97) next.fg = c - 82;
		else if (c === 39) next.fg = -1;
		else if (c >= 40 && c <= 47) next.bg = c - 40;
		else if (c >= 100 && c <= 107) next.bg = c - 92;
		else if (c === 49) next.bg = -1;
		else if (c === 38 || c === 48) {
			const [colour, skip] = basic(codes, i);
			if (c === 38) next.fg = colour;
			else next.bg = colour;
			i += skip;
		}
	}
	return next;
}

/* CSI, OSC (ended by BEL or ST), other two-byte escapes, and single control characters */
const CONTROL = /\x1b\[([0-9;:?<=>]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[PX^_][^\x1b]*(?:\x1b\\|$)|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f]/g;

export class Painter {
	private pen = plain();

	/** The spans of one line (without its newline); colours carry on into the next line. */
	line(raw: string): Span[] {
		let text = raw.length > LINE_MAX ? `${raw.slice(0, LINE_MAX)}…` : raw;
		text = text.replace(/\r+$/, "");
		const back = text.lastIndexOf("\r");
		if (back >= 0) text = text.slice(back + 1);
		const spans: Span[] = [];
		let at = 0;
		const push = (part: string): void => {
			if (!part) return;
			const style = names(this.pen);
			const last = spans[spans.length - 1];
			if (last && last.style === style) last.text += part;
			else spans.push({ text: part, style });
		};
		for (const match of text.matchAll(CONTROL)) {
			push(text.slice(at, match.index));
			at = match.index + match[0].length;
			if (match[2] === "m" && !/[?<=>]/.test(match[1] ?? "")) {
				this.pen = apply(this.pen, (match[1] || "0").split(/[;:]/).map((n) => Number(n) || 0));
			}
		}
		push(text.slice(at));
		return spans;
	}
}

/** Text without any control sequence: for search, copy and download. */
export function strip(text: string): string {
	return text.replace(CONTROL, "");
}

/* without "fatal": so a kernel calls it that a guest has no PCI, which is as it should be */
const BAD = /\b(panic|oops|segfault|out of memory|error|failed|failure)\b/i;
const NOT_BAD = /\b(no|0) (errors?|failures?)\b/i;
const DOUBTFUL = /\b(warn(ing)?|deprecated)\b/i;

/** "err" or "warn" for a line of a console that tells of one, by the words of kernels and init systems. */
export function levelOf(line: string): "err" | "warn" | "" {
	if (BAD.test(line) && !NOT_BAD.test(line)) return "err";
	return DOUBTFUL.test(line) ? "warn" : "";
}
