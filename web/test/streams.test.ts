// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { EventParser, Lines, readEvents, readNdjson, type ServerEvent } from "../src/api/streams";

function response(...chunks: (string | Uint8Array)[]): Response {
	const encoder = new TextEncoder();
	return new Response(
		new ReadableStream({
			start(control) {
				for (const chunk of chunks) control.enqueue(typeof chunk === "string" ? encoder.encode(chunk) : chunk);
				control.close();
			},
		}),
	);
}

describe("streams", () => {
	it("cuts lines wherever the chunks end", () => {
		const lines = new Lines();
		expect(lines.push("a\nb")).toEqual(["a"]);
		expect(lines.push("c\n\nd")).toEqual(["bc", ""]);
		expect(lines.end()).toEqual(["d"]);
		expect(lines.end()).toEqual([]);
	});

	it("refuses a line without end", () => {
		const lines = new Lines();
		expect(() => {
			for (let i = 0; i < 10; i++) lines.push("x".repeat(1_000_000));
		}).toThrow();
	});

	it("reads events: comments, fields, several data lines, an id that stays", () => {
		const parser = new EventParser();
		const events: ServerEvent[] = [];
		const text = ": hi\nid: 7\nevent: vm\ndata: a\ndata:b\n\ndata: {}\r\n\r\nid: 8\n\nnonsense\n\n";
		for (const line of text.split("\n")) {
			const event = parser.line(line);
			if (event) events.push(event);
		}
		expect(events).toEqual([
			{ id: "7", event: "vm", data: "a\nb" },
			{ id: "7", event: "message", data: "{}" },
		]);
	});

	it("does not hand out an event that the stream broke off", async () => {
		const events: ServerEvent[] = [];
		await readEvents(response("id: 1\ndata: one\n\nid: 2\nda", "ta: two\n"), (event) => events.push(event));
		expect(events.map((e) => e.data)).toEqual(["one"]);
	});

	it("joins characters cut in two by the chunks", async () => {
		const bytes = new TextEncoder().encode('{"a":"ü"}\n{"a":2}');
		const frames: unknown[] = [];
		const cut = bytes.indexOf(0xc3) + 1;
		await readNdjson(response(bytes.slice(0, cut), bytes.slice(cut)), (frame) => frames.push(frame));
		expect(frames).toEqual([{ a: "ü" }, { a: 2 }]);
	});
});
