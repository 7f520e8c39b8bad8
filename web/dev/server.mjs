// SPDX-License-Identifier: Apache-2.0
/*
 * A development fixture: answers the part of the API that the dashboard uses with invented VMs, so
 * that pages can be worked on and tried at sizes (1,000 VMs) that no laptop runs. It proves nothing
 * about the server; tests/web runs the dashboard against the real one.
 *
 *     node dev/server.mjs [--port 8421] [--vms 24] [--rate 1] [--empty] [--document file.json]
 *
 * --rate: state changes a second.
 */
import { createServer } from "node:http";
import { readFileSync, existsSync, statSync } from "node:fs";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const flag = (name, fallback) => {
	const at = process.argv.indexOf(`--${name}`);
	return at < 0 ? fallback : (process.argv[at + 1] ?? true);
};
const PORT = Number(flag("port", 8421));
const COUNT = process.argv.includes("--empty") ? 0 : Number(flag("vms", 24));
const RATE = Number(flag("rate", 0.2));
const dist = fileURLToPath(new URL("../dist", import.meta.url));
const document = readDocument();

/* The OpenAPI document, as the typescript generator's own YAML reader sees it. */
function readDocument() {
	const given = flag("document", "");
	const path = given || fileURLToPath(new URL("../dev/openapi.json", import.meta.url));
	return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { info: {}, paths: {}, components: { schemas: {} } };
}

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
let seed = 42;
const random = () => {
	seed = (seed + 0x6d2b79f5) | 0;
	let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
	t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
	return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const pick = (list) => list[Math.floor(random() * list.length)];
const id = () => Array.from({ length: 16 }, () => ALPHABET[Math.floor(random() * 31)]).join("");
const iso = (t) => new Date(t).toISOString();

const NAMES = ["web", "api", "worker", "build", "lint", "db", "cache", "docs", "queue", "mail", "proxy", "test"];
const IMAGES = [
	{ name: "mini", source: "built: busybox", size_bytes: 2_310_144 },
	{ name: "debian", source: "built: mmdebstrap bookworm", size_bytes: 187_203_584 },
	{ name: "python:3.12", source: "docker.io/library/python:3.12", size_bytes: 421_003_264 },
].map((image, i) => ({ ...image, arch: "amd64", digest: `sha256:${id()}${id()}${id()}${id()}`.replace(/[^0-9a-f:sha]/g, "a"), created: iso(Date.now() - (i + 1) * 7.3e7), used_by: [] }));
const CATALOG = [
	{ name: "debian", kind: "image", source: "built on this machine", own: false, pinned: false },
	{ name: "alpine", kind: "image", source: "docker.io/library/alpine:3", own: false, pinned: false },
	{ name: "debian-cloud", kind: "kernel", source: "built on this machine", own: false, pinned: false },
];
const KERNELS = [
	{ name: "debian-cloud", version: "6.1.0-35-cloud-amd64", source: "Debian package", size_bytes: 21_430_272, created: iso(Date.now() - 9e7), default: true, used_by: [] },
];
const STAGES = [["disk", 120], ["vmm_start", 90], ["kernel", 1050], ["agent", 310], ["root", 140], ["network", 85], ["ready", 40]];

function stages(scale = 1) {
	let at = 0;
	return STAGES.map(([name, ms]) => {
		const duration_ms = Math.round(ms * scale * (0.8 + random() * 0.5));
		const stage = { name, start_ms: at, duration_ms };
		at += duration_ms;
		return stage;
	});
}

function makeVm(i) {
	const state = i === 0 ? "running" : i === 3 ? "failed" : i === 7 ? "paused" : pick(["running", "running", "running", "running", "stopped", "suspended"]);
	const created = Date.now() - random() * 4e8;
	const up = state === "running" || state === "paused";
	const vm = {
		id: id(), name: i < NAMES.length ? NAMES[i] : `${pick(NAMES)}-${i}`, state,
		since: iso(created + 5000), image: pick(IMAGES).name, kernel: "debian-cloud", vmm: "qemu",
		vcpus: pick([1, 1, 2, 4]), memory_mib: pick([256, 512, 1024, 2048]), disk_mib: pick([2048, 4096, 8192]),
		labels: i % 3 === 0 ? { team: pick(["ci", "web", "data"]) } : i % 5 === 0 ? { team: "ci", run: String(1200 + i) } : {},
		network: i % 6 === 5 ? "none" : "user", nat: true, boot: "auto", booted_from: pick(["cold", id()]), init: "agent",
		created: iso(created), stages: stages(),
	};
	if (state === "failed") vm.reason = "The guest's agent did not answer within 60 s.";
	if (up) {
		vm.started = iso(Date.now() - random() * 3e7);
		if (vm.network !== "none") vm.ip = `10.42.0.${(i % 250) + 2}`;
	}
	if (i % 5 === 1 && up) Object.assign(vm, { idle_stop_s: 3600, sleeps: iso(Date.now() + random() * 3.6e6) });
	if (i % 4 === 0) vm.expires = iso(Date.now() + random() * 3e7);
	return vm;
}

const vms = new Map(Array.from({ length: COUNT }, (_, i) => makeVm(i)).map((vm) => [vm.id, vm]));
const images = new Map(COUNT ? IMAGES.map((i) => [i.name, i]) : []);
const kernels = new Map(COUNT ? KERNELS.map((k) => [k.name, k]) : []);
const snapshots = new Map();
function makeSnapshot(vm, name, parent, age) {
	const snapshot = { id: id(), name, vm: vm.id, vm_name: vm.name, ...(parent ? { parent } : {}), image: vm.image, vcpus: vm.vcpus, memory_mib: vm.memory_mib, disk_mib: vm.disk_mib, memory: vm.state === "running", size_bytes: Math.round(vm.memory_mib * 300_000 + random() * 9e7), created: iso(Date.now() - age) };
	snapshots.set(snapshot.id, snapshot);
	vm.snapshot = snapshot.id;
	return snapshot;
}
if (COUNT > 3) {
	const [web, api, worker] = [...vms.values()];
	const base = makeSnapshot(web, "fresh", undefined, 8.1e7);
	const second = makeSnapshot(web, "deps-installed", base.id, 7.2e7);
	makeSnapshot(web, "before-upgrade", second.id, 3.6e6);
	makeSnapshot(web, "experiment", base.id, 1.8e6);
	makeSnapshot(worker, "nightly", undefined, 4e7);
	api.snapshot = base.id;
}
const templates = COUNT ? ["mini", "debian"].map((image, i) => ({ id: (i + 1).toString(16).repeat(32), image, vcpus: 1, memory_mib: 512, disk_mib: 8192, network: "user", init: "agent", size_bytes: 231_000_000 + i * 1e8, pinned: i === 0, created: iso(Date.now() - 9e7), last_used: iso(Date.now() - 4e5) })) : [];
const tokens = new Map(COUNT ? [["ci", { name: "ci", scope: "run", created: iso(Date.now() - 8e8), expires: iso(Date.now() + 6e8), last_used: iso(Date.now() - 9e4) }], ["grafana", { name: "grafana", scope: "read", created: iso(Date.now() - 2e9) }]] : []);
const operations = [];
const events = [];
const listeners = new Set();
let eventId = 0;

function emit(kind, target, data = {}, operation) {
	const event = { id: ++eventId, time: iso(Date.now()), kind, target: target?.id ?? target?.name, target_name: target?.name, by: "uid:1000", data, ...(operation ? { operation } : {}) };
	if (!event.target) delete event.target;
	events.push(event);
	if (events.length > 5000) events.shift();
	for (const listener of listeners) listener(event);
}

function setState(vm, state, reason) {
	vm.state = state;
	vm.since = iso(Date.now());
	delete vm.reason;
	if (reason) vm.reason = reason;
	if (state === "running") vm.started = iso(Date.now());
	emit("vm.state", vm, { state });
}

/* Plays an operation: stages one after the other, then `done`. */
function operate(kind, target, plan, done) {
	const op = { id: id(), kind, target: target.id ?? target.name, target_name: target.name, state: "queued", requested_by: "uid:1000", created: iso(Date.now()), stages: [] };
	operations.unshift(op);
	emit("operation.started", { id: op.target, name: op.target_name }, {}, op.id);
	const began = Date.now();
	op.state = "running";
	op.started = iso(began);
	let i = 0;
	const step = () => {
		const now = Date.now() - began;
		const last = op.stages[op.stages.length - 1];
		if (last) last.duration_ms = now - last.start_ms;
		if (op.state === "cancelled" || i === plan.length) {
			if (op.state === "running") op.state = "succeeded";
			op.ended = iso(Date.now());
			op.duration_ms = now;
			done(op);
			emit("operation.ended", { id: op.target, name: op.target_name }, { state: op.state }, op.id);
			return;
		}
		const [name, ms, total] = plan[i++];
		op.stages.push({ name, start_ms: now });
		if (total) {
			op.progress = { done: 0, total, unit: "bytes" };
			const timer = setInterval(() => {
				op.progress.done = Math.min(total, op.progress.done + Math.ceil((total * 100) / ms));
				if (op.progress.done === total || op.state !== "running") clearInterval(timer);
			}, 100);
		}
		setTimeout(step, ms);
	};
	setTimeout(step, 30);
	return op;
}

const problem = (status, code, detail, more = {}) => ({ status, body: { type: `/problems/${code}`, title: code.replace(/_/g, " ").replace(/^./, (c) => c.toUpperCase()), status, detail, code, ...more }, type: "application/problem+json" });
const find = (key) => vms.get(key) ?? [...vms.values()].find((vm) => vm.name === key);

/* A small tree that all VMs share: path -> text, or null for a folder. */
const FILES = new Map(Object.entries({
	"": null, etc: null, "etc/hostname": "web\n", "etc/hosts": "127.0.0.1 localhost\n", "etc/os-release": 'NAME="mini"\n', root: null,
	"root/notes.txt": "The disk of this VM is sparse.\n", srv: null, "srv/app": null, "srv/app/server.py": "print('hello')\n", "srv/app/logo.bin": "\0\x01\x02", "srv/odd": null, "srv/odd/\u202egpj.exe": "MZ\n", [`srv/odd/${"long-".repeat(48)}`]: "\n", tmp: null, var: null,
}));
for (let i = 0; i < 700; i++) FILES.set(`var/cache-${String(i).padStart(3, "0")}`, `${i}\n`);

function listFiles(path) {
	const entries = [...FILES].filter(([p]) => p && (path ? p.startsWith(`${path}/`) && !p.slice(path.length + 1).includes("/") : !p.includes("/")))
		.map(([p, text]) => ({ name: p.split("/").pop(), type: text === null ? "dir" : "file", size: text?.length ?? 4096, mode: text === null ? 0o755 : 0o644, uid: 0, gid: 0, modified: iso(Date.now() - 4e6 - (text?.length ?? 0) * 1e6) }));
	return { body: { entries, truncated: false } };
}

async function files(req, res, url) {
	const path = decodeURIComponent(url.pathname.split("/files/")[1]).replace(/^\/$/, "");
	const text = FILES.get(path);
	const fail = (p) => res.writeHead(p.status, { "Content-Type": p.type }).end(JSON.stringify(p.body));
	if (req.method === "PUT") {
		const parts = [];
		for await (const chunk of req) parts.push(chunk);
		FILES.set(path, url.searchParams.get("tar") ? null : Buffer.concat(parts).toString());
		return res.writeHead(204).end();
	}
	if (text === undefined) return fail(problem(404, "not_found", `open /${path}: No such file or directory`));
	if (req.method === "DELETE") {
		for (const p of [...FILES.keys()]) if (p === path || p.startsWith(`${path}/`)) FILES.delete(p);
		return res.writeHead(204).end();
	}
	if (text === null) return res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(listFiles(path).body));
	res.writeHead(200, { "Content-Type": "application/octet-stream", "Banger-File-Size": String(text.length) }).end(text);
}

