// SPDX-License-Identifier: Apache-2.0
/* The terminal's own code is large: it comes when somebody wants one. */
import { useEffect, useState } from "preact/hooks";
import type { ComponentType } from "preact";
import type { Vm } from "../../api/types";
import { Empty, Loading } from "../../ui/basics";
import { WhenUp } from "./when-up";

let loaded: ComponentType<{ vm: Vm }> | null = null;

export function TerminalTab({ vm }: { vm: Vm }) {
	const [, redraw] = useState(0);
	const [failed, setFailed] = useState(false);
	useEffect(() => {
		let gone = false;
		if (!loaded) {
			import("./terminal").then(
				(module) => {
					loaded = module.default;
					if (!gone) redraw((n) => n + 1);
				},
				() => !gone && setFailed(true),
			);
		}
		return () => {
			gone = true;
		};
	}, []);
	if (vm.state !== "running") return <WhenUp vm={vm} icon="terminal">A terminal is a shell in the guest. It survives a reload of this page and a restart of the server, not that of the VM.</WhenUp>;
	if (failed) return <Empty icon="warn" title="The terminal could not be loaded"><p>The server is away, or it now serves another version of the dashboard: load the page again.</p></Empty>;
	if (!loaded) return <Loading what="the terminal" />;
	const View = loaded;
	return <View vm={vm} />;
}
