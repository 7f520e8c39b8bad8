// SPDX-License-Identifier: Apache-2.0
/*
 * The one place that talks HTTP. Paths, bodies and replies are checked at compile time against the
 * types generated from the OpenAPI document.
 */
import { signal } from "@preact/signals";
import type { Body, Image, Kernel, Method, MethodsOf, Path, Problem, Reply, Vm } from "./types";
import type { RequestSketch } from "../lib/shell";

export class ApiError extends Error {
	readonly status: number;
	readonly problem: Partial<Problem>;

	constructor(status: number, problem: Partial<Problem>) {
		super(problem.detail || problem.title || (status ? `The server answered ${status}.` : "The server can't be reached."));
		this.status = status;
		this.problem = problem;
	}

	/** No answer at all. */
	get offline(): boolean {
		return this.status === 0;
	}

	/** What was refused at a JSON pointer such as "/name". */
	at(pointer: string): string | undefined {
		return this.problem.errors?.find((e) => e.pointer === pointer)?.detail;
	}
}

const TOKEN_KEY = "banger.token";

function storedToken(): string {
	try {
		return sessionStorage.getItem(TOKEN_KEY) ?? "";
	} catch {
		return "";
	}
}

/** A bearer token given by hand; empty while the session cookie does. */
export const token = signal(storedToken());
/** True once the server has refused us. */
export const signedOut = signal(false);
/** Counts answers that did not come; the live store watches it. */
export const unreachable = signal(0);

export function setToken(value: string): void {
	token.value = value;
	signedOut.value = false;
	try {
		if (value) sessionStorage.setItem(TOKEN_KEY, value);
		else sessionStorage.removeItem(TOKEN_KEY);
	} catch {
		/* kept for this page only */
	}
}

export interface Options<B> {
	params?: Record<string, string>;
	query?: Record<string, string | number | boolean | undefined>;
	body?: B;
	/** Seconds of `Prefer: wait`. */
	wait?: number;
	accept?: string;
	lastEventId?: number | undefined;
	headers?: Record<string, string>;
	signal?: AbortSignal | undefined;
}

export function fillPath(template: string, params: Record<string, string> = {}): string {
	return template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ""));
}

function randomKey(): string {
	return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

function search(query: Options<never>["query"]): string {
	const list = Object.entries(query ?? {}).filter(([, v]) => v !== undefined && v !== "");
	return list.length ? `?${new URLSearchParams(list.map(([k, v]) => [k, String(v)])).toString()}` : "";
}

/** Sends a request and hands back the response; throws ApiError for anything but success. */
export async function send(method: string, template: string, options: Options<unknown> = {}): Promise<Response> {
	const headers: Record<string, string> = { Accept: options.accept ?? "application/json", ...options.headers };
	if (token.peek()) headers["Authorization"] = `Bearer ${token.peek()}`;
	if (options.body !== undefined) headers["Content-Type"] = "application/json";
	if (options.wait) headers["Prefer"] = `wait=${options.wait}`;
	if (options.lastEventId !== undefined) headers["Last-Event-ID"] = String(options.lastEventId);
	if (method === "post") headers["Idempotency-Key"] = randomKey();
	return await answered(
		fetch(fillPath(template, options.params) + search(options.query), {
			method: method.toUpperCase(),
			headers,
			credentials: "same-origin",
			cache: "no-store",
			...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
			...(options.signal ? { signal: options.signal } : {}),
		}),
		options.signal,
	);
}

/** The response of a request that is under way; throws ApiError for anything but success. */
export async function answered(asked: Promise<Response>, signal?: AbortSignal): Promise<Response> {
	let response: Response;
	try {
		response = await asked;
	} catch (cause) {
		if (signal?.aborted) throw cause;
		unreachable.value++;
		throw new ApiError(0, {});
	}
	if (response.ok || response.status === 304) return response;
	let problem: Partial<Problem> = { title: response.statusText };
	try {
		if (/json/.test(response.headers.get("Content-Type") ?? "")) problem = (await response.json()) as Problem;
	} catch {
		/* cut short: the status has to do */
	}
	if (response.status === 401) signedOut.value = true;
	throw new ApiError(response.status, problem);
}

export async function call<P extends Path, M extends MethodsOf<P>>(
	method: M,
	template: P,
	options: Options<Body<P, M>> = {},
): Promise<Reply<P, M>> {
	const response = await send(method, template, options);
	if (response.status === 204) return undefined as Reply<P, M>;
	return (await response.json()) as Reply<P, M>;
}

export function sketch<P extends Path, M extends MethodsOf<P>>(
	method: M,
	template: P,
	params: Record<string, string> = {},
	body?: Body<P, M>,
): RequestSketch {
	return {
		method: (method as Method).toUpperCase(),
		path: fillPath(template, params),
		...(body === undefined ? {} : { body }),
	};
}

const PAGE = 1000;
const PAGES_MAX = 50;

interface Lists {
	"/vms": Vm;
	"/images": Image;
	"/kernels": Kernel;
}

/** All pages of a list. */
export async function listAll<P extends keyof Lists>(template: P): Promise<Lists[P][]> {
	const items: Lists[P][] = [];
	let cursor: string | undefined;
	for (let page = 0; page < PAGES_MAX; page++) {
		const response = await send("get", template, { query: { limit: PAGE, cursor } });
		const list = (await response.json()) as { items: Lists[P][]; next_cursor?: string };
		items.push(...list.items);
		cursor = list.next_cursor;
		if (!cursor) break;
	}
	return items;
}
