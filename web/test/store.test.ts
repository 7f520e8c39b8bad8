// SPDX-License-Identifier: Apache-2.0
/* The store against a server made of fetch answers. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { setDocument } from "../src/api/capabilities";
import { ApiError, call, fillPath, listAll, setToken, signedOut } from "../src/api/client";
import { events, findVm, operations, putVm, refreshVms, takeEvents, tasks, vms } from "../src/store/live";
import type { Vm } from "../src/api/types";

const vm = (name: string, state = "running"): Vm => ({
	id: `id-${name}`, name, state: state as Vm["state"], since: "2026-01-01T00:00:00Z", image: "mini", vcpus: 1, memory_mib: 256,
	disk_mib: 1024, labels: {}, network: "user", nat: true, created: "2026-01-01T00:00:00Z",
});

let asked: { method: string; url: string; headers: Headers; body: string | undefined }[] = [];
let answer: (url: string, method: string) => { status?: number; body?: unknown; type?: string };

beforeEach(() => {
	asked = [];
	setToken("");
	setDocument({ info: { version: "0" }, paths: { "/operations": { get: { operationId: "operation_list" } } }, components: { schemas: {} } });
	vi.stubGlobal("fetch", async (url: string, init: RequestInit = {}) => {
		const method = init.method ?? "GET";
		asked.push({ method, url, headers: new Headers(init.headers), body: init.body as string | undefined });
		const { status = 200, body, type = "application/json" } = answer(url, method);
		return new Response(body === undefined ? null : JSON.stringify(body), { status, headers: { "Content-Type": type } });
	});
});
afterEach(() => {
	vi.unstubAllGlobals();
	vi.useRealTimers();
	vms.value = new Map();
});

describe("tasks", () => {
	it("are what somebody asked for: not what the dashboard looks at by itself, unless that fails", () => {
		const op = (kind: string, state: string) => ({ id: `${kind}-${state}`, kind, state, stages: [], created: "2026-01-01T00:00:00Z", requested_by: "x" }) as never;
		operations.value = [op("doctor", "succeeded"), op("vm.start", "running"), op("host", "failed"), op("host", "running")];
		expect(tasks.value.map((task) => task.id)).toEqual(["vm.start-running", "host-failed"]);
		operations.value = [];
	});
});

describe("client", () => {
	it("fills and escapes paths", () => {
		expect(fillPath("/images/{image}", { image: "a/b c" })).toBe("/images/a%2Fb%20c");
	});

	it("sends a fresh idempotency key with every POST, and the token", async () => {
		answer = () => ({ body: vm("a") });
		setToken("secret");
		await call("post", "/vms", { body: { name: "a" }, wait: 5 });
		await call("post", "/vms", { body: { name: "a" } });
		const [one, two] = asked;
		expect(one?.headers.get("Idempotency-Key")).toMatch(/^[0-9a-f]{32}$/);
		expect(one?.headers.get("Idempotency-Key")).not.toBe(two?.headers.get("Idempotency-Key"));
		expect(one?.headers.get("Authorization")).toBe("Bearer secret");
		expect(one?.headers.get("Prefer")).toBe("wait=5");
		expect(one?.body).toBe('{"name":"a"}');
	});

	it("turns problem documents into errors with pointers", async () => {
		answer = () => ({ status: 422, type: "application/problem+json", body: { title: "Bad", detail: "Too much.", status: 422, code: "x", type: "/problems/x", errors: [{ pointer: "/vcpus", detail: "At most 64." }] } });
		const error = await call("post", "/vms", { body: { vcpus: 99 } }).catch((e: unknown) => e);
		expect(error).toBeInstanceOf(ApiError);
		expect((error as ApiError).status).toBe(422);
		expect((error as ApiError).message).toBe("Too much.");
		expect((error as ApiError).at("/vcpus")).toBe("At most 64.");
	});

	it("says so when the server does not know us", async () => {
		answer = () => ({ status: 401, body: {} });
		await call("get", "/version").catch(() => undefined);
		expect(signedOut.value).toBe(true);
		setToken("other");
		expect(signedOut.value).toBe(false);
	});

	it("survives an answer that is no JSON", async () => {
		answer = () => ({ status: 502, type: "application/problem+json" });
		await expect(call("get", "/version")).rejects.toMatchObject({ status: 502 });
	});

	it("follows the pages of a list", async () => {
		answer = (url) => (url.includes("cursor=two") ? { body: { items: [vm("b")] } } : { body: { items: [vm("a")], next_cursor: "two" } });
		expect((await listAll("/vms")).map((v) => v.name)).toEqual(["a", "b"]);
		expect(asked.map((a) => a.url)).toEqual(["/vms?limit=1000", "/vms?limit=1000&cursor=two"]);
	});
});

describe("store", () => {
	it("replaces the list but keeps unchanged objects", async () => {
		answer = () => ({ body: { items: [vm("a"), vm("b")] } });
		await refreshVms();
		const first = vms.value.get("id-a");
		answer = () => ({ body: { items: [vm("a"), vm("c")] } });
		await refreshVms();
		expect(vms.value.get("id-a")).toBe(first);
		expect([...vms.value.keys()]).toEqual(["id-a", "id-c"]);
	});

	it("finds by id and by name", () => {
		putVm(vm("a"));
		expect(findVm("id-a")).toBe(findVm("a"));
		expect(findVm("x")).toBeUndefined();
	});

	it("asks for the one VM that an event names, and forgets one that is gone", async () => {
		vi.useFakeTimers();
		putVm(vm("a"));
		putVm(vm("gone"));
		answer = (url) => (url === "/vms/id-a" ? { body: vm("a", "stopped") } : { status: 404, body: {} });
		takeEvents([
			{ id: 1, time: "2026-01-01T00:00:00Z", kind: "vm.state", target: "id-a" },
			{ id: 2, time: "2026-01-01T00:00:00Z", kind: "vm.state", target: "id-a" },
		]);
		takeEvents([{ id: 3, time: "2026-01-01T00:00:00Z", kind: "vm.deleted", target: "id-gone" }]);
		await vi.advanceTimersByTimeAsync(500);
		expect(asked.map((a) => a.url).sort()).toEqual(["/vms/id-a", "/vms/id-gone"]);
		expect(vms.value.get("id-a")?.state).toBe("stopped");
		expect(vms.value.has("id-gone")).toBe(false);
	});

	it("asks again for the VMs whose disks a snapshot that came or went is in", async () => {
		vi.useFakeTimers();
		putVm({ ...vm("a"), snapshot: "old" });
		putVm(vm("b"));
		putVm(vm("c"));
		answer = (url) => ({ body: { ...vm(url.slice(-1)), snapshot: "new" } });
		takeEvents([
			{ id: 1, time: "2026-01-01T00:00:00Z", kind: "snapshot.deleted", target: "old" },
			{ id: 2, time: "2026-01-01T00:00:00Z", kind: "snapshot.added", target: "new", data: { vm: "id-b" } as never },
		]);
		await vi.advanceTimersByTimeAsync(500);
		expect(asked.map((a) => a.url).filter((url) => url.startsWith("/vms")).sort()).toEqual(["/vms/id-a", "/vms/id-b"]);
		expect(vms.value.get("id-a")?.snapshot).toBe("new");
	});

	it("changes what is shown once for all events that come together", () => {
		const seen: number[] = [];
		const stop = events.subscribe((list) => seen.push(list.length));
		takeEvents(Array.from({ length: 50 }, (_, i) => ({ id: i, time: "2026-01-01T00:00:00Z", kind: "server.note" })));
		stop();
		expect(seen).toHaveLength(2);
	});

	it("asks for the whole list once when a storm of events comes", async () => {
		vi.useFakeTimers();
		answer = () => ({ body: { items: [vm("a")] } });
		takeEvents(Array.from({ length: 500 }, (_, i) => ({ id: i, time: "2026-01-01T00:00:00Z", kind: "vm.state", target: `id-${i}` })));
		await vi.advanceTimersByTimeAsync(500);
		expect(asked.map((a) => a.url)).toEqual(["/vms?limit=1000"]);
	});
});
