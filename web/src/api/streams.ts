// SPDX-License-Identifier: Apache-2.0
/*
 * Server-sent events and NDJSON over fetch(), which can carry a token where EventSource can't. What
 * comes in is split into frames of bounded size.
 */

const FRAME_MAX = 4 * 1024 * 1024;

export interface ServerEvent {
	id: string;
	event: string;
	data: string;
}

/** Splits a stream of text into lines; keeps what is not yet ended. */
export class Lines {
	private rest = "";

	push(chunk: string): string[] {
		const lines = (this.rest + chunk).split("\n");
		this.rest = lines.pop() ?? "";
		if (this.rest.length > FRAME_MAX) throw new Error("A line of the stream is too long.");
		return lines;
	}

	end(): string[] {
		const last = this.rest;
		this.rest = "";
		return last ? [last] : [];
	}
}

/** The parser of the event stream format: feed it lines, it gives events at the empty ones. */
export class EventParser {
	private id = "";
	private event = "";
	private data: string[] = [];

	line(raw: string): ServerEvent | undefined {
		const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
		if (line === "") {
			const done = this.data.length > 0 ? { id: this.id, event: this.event || "message", data: this.data.join("\n") } : undefined;
			this.event = "";
			this.data = [];
			return done;
		}
		if (line.startsWith(":")) return undefined;
		const colon = line.indexOf(":");
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
		if (field === "data") this.data.push(value);
		else if (field === "event") this.event = value;
		else if (field === "id" && !value.includes("\0")) this.id = value;
		return undefined;
	}
}

/** Text of a response as it arrives. */
export async function readText(response: Response, onText: (text: string) => void): Promise<void> {
	const reader = response.body?.getReader();
	if (!reader) return;
	const decoder = new TextDecoder();
	for (;;) {
		const { done, value } = await reader.read();
		if (done) break;
		onText(decoder.decode(value, { stream: true }));
	}
	const tail = decoder.decode();
	if (tail) onText(tail);
}

export async function readEvents(response: Response, onEvent: (event: ServerEvent) => void, onAlive?: () => void): Promise<void> {
	const lines = new Lines();
	const parser = new EventParser();
	await readText(response, (text) => {
		onAlive?.();
		for (const line of lines.push(text)) {
			const event = parser.line(line);
			if (event) onEvent(event);
		}
	});
}

export async function readNdjson<T>(response: Response, onFrame: (frame: T) => void): Promise<void> {
	const lines = new Lines();
	const each = (list: string[]): void => {
		for (const line of list) if (line.trim()) onFrame(JSON.parse(line) as T);
	};
	await readText(response, (text) => each(lines.push(text)));
	each(lines.end());
}