const VERBS = {
	start: ["starting", "running", STAGES.map(([n, ms]) => [n, ms])],
	stop: ["stopping", "stopped", [["guest_shutdown", 900], ["vmm_exit", 150]]],
	restart: ["stopping", "running", [["guest_shutdown", 700], ...STAGES]],
	kill: ["stopping", "stopped", [["kill", 60]]],
	pause: ["running", "paused", [["pause", 30]]],
	resume: ["paused", "running", [["resume", 30]]],
	suspend: ["stopping", "suspended", [["pause", 30], ["memory", 400], ["vmm_exit", 90]]],
	recover: ["starting", "running", [["clean_up", 60], ...STAGES.map(([n, ms]) => [n, ms])]],
};

function createVm(body) {
	if (!body.name) body.name = `vm-${id().slice(0, 5)}`;
	if (find(body.name)) return problem(409, "conflict", `A VM named "${body.name}" exists.`, { errors: [{ pointer: "/name", detail: "This name is taken.", remedy: "Choose another." }], remedy: "Choose another name." });
	if (body.image && !images.has(body.image)) return problem(404, "not_found", `There is no image "${body.image}".`, { errors: [{ pointer: "/image", detail: "There is no such image." }], remedy: "Build it first." });
	const vm = { id: id(), state: "starting", since: iso(Date.now()), image: "mini", kernel: "debian-cloud", vmm: "qemu", vcpus: 1, memory_mib: 512, disk_mib: 4096, labels: {}, network: "user", nat: true, boot: "auto", init: "agent", created: iso(Date.now()), ...body };
	if (body.ttl_s) vm.expires = iso(Date.now() + body.ttl_s * 1000);
	delete vm.ttl_s;
	delete vm.start;
	vms.set(vm.id, vm);
	emit("vm.created", vm);
	const op = operate("vm.create", vm, STAGES, (o) => {
		vm.stages = o.stages;
		vm.booted_from = "cold";
		vm.ip = "10.42.0.77";
		setState(vm, "running");
	});
	return { status: 202, body: op };
}

