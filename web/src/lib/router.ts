// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses are behind the "#", because the paths themselves belong to the REST API:
 * "#/vms/web/terminal?q=state:running" is page "vms", its parts, and its own query.
 */
import { computed, signal } from "@preact/signals";

export interface Route {
	parts: string[];
	query: URLSearchParams;
}

export function parseRoute(hash: string): Route {
	const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
	const decode = (text: string): string => {
		try {
			return decodeURIComponent(text);
		} catch {
			return text;
		}
	};
	return { parts: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

export function href(path: string[], query?: Record<string, string> | URLSearchParams): string {
	const search = new URLSearchParams(query).toString();
	return `#/${path.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

const current = signal(parseRoute(location.hash));
export const route = computed(() => current.value);

addEventListener("hashchange", () => {
	current.value = parseRoute(location.hash);
});

export function go(path: string[], query?: Record<string, string>): void {
	location.hash = href(path, query);
}

/** Changes the page's own query in place, without a step in the history. "" removes a key. */
export function setQuery(changes: Record<string, string>): void {
	const { parts, query } = current.peek();
	const next = new URLSearchParams(query);
	for (const [key, value] of Object.entries(changes)) {
		if (value) next.set(key, value);
		else next.delete(key);
	}
	history.replaceState(null, "", href(parts, next));
	current.value = { parts, query: next };
}
