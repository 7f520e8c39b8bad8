// SPDX-License-Identifier: Apache-2.0
/*
 * Everything the pages show, kept fresh by one event stream. An event says what changed; what it
 * changed is asked for again, gathered so that a storm of events costs a few requests a second.
 * Where there is no stream the lists are asked for from time to time, ever slower while the server
 * is away. A hidden tab lets go of its connection and catches up when it is looked at again.
 */
import { batch, computed, signal, type Signal } from "@preact/signals";
import { answered, call, listAll, send, signedOut, unreachable, ApiError } from "../api/client";
import { can, loadDocument, needDocument } from "../api/capabilities";
import { readEvents } from "../api/streams";
import type { ApiEvent, Doctor, Image, Kernel, Operation, Run, Session, Snapshot, Vm } from "../api/types";

export type Connection = "connecting" | "live" | "polling" | "offline";

const GATHER_MS = 120;
const SINGLE_MAX = 8;
const POLL_MS = 3000;
const BUSY_POLL_MS = 700;
const BACKOFF_MAX_MS = 15_000;
const SILENCE_MS = 45_000;
const HIDDEN_MS = 60_000;
const EVENTS_MAX = 1000;
const FIRST_WAIT_MS = 250;
const PAINT_MAX_MS = 250;
const OPERATIONS_SHOWN = 100;
const RUNS_SHOWN = 500;

export const connection = signal<Connection>("connecting");
/** When the server was last lost; 0 while all is well. */
export const lostAt = signal(0);
/** Set for a while after the server came back: what the banner says. */
export const backAgain = signal("");

export const vms = signal<ReadonlyMap<string, Vm>>(new Map());
/** The first page is there, in the order of names; the rest follows. */
export const vmsBegun = signal(false);
export const vmsLoaded = signal(false);
export const images = signal<Image[] | null>(null);
export const kernels = signal<Kernel[] | null>(null);
export const operations = signal<Operation[]>([]);
export const snapshots = signal<Snapshot[] | null>(null);
/** Newest first; null until a page has asked for them. */
export const runs = signal<Run[] | null>(null);
export const doctor = signal<Doctor | null>(null);
export const version = signal("");
/** Who we are to the server. */
export const session = signal<Session | null>(null);
/** Newest last; only what came since the page was opened. */
export const events = signal<ApiEvent[]>([]);

export const vmList = computed(() => [...vms.value.values()]);
export const vmCount = computed(() => vms.value.size);
export const activeOperations = computed(() => operations.value.filter((op) => !ended(op)));

/** The dashboard and the server ask for these by themselves: tasks only when they fail. */
const LOOKS = /^(doctor|host|template\.standby)$/;
/** What somebody asked for, newest first. */
export const tasks = computed(() => operations.value.filter((op) => op.state === "failed" || !LOOKS.test(op.kind)));

export const ended = (op: Operation): boolean => /^(succeeded|failed|cancelled)$/.test(op.state);

/** By id or by name. */
export function findVm(key: string): Vm | undefined {
	return vms.value.get(key) ?? vmList.value.find((vm) => vm.name === key);
}

/* --- asking --- */

function same(a: unknown, b: unknown): boolean {
	return JSON.stringify(a) === JSON.stringify(b);
}

/** Replaces a list but keeps the objects that did not change, so that their rows are not drawn again. */
export function mergeVms(old: ReadonlyMap<string, Vm>, list: Vm[]): Map<string, Vm> {
	return new Map(
		list.map((vm) => {
			const known = old.get(vm.id);
			return [vm.id, known && same(known, vm) ? known : vm];
		}),
	);
}

export async function refreshVms(): Promise<void> {
	const list = await listAll("/vms");
	batch(() => {
		vms.value = mergeVms(vms.peek(), list);
		vmsBegun.value = true;
		vmsLoaded.value = true;
	});
}

/** What fills a screen: a thousand VMs take longer to send than to look at the first ones. public/first.js has asked. */
async function firstVms(asked: Promise<Response>): Promise<void> {
	const list = (await (await answered(asked)).json()) as { items: Vm[]; next_cursor?: string };
	if (vmsLoaded.peek()) return;
	batch(() => {
		vms.value = mergeVms(vms.peek(), list.items);
		vmsBegun.value = true;
		if (!list.next_cursor) vmsLoaded.value = true;
	});
}