const doctor = {
	status: "warn",
	checks: [
		{ group: "server", name: "store", status: "pass", detail: "banger.db: schema 1, 24 VMs" },
		{ group: "server", name: "work disk", status: "pass", detail: "214 GiB free of 460 GiB" },
		{ group: "vmm", name: "kvm", status: "warn", detail: "/dev/kvm opens, but the processor has neither vmx nor svm: stock guests would hang.", remedy: "Nothing to do: software emulation is used. A host with hardware virtualisation boots about 20 times faster." },
		{ group: "vmm", name: "firecracker", status: "warn", detail: "not installed; QEMU is used instead", remedy: "apt install firecracker" },
		{ group: "guests", name: "image", status: "warn", detail: "There is no image alpine.", remedy: "Build it.", fix: { method: "POST", path: "/images", body: { build: "alpine" } } },
		{ group: "vmm", name: "qemu", status: "pass", detail: "7.2.19 at /usr/bin/qemu-system-x86_64" },
		{ group: "guests", name: "kernel", status: "pass", detail: "debian-cloud 6.1.0-35-cloud-amd64" },
		{ group: "guests", name: "vm defaults", status: "pass", detail: "image mini (built-in), 1 vCPU (built-in), 512 MiB (config.toml)" },
		{ group: "network", name: "vm dns", status: "pass", detail: "127.0.0.1:42069 is free" },
		{ group: "security", name: "posture", status: "warn", detail: "No system install: the promises of docs/privileges.md do not apply.", remedy: "See “Running outside the system install” in docs/privileges.md." },
	],
};

