// SPDX-License-Identifier: Apache-2.0
/* Why it failed, from all that is known, before anybody has to look for it. */
import { useEffect, useState } from "preact/hooks";
import { call } from "../../api/client";
import { can } from "../../api/capabilities";
import type { Diagnosis, Vm } from "../../api/types";
import { strip } from "../../lib/ansi";
import { href } from "../../lib/router";
import { Card, Details, LinkButton } from "../../ui/basics";

const LINES = 12;

export function DiagnosisCard({ vm }: { vm: Vm }) {
	const [found, setFound] = useState<Diagnosis | null>(null);
	useEffect(() => {
		let gone = false;
		call("get", "/vms/{vm}/diagnosis", { params: { vm: vm.id } })
			.then((d) => !gone && setFound(d))
			.catch(() => undefined);
		return () => {
			gone = true;
		};
	}, [vm.id, vm.since]);
	if (!found) return null;
	const rows: [string, string][] = [
		/* the reason stands at the top of the page */
		...(found.reason && found.reason !== vm.reason ? [["Reason", found.reason] as [string, string]] : []),
		...(found.stage ? [["Stage", found.stage] as [string, string]] : []),
		...(found.error && found.error !== found.reason ? [["Error", found.error] as [string, string]] : []),
		...(found.vmm_exit && found.vmm_exit !== vm.reason ? [["VMM", found.vmm_exit] as [string, string]] : []),
	];
	if (rows.length === 0 && found.console.length === 0) return null;
	return (
		<Card
			title={rows.length ? "Why it failed" : "Its last words"}
			actions={can("vm_logs") && <LinkButton label="Console" icon="logs" href={href(["vms", vm.name, "console"])} />}
		>
			{rows.length > 0 && <Details rows={rows} />}
			{found.console.length > 0 && (
				<div class={`command${rows.length ? " last-words" : ""}`}>
					<pre tabIndex={0} aria-label="Last lines of the console"><code>{found.console.slice(-LINES).map(strip).join("\n")}</code></pre>
				</div>
			)}
		</Card>
	);
}
