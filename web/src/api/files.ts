// SPDX-License-Identifier: Apache-2.0
/* Files of a guest: addresses, and transfers whose progress can be seen. */
import { visible } from "../lib/visible";
import type { components } from "./schema";
import { ApiError, send, signedOut, token } from "./client";
import type { Problem } from "./types";

export type Entry = components["schemas"]["Folder"]["entries"][number];

/** The address of a path given by its segments; none for the root. */
export function filePath(vm: string, segments: string[]): string {
	/* the root has no segment of its own: an escaped slash names it */
	const rest = segments.length ? segments.map(encodeURIComponent).join("/") : "%2F";
	return `/vms/${encodeURIComponent(vm)}/files/${rest}`;
}

/** "/root//notes/../x" as segments: what a person types; "." and ".." are worked out here. */
export function segmentsOf(path: string): string[] {
	const out: string[] = [];
	for (const part of path.split("/")) {
		if (part === "..") out.pop();
		else if (part && part !== ".") out.push(part);
	}
	return out;
}

export const joined = (segments: string[]): string => `/${segments.join("/")}`;

/** "drwxr-xr-x" */
export function modeText(type: string, mode: number): string {
	const kind = { dir: "d", link: "l", char: "c", block: "b", fifo: "p", socket: "s" }[type] ?? "-";
	let text = "";
	for (let i = 8; i >= 0; i--) text += (mode >> i) & 1 ? "rwx"[(8 - i) % 3] : "-";
	const special = (at: number, bit: number, letter: string): void => {
		if (!(mode & bit)) return;
		const on = text[at] === "x";
		text = text.slice(0, at) + (on ? letter : letter.toUpperCase()) + text.slice(at + 1);
	};
	special(2, 0o4000, "s");
	special(5, 0o2000, "s");
	special(8, 0o1000, "t");
	return kind + text;
}

export async function listFolder(vm: string, segments: string[], signal?: AbortSignal): Promise<{ entries: Entry[]; truncated: boolean }> {
	const response = await send("get", filePath(vm, segments), { signal });
	if (!/json/.test(response.headers.get("Content-Type") ?? "")) {
		await response.body?.cancel();
		throw new ApiError(400, { title: "Not a folder", detail: `${joined(segments)} is no folder.` });
	}
	const folder = (await response.json()) as { entries: Entry[]; truncated: boolean };
	/* names come from the guest */
	return { ...folder, entries: folder.entries.filter((e) => e.name && e.name !== "." && e.name !== ".." && !e.name.includes("/")) };
}

/** Text of a file's beginning; undefined where it is no text. */
export async function peek(vm: string, segments: string[], max: number): Promise<{ text: string | undefined; whole: boolean }> {
	const response = await send("get", filePath(vm, segments), { accept: "application/octet-stream", headers: { Range: `bytes=0-${max - 1}` } });
	const size = Number(response.headers.get("Banger-File-Size") ?? 0);
	const bytes = new Uint8Array(await response.arrayBuffer());
	const whole = bytes.length >= size;
	try {
		/* a character that the end of the range cuts in two does not make it binary */
		const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !whole });
		return { text: text.includes("\0") ? undefined : text, whole };
	} catch {
		return { text: undefined, whole };
	}
}

export interface Upload {
	done: Promise<void>;
	cancel: () => void;
}

/** fetch() can't tell how far an upload is; this can. */
export function upload(path: string, body: Blob, onProgress: (sent: number) => void): Upload {
	const request = new XMLHttpRequest();
	const done = new Promise<void>((resolve, reject) => {
		request.open("PUT", path);
		request.setRequestHeader("Content-Type", path.includes("tar=true") ? "application/x-tar" : "application/octet-stream");
		if (token.peek()) request.setRequestHeader("Authorization", `Bearer ${token.peek()}`);
		request.upload.onprogress = (event) => onProgress(event.loaded);
		request.onload = () => {
			if (request.status < 300) {
				resolve();
				return;
			}
			let problem: Partial<Problem> = { title: request.statusText };
			try {
				problem = JSON.parse(request.responseText) as Problem;
			} catch {
				/* the status has to do */
			}
			if (request.status === 401) signedOut.value = true;
			reject(new ApiError(request.status, problem));
		};
		request.onerror = () => reject(new ApiError(0, {}));
		request.onabort = () => reject(new ApiError(0, { title: "Cancelled", detail: "It was cancelled." }));
		request.send(body);
	});
	return { done, cancel: () => request.abort() };
}

/** Has the browser save what lies at an address: straight to disk by cookie, through memory with a token. */
export async function save(path: string, name: string): Promise<void> {
	const link = document.createElement("a");
	link.download = visible(name);
	if (!token.peek()) {
		link.href = path;
		link.click();
		return;
	}
	const response = await send("get", path, { accept: "*/*" });
	link.href = URL.createObjectURL(await response.blob());
	link.click();
	window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
