// SPDX-License-Identifier: Apache-2.0
/* The serial console, from its last part on and as it grows. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { send, sketch } from "../../api/client";
import { readText } from "../../api/streams";
import { sentence } from "../../actions/actions";
import { curl, quote } from "../../lib/shell";
import type { Vm } from "../../api/types";
import { endpoint } from "../create/example";
import { alive } from "../vms/columns";
import { Command } from "../../ui/basics";
import { LogBuffer, LogView } from "../../ui/log";

const TAIL = 262_144;
const AGAIN_MS = 2000;

export function ConsoleTab({ vm }: { vm: Vm }) {
	const buffer = useMemo(() => new LogBuffer(), [vm.id]);
	const [problem, setProblem] = useState("");
	const [live, setLive] = useState(false);
	const running = alive(vm) || vm.state === "starting" || vm.state === "stopping";
	useEffect(() => {
		const control = new AbortController();
		let timer = 0;
		const read = async (): Promise<void> => {
			try {
				const response = await send("get", "/vms/{vm}/logs", {
					params: { vm: vm.id },
					query: { tail_bytes: TAIL, follow: running },
					accept: "text/plain",
					signal: control.signal,
				});
				buffer.clear();
				setProblem("");
				setLive(running);
				await readText(response, (text) => buffer.push(text));
				setLive(false);
			} catch (error) {
				if (control.signal.aborted) return;
				setLive(false);
				setProblem(sentence(error));
				timer = window.setTimeout(() => void read(), AGAIN_MS);
			}
		};
		void read();
		return () => {
			control.abort();
			window.clearTimeout(timer);
		};
	}, [vm.id, running, vm.started]);
	return (
		<div class="stack">
			{problem && <p class="problem">{problem}</p>}
			<LogView buffer={buffer} name={`${vm.name}-console`} label={`Console of ${vm.name}`} live={live} levels />
			<details class="fold">
				<summary>The same from a shell</summary>
				<Command text={curl({ ...sketch("get", "/vms/{vm}/logs", { vm: vm.name }), path: `/vms/${vm.name}/logs?follow=true` }, endpoint())} />
				<Command text={`banger vm logs ${quote(vm.name)}`} />
			</details>
		</div>
	);
}
