// SPDX-License-Identifier: Apache-2.0
/*
 * Pictures of the pages, light and dark, wide and on a phone, into docs/screenshots/ (or --out).
 *
 *     node screenshots.mjs [--out folder] [--only vms,host] [--themes light,dark] [--sizes wide,phone]
 *
 * It starts the real server of build/release in a home of its own below /tmp, with real VMs in every state.
 */
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { openBrowser, openPage, settled } from "./lib.mjs";
import { Server } from "./server.mjs";
import { furnish } from "./furnish.mjs";

const flag = (name, fallback) => {
	const at = process.argv.indexOf(`--${name}`);
	return at < 0 ? fallback : process.argv[at + 1];
};
const out = flag("out", fileURLToPath(new URL("../../docs/screenshots/", import.meta.url)));
const only = flag("only", "").split(",").filter(Boolean);
/* some pages show where the server's files are: that should look the same wherever this runs */
const homes = `${tmpdir()}/banger`;
mkdirSync(out, { recursive: true });

const server = await Server.create(`${homes}/home`);
const empty = await Server.create(`${homes}/empty`);
await empty.deleteVms();
await furnish(server);
const run = (await server.api("GET", "/runs")).body.items?.[0]?.id;
const vm = "web";
const { paths } = (await server.api("GET", "/openapi.json")).body;

const rest = async (page, ms = 500) => page.waitForTimeout(ms);

const PAGES = [
	["vms", `#/vms`, async (page) => rest(page, 800)],
	["vms-selected", `#/vms?q=state%3Arunning`, async (page) => {
		const boxes = page.locator(".vm-shift .check");
		for (let i = 0; i < Math.min(3, await boxes.count()); i++) await boxes.nth(i).click();
		await rest(page, 400);
	}],
	["vm-overview", `#/vms/${vm}`, async (page) => {
		await page.getByText("Processes", { exact: false }).first().waitFor();
		await rest(page);
	}],
	["vm-run", `#/vms/${vm}/exec`, async (page) => {
		for (const line of ["uname -a", "df -h /"]) {
			await page.getByLabel(`Command to run in ${vm}`).fill(line);
			await page.keyboard.press("Enter");
			await rest(page, 900);
		}
		await rest(page, 800);
	}],
	["vm-console", `#/vms/${vm}/console`, async (page) => rest(page, 1200)],
	["vm-terminal", `#/vms/${vm}/terminal`, async (page) => {
		await page.locator(".term-tab .shape.tone-ok").first().waitFor();
		await page.locator(".xterm-rows", { hasText: "#" }).waitFor();
		await page.locator(".xterm-helper-textarea").focus();
		await page.keyboard.type("uname -srm; ls --color -l /srv/app; df -h /");
		await page.keyboard.press("Enter");
		await rest(page, 1500);
	}],
	...(paths["/vms/{vm}/ports"] ? [["vm-network", `#/vms/${vm}/network`, async (page) => rest(page, 1500)]] : []),
	["runs", `#/runs`, rest],
	["run", `#/runs/${run}`, async (page) => rest(page, 900)],
	["vm-files", `#/vms/${vm}/files/srv/app`, rest],
	["vm-events", `#/vms/${vm}/events`, async (page) => rest(page, 1200)],
	["vm-failed", `#/vms/build`, rest],
	["vm-settings", `#/vms/${vm}/settings`, rest],
	["vm-snapshots", `#/vms/${vm}/snapshots`, rest],
	["snapshots", `#/snapshots`, rest],
	["create", `#/create`, rest],
	["create-advanced", `#/create?advanced=1`, rest],
	["images", `#/images`, rest],
	["host", `#/host`, async (page) => rest(page, 900)],
	["events", `#/events`, async (page) => rest(page, 1500)],
	["tokens", `#/tokens`, rest],
	["palette", `#/vms`, async (page) => {
		await rest(page, 500);
		await page.keyboard.press("Control+k");
		await page.keyboard.type("st");
		await rest(page, 300);
	}],
	["tasks", `#/vms`, async (page) => {
		await rest(page, 500);
		await page.locator(".dock .strip").click();
		await rest(page, 600);
	}],
	["empty", `#/vms`, rest, empty],
];

/* once for all pictures: each login is an event, and events are in the pictures too */
const signedIn = new Map();

async function picture(browser, [name, hash, prepare, from = server], theme, size, viewport) {
	const { context, page, faults } = await openPage(browser, { viewport, colorScheme: theme, deviceScaleFactor: size === "phone" ? 2 : 1, hasTouch: size === "phone", storageState: signedIn.get(from) });
	try {
		if (!signedIn.has(from)) {
			await page.goto(await from.loginLink());
			signedIn.set(from, await context.storageState());
		}
		await page.goto(`${from.url}/${hash}`);
		await settled(page);
		await prepare(page);
		await page.screenshot({ path: `${out}/${name}-${theme}-${size}.png` });
	} catch (error) {
		faults.push(String(error).split("\n")[0]);
	}
	for (const fault of faults) console.log(`${name} ${theme} ${size}: ${fault}`);
	await context.close();
}

const browser = await openBrowser();
const sizes = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
try {
	for (const theme of flag("themes", "light,dark").split(",")) {
		for (const size of flag("sizes", "wide,phone").split(",")) {
			for (const row of PAGES) if (!only.length || only.includes(row[0])) await picture(browser, row, theme, size, sizes[size]);
		}
	}
} finally {
	await browser.close();
	if (!process.argv.includes("--keep")) await server.deleteVms();
	await Promise.all([server.stop(), empty.stop()]);
}