/** The VM as it is now; undefined when there is none any more. */
async function askVm(id: string): Promise<Vm | undefined> {
	try {
		return await call("get", "/vms/{vm}", { params: { vm: id } });
	} catch (error) {
		if (error instanceof ApiError && error.status === 404) return undefined;
		throw error;
	}
}

/** One change of the map for all of them: each change draws what shows VMs once. */
async function refreshSome(ids: string[]): Promise<void> {
	if (ids.length === 0) return;
	const found = await Promise.all(ids.map(askVm));
	const next = new Map(vms.peek());
	let changed = false;
	ids.forEach((id, i) => {
		const vm = found[i];
		if (!vm) changed = next.delete(id) || changed;
		else if (!same(next.get(id), vm)) {
			next.set(id, vm);
			changed = true;
		}
	});
	if (changed) vms.value = next;
}

export const refreshVm = (id: string): Promise<void> => refreshSome([id]);

export function putVm(vm: Vm): void {
	if (same(vms.peek().get(vm.id), vm)) return;
	vms.value = new Map(vms.peek()).set(vm.id, vm);
}

export async function refreshOperations(): Promise<void> {
	if (!can("operation_list")) return;
	const list = await call("get", "/operations", { query: { limit: OPERATIONS_SHOWN } });
	const old = new Map(operations.peek().map((op) => [op.id, op]));
	operations.value = list.items.map((op) => {
		const known = old.get(op.id);
		return known && same(known, op) ? known : op;
	});
}

export function putOperation(op: Operation): void {
	keepOperation(op);
	later("operations");
}

export async function refreshImages(): Promise<void> {
	if (can("image_list")) images.value = await listAll("/images");
}

export async function refreshKernels(): Promise<void> {
	if (can("kernel_list")) kernels.value = await listAll("/kernels");
}

export async function refreshSnapshots(): Promise<void> {
	if (can("snapshot_list")) snapshots.value = (await call("get", "/snapshots")).items;
}

export async function refreshRuns(): Promise<void> {
	if (can("run_list")) runs.value = (await call("get", "/runs", { query: { limit: RUNS_SHOWN } })).items;
}

/** Puts it in its place, newest first. */
export function putRun(run: Run): void {
	const list = runs.peek();
	if (list) runs.value = [run, ...list.filter((r) => r.id !== run.id)].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, RUNS_SHOWN);
}

export async function refreshDoctor(): Promise<void> {
	if (can("doctor")) doctor.value = await call("get", "/doctor");
}

async function refreshVersion(): Promise<void> {
	if (can("version")) version.value = (await call("get", "/version")).version;
}

async function refreshSession(): Promise<void> {
	if (can("session_get")) session.value = await call("get", "/session");
}

/* --- gathering --- */

type Kind = "vms" | "operations" | "images" | "kernels" | "snapshots" | "runs";
const REFRESH: Record<Kind, () => Promise<void>> = {
	vms: refreshVms,
	operations: refreshOperations,
	images: refreshImages,
	kernels: refreshKernels,
	snapshots: refreshSnapshots,
	runs: refreshRuns,
};

const dirtyKinds = new Set<Kind>();
const dirtyVms = new Set<string>();
let gatherTimer = 0;
let flushing = false;

function later(kind: Kind): void {
	dirtyKinds.add(kind);
	schedule();
}

function vmLater(id: string): void {
	dirtyVms.add(id);
	schedule();
}

function schedule(): void {
	gatherTimer ||= window.setTimeout(() => void flush(), GATHER_MS);
}

async function flush(): Promise<void> {
	gatherTimer = 0;
	if (flushing) {
		schedule();
		return;
	}
	flushing = true;
	const kinds = new Set(dirtyKinds);
	const ids = [...dirtyVms];
	dirtyKinds.clear();
	dirtyVms.clear();
	if (ids.length > SINGLE_MAX) kinds.add("vms");
	try {
		await Promise.all([
			...[...kinds].map((kind) => REFRESH[kind]()),
			...(kinds.has("vms") ? [] : [refreshSome(ids)]),
		]);
	} catch {
		/* the stream notices that the server is away, and all is asked for again when it is back */
	} finally {
		flushing = false;
	}
}