const BOOT_LOG = Array.from({ length: 160 }, (_, i) => `[    ${(i * 0.013).toFixed(6)}] ${pick(["ACPI: Core revision 20220331", "pci 0000:00:00.0: [8086:1237] type 00", "virtio_blk virtio1: [vda] 4096 512-byte logical blocks", "\x1b[32m[  OK  ]\x1b[0m Reached target \x1b[1mlocal-fs.target\x1b[0m", "random: crng init done", "EXT4-fs (vdb): mounted filesystem with ordered data mode", "\x1b[33mbanger-agent\x1b[0m: root is up, link ready"])}\r\n`).join("");

function act(key, verb) {
	const vm = find(key);
	if (!vm) return problem(404, "not_found", `There is no VM "${key}".`);
	if (verb === "stop" && vm.state === "paused") return problem(409, "conflict", "The VM is paused.", { remedy: "Resume it first, or kill it." });
	if (verb === "delete") {
		setState(vm, "deleting");
		return { status: 202, body: operate("vm.delete", vm, [["kill", 120], ["remove", 200]], () => (vms.delete(vm.id), emit("vm.deleted", vm))) };
	}
	const [moving, then, plan] = VERBS[verb];
	setState(vm, moving);
	return { status: 202, body: operate(`vm.${verb}`, vm, plan, (op) => {
		if (op.stages.length > 2) vm.stages = op.stages;
		setState(vm, then);
	}) };
}

async function readBody(req) {
	let text = "";
	for await (const chunk of req) text += chunk;
	return text ? JSON.parse(text) : {};
}

const up = (vm) => vm.state === "running" || vm.state === "paused";
/* the same figures for a VM at the same moment, whoever asks */
const wave = (vm, t, period) => 0.5 + 0.5 * Math.sin(t / period + parseInt(vm.id.replace(/\D/g, "").slice(0, 6) || "7", 10));
const sample = (vm, t) => ({
	at: iso(t), cpu: vm.state === "paused" ? 0 : wave(vm, t, 61_000) ** 3 * vm.vcpus * 0.8, memory_rss_bytes: vm.memory_mib * 1048576 * (0.3 + 0.5 * wave(vm, t, 240_000)),
	memory_private_bytes: vm.memory_mib * 1048576 * (0.1 + 0.3 * wave(vm, t, 240_000)), disk_used_bytes: vm.disk_mib * 1048576 * (0.05 + 0.3 * wave(vm, 0, 1)),
	disk_read_bytes: t / 10, disk_written_bytes: t / 4, net_rx_bytes: vm.network === "none" ? null : t / 50, net_tx_bytes: vm.network === "none" ? null : t / 90,
});
const guestOf = (vm, t = Date.now()) => {
	if (vm.name === "worker") return { guest_error: "The guest's agent does not answer." };
	const { cpu } = sample(vm, t);
	const total = vm.memory_mib * 0.9 * 1048576;
	return {
		guest: {
			at: iso(t), uptime_us: (t - Date.parse(vm.started)) * 1000, cpus: vm.vcpus, cpu_busy_us: t * 300 * vm.vcpus, cpu_idle_us: t * 700 * vm.vcpus,
			memory_total_bytes: total, memory_available_bytes: total * 0.6, swap_total_bytes: 0, swap_free_bytes: 0, disk_total_bytes: vm.disk_mib * 1e6, disk_free_bytes: vm.disk_mib * 0.8e6,
			load: [cpu, 0.42, 0.31], processes: 64, execs_running: 1, clock_off_ms: 3, networks: [{ name: "lo", received_bytes: 0, sent_bytes: 0 }, { name: "eth0", received_bytes: t * 12, sent_bytes: t * 2 }],
		},
	};
};
const COMMIT = "5d1c0b6a9e7f43218cba0d1e2f3a4b5c6d7e8f90";
const WORKSPACE = { path: "/root/repo", prepared: iso(Date.now() - 7.3e6), by: "uid:1000", bytes: 1_843_200, source: "/home/me/src/app", host: "laptop", head: COMMIT, branch: "fix-login", mode: "tracked", fingerprint: "91b4d6f2a0c3e587" };
const PATCH = [
	"diff --git a/server.py b/server.py", "index 3b18e51..9c595a6 100644", "--- a/server.py", "+++ b/server.py", "@@ -1,2 +1,3 @@", " import app", "-app.run()", "+app.configure(debug=False)", "+app.run(port=8000)",
	"diff --git a/tests/test_login.py b/tests/test_login.py", "new file mode 100644", "--- /dev/null", "+++ b/tests/test_login.py", "@@ -0,0 +1,2 @@", "+def test_login():", "+    assert True", "",
].join("\n");
const forwardsOf = (vm) => (vm.name.length % 3 === 0 && up(vm) ? [{ id: vm.id, host_address: "127.0.0.1", host_port: 43091, guest_host: "localhost", guest_port: 8000, listening: true, connections: 1 }] : []);
const GIB = 1024 ** 3;
const host = {
	cpus: 8, memory: { promised_bytes: 9 * GIB, limit_bytes: 28 * GIB, total_bytes: 32 * GIB, available_bytes: 21 * GIB, vms_bytes: 5.2 * GIB, vms_shared_bytes: 2.1 * GIB },
	disk: { free_bytes: 214 * GIB, total_bytes: 460 * GIB, vms_bytes: 3.1 * GIB, cache_bytes: 0.3 * GIB, images_bytes: 0.6 * GIB, templates_bytes: 0.4 * GIB, snapshots_bytes: 1.3 * GIB }, vms: { total: COUNT, running: Math.round(COUNT / 2) },
	pressure: { cpu: { avg10: 2.1, avg60: 1.4 }, memory: { avg10: 0, avg60: 0 }, io: { avg10: 0.3, avg60: 0.2 } },
};

