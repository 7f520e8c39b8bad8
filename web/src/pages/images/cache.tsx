// SPDX-License-Identifier: Apache-2.0
/* The cache of downloaded layers: how much it is, and what of it may go; looked at first, removed when asked. */
import { useEffect, useState } from "preact/hooks";
import { call, sketch } from "../../api/client";
import { sentence } from "../../actions/actions";
import type { Operation } from "../../api/types";
import { bytes } from "../../lib/format";
import { curl } from "../../lib/shell";
import { refreshOperations } from "../../store/live";
import { endpoint } from "../create/example";
import { Button, Command } from "../../ui/basics";
import { closeDialog, showDialog } from "../../ui/dialog";
import { toast } from "../../ui/toast";

const DAY = 86_400;
const AGES: [string, number][] = [["Nothing", 0], ["Of the last day", DAY], ["Of the last week", 7 * DAY], ["Of the last 30 days", 30 * DAY]];
const WAIT_S = 30;

export function cleanCache(): void {
	showDialog({ title: "Remove downloaded layers", body: <Cache /> });
}

async function prune(unused: number, dry_run: boolean): Promise<number> {
	const op: Operation = await call("post", "/cache/prune", { body: { unused_s: unused, dry_run }, wait: WAIT_S });
	if (op.error) throw new Error(op.error.detail);
	return Number((op.result as { bytes?: number } | undefined)?.bytes ?? 0);
}

function Cache() {
	const [unused, setUnused] = useState(0);
	const [found, setFound] = useState<number | null>(null);
	const [problem, setProblem] = useState("");
	const [busy, setBusy] = useState(false);
	useEffect(() => {
		let gone = false;
		setFound(null);
		setProblem("");
		prune(unused, true).then((n) => !gone && setFound(n), (error: unknown) => !gone && setProblem(sentence(error)));
		return () => {
			gone = true;
		};
	}, [unused]);
	const remove = async (): Promise<void> => {
		setBusy(true);
		try {
			toast({ tone: "ok", title: `${bytes(await prune(unused, false))} are free again` });
			closeDialog();
		} catch (error) {
			setProblem(sentence(error));
		} finally {
			setBusy(false);
			await refreshOperations().catch(() => undefined);
		}
	};
	const body = unused ? { unused_s: unused } : {};
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				void remove();
			}}
		>
			<div class="stack">
				<p class="soft">Layers stay after a pull, so that images that share them need not download them again. No image and no VM needs them any more; what is removed can be downloaded again. Empty disks that are kept to be copied go too.</p>
				<fieldset class="field">
					<legend class="name">Keep what was used</legend>
					<div class="segments">
						{AGES.map(([text, s]) => (
							<label key={s} class={unused === s ? "on" : ""}>
								<input type="radio" class="sr" name="cache-age" checked={unused === s} onChange={() => setUnused(s)} />
								{text}
							</label>
						))}
					</div>
				</fieldset>
				<p role="status">
					{problem ? <span class="wrong">{problem}</span> : found === null ? <span class="dim">Looking…</span> : found === 0 ? "There is nothing to remove." : <><strong class="num">{bytes(found)}</strong> would be free again.</>}
				</p>
				<Command text={curl(sketch("post", "/cache/prune", {}, body), endpoint())} />
				{unused === 0 && <Command text="banger cache prune" />}
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="danger" icon="trash" label={found ? `Remove ${bytes(found)}` : "Remove"} busy={busy} disabled={!found} />
			</footer>
		</form>
	);
}
