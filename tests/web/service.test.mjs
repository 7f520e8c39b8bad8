// SPDX-License-Identifier: Apache-2.0
/* The server seen from the dashboard: who is signed in, what it can do, when it is away or has nothing. On the fixture. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { names, onFixture, violations } from "./lib.mjs";

onFixture("the server", (visit) => {
	it("keeps signed-in browsers apart from tokens, and signs all others out", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "#/tokens");
		for (const name of ["dashboard-one1", "dashboard-two2", "dashboard-me33"]) await fetch(`${fixture.url}/tokens`, { method: "POST", body: JSON.stringify({ name, scope: "admin", ttl_s: 40_000 }) });
		await page.route("**/session", (route) => route.fulfill({ json: { principal: "token:dashboard-me33", scope: "admin", cookie: true } }));
		await page.reload();
		const rows = page.getByRole("row", { name: /admin/ });
		await page.getByRole("row", { name: /^this one/ }).waitFor();
		assert.equal(await rows.count(), 3);
		assert.equal(await page.getByText("dashboard-").count(), 0);
		await page.getByRole("button", { name: "Sign out 2 others" }).click();
		await page.getByRole("dialog").getByText("banger open").waitFor();
		await page.getByRole("button", { name: "Sign out", exact: true }).click();
		await page.getByText("one1").waitFor({ state: "detached" });
		const { items } = await (await fetch(`${fixture.url}/tokens`)).json();
		assert.deepEqual(items.map((t) => t.name), ["ci", "grafana", "dashboard-me33"]);
		await context.close();
	});

	it("mends what doctor says the server can mend", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/host");
		const row = page.locator(".checks li", { hasText: "There is no image alpine." });
		await row.waitFor();
		await row.getByRole("button", { name: "Fix, as commands" }).click();
		assert.deepEqual(await page.locator(".dialog code").allInnerTexts().then(([curl, cli]) => [/\/images[^]*\{"build":"alpine"\}/.test(curl), cli]), [true, "banger doctor --fix"]);
		await page.keyboard.press("Escape");
		await page.getByRole("button", { name: "Fix 1 finding", exact: true }).waitFor();
		await row.getByRole("button", { name: "Fix", exact: true }).click();
		await page.getByText("Build image alpine").first().waitFor();
		await row.waitFor({ state: "detached", timeout: 20_000 }).catch(() => page.getByRole("button", { name: "Check again" }).click());
		await row.waitFor({ state: "detached" });
		assert.equal(await page.getByRole("button", { name: /^Fix/ }).count(), 0);
		await context.close();
	});

	it("is honest about a server that is away, and catches up", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"]);
		await page.getByText("Live", { exact: true }).waitFor();
		await context.setOffline(true);
		fixture.stop();
		await page.getByRole("alert").getByText("The server can't be reached").waitFor({ timeout: 20_000 });
		assert.ok((await names(page)).length > 10, "the last known state stays");
		await context.close();
	});

	it("shows nothing that the server can't do", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"]);
		const doc = await (await fetch(`${fixture.url}/openapi.json`)).json();
		delete doc.paths["/vms/{vm}/stop"];
		delete doc.paths["/vms/{vm}/execs"];
		delete doc.paths["/tokens"];
		delete doc.components.schemas.VmCreate.properties.ttl_s;
		await page.route("**/openapi.json", (route) => route.fulfill({ json: doc }));
		await page.reload();
		await page.locator(".vm-shift .vm-row").first().waitFor();
		await page.getByRole("link", { name: "Tokens" }).waitFor({ state: "detached" });
		await page.goto(`${fixture.url}/#/vms/web`);
		await page.getByRole("heading", { level: 1, name: "web" }).waitFor();
		assert.equal(await page.getByRole("button", { name: "Stop" }).count(), 0);
		assert.equal(await page.getByRole("link", { name: "Run", exact: true }).count(), 0);
		await page.goto(`${fixture.url}/#/create`);
		await page.getByLabel("Name", { exact: true }).waitFor();
		assert.equal(await page.getByText("Until deleted").count(), 0);
		await context.close();
	});

	it("teaches where there is nothing yet", async () => {
		const { page, context, fixture } = await visit(["--empty"]);
		await page.getByText("No virtual machines yet").waitFor();
		const [cli, curl] = await page.locator(".command").allInnerTexts();
		assert.match(cli, /^banger vm create --name first/);
		assert.match(curl, new RegExp(`curl ${fixture.url}/vms`));
		await page.goto(`${fixture.url}/#/images`);
		await page.getByText("No image yet").waitFor();
		await page.getByText("No kernel yet").waitFor();
		await page.goto(`${fixture.url}/#/events`);
		await page.getByText("Nothing has happened yet").waitFor();
		assert.deepEqual(await violations(page), []);
		await context.close();
	});
});