function isOperation(data: unknown): data is Operation {
	return typeof data === "object" && data !== null && "kind" in data && "state" in data && "stages" in data;
}

function isRun(data: unknown): data is Run {
	return typeof data === "object" && data !== null && "phase" in data && "argv" in data;
}

/** Puts it in its place, newest first. */
function keepOperation(op: Operation): void {
	const list = operations.peek();
	const at = list.findIndex((known) => known.id === op.id);
	operations.value = at < 0 ? [op, ...list].slice(0, OPERATIONS_SHOWN) : list.map((known, i) => (i === at ? op : known));
}

/** All that came at once: what shows events or tasks is drawn once for them. */
export function takeEvents(list: ApiEvent[]): void {
	batch(() => {
		events.value = [...events.peek(), ...list].slice(-EVENTS_MAX);
		list.forEach(takeEvent);
	});
}

function takeEvent(event: ApiEvent): void {
	const area = event.kind.split(".")[0];
	if (area === "vm" && event.target) vmLater(event.target);
	else if (area === "vm") later("vms");
	if (area === "image") later("images");
	if (area === "kernel") later("kernels");
	if (area === "snapshot") {
		later("snapshots");
		/* where the disks of VMs are in the tree has changed with it */
		const taken = (event.data as { vm?: unknown } | undefined)?.vm;
		if (typeof taken === "string") vmLater(taken);
		for (const vm of vms.peek().values()) if (vm.snapshot === event.target) vmLater(vm.id);
	}
	if (area === "run" && isRun(event.data)) {
		putRun(event.data);
		/* those that still wait have moved up */
		if (runs.peek()?.some((run) => run.state === "queued")) later("runs");
	}
	if (isOperation(event.data)) keepOperation(event.data);
	else if (event.operation) later("operations");
}

/* --- the stream --- */

let lastId: number | undefined;
let abort: AbortController | null = null;
let running = false;

const sleep = (ms: number): Promise<void> => new Promise((done) => window.setTimeout(done, ms));

async function refreshAll(): Promise<void> {
	await Promise.all([refreshVms(), refreshOperations(), refreshVersion(), refreshSession(), loadDocument()]);
	if (images.peek()) await refreshImages();
	if (kernels.peek()) await refreshKernels();
	if (snapshots.peek()) await refreshSnapshots();
	if (runs.peek()) await refreshRuns();
}

function cameBack(): void {
	const lost = lostAt.peek();
	if (lost) {
		const seconds = Math.max(1, Math.round((Date.now() - lost) / 1000));
		backAgain.value = `The server was away for ${seconds} s. Everything here is fresh again.`;
		window.setTimeout(() => (backAgain.value = ""), 8000);
	}
	lostAt.value = 0;
}

async function follow(): Promise<void> {
	const control = new AbortController();
	abort = control;
	let silence = 0;
	const alive = (): void => {
		window.clearTimeout(silence);
		silence = window.setTimeout(() => control.abort(), SILENCE_MS);
	};
	try {
		const response = await send("get", "/events", {
			accept: "text/event-stream",
			lastEventId: lastId,
			signal: control.signal,
		});
		connection.value = "live";
		cameBack();
		alive();
		/* after the stream stands, so that nothing falls between the list and its changes */
		await refreshAll();
		/* no page may need it for long, but the next one opens at once with it */
		needDocument();
		let came: ApiEvent[] = [];
		await readEvents(
			response,
			(message) => {
				if (/^\d+$/.test(message.id)) lastId = Number(message.id);
				try {
					const event = JSON.parse(message.data) as ApiEvent;
					if (typeof event.kind !== "string") return;
					came.push(event);
				} catch {
					/* not one of ours */
					return;
				}
				if (came.length > 1) return;
				queueMicrotask(() => {
					takeEvents(came);
					came = [];
				});
			},
			alive,
		);
	} finally {
		window.clearTimeout(silence);
		control.abort();
		abort = null;
	}
}

async function poll(): Promise<void> {
	await refreshAll();
	connection.value = "polling";
	cameBack();
	await sleep(activeOperations.peek().length ? BUSY_POLL_MS : POLL_MS);
}

