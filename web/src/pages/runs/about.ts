// SPDX-License-Identifier: Apache-2.0
/* What can be said of a run without drawing it. */
import type { Run, RunCreate } from "../../api/types";
import { words } from "../../lib/shell";
import type { StateLook } from "../../ui/state";
import { opLook } from "../../ui/state";

export const over = (run: Run): boolean => /^(succeeded|failed|cancelled)$/.test(run.state);

/** The script of `sh -c script`, else the command line. */
export function commandOf(run: Pick<Run, "argv">): string {
	const [shell, flag, script] = run.argv;
	return shell === "sh" && flag === "-c" && run.argv.length === 3 && script ? script : words(run.argv);
}

export function lookOfRun(run: Run): StateLook {
	if (!over(run)) return { ...opLook(run.state), word: run.state === "queued" ? "queued" : run.phase };
	const look = opLook(run.state);
	if (run.timed_out) return { ...look, word: "timed out" };
	if (run.signal) return { ...look, word: `signal ${run.signal}` };
	return run.state === "failed" && typeof run.exit_code === "number" ? { ...look, word: `exit ${run.exit_code}` } : look;
}

/** Earlier and later runs of the same command, oldest first. */
export function alike(run: Run, list: Run[]): Run[] {
	const key = JSON.stringify(run.argv);
	return list.filter((r) => JSON.stringify(r.argv) === key && r.image === run.image).reverse();
}

/** What the server still knows of the request; files, environment and workspace are not kept. */
export function requestOf(run: Run): RunCreate {
	const [shell, flag, script] = run.argv;
	const plain = shell === "sh" && flag === "-c" && run.argv.length === 3 && script;
	return {
		...(run.image ? { image: run.image } : {}),
		...(plain ? { script } : { argv: run.argv }),
		...(Object.keys(run.labels).length ? { labels: run.labels } : {}),
		...(run.artifacts.length ? { artifacts: run.artifacts.map((a) => a.path) } : {}),
	};
}
