// SPDX-License-Identifier: Apache-2.0
/* A house worth a picture: real VMs in every state, with files, snapshots and a history. */
import { readdirSync, readFileSync } from "node:fs";

const VMS = [
	{ name: "web", labels: { team: "web", stage: "dev" }, memory_mib: 256 },
	{ name: "api", labels: { team: "web", stage: "dev" }, memory_mib: 256 },
	{ name: "worker", labels: { team: "data" } },
	{ name: "build", labels: { team: "ci", run: "1207" }, ttl_s: 5400 },
	{ name: "lint", labels: { team: "ci", run: "1208" }, ttl_s: 3000 },
	{ name: "db", labels: { team: "data", keep: "yes" } },
	{ name: "docs", idle_stop_s: 3600 },
	{ name: "cache", labels: { team: "data" }, network: "none" },
	{ name: "mail", start: false },
];

const FILES = {
	"srv/app/server.py": "from http.server import HTTPServer, SimpleHTTPRequestHandler\n\nHTTPServer(('0.0.0.0', 8000), SimpleHTTPRequestHandler).serve_forever()\n",
	"srv/app/README.md": "# Notes\n\nThis folder is served on port 8000.\n",
	"srv/app/data/fixtures.json": JSON.stringify(Array.from({ length: 400 }, (_, i) => ({ id: i, name: `item ${i}` })), null, 1),
	"srv/app/Makefile": "test:\n\tpython3 -m unittest\n",
};

/** The pid of a VM's monitor, by the VM's id in its command line. */
function monitorOf(id) {
	for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
		try {
			const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
			if (line.includes("qemu-system") && line.includes(id)) return Number(pid);
		} catch {
			/* ended meanwhile */
		}
	}
	return undefined;
}

export async function furnish(server) {
	const must = async (method, path, body, headers) => {
		const reply = await server.api(method, path, body, headers);
		if (reply.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(reply.body)}`);
		return reply.body;
	};
	const wait = { Prefer: "wait=240" };
	const verb = (vm, name, body) => must("POST", `/vms/${vm}/${name}`, body, wait);
	const sh = (vm, script) => must("POST", `/vms/${vm}/exec`, { argv: ["sh", "-c", script] });

	await server.prepare();
	const { items } = await must("GET", "/vms");
	for (const [i, vm] of VMS.entries()) {
		if (items.some((known) => known.name === vm.name)) continue;
		await must("POST", "/vms", { image: "mini", vcpus: i === 3 ? 2 : 1, memory_mib: 128, disk_mib: 2048, ...vm }, wait);
	}
	if (items.length) return;
	for (const [path, text] of Object.entries(FILES)) await must("PUT", `/vms/web/files/${path}?parents=true`, text, { "Content-Type": "application/octet-stream" });
	const repository = new URLSearchParams({ path: "/srv/repo", source: "/home/me/src/shop", host: "laptop", head: "5d1c0b6a9e7f43218cba0d1e2f3a4b5c6d7e8f90", branch: "fix-login", mode: "tracked", fingerprint: "91b4d6f2a0c3e587" });
	await must("POST", `/vms/web/workspace?${repository}`, "\0".repeat(10_240), { "Content-Type": "application/x-tar" });
	/* something to see in the plots */
	await must("POST", "/vms/web/execs", { argv: ["sh", "-c", "while :; do dd if=/dev/urandom of=/srv/app/data/blob bs=64k count=$((8 + $(date +%s) % 60)) 2>/dev/null; sleep 3; done"] });
	await must("POST", "/vms/web/snapshots", { name: "fresh" }, wait);
	await sh("web", "echo dependencies > /srv/app/deps; sync");
	await must("POST", "/vms/web/snapshots", { name: "deps-installed" }, wait);
	await verb("worker", "pause");
	await verb("db", "suspend");
	await verb("lint", "stop");
	const { id } = await must("GET", "/vms/build");
	const pid = monitorOf(id);
	if (pid) process.kill(pid, "SIGKILL");
	await must("POST", "/tokens", { name: "ci", scope: "run", ttl_s: 2_592_000 }).catch(() => undefined);
	await must("POST", "/tokens", { name: "grafana", scope: "read" }).catch(() => undefined);
	await must("POST", "/vms/web/execs", { argv: ["httpd", "-f", "-p", "8000", "-h", "/srv/app"] });
	await must("POST", "/vms/web/forwards", { guest_port: 8000 }).catch(() => undefined);
	for (let i = 0; i < 6; i++) {
		const script = ["# make test", "echo configure; sleep $((1 + $$ % 3)); mkdir -p /work/report", "echo 'ok 1 - starts' | tee /work/report/tap", i === 3 ? "echo 'not ok 2 - stops' >&2; exit 1" : "echo 'ok 2 - stops'"].join("\n");
		await must("POST", "/runs", { image: "mini", memory_mib: 128, script, labels: { queue: "ci" }, artifacts: ["/work/report"] }, wait);
	}
}
