// SPDX-License-Identifier: Apache-2.0
/* The dashboard in Chromium against the real server with real VMs. The tests build on each other. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { after, before, describe, it } from "node:test";
import { openBrowser, openPage, violations } from "./lib.mjs";
import { startRegistry } from "./registry.mjs";
import { Server, haveServer } from "./server.mjs";

const BOOT_MS = 240_000;
const WAIT = { timeout: BOOT_MS };

describe("the dashboard on the real server", { skip: haveServer ? false : "banger-server or web/dist is not built", timeout: 900_000 }, () => {
	let server, browser, page, context, faults;

	before(async () => {
		server = await Server.create();
		await server.deleteVms();
		await server.prepare();
		browser = await openBrowser();
		({ page, context, faults } = await openPage(browser));
	});
	after(async () => {
		await browser?.close();
		await server?.deleteVms().catch(() => undefined);
		await server?.stop();
	});

	const state = (word) => page.locator(".page-head .state .word", { hasText: new RegExp(`^${word}$`) });
	const run = async (line) => {
		await page.getByLabel("Command to run in first").fill(line);
		await page.keyboard.press("Enter");
		const card = page.locator(".run").filter({ has: page.locator("header code", { hasText: line }) }).first();
		await card.locator(".state .word", { hasText: /^(exit|killed)/ }).waitFor(WAIT);
		return { look: await card.locator(".state .word").innerText(), output: await card.locator(".log-body").innerText() };
	};

	/* typed by a person, who would wait for the shell as well */
	const typeLine = async (line) => {
		await page.locator(".term-tab .shape.tone-ok").first().waitFor(WAIT);
		await page.locator(".xterm-helper-textarea").focus();
		await page.keyboard.type(line);
		await page.keyboard.press("Enter");
	};
	const terminalShows = (text) =>
		page.waitForFunction((wanted) => document.querySelector(".xterm-rows")?.textContent.replace(/\u00a0/g, " ").includes(wanted), text, { timeout: 60_000 });

	it("asks a stranger to sign in, and takes no wrong token", async () => {
		await page.goto(server.url);
		await page.getByRole("heading", { name: "Sign in" }).waitFor();
		await page.getByLabel("Token").fill("wrong");
		await page.getByRole("button", { name: "Sign in" }).click();
		await page.getByText("The server does not know this token.").waitFor();
	});

	it("lets the owner in by a link that works once", async () => {
		const link = await server.loginLink();
		await page.goto(link);
		await page.getByRole("heading", { name: "No virtual machines yet" }).waitFor();
		assert.equal(new URL(page.url()).pathname, "/");
		const other = await browser.newContext();
		const second = await (await other.newPage()).goto(link);
		assert.equal(second.status(), 401);
		await other.close();
	});

	it("creates a VM from the form and shows its stages until it runs", async () => {
		await page.getByRole("link", { name: "Create the first one" }).click();
		await page.getByLabel("Name", { exact: true }).fill("No Such Name");
		await page.getByText("Use 1 to 63 lower-case letters").waitFor();
		assert.equal(await page.getByRole("button", { name: "Create" }).isDisabled(), true);
		await page.getByLabel("Name", { exact: true }).fill("first");
		await page.locator("label", { hasText: "256 MiB" }).click();
		await page.getByRole("button", { name: "Create" }).click();
		await page.locator(".waterfall li").first().waitFor();
		await page.waitForURL(/#\/vms\/first$/, WAIT);
		await state("running").waitFor(WAIT);
		await page.getByRole("heading", { name: "Boot timeline" }).waitFor();
		assert.ok((await page.locator(".waterfall li").count()) >= 2);
		assert.equal((await server.api("GET", "/vms/first")).body.memory_mib, 256);
	});

	it("shows what the guest says of itself, and the workspace on record", async () => {
		const inside = page.locator(".card", { has: page.getByRole("heading", { name: "Inside the guest" }) });
		await inside.getByRole("meter", { name: "Memory in use in the guest" }).waitFor(WAIT);
		await inside.getByText("Load").waitFor();
		const { guest } = (await server.api("GET", "/vms/first/stats?guest=true")).body;
		assert.ok(guest.memory_total_bytes < 256 * 1048576);
		await page.getByText("banger workspace prepare first .").waitFor();
		const empty = Buffer.alloc(10_240).toString("latin1");
		const made = await server.api("POST", "/vms/first/workspace?path=/srv/repo&source=/src/app&host=laptop&branch=fix", empty, { "Content-Type": "application/x-tar" });
		assert.equal(made.status, 201, JSON.stringify(made.body));
		await page.reload();
		const workspace = page.locator(".card", { has: page.getByRole("heading", { name: "Workspace" }) });
		await workspace.getByText("/src/app on laptop").waitFor();
		await workspace.getByRole("button", { name: "Changes" }).click();
		/* the little image has no git: it says so, and what to do */
		await page.getByRole("dialog").locator(".problem", { hasText: /git/ }).waitFor(WAIT);
		await page.keyboard.press("Escape");
	});

	it("runs commands and shows output, errors and exit codes", async () => {
		await page.getByRole("link", { name: "Run", exact: true }).click();
		assert.deepEqual(await run("echo hello; exit 3"), { look: "exit 3", output: "hello\n" });
		const { output } = await run("hostname; echo oops >&2");
		assert.match(output, /first/);
		await page.locator(".log-line.err", { hasText: "oops" }).waitFor();
	});

	it("stops a command that would not end", async () => {
		await page.getByLabel("Command to run in first").fill("sleep 1000");
		await page.keyboard.press("Enter");
		await page.locator(".run").first().getByRole("button", { name: "Stop" }).click();
		await page.locator(".run").first().locator(".word", { hasText: "killed by signal 15" }).waitFor(WAIT);
	});

	it("keeps what was run, with its output, over a reload", async () => {
		await page.reload();
		const card = page.locator(".run", { hasText: "echo hello; exit 3" });
		await card.locator(".word", { hasText: "exit 3" }).waitFor();
		const more = card.getByText("Show its output");
		if (await more.count()) await more.click();
		await card.locator(".log-line", { hasText: "hello" }).waitFor();
	});

	it("gives a shell in a terminal, which survives a reload", async () => {
		await page.getByRole("link", { name: "Terminal" }).click();
		await terminalShows("#");
		await typeLine("x=kept; echo one-$((20 + 22))");
		await terminalShows("one-42");
		await typeLine("printf '\\033[38;2;1;200;3mgreen\\033[0m\\n'");
		await page.locator(".xterm-rows span", { hasText: /^green$/ }).waitFor();
		assert.equal(await page.locator(".xterm-rows span", { hasText: /^green$/ }).evaluate((el) => getComputedStyle(el).color), "rgb(1, 200, 3)");
		await page.reload();
		await terminalShows("one-42");
		await typeLine("echo two-$x");
		await terminalShows("two-kept");
		await page.getByRole("button", { name: "New terminal" }).click();
		assert.equal(await page.getByRole("tab").count(), 2);
		await typeLine("echo three-[$x]");
		await terminalShows("three-[]");
		await page.getByRole("button", { name: /^Close shell/ }).click();
		await terminalShows("two-kept");
		const shells = async () => (await server.api("GET", "/vms/first/execs")).body.items.filter((e) => e.temporary && e.state === "running").length;
		await until(async () => (await shells()) === 1);
	});

	it("copies, enlarges and downloads a terminal, and opens one as another user", async () => {
		await page.getByRole("button", { name: "Copy what is selected, or all of it" }).click();
		await page.getByText("Terminal copied").waitFor();
		assert.match(await page.evaluate(() => navigator.clipboard.readText()), /one-42[^]*two-kept/);
		const rows = () => page.locator(".xterm-rows > div").count();
		const before = await rows();
		for (let i = 0; i < 4; i++) await page.getByRole("button", { name: "A+" }).click();
		await page.waitForFunction((n) => document.querySelectorAll(".xterm-rows > div").length < n, before);
		for (let i = 0; i < 4; i++) await page.getByRole("button", { name: "A−" }).click();
		await page.waitForFunction((n) => document.querySelectorAll(".xterm-rows > div").length === n, before);
		const more = async (item) => {
			await page.getByRole("button", { name: "More of the terminal" }).click();
			await page.getByRole("menuitem", { name: item }).click();
		};
		const [download] = await Promise.all([page.waitForEvent("download"), more("Download as text")]);
		assert.equal(download.suggestedFilename(), "first-terminal.txt");
		assert.match(readFileSync(await download.path(), "utf8"), /one-42[^]*two-kept/);
		await page.getByRole("button", { name: "Full screen" }).click();
		await page.waitForFunction(() => document.fullscreenElement?.classList.contains("term"));
		assert.equal(await inGuest(server, "echo 'dev:x:1000:1000:dev:/tmp:/bin/sh' >> /etc/passwd; echo done"), "done");
		await more("New terminal as another user…");
		await page.getByLabel("User").fill("no such");
		await page.getByText("Use letters, digits and").waitFor();
		await page.getByLabel("User").fill("dev");
		await page.getByRole("button", { name: "Open", exact: true }).click();
		await page.getByRole("tab", { name: /dev/ }).waitFor();
		await page.locator('.term-tab[aria-selected="true"] .shape.tone-ok').waitFor(WAIT);
		await typeLine("echo me-$(id -u)-$PWD");
		await terminalShows("me-1000-/tmp");
		await page.getByRole("button", { name: "Full screen" }).click();
		await page.waitForFunction(() => document.fullscreenElement === null);
		await page.getByRole("button", { name: /: its shell ends$/ }).click();
		await page.getByRole("tab", { name: /dev/ }).waitFor({ state: "detached" });
	});

	it("shows the console as the guest writes it", async () => {
		await page.getByRole("link", { name: "Console" }).click();
		await page.getByRole("log").waitFor();
		await server.api("POST", "/vms/first/exec", { argv: ["sh", "-c", "echo from-the-guest > /dev/console"] });
		await page.locator(".log-line", { hasText: "from-the-guest" }).waitFor(WAIT);
	});

	it("uploads, shows, edits, downloads and deletes files of the guest", async () => {
		await page.getByRole("link", { name: "Files" }).click();
		await page.locator(".files-table").getByRole("link", { name: "root", exact: true }).click();
		await page.getByText("This folder is empty").waitFor();
		const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 251));
		await page.getByLabel("Files to upload").setInputFiles([
			{ name: "with space.txt", mimeType: "text/plain", buffer: Buffer.from("from the browser\n") },
			{ name: "data.bin", mimeType: "application/octet-stream", buffer: bytes },
		]);
		await page.locator(".files-table tr", { hasText: "data.bin" }).waitFor();
		assert.equal(await inGuest(server, "cat '/root/with space.txt'"), "from the browser");
		assert.equal(await inGuest(server, "wc -c < /root/data.bin"), "70000");
		const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download data.bin" }).click()]);
		assert.equal(download.suggestedFilename(), "data.bin");
		assert.deepEqual(readFileSync(await download.path()), bytes);
		await page.getByRole("button", { name: "with space.txt", exact: true }).click();
		await page.getByRole("dialog").getByText("from the browser").waitFor();
		await page.getByRole("button", { name: "Edit" }).click();
		await page.getByLabel("Text of with space.txt").fill("edited\n");
		await page.getByRole("button", { name: "Save", exact: true }).click();
		await page.getByRole("dialog").waitFor({ state: "detached" });
		assert.equal(await inGuest(server, "cat '/root/with space.txt'"), "edited");
		await page.getByRole("button", { name: "More about this folder" }).click();
		await page.getByRole("menuitem", { name: "New folder…" }).click();
		await page.getByLabel("Name", { exact: true }).fill("made");
		await page.getByRole("button", { name: "Make it" }).click();
		await page.locator(".files-table").getByRole("link", { name: "made", exact: true }).waitFor();
		await page.getByRole("button", { name: "Actions for data.bin" }).click();
		await page.getByRole("menuitem", { name: "Delete" }).click();
		await page.getByRole("button", { name: "Delete", exact: true }).click();
		await page.locator(".files-table tr", { hasText: "data.bin" }).waitFor({ state: "detached" });
		assert.equal(await inGuest(server, "ls /root"), "made\nwith space.txt");
		await page.goto(`${server.url}/#/vms/first/files/no/such`);
		await page.getByText(/No such file or directory/).waitFor();
		await page.goto(`${server.url}/#/vms/first`);
	});

	it("shows in one tab what another one does", async () => {
		const second = await context.newPage();
		await second.goto(`${server.url}/#/vms`);
		await second.locator('.vm-row [role="cell"] .word', { hasText: "running" }).waitFor();
		await page.getByRole("button", { name: "Stop", exact: true }).click();
		await second.locator('.vm-row [role="cell"] .word', { hasText: "stopped" }).waitFor(WAIT);
		await second.close();
		await state("stopped").waitFor();
		await page.getByRole("button", { name: "Start", exact: true }).click();
		await state("running").waitFor(WAIT);
	});

	it("gets over a restart of the server; the VM does not notice", async () => {
		const boot = await inGuest(server, "cat /proc/sys/kernel/random/boot_id");
		await page.getByRole("link", { name: "Terminal" }).click();
		await typeLine("x=kept; echo three-$((30 + 3))");
		await terminalShows("three-33");
		await server.stop();
		await page.getByRole("alert").getByText("The server can't be reached").waitFor();
		await server.start();
		await page.getByText("Everything here is fresh again").waitFor({ timeout: 30_000 });
		await state("running").waitFor(WAIT);
		assert.equal(await inGuest(server, "cat /proc/sys/kernel/random/boot_id"), boot);
		await page.locator(".term-tab .shape.tone-ok").waitFor(WAIT);
		await typeLine("echo four-$x");
		await terminalShows("four-kept");
		await page.getByRole("link", { name: "Run", exact: true }).click();
		assert.equal((await run("echo still here")).output, "still here\n");
	});

	it("takes a snapshot, goes back to it, and forks", async () => {
		await page.getByRole("link", { name: "Run", exact: true }).click();
		await run("echo one > /root/note");
		await page.getByRole("navigation", { name: "Parts of this VM" }).getByRole("link", { name: "Snapshots" }).click();
		await page.getByRole("button", { name: "Take snapshot" }).click();
		await page.getByLabel("Name", { exact: true }).fill("before");
		await page.getByRole("dialog").getByRole("button", { name: "Take snapshot" }).click();
		await page.locator("td strong", { hasText: "before" }).waitFor(WAIT);
		const snapshots = async () => (await server.api("GET", "/vms/first/snapshots")).body.items;
		const current = (name) => page.locator("tr", { has: page.locator("strong", { hasText: new RegExp(`^${name}$`) }) }).locator(".label.current");
		await current("before").waitFor(WAIT);
		assert.equal((await server.api("GET", "/vms/first")).body.snapshot, (await snapshots())[0].id);
		await inGuest(server, "echo two > /root/note");
		await server.api("POST", "/vms/first/snapshots", { name: "after", memory: false }, { Prefer: "wait=240" });
		await current("after").waitFor(WAIT);
		assert.equal(await page.locator(".label.current").count(), 1);
		await page.getByRole("button", { name: "Actions for before" }).click();
		await page.getByRole("menuitem", { name: "Put first back to it" }).click();
		const restores = async () => (await server.api("GET", "/operations?limit=1000")).body.items.filter((op) => op.kind === "vm.restore" && op.state === "succeeded").length;
		const earlier = await restores();
		await page.getByRole("button", { name: "Put it back" }).click();
		await until(async () => (await restores()) > earlier);
		await state("running").waitFor(WAIT);
		assert.equal(await inGuest(server, "cat /root/note"), "one");
		await current("before").waitFor(WAIT);
		assert.equal(await page.locator(".label.current").count(), 1);
		await page.getByRole("button", { name: "Fork" }).click();
		await page.getByRole("dialog").getByRole("button", { name: "Fork" }).click();
		const copy = await until(async () => (await server.api("GET", "/vms")).body.items.find((vm) => vm.name !== "first" && vm.state === "running"));
		await server.api("DELETE", `/vms/${copy.id}`, undefined, { Prefer: "wait=60" });
	});

	it("previews a web server of the guest, on an origin of its own", async () => {
		await server.api("PUT", "/vms/first/files/root/page.html", "<title>from the guest</title><h1>hello from first</h1>", { "Content-Type": "application/octet-stream" });
		await server.api("POST", "/vms/first/execs", { argv: ["sh", "-c", "cd /root && { httpd -f -p 127.0.0.1:8000 || busybox httpd -f -p 127.0.0.1:8000; }"] });
		await page.getByRole("navigation", { name: "Parts of this VM" }).getByRole("link", { name: "Network" }).click();
		const row = page.locator("tr", { hasText: "8000" });
		const [preview] = await Promise.all([context.waitForEvent("page"), row.getByRole("link", { name: "Preview" }).click(WAIT)]);
		await preview.waitForLoadState();
		await preview.goto(new URL("page.html", preview.url()).href);
		await preview.getByRole("heading", { name: "hello from first" }).waitFor();
		assert.notEqual(new URL(preview.url()).origin, new URL(server.url).origin);
		/* what the guest serves can't ask the server anything in the owner's name */
		const reached = await preview.evaluate((url) => fetch(`${url}/vms`, { credentials: "include" }).then((r) => r.ok, () => false), server.url);
		assert.equal(reached, false);
		assert.equal(await preview.evaluate(() => document.cookie.includes("banger_session")), false);
		await preview.close();
		await row.getByRole("button", { name: "Forward" }).click();
		const [forwarded] = await Promise.all([context.waitForEvent("page"), page.locator("tr", { hasText: "127.0.0.1:" }).getByRole("link", { name: "Open" }).click()]);
		await forwarded.waitForLoadState();
		assert.equal(await forwarded.evaluate(async () => (await fetch("page.html")).status), 200);
		await forwarded.close();
		await page.getByRole("button", { name: /^Take the forward of port 8000 away/ }).click();
		await page.getByText("None. A forward lets").waitFor();
	});

	it("pulls an image from a registry, and deletes it", async () => {
		const registry = await startRegistry("team/tool", "1.0");
		const place = page.url();
		await page.goto(`${server.url}/#/images`);
		await page.getByRole("button", { name: "New image" }).click();
		await page.getByLabel(/^From a registry/).check();
		await page.getByLabel("Image", { exact: true }).fill(registry.reference);
		await page.getByRole("button", { name: "Pull", exact: true }).click();
		const row = page.locator("tr", { hasText: registry.reference });
		await row.first().waitFor(WAIT);
		const { body } = await server.api("GET", `/images/${encodeURIComponent(registry.reference)}`);
		assert.equal(body.name, registry.reference);
		await row.getByRole("button", { name: /^Actions for / }).click();
		await page.getByRole("menuitem", { name: "Delete" }).click();
		await page.locator(".dialog .as-shell summary").click();
		await page.getByText(`banger image delete ${registry.reference}`).waitFor();
		await page.getByRole("button", { name: "Delete image" }).click();
		await row.first().waitFor({ state: "detached" });
		registry.stop();
		await page.goto(place);
	});

	it("stops several VMs at once", async () => {
		for (const name of ["bulk-a", "bulk-b"]) await server.api("POST", "/vms", { name, image: "mini", memory_mib: 128, vcpus: 1, network: "none" }, { Prefer: "wait=240" });
		const place = page.url();
		await page.goto(`${server.url}/#/vms?q=bulk-`);
		await page.locator(".vm-row", { hasText: "bulk-b" }).locator(".word", { hasText: "running" }).waitFor(WAIT);
		await page.getByLabel("Select all that are listed").click();
		await page.getByRole("toolbar").getByRole("button", { name: "Stop" }).click();
		for (const name of ["bulk-a", "bulk-b"]) await page.locator(".vm-row", { hasText: name }).locator(".word", { hasText: "stopped" }).waitFor(WAIT);
		assert.deepEqual((await server.api("GET", "/vms?state=stopped&sort=name")).body.items.map((vm) => vm.name), ["bulk-a", "bulk-b"]);
		assert.equal((await server.api("GET", "/vms/first")).body.state, "running");
		for (const name of ["bulk-a", "bulk-b"]) await server.api("DELETE", `/vms/${name}`, undefined, { Prefer: "wait=60" });
		await page.goto(place);
	});

	it("changes a VM while it is stopped", async () => {
		await page.getByRole("button", { name: "Stop", exact: true }).click();
		await state("stopped").waitFor(WAIT);
		await page.getByRole("link", { name: "Settings" }).click();
		await page.getByLabel("Memory, MiB").fill("320");
		await page.getByLabel("Labels").fill("team=web");
		await page.getByRole("button", { name: "Save" }).click();
		await page.getByText("first is changed").waitFor();
		const { memory_mib, labels } = (await server.api("GET", "/vms/first")).body;
		assert.deepEqual({ memory_mib, labels }, { memory_mib: 320, labels: { team: "web" } });
		await page.getByRole("button", { name: "Start", exact: true }).click();
		await state("running").waitFor(WAIT);
	});

	it("runs a job in a VM of its own, and shows what it wrote and left", async () => {
		await page.goto(`${server.url}/#/runs`);
		await page.getByRole("button", { name: "New run" }).first().click();
		await page.getByLabel("Script").fill("mkdir -p /work/out\necho built > /work/out/a.txt\necho from the job\nexit 3");
		await page.getByLabel("Memory, MiB").fill("128");
		await page.getByLabel("Keep these files or folders").fill("/work/out");
		await page.getByRole("dialog").getByRole("button", { name: "Run", exact: true }).click();
		await page.waitForURL(/#\/runs\/\w{16}$/);
		await page.locator(".log-line", { hasText: "from the job" }).waitFor(WAIT);
		await state("exit 3").waitFor(WAIT);
		const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download /work/out as tar" }).click()]);
		assert.ok(readFileSync(await download.path()).includes("built"));
		await page.getByRole("button", { name: "Run again" }).click();
		assert.match(await page.getByRole("textbox", { name: "Script" }).inputValue(), /from the job/);
		await page.keyboard.press("Escape");
		await page.getByRole("navigation", { name: "You are here" }).getByRole("link", { name: "Runs" }).click();
		await page.locator(".runs-table tr", { hasText: "exit 3" }).first().waitFor();
		assert.equal((await server.api("GET", "/vms")).body.items.length, 1, "its VM is gone");
		await page.goto(`${server.url}/#/vms/first`);
	});

	it("has no fault that axe can see, in light and dark", async () => {
		for (const colorScheme of ["light", "dark"]) {
			await page.emulateMedia({ colorScheme });
			for (const hash of ["vms", "vms/first", "vms/first/exec", "vms/first/terminal", "vms/first/console", "vms/first/files", "vms/first/network", "vms/first/snapshots", "vms/first/settings", "vms/first/events", "snapshots", "create", "runs", "images", "host", "events", "tokens"]) {
				await page.goto(`${server.url}/#/${hash}`);
				assert.deepEqual(await violations(page, colorScheme === "dark" ? ["color-contrast"] : undefined), [], `${hash}, ${colorScheme}`);
			}
		}
	});

	it("reports what doctor finds", async () => {
		await page.goto(`${server.url}/#/host`);
		const { checks } = (await server.api("GET", "/doctor")).body;
		await page.locator(".checks li").first().waitFor();
		assert.equal(await page.locator(".checks li").count(), checks.length);
	});

	it("makes a token that works, and revokes it", async () => {
		await page.goto(`${server.url}/#/tokens`);
		await page.getByRole("button", { name: "New token" }).first().click();
		await page.getByLabel("Name", { exact: true }).fill("e2e");
		await page.getByLabel(/^read/).check();
		await page.getByRole("button", { name: "Create" }).click();
		await page.getByText("This is shown once").waitFor();
		const token = (await page.locator(".dialog .command code").first().innerText()).trim();
		await page.getByRole("button", { name: "I have it" }).click();
		const get = (method) => fetch(`${server.url}/vms`, { method, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, ...(method === "POST" ? { body: "{}" } : {}) });
		assert.equal((await get("GET")).status, 200);
		assert.equal((await get("POST")).status, 403);
		await page.getByRole("button", { name: "Revoke e2e" }).click();
		await page.getByRole("button", { name: "Revoke", exact: true }).click();
		await page.getByText("e2e", { exact: true }).waitFor({ state: "detached" });
		assert.equal((await get("GET")).status, 401);
	});

	it("does not let another origin use the session", async () => {
		assert.equal(await page.evaluate(() => document.cookie), "");
		const [cookie] = (await context.cookies()).filter((c) => c.name.startsWith("banger_session"));
		assert.equal(cookie.httpOnly, true);
		assert.equal(cookie.sameSite, "Strict");
		const send = (headers) => fetch(`${server.url}/vms`, { method: "POST", body: '{"start":false}', headers: { "Content-Type": "application/json", Cookie: `${cookie.name}=${cookie.value}`, ...headers } });
		assert.equal((await send({ Origin: "http://evil.example" })).status, 403);
		/* a WebSocket is a shell: the cookie alone, or with another page's Origin, opens none */
		const upgrade = (headers) =>
			new Promise((resolve, reject) => {
				const req = request(`${server.url}/vms/first/terminal`, { headers: { Cookie: `${cookie.name}=${cookie.value}`, Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", ...headers } });
				req.on("response", (res) => (res.resume(), resolve(res.statusCode)));
				req.on("upgrade", (res, socket) => (socket.destroy(), resolve(res.statusCode)));
				req.on("error", reject);
				req.end();
			});
		assert.equal(await upgrade({}), 403);
		assert.equal(await upgrade({ Origin: "http://evil.example" }), 403);
		assert.equal(await upgrade({ Origin: server.url }), 101);
		const before = (await server.api("GET", "/vms")).body.items.length;
		assert.equal(before, 1);
	});

	it("selects several VMs and deletes them, naming what is lost", async () => {
		await server.api("POST", "/vms", { name: "second", start: false });
		await page.goto(`${server.url}/#/vms`);
		await page.getByRole("link", { name: "second" }).waitFor();
		await page.getByLabel("Select all that are listed").click();
		await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
		await page.getByText("Their disks and everything written to them are gone for good").waitFor();
		await page.getByRole("button", { name: "Delete 2 VMs" }).click();
		await page.getByRole("heading", { name: "No virtual machines yet" }).waitFor(WAIT);
		assert.deepEqual((await server.api("GET", "/vms")).body.items, []);
	});

	it("keeps the tasks that were done", async () => {
		await page.locator(".dock .strip").click();
		await page.getByRole("button", { name: /Create VM first/ }).first().waitFor();
		await page.getByRole("button", { name: /Delete first/ }).first().waitFor();
	});

	it("signs out, and the cookie is dead", async () => {
		const [cookie] = (await context.cookies()).filter((c) => c.name.startsWith("banger_session"));
		await page.getByRole("button", { name: "Preferences" }).first().click();
		await page.getByRole("menuitem", { name: "Sign out" }).click();
		await page.getByRole("heading", { name: "Sign in" }).waitFor();
		const reply = await fetch(`${server.url}/vms`, { headers: { Cookie: `${cookie.name}=${cookie.value}` } });
		assert.equal(reply.status, 401);
	});

	it("ran without an error in the page", () => {
		const real = faults.filter((fault) => !/Failed to load resource|ERR_CONNECTION|ERR_INCOMPLETE|net::/.test(fault));
		assert.deepEqual(real, []);
	});
});

async function until(found) {
	const end = Date.now() + BOOT_MS;
	for (;;) {
		const value = await found();
		if (value) return value;
		assert.ok(Date.now() < end, "it did not come to pass");
		await new Promise((done) => setTimeout(done, 200));
	}
}

async function inGuest(server, line) {
	return (await server.api("POST", "/vms/first/exec", { argv: ["sh", "-c", line] })).body.stdout.trim();
}
