// SPDX-License-Identifier: Apache-2.0
/* Every page, light and dark, wide and on a phone: axe, and what is cut off. On the fixture. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { onFixture, violations } from "./lib.mjs";

/** What is wider than the box around it, where that does not scroll; and the page and tables, which never may. */
const cutOff = (page) =>
	page.evaluate(() => {
		const wide = (el) => el.scrollWidth > el.clientWidth + 1;
		const boxes = [...document.querySelectorAll(".page, .page-head, .page > .row, .card, .card > header, .card > .body, .nav")];
		const out = boxes.filter((el) => wide(el) && !/auto|scroll/.test(getComputedStyle(el).overflowX));
		const main = document.querySelector("main");
		const tables = [...document.querySelectorAll("main .card, main .card > .body")].filter((el) => el.querySelector(".table") && wide(el));
		/* what stands at the right of a cell overflows to the left, which no width tells */
		const hidden = [...document.querySelectorAll("main td .button")].filter((el) => el.getClientRects().length && el.getBoundingClientRect().left < el.closest("td").getBoundingClientRect().left - 1);
		const tab = document.querySelector(".tabs [aria-current]")?.getBoundingClientRect();
		return [...(wide(main) ? [main] : []), ...out, ...hidden, ...tables].map((el) => `${el.tagName}.${el.className} ${el.textContent.slice(0, 40)}`).concat(tab && (tab.left < 0 || tab.right > innerWidth) ? ["the current tab"] : []);
	});

onFixture("looks", (visit) => {
	const LOOKS = [
		["light", "wide", { width: 1440, height: 900 }],
		["light", "phone", { width: 360, height: 740 }],
		["dark", "wide", { width: 1440, height: 900 }, ["color-contrast"]],
	];
	for (const [colorScheme, size, viewport, rules] of LOOKS) {
		it(`has no fault that axe can see, and no sideways scroll: ${colorScheme}, ${size}`, async () => {
			const { page, context, fixture, faults } = await visit(["--rate", "0"], "#/vms", { colorScheme, viewport });
			for (const hash of ["vms", "vms?q=nothing-like-it", "vms/web", "vms/build", "vms/web/exec", "vms/web/console", "vms/web/files/srv/app", "vms/web/files/srv/odd", "vms/web/events", "vms/web/network", "vms/api/network", "create?advanced=1", "runs", "runs/0037000000000000", "images", "snapshots", "vms/web/snapshots", "vms/web/settings", "host", "events", "tokens", "nowhere"]) {
				await page.goto(`${fixture.url}/#/${hash}`);
				assert.deepEqual(await violations(page, rules), [], hash);
				const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
				assert.ok(wide <= 0, `${hash} is ${wide} px too wide`);
				assert.deepEqual(await cutOff(page), [], `${hash}: cut off or sticking out`);
			}
			await page.goto(`${fixture.url}/#/vms`);
			await page.locator(".vm-shift .check").first().click();
			await page.locator(".dock .strip").click();
			assert.deepEqual(await violations(page, rules), [], "selection and task log");
			await page.keyboard.press("Control+k");
			await page.getByRole("dialog").waitFor();
			assert.deepEqual(await violations(page, rules), [], "palette");
			assert.deepEqual(faults, []);
			await context.close();
		});
	}
});
