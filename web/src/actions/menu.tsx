// SPDX-License-Identifier: Apache-2.0
/* The menu of one VM, and every action as a command to take away. */
import { can } from "../api/capabilities";
import { sketch } from "../api/client";
import type { Vm } from "../api/types";
import { go, href } from "../lib/router";
import { quote } from "../lib/shell";
import { copyText } from "../ui/basics";
import { showJson } from "../ui/json";
import type { MenuEntry } from "../ui/menu";
import { showRecipes, type Recipe } from "../ui/recipes";
import { forkVm, takeSnapshot } from "../pages/snapshots/doing";
import { fits, offered, perform, type VmAction } from "./actions";

export function vmMenu(vm: Vm, onPage = false): MenuEntry[] {
	const actions = offered();
	const entries: MenuEntry[] = onPage
		? []
		: [
				{ label: "Open", icon: "right", run: () => go(["vms", vm.name]) },
				...(can("vm_exec") ? [{ label: "Run a command", icon: "terminal" as const, href: href(["vms", vm.name, "exec"]) }] : []),
				...(can("vm_logs") ? [{ label: "Console", icon: "logs" as const, href: href(["vms", vm.name, "console"]) }] : []),
				"line",
			];
	const entry = (action: VmAction): MenuEntry => ({
		label: action.label,
		icon: action.icon,
		danger: action.danger,
		disabled: !fits(action, vm),
		hint: fits(action, vm) ? undefined : `is ${vm.state}`,
		run: () => void perform(action, [vm]),
	});
	entries.push(...actions.filter((a) => !a.danger).map(entry));
	if (can("snapshot_create")) entries.push({ label: "Take snapshot…", icon: "camera", disabled: vm.state === "deleting", run: () => takeSnapshot(vm) });
	if (can("vm_fork")) entries.push({ label: "Fork…", icon: "fork", disabled: vm.state !== "running", hint: vm.state === "running" ? undefined : `is ${vm.state}`, run: () => forkVm(vm) });
	/* what loses something is not between what does not */
	entries.push(
		"line",
		...actions.filter((a) => a.danger).map(entry),
		"line",
		{ label: "As curl and CLI…", icon: "terminal", run: () => showVmCommands(vm) },
		{ label: "JSON…", icon: "json", run: () => showJson(`“${vm.name}”`, sketch("get", "/vms/{vm}", { vm: vm.name })) },
		{ label: "Copy id", icon: "copy", run: () => void copyText(vm.id, "Id") },
	);
	return entries;
}

export function vmRecipes(vm: Vm): Recipe[] {
	const params = { vm: vm.name };
	const list: Recipe[] = [
		{ label: "Show", request: sketch("get", "/vms/{vm}", params), cli: `banger vm show ${quote(vm.name)}` },
	];
	if (can("vm_exec")) {
		list.push({
			label: "Run a command",
			request: { ...sketch("post", "/vms/{vm}/exec", params, { argv: ["uname", "-a"] }), headers: { Accept: "text/plain" } },
			cli: `banger vm exec ${quote(vm.name)} -- uname -a`,
		});
	}
	for (const action of offered()) {
		list.push({ label: action.label, request: action.request(vm), ...(action.cli ? { cli: action.cli(quote(vm.name)) } : {}) });
	}
	if (can("snapshot_create")) list.push({ label: "Take a snapshot", request: sketch("post", "/vms/{vm}/snapshots", params, {}), cli: `banger snapshot create ${quote(vm.name)}` });
	if (can("vm_fork")) list.push({ label: "Fork", request: sketch("post", "/vms/{vm}/fork", params, {}), cli: `banger vm fork ${quote(vm.name)}` });
	if (can("vm_logs")) {
		list.push({ label: "Console", request: sketch("get", "/vms/{vm}/logs", params), cli: `banger vm logs ${quote(vm.name)}` });
	}
	return list;
}

export function showVmCommands(vm: Vm): void {
	showRecipes(`“${vm.name}” from a shell`, vmRecipes(vm));
}
