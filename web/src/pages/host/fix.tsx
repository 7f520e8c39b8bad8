// SPDX-License-Identifier: Apache-2.0
/* What the server can mend by itself of what doctor found: it adds what is missing, and loses nothing. */
import { useState } from "preact/hooks";
import { sentence } from "../../actions/actions";
import { send } from "../../api/client";
import type { Check } from "../../api/types";
import { refreshDoctor } from "../../store/live";
import { Button } from "../../ui/basics";
import { showRecipes } from "../../ui/recipes";
import { toast } from "../../ui/toast";

/** A download may take that long; the task log shows how far it is. */
const WAIT_S = 600;

export const fixable = (checks: Check[]): Check[] => checks.filter((check) => check.fix);

/** One after the other; what fails is said, and the rest is done all the same. */
async function fixAll(checks: Check[]): Promise<void> {
	for (const { name, fix } of checks) {
		if (!fix) continue;
		try {
			await send(fix.method.toLowerCase(), fix.path, { body: fix.body, wait: WAIT_S });
		} catch (error) {
			toast({ tone: "bad", title: `“${name}” was not mended`, body: sentence(error) });
		}
	}
	await refreshDoctor().catch(() => undefined);
}

export function Fix({ checks, label }: { checks: Check[]; label: string }) {
	const [busy, setBusy] = useState(false);
	const list = fixable(checks);
	if (list.length === 0) return null;
	const recipes = list.map((check) => ({ label: check.name, request: { method: "POST", path: check.fix?.path ?? "", body: check.fix?.body } }));
	return (
		<span class="row">
			<Button
				icon="check" label={label} busy={busy}
				onClick={() => {
					setBusy(true);
					void fixAll(list).finally(() => setBusy(false));
				}}
			/>
			<Button kind="quiet" icon="terminal" title={`${label}, as commands`} onClick={() => showRecipes("The same from a shell", [...recipes.slice(0, -1), ...recipes.slice(-1).map((r) => ({ ...r, cli: "banger doctor --fix" }))])} />
		</span>
	);
}