async function keepFresh(): Promise<void> {
	let failures = 0;
	while (running) {
		if (document.hidden && failures === 0 && hiddenSince && Date.now() - hiddenSince > HIDDEN_MS) {
			await becomesVisible();
		}
		try {
			if (can("event_stream")) await follow();
			else await poll();
			failures = 0;
			if (can("event_stream")) await sleep(250);
		} catch (error) {
			if (signedOut.peek()) {
				await signsIn();
				continue;
			}
			const noStream = error instanceof ApiError && [404, 405, 406, 501].includes(error.status);
			if (noStream) {
				await poll().catch(() => undefined);
				continue;
			}
			failures++;
			if (failures > 1 || (error instanceof ApiError && error.offline)) {
				connection.value = "offline";
				if (!lostAt.peek()) lostAt.value = Date.now();
			}
			await sleep(Math.min(BACKOFF_MAX_MS, 300 * 1.7 ** failures));
		}
	}
}

function signsIn(): Promise<void> {
	return new Promise((done) => {
		const stop = signedOut.subscribe((out) => {
			if (!out) queueMicrotask(() => (stop(), done()));
		});
	});
}

/** After the next frame; a hidden page has none. */
function painted(): Promise<void> {
	return new Promise((done) => {
		requestAnimationFrame(() => window.setTimeout(done));
		window.setTimeout(done, PAINT_MAX_MS);
	});
}

let hiddenSince = 0;

function becomesVisible(): Promise<void> {
	return new Promise((done) => {
		const check = (): void => {
			if (document.hidden) return;
			removeEventListener("visibilitychange", check);
			done();
		};
		addEventListener("visibilitychange", check);
	});
}

/** While something is under way its progress is asked for: events tell only of beginnings and ends. */
async function watchProgress(): Promise<void> {
	while (running) {
		await sleep(BUSY_POLL_MS);
		if (document.hidden || connection.peek() !== "live" || activeOperations.peek().length === 0) continue;
		await refreshOperations().catch(() => undefined);
	}
}

declare global {
	/** Where the list of VMs is looked at first: the answer to its first page. */
	var firstVms: Promise<Response> | undefined;
}

/** The page itself is drawn: until then only what stands around it. */
export const opened = signal(false);

/** Follows the server from now on. `draw` is called soon; what fills the first page comes first, if it does not take long. */
export function startLive(draw: () => void): void {
	if (running) return;
	running = true;
	addEventListener("visibilitychange", () => {
		hiddenSince = document.hidden ? Date.now() : 0;
		window.setTimeout(() => {
			if (hiddenSince && Date.now() - hiddenSince >= HIDDEN_MS) abort?.abort();
		}, HIDDEN_MS + 50);
	});
	addEventListener("online", () => abort?.abort());
	unreachable.subscribe((n) => {
		if (n && connection.peek() === "polling") connection.value = "offline";
	});
	/* an operation that has ended has changed its target */
	const open = new Set<string>();
	operations.subscribe((list) => {
		for (const op of list) {
			if (!ended(op)) open.add(op.id);
			else if (open.delete(op.id)) {
				if (op.target && op.kind.startsWith("vm.")) vmLater(op.target);
				if (op.kind.startsWith("image.")) later("images");
				if (op.kind.startsWith("kernel.")) later("kernels");
				if (/snapshot/.test(op.kind)) later("snapshots");
			}
		}
	});
	const first = globalThis.firstVms ? Promise.race([firstVms(globalThis.firstVms).catch(() => undefined), sleep(FIRST_WAIT_MS)]) : Promise.resolve();
	void openPage(first, draw);
}

/** Each a task of its own, so that none is long; what comes next has time until the rows are on the screen. */
async function openPage(first: Promise<void>, draw: () => void): Promise<void> {
	await sleep(0);
	draw();
	await first;
	await sleep(0);
	opened.value = true;
	await painted();
	void keepFresh();
	void watchProgress();
}

/** Asks for a list when a page that needs it is first shown. */
export function need<T>(list: Signal<T | null>, refresh: () => Promise<void>): void {
	if (list.peek() === null) void refresh().catch(() => undefined);
}
