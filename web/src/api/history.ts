// SPDX-License-Identifier: Apache-2.0
/* Events of the past: read from the stream's replay until it falls quiet, then let go. */
import { send } from "./client";
import { readEvents } from "./streams";
import type { ApiEvent } from "./types";

const QUIET_MS = 350;
const LONGEST_MS = 8000;

export async function pastEvents(query: { target?: string; kind?: string }, max: number): Promise<ApiEvent[]> {
	const control = new AbortController();
	const list: ApiEvent[] = [];
	let quiet = window.setTimeout(() => control.abort(), LONGEST_MS);
	const longest = quiet;
	try {
		const response = await send("get", "/events", {
			accept: "text/event-stream", query: { since: 0, ...query }, signal: control.signal,
		});
		quiet = window.setTimeout(() => control.abort(), QUIET_MS);
		await readEvents(response, (message) => {
			window.clearTimeout(quiet);
			quiet = window.setTimeout(() => control.abort(), QUIET_MS);
			list.push(JSON.parse(message.data) as ApiEvent);
			if (list.length > max * 2) list.splice(0, list.length - max);
		});
	} catch (error) {
		if (!control.signal.aborted) throw error;
	} finally {
		window.clearTimeout(quiet);
		window.clearTimeout(longest);
		control.abort();
	}
	return list.slice(-max);
}