const hostSample = (t) => {
	const load = 0.5 + 0.5 * Math.sin(t / 61_000);
	return {
		at: iso(t), cpu: 1 + 3 * load, vms_cpu: 2.4 * load, vms_running: host.vms.running, memory_used_bytes: (9 + 3 * load) * GIB, vms_memory_bytes: (4 + 2 * load) * GIB,
		vms_memory_shared_bytes: 2.1 * GIB, disk_free_bytes: 214 * GIB, pressure: { cpu: 6 * load, memory: 0, io: 1.5 * load },
	};
};

/* A page of a list; the cursor is the number of items before it. */
function page(list, query) {
	if (query.get("sort") === "name") list.sort((a, b) => (a.name < b.name ? -1 : 1));
	const from = Number(query.get("cursor") ?? 0);
	const end = from + Number(query.get("limit") ?? 100);
	return { items: list.slice(from, end), ...(end < list.length ? { next_cursor: String(end) } : {}) };
}

const ROUTES = [
	["GET", /^\/stats$/, () => ({ body: { items: [...vms.values()].filter(up).map((vm) => ({ vm: vm.id, active: iso(Date.now() - wave(vm, 0, 1) * 9e5), now: sample(vm, Date.now()), forwards: forwardsOf(vm) })) } })],
	["GET", /^\/vms\/([^/]+)\/workspace$/, ([key]) => (key === "worker" || find(key).name === "worker" ? problem(404, "not_found", "Nothing was put into it.") : { body: WORKSPACE })],
	["GET", /^\/vms\/([^/]+)\/stats$/, ([key], _, query) => ({ body: { ...(query.get("guest") ? guestOf(find(key)) : {}), step_s: 5, now: sample(find(key), Date.now()), samples: Array.from({ length: 60 }, (_, i) => sample(find(key), Date.now() - (59 - i) * 5000)) } })],
	["GET", /^\/vms\/([^/]+)\/ports$/, () => ({ body: { items: [{ address: "0.0.0.0", port: 8000, pid: 84, process: "httpd" }, { address: "127.0.0.1", port: 5432, pid: 91, process: "postgres" }] } })],
	["GET", /^\/vms\/([^/]+)\/forwards$/, ([key]) => ({ body: { items: forwardsOf(find(key)) } })],
	["GET", /^\/host$/, () => ({ body: host })],
	["GET", /^\/host\/history$/, () => ({ body: { step_s: 5, samples: Array.from({ length: 60 }, (_, i) => hostSample(Date.now() - (59 - i) * 5000)) } })],
	["POST", /^\/cache\/prune$/, () => ({ body: { id: id(), kind: "cache.prune", state: "succeeded", created: iso(Date.now()), stages: [], result: { bytes: 341_000_000 } } })],
	["GET", /^\/vms$/, (_, __, query) => ({ body: page([...vms.values()], query) })],
	["POST", /^\/vms$/, (_, body) => createVm(body)],
	["GET", /^\/vms\/([^/]+)$/, ([key]) => (find(key) ? { body: find(key) } : problem(404, "not_found", `There is no VM "${key}".`))],
	["DELETE", /^\/vms\/([^/]+)$/, ([key]) => act(key, "delete")],
	["POST", /^\/vms\/actions$/, (_, body) => ({
		body: {
			results: body.vms.map((key) => {
				const reply = act(key, body.action);
				return reply.status === 202 ? { vm: key, id: find(key)?.id, operation: reply.body.id, state: "queued" } : { vm: key, state: "failed", error: reply.body };
			}),
		},
	})],
	["POST", /^\/vms\/([^/]+)\/(start|stop|restart|kill|pause|resume|suspend|recover)$/, ([key, verb]) => act(key, verb)],
	["PATCH", /^\/vms\/([^/]+)$/, ([key], body) => {
		const vm = find(key);
		const { ttl_s, ...rest } = body;
		Object.assign(vm, rest);
		if (ttl_s === 0) delete vm.expires;
		else if (ttl_s) vm.expires = iso(Date.now() + ttl_s * 1000);
		emit("vm.changed", vm);
		return { body: vm };
	}],
	["POST", /^\/vms\/prune$/, (_, body) => {
		const list = [...vms.values()].filter((vm) => ["created", "stopped", "failed"].includes(vm.state));
		if (!body.dry_run) for (const vm of list) vms.delete(vm.id), emit("vm.deleted", vm);
		return { body: { results: list.map((vm) => ({ vm: vm.name, id: vm.id, state: body.dry_run ? "queued" : "succeeded" })) } };
	}],
	["GET", /^\/vms\/([^/]+)\/execs$/, ([key]) => ({ body: { items: [...execs.values()].map((e) => e.exec).filter((e) => e.vm === find(key)?.id).reverse() } })],
	["POST", /^\/vms\/([^/]+)\/execs$/, ([key], body) => startExec(key, body)],
	["GET", /^\/vms\/([^/]+)\/holds$/, () => ({ body: { items: [] } })],
	["GET", /^\/vms\/([^/]+)\/diagnosis$/, ([key]) => ({ body: { state: find(key).state, reason: find(key).reason ?? "", stage: "boot", vmm_exit: "ended by signal 6", console: BOOT_LOG.split("\r\n").slice(0, 8).concat("Kernel panic - not syncing: VFS: Unable to mount root fs") } })],
	["GET", /^\/images$/, () => ({ body: { items: [...images.values()].map((i) => ({ ...i, used_by: [...vms.values()].filter((v) => v.image === i.name).map((v) => v.id) })) } })],
	["POST", /^\/images$/, (_, body) => {
		const name = body.name ?? body.build;
		const size = 187_203_584;
		return { status: 202, body: operate("image.create", { name }, [["packages", 3000, size], ["squashfs", 1500], ["publish", 200]], (op) => {
			if (op.state === "succeeded") images.set(name, { ...IMAGES[0], name, source: `built: ${body.build}`, size_bytes: size, created: iso(Date.now()) });
			emit("image.created", { name });
		}) };
	}],
	["DELETE", /^\/images\/([^/]+)$/, ([name]) => (images.delete(name) ? { status: 204 } : problem(404, "not_found", "There is no such image."))],
	["GET", /^\/kernels$/, () => ({ body: { items: [...kernels.values()] } })],
	["POST", /^\/kernels$/, () => ({ status: 202, body: operate("kernel.create", { name: "debian-cloud" }, [["download", 2500, 31_000_000], ["extract", 700], ["initramfs", 600]], () => (kernels.set("debian-cloud", KERNELS[0]), emit("kernel.created", { name: "debian-cloud" }))) })],
	["DELETE", /^\/kernels\/([^/]+)$/, ([name]) => (kernels.delete(name) ? { status: 204 } : problem(404, "not_found", "There is no such kernel."))],
	["GET", /^\/runs$/, () => ({ body: { items: runs } })],
	["GET", /^\/runs\/([^/]+)$/, ([key]) => (runs.find((r) => r.id === key) ? { body: runs.find((r) => r.id === key) } : problem(404, "not_found", "There is no such run."))],
	["GET", /^\/operations$/, () => ({ body: { items: operations.slice(0, 100) } })],
	["DELETE", /^\/operations\/([^/]+)$/, ([key]) => {
		const op = operations.find((o) => o.id === key);
		if (!op) return problem(404, "not_found", "There is no such operation.");
		if (op.state === "running") op.state = "cancelled";
		return { status: 202, body: op };
	}],
	["GET", /^\/snapshots$/, () => ({ body: { items: [...snapshots.values()] } })],
	["GET", /^\/vms\/([^/]+)\/snapshots$/, ([key]) => ({ body: { items: [...snapshots.values()].filter((s) => s.vm === find(key)?.id) } })],
	["POST", /^\/vms\/([^/]+)\/snapshots$/, ([key], body) => {
		const vm = find(key);
		return { status: 202, body: operate("snapshot.create", vm, [["pause", 80], ["memory", 900, 268_435_456], ["disk", 200], ["resume", 40]], () => emit("snapshot.added", makeSnapshot(vm, body.name, vm.snapshot, 0), { vm: vm.id })) };
	}],
	["POST", /^\/vms\/([^/]+)\/restore$/, ([key], body) => {
		const vm = find(key);
		return { status: 202, body: operate("vm.restore", vm, [["stop", 80], ["disk", 100], ["memory", 200]], () => ((vm.snapshot = body.snapshot), emit("vm.restored", vm))) };
	}],
	["GET", /^\/snapshots\/([^/]+)$/, ([key]) => (snapshots.has(key) ? { body: snapshots.get(key) } : problem(404, "not_found", "There is no such snapshot."))],
	["GET", /^\/catalog$/, () => ({ body: { items: CATALOG.map((entry) => ({ ...entry, here: (entry.kind === "image" ? images : kernels).has(entry.name) })) } })],
	["GET", /^\/images\/([^/]+)\/size$/, ([name]) => {
		const others = [...images.values()].filter((i) => i.name !== name && i.digest === images.get(name).digest);
		const real_bytes = images.get(name).size_bytes;
		return { body: { real_bytes, shared_bytes: others.length ? real_bytes : 0, freed_bytes: others.length ? 0 : real_bytes } };
	}],
	["POST", /^\/images\/([^/]+)\/tag$/, ([from], { name }) => {
		const image = { ...images.get(from), name };
		images.set(name, image);
		emit("image.added", image);
		return { status: 201, body: image };
	}],
	["GET", /^\/images\/([^/]+)$/, ([name]) => (images.has(name) ? { body: images.get(name) } : problem(404, "not_found", "There is no such image."))],
	["GET", /^\/kernels\/([^/]+)$/, ([name]) => (kernels.has(name) ? { body: kernels.get(name) } : problem(404, "not_found", "There is no such kernel."))],
	["GET", /^\/operations\/([^/]+)$/, ([key]) => ({ body: operations.find((op) => op.id === key) })],
	["DELETE", /^\/snapshots\/([^/]+)$/, ([key]) => (snapshots.delete(key) ? { status: 204 } : problem(404, "not_found", "There is no such snapshot."))],
	["GET", /^\/templates$/, () => ({ body: { items: templates } })],
	["GET", /^\/doctor$/, () => ({ body: { ...doctor, checks: doctor.checks.filter((c) => !c.fix || !images.has(c.fix.body.build)) } })],
	["GET", /^\/version$/, () => ({ body: { version: "0.1.0" } })],
	["GET", /^\/healthz$/, () => ({ body: { status: "ok" } })],
	["GET", /^\/openapi\.json$/, () => ({ body: document })],
	["GET", /^\/session$/, () => ({ body: { principal: "uid:1000", scope: "admin", cookie: true } })],
	["GET", /^\/tokens$/, () => ({ body: { items: [...tokens.values()] } })],
	["POST", /^\/tokens$/, (_, body) => {
		const token = { name: body.name, scope: body.scope, created: iso(Date.now()), ...(body.ttl_s ? { expires: iso(Date.now() + body.ttl_s * 1000) } : {}) };
		tokens.set(token.name, token);
		return { status: 201, body: { ...token, token: `bng_${id()}${id()}` } };
	}],
	["DELETE", /^\/tokens\/([^/]+)$/, ([name]) => (tokens.delete(name) ? { status: 204 } : problem(404, "not_found", "There is no such token."))],
];

