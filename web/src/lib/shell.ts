// SPDX-License-Identifier: Apache-2.0
/* What a person would type: any request of the dashboard as a curl command. */

export interface RequestSketch {
	method: string;
	path: string;
	body?: unknown;
	headers?: Record<string, string>;
}

/** One word of a POSIX shell. */
export function quote(word: string): string {
	return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`;
}

export const words = (argv: string[]): string => argv.map(quote).join(" ");

/** Splits a command line as a shell would: quotes and backslashes, no expansion. null if a quote is open. */
export function split(line: string): string[] | null {
	const argv: string[] = [];
	let word: string | null = null;
	let open = "";
	for (let i = 0; i < line.length; i++) {
		const c = line[i] as string;
		if (open) {
			if (c === open) open = "";
			else if (c === "\\" && open === '"' && /["\\$`]/.test(line[i + 1] ?? "")) word += line[++i] ?? "";
			else word += c;
		} else if (c === "'" || c === '"') {
			open = c;
			word ??= "";
		} else if (/\s/.test(c)) {
			if (word !== null) argv.push(word);
			word = null;
		} else if (c === "\\") {
			word = (word ?? "") + (line[++i] ?? "");
		} else {
			word = (word ?? "") + c;
		}
	}
	if (open) return null;
	if (word !== null) argv.push(word);
	return argv;
}

export interface Endpoint {
	origin: string;
	/** True when requests carry a bearer token: the command then reads it from $BANGER_TOKEN. */
	token: boolean;
}

export function curl(request: RequestSketch, endpoint: Endpoint): string {
	const parts = ["curl"];
	if (request.method !== "GET" && !(request.method === "POST" && request.body !== undefined)) {
		parts.push("-X", request.method);
	}
	let line = words([...parts, endpoint.origin + request.path]);
	if (endpoint.token) line += ` \\\n  -H "Authorization: Bearer $BANGER_TOKEN"`;
	const headers = { ...request.headers };
	if (request.body !== undefined) headers["Content-Type"] = "application/json";
	for (const [name, value] of Object.entries(headers)) line += ` \\\n  -H ${quote(`${name}: ${value}`)}`;
	if (request.body !== undefined) line += ` \\\n  -d ${quote(JSON.stringify(request.body))}`;
	return line;
}
