// SPDX-License-Identifier: Apache-2.0
/*
 * Output as it comes: follows the end until somebody scrolls up, finds text, wraps or not, copies
 * and downloads. Keeps the last LINES_MAX lines.
 */
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Painter, levelOf, strip, type Span } from "../lib/ansi";
import { plural } from "../lib/format";
import { remembered } from "../lib/storage";
import { Button, copyText } from "./basics";
import { Icon } from "./icon";

export const LINES_MAX = 5000;
/** So near to the end is at the end. */
const END_PX = 24;
/** A short view with fewer lines than this needs no search. */
const FIND_FROM = 12;

interface Line {
	id: number;
	spans: Span[];
	text: string;
	/** "err" for what went to standard error. */
	kind: string;
}

export class LogBuffer {
	readonly changed = signal(0);
	lines: Line[] = [];
	dropped = 0;
	private rest = "";
	private kind = "";
	private next = 0;
	private frame = 0;
	private painter = new Painter();

	push(text: string, kind = ""): void {
		if (kind !== this.kind && this.rest) this.flushRest();
		this.kind = kind;
		const parts = (this.rest + text).split("\n");
		this.rest = parts.pop() ?? "";
		for (const part of parts) this.add(part);
		this.later();
	}

	/** The line that has not ended yet. */
	get open(): Line | null {
		if (!this.rest) return null;
		const text = strip(this.rest);
		return { id: -1, spans: [{ text, style: "" }], text, kind: this.kind };
	}

	flushRest(): void {
		if (this.rest) this.add(this.rest);
		this.rest = "";
		this.later();
	}

	clear(): void {
		this.lines = [];
		this.rest = "";
		this.dropped = 0;
		this.painter = new Painter();
		this.later();
	}

	text(): string {
		const open = this.open;
		return [...this.lines, ...(open ? [open] : [])].map((line) => line.text).join("\n");
	}

	private add(raw: string): void {
		const spans = this.painter.line(raw);
		this.lines.push({ id: this.next++, spans, text: spans.map((s) => s.text).join(""), kind: this.kind });
		if (this.lines.length > LINES_MAX + 500) {
			this.dropped += this.lines.length - LINES_MAX;
			this.lines = this.lines.slice(-LINES_MAX);
		}
	}

	private later(): void {
		this.frame ||= requestAnimationFrame(() => {
			this.frame = 0;
			this.changed.value++;
		});
	}
}

const wraps = remembered("log-wrap", true);

export function LogView({ buffer, name, label, short, live, levels }: {
	buffer: LogBuffer; name: string; label: string; short?: boolean; live?: boolean;
	/** Lines that tell of errors and warnings have colours of their own. */
	levels?: boolean;
}) {
	const box = useRef<HTMLDivElement>(null);
	const [follow, setFollow] = useState(true);
	const [wanted, setWanted] = useState("");
	const version = buffer.changed.value;
	const open = buffer.open;
	const needle = wanted.toLowerCase();
	const lines = useMemo(
		() => (needle ? buffer.lines.filter((line) => line.text.toLowerCase().includes(needle)) : buffer.lines),
		[version, needle],
	);
	const top = useRef(0);
	const toEnd = (): void => {
		if (box.current) box.current.scrollTop = box.current.scrollHeight;
	};
	useLayoutEffect(() => {
		if (!follow) return;
		toEnd();
		/* once the last lines have been drawn their heights are known, and the end may be further down */
		let frame = requestAnimationFrame(() => {
			frame = requestAnimationFrame(toEnd);
		});
		return () => cancelAnimationFrame(frame);
	}, [version, follow, needle, wraps.value]);
	useEffect(() => setFollow(true), [buffer]);
	const download = (): void => {
		const link = document.createElement("a");
		link.href = URL.createObjectURL(new Blob([buffer.text()], { type: "text/plain" }));
		link.download = `${name}.log`;
		link.click();
		URL.revokeObjectURL(link.href);
	};
	return (
		<div class={`log${short ? " short" : ""}${short && buffer.lines.length <= FIND_FROM ? " tiny" : ""}`}>
			<div class="log-tools">
				{(!short || buffer.lines.length > FIND_FROM) && <div class="log-find">
					<Icon name="search" />
					<input
						aria-label={`Find in ${label}`}
						placeholder="Find"
						value={wanted}
						spellcheck={false}
						onInput={(e) => setWanted(e.currentTarget.value)}
					/>
					{needle && <span class="num">{plural(lines.length, "line")}</span>}
				</div>}
				<span class="grow" />
				{live && <span class={`live-dot${follow ? "" : " held"}`} role="status">{follow ? "following" : "paused"}</span>}
				<Button kind="quiet" icon="wrap" title="Wrap long lines" aria-pressed={wraps.value} onClick={() => (wraps.value = !wraps.value)} />
				<Button kind="quiet" icon="copy" title="Copy all" onClick={() => void copyText(buffer.text(), "Output")} />
				<Button kind="quiet" icon="download" title="Download" onClick={download} />
			</div>
			<div
				ref={box}
				class={`log-body${wraps.value ? " wraps" : ""}`}
				tabIndex={0}
				role="log"
				aria-label={label}
				aria-live="off"
				onScroll={(event) => {
					const el = event.currentTarget;
					const up = el.scrollTop < top.current;
					top.current = el.scrollTop;
					if (el.scrollHeight - el.scrollTop - el.clientHeight < END_PX) setFollow(true);
					else if (up) setFollow(false);
					/* a line is as high as it is only once it has been drawn: the end moved, nobody scrolled */
					else if (follow) toEnd();
				}}
			>
				{buffer.dropped > 0 && !needle && <div class="log-note">{plural(buffer.dropped, "earlier line")} not kept</div>}
				{lines.map((line) => (
					<LineRow key={line.id} line={line} levels={levels ?? false} />
				))}
				{open && !needle && <LineRow line={open} levels={levels ?? false} />}
				{lines.length === 0 && !open && <div class="log-note">{needle ? "No line has this." : "Nothing yet."}</div>}
			</div>
			{!follow && (
				<Button class="log-end" icon="follow" label="To the end" onClick={() => setFollow(true)} />
			)}
		</div>
	);
}

function LineRow({ line, levels }: { line: Line; levels: boolean }) {
	const level = levels && !line.kind && line.spans.every((span) => !span.style) ? levelOf(line.text) : "";
	return (
		<div class={`log-line ${line.kind || level}`}>
			{line.spans.map((span, i) => (span.style ? <span key={i} class={span.style}>{span.text}</span> : span.text))}
			{"\n"}
		</div>
	);
}