function streamEvents(req, res, url) {
	const wanted = url.searchParams.get("target");
	const since = req.headers["last-event-id"] ?? url.searchParams.get("since");
	res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
	const write = (event) => (!wanted || event.target === wanted) && res.write(`id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`);
	res.write(": hello\n\n");
	if (since !== null && since !== undefined) events.filter((e) => e.id > Number(since)).forEach(write);
	listeners.add(write);
	const beat = setInterval(() => res.write(": beat\n\n"), 15_000);
	req.on("close", () => (listeners.delete(write), clearInterval(beat)));
}

const OUTPUT = {
	"uname -a": "Linux web 6.1.0-35-cloud-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.137-1 x86_64 GNU/Linux\n",
	"df -h /": "Filesystem      Size  Used Avail Use% Mounted on\noverlay         3.9G   12M  3.7G   1% /\n",
};

const runs = Array.from({ length: COUNT ? 14 : 0 }, (_, i) => {
	const failed = i === 4 || i === 9;
	const ms = 2400 + Math.round(random() * 1800);
	const created = Date.now() - 9e5 * (i + 1);
	return {
		id: `0${(100 - i).toString(31).padStart(3, "0")}${"0".repeat(12)}`, state: failed ? "failed" : "succeeded", phase: "ended", image: i % 3 ? "mini" : "debian", labels: { queue: "ci" },
		argv: ["sh", "-c", i % 3 ? "make test" : "make dist\nls -l dist"], requested_by: "token:ci", kept: false, created: iso(created), started: iso(created + 20), ended: iso(created + ms), duration_ms: ms,
		exit_code: failed ? 2 : 0, signal: null, timed_out: false, output_truncated: false, artifacts: i % 3 ? [] : [{ path: "/work/dist", size_bytes: 48_000 }],
		stages: [["queued", 20], ["creating", 700], ["running", ms - 900], ["deleting", 180]].reduce((list, [name, duration_ms]) => [...list, { name, start_ms: list.reduce((sum, s) => sum + s.duration_ms, 0), duration_ms }], []),
	};
});

