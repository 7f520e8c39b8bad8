// SPDX-License-Identifier: Apache-2.0
/* The real server for the browser tests, in a home of its own below the build folder. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, rmSync } from "node:fs";
import { request } from "node:http";
import { fileURLToPath } from "node:url";
import { freePort } from "./lib.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const PROGRAM = process.env.BANGER_SERVER ?? `${root}build/release/server/banger-server`;
const START_MS = 20_000;

export const haveServer = existsSync(PROGRAM) && existsSync(`${root}web/dist/index.html`);

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export class Server {
	constructor(home, port) {
		this.home = home;
		this.port = port;
		this.url = `http://127.0.0.1:${port}`;
		this.socket = `${home}/run/server.sock`;
	}

	static async create(home = process.env.BANGER_WEB_HOME ?? `${root}build/web-tests`) {
		const server = new Server(home, await freePort());
		/* what an older build has left there may be of no use to this one */
		await server.start().catch(async () => {
			rmSync(home, { recursive: true, force: true });
			await server.start();
		});
		return server;
	}

	async start() {
		mkdirSync(this.home, { recursive: true });
		const log = openSync(`${this.home}/server.log`, "a");
		this.child = spawn(PROGRAM, ["--home", this.home, "--listen", `127.0.0.1:${this.port}`, "--web", `${root}web/dist`], {
			stdio: ["ignore", log, log],
			/* guests get copies of some files of the owner, such as .gitconfig: what a person has there is no part of a test */
			env: { ...process.env, HOME: this.home },
		});
		this.ended = new Promise((done) => this.child.once("exit", done));
		const until = Date.now() + START_MS;
		for (;;) {
			if (this.child.exitCode !== null) throw new Error(`the server ended; see ${this.home}/server.log`);
			const up = await this.api("GET", "/healthz").catch(() => null);
			if (up?.status === 200) return;
			if (Date.now() > until) throw new Error("the server does not answer");
			await sleep(100);
		}
	}

	async stop() {
		this.child.kill("SIGTERM");
		await this.ended;
	}

	/** Over the unix socket, as the owner. */
	api(method, path, body, headers = {}) {
		return new Promise((resolve, reject) => {
			const text = typeof body === "string" ? body : JSON.stringify(body);
			const req = request({ socketPath: this.socket, method, path, headers: { ...(text ? { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) } : {}), ...headers } }, (res) => {
				let reply = "";
				res.setEncoding("utf8");
				res.on("data", (chunk) => (reply += chunk));
				res.on("end", () => resolve({ status: res.statusCode, body: /json/.test(res.headers["content-type"] ?? "") ? JSON.parse(reply) : reply }));
			});
			req.on("error", reject);
			req.end(text);
		});
	}

	async loginLink() {
		return (await this.api("POST", "/logins")).body.url;
	}

	async deleteVms() {
		const { items } = (await this.api("GET", "/vms")).body;
		await Promise.all(items.map((vm) => this.api("DELETE", `/vms/${vm.id}`, undefined, { Prefer: "wait=60" })));
	}

	/** A kernel and the image mini, made once. */
	async prepare() {
		for (const [path, body] of [["/kernels", { import: "debian-cloud" }], ["/images", { build: "mini" }]]) {
			const { items } = (await this.api("GET", path)).body;
			if (items.length === 0) {
				const reply = await this.api("POST", path, body, { Prefer: "wait=300" });
				if (reply.status !== 201) throw new Error(`${path}: ${JSON.stringify(reply.body)}`);
			}
		}
	}
}