function runOutput(res, key) {
	res.writeHead(200, { "Content-Type": "application/x-ndjson" });
	for (const line of [{ type: "run", id: key }, { type: "stage", name: "running" }, { type: "stdout", data: "ok 1 - starts\nok 2 - stops\n" }]) res.write(`${JSON.stringify(line)}\n`);
	res.end(`${JSON.stringify({ type: "exit", exit_code: 0, signal: null, timed_out: false, duration_ms: 900 })}\n`);
}

const execs = new Map();

function startExec(key, { argv }) {
	const vm = find(key);
	const line = argv[0] === "sh" ? argv[2] : argv.join(" ");
	const output = OUTPUT[line] ?? `\x1b[36m${line}\x1b[0m: this is the fixture, nothing was run\n`;
	const exec = { id: id(), vm: vm.id, state: "exited", argv, tty: false, temporary: false, pid: null, exit_code: line.includes("false") ? 1 : 0, signal: null, timed_out: false, output_bytes: output.length, by: "uid:1000", created: iso(Date.now()), started: iso(Date.now()), ended: iso(Date.now() + 40) };
	execs.set(exec.id, { exec, output });
	return { status: 201, body: exec };
}

function execOutput(res, key) {
	const { exec, output } = execs.get(key);
	res.writeHead(200, { "Content-Type": "application/x-ndjson" });
	res.write(`${JSON.stringify({ type: "stdout", offset: 0, data: output })}\n`);
	res.end(`${JSON.stringify({ type: "exit", exit_code: exec.exit_code, signal: null, timed_out: false, duration_ms: 40 })}\n`);
}

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2" };

function file(path, req, res) {
	const full = normalize(join(dist, path === "/" ? "index.html" : decodeURIComponent(path)));
	if (!full.startsWith(dist) || !existsSync(full) || !statSync(full).isFile()) return false;
	const headers = { "Content-Type": TYPES[extname(full)] ?? "application/octet-stream", "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'", "X-Content-Type-Options": "nosniff" };
	const zipped = /\bbr\b/.test(req.headers["accept-encoding"] ?? "") && existsSync(`${full}.br`);
	res.writeHead(200, zipped ? { ...headers, "Content-Encoding": "br" } : headers);
	res.end(readFileSync(zipped ? `${full}.br` : full));
	return true;
}

createServer(async (req, res) => {
	const url = new URL(req.url, "http://localhost");
	try {
		if (req.method === "GET" && url.pathname === "/events") return streamEvents(req, res, url);
		if (/^\/vms\/[^/]+\/files\//.test(url.pathname)) return await files(req, res, url);
		const output = /^\/vms\/[^/]+\/execs\/([^/]+)\/output$/.exec(url.pathname);
		if (output) return execOutput(res, output[1]);
		const patch = /^\/vms\/([^/]+)\/workspace\/patch$/.exec(url.pathname);
		if (patch) return res.writeHead(200, { "Content-Type": "text/x-diff", "Banger-Base-Commit": COMMIT }).end(PATCH);
		const log = /^\/runs\/([^/]+)\/output$/.exec(url.pathname);
		if (log) return runOutput(res, log[1]);
		if (req.method === "GET" && /^\/vms\/[^/]+\/logs$/.test(url.pathname)) {
			res.writeHead(200, { "Content-Type": "text/plain" });
			res.write(`${BOOT_LOG}[    2.080000] EXT4-fs (vdb): warning: mounting unchecked fs\r\n`);
			if (url.searchParams.get("follow") !== "true") return res.end();
			const timer = setInterval(() => res.write(`[${(Date.now() / 1000).toFixed(3)}] tick\r\n`), 2000);
			req.on("close", () => clearInterval(timer));
			return;
		}
		for (const [method, pattern, handler] of ROUTES) {
			const match = req.method === method && pattern.exec(url.pathname);
			if (!match) continue;
			const reply = handler(match.slice(1).map(decodeURIComponent), ["POST", "PATCH"].includes(method) ? await readBody(req) : undefined, url.searchParams);
			res.writeHead(reply.status ?? 200, reply.body ? { "Content-Type": reply.type ?? "application/json" } : {});
			return res.end(reply.body ? JSON.stringify(reply.body) : undefined);
		}
		if (req.method === "GET" && file(url.pathname, req, res)) return;
		const lost = problem(404, "not_found", "There is nothing here.");
		res.writeHead(404, { "Content-Type": lost.type }).end(JSON.stringify(lost.body));
	} catch (error) {
		res.writeHead(400, { "Content-Type": "text/plain" }).end(String(error));
	}
}).listen(PORT, "127.0.0.1", () => console.log(`fixture: http://127.0.0.1:${PORT}`));

/* a life of its own */
if (RATE > 0 && COUNT) {
	setInterval(() => {
		const vm = pick([...vms.values()]);
		if (!vm || vm.name === NAMES[0] || !["running", "stopped"].includes(vm.state)) return;
		if (RATE >= 5) setState(vm, vm.state === "running" ? "stopped" : "running");
		else {
			const [moving, then, plan] = VERBS[vm.state === "running" ? "stop" : "start"];
			setState(vm, moving);
			operate(`vm.${vm.state === "starting" ? "start" : "stop"}`, vm, plan, () => setState(vm, then));
		}
	}, 1000 / RATE);
}
