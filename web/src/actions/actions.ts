// SPDX-License-Identifier: Apache-2.0
/*
 * What can be done to a VM, as one table: the row menu, the page's buttons, the bulk bar, the
 * palette and "copy as curl" are all drawn from it.
 */
import { h } from "preact";
import { call, sketch, ApiError } from "../api/client";
import { can, schemaOf } from "../api/capabilities";
import type { Operation, OperationId, Problem, Vm, VmActionBody, VmState } from "../api/types";
import { putOperation, refreshOperations, refreshVm, refreshVms } from "../store/live";
import { words, type RequestSketch } from "../lib/shell";
import { ask } from "../ui/dialog";
import { AsShell, type Recipe } from "../ui/recipes";
import { toast } from "../ui/toast";
import type { IconName } from "../ui/icon";
import { plural } from "../lib/format";

export interface VmAction {
	id: string;
	operation: OperationId;
	label: string;
	/** "web is …" */
	doing: string;
	icon: IconName;
	danger?: boolean;
	key?: string;
	/** States in which it makes sense. */
	from: VmState[];
	run: (vm: Vm) => Promise<unknown>;
	request: (vm: Vm) => RequestSketch;
	/** The CLI's command for names that are quoted already, where it has one. */
	cli?: (names: string) => string;
	/** What is lost; asked once before it is done. */
	loses?: (vms: Vm[]) => string;
	confirm?: string;
}

const p = (vm: Vm): { vm: string } => ({ vm: vm.id });
const named = (vm: Vm): { vm: string } => ({ vm: vm.name });

export const VM_ACTIONS: VmAction[] = [
	{
		id: "start", operation: "vm_start", label: "Start", doing: "starting", icon: "play", key: "s",
		from: ["created", "stopped", "suspended"],
		run: (vm) => call("post", "/vms/{vm}/start", { params: p(vm) }),
		request: (vm) => sketch("post", "/vms/{vm}/start", named(vm)),
		cli: (names) => `banger vm start ${names}`,
	},
	{
		id: "stop", operation: "vm_stop", label: "Stop", doing: "stopping", icon: "stop", key: "x",
		from: ["running", "paused", "starting"],
		run: (vm) => call("post", "/vms/{vm}/stop", { params: p(vm) }),
		request: (vm) => sketch("post", "/vms/{vm}/stop", named(vm)),
		cli: (names) => `banger vm stop ${names}`,
	},
	{
		id: "restart", operation: "vm_restart", label: "Restart", doing: "restarting", icon: "restart",
		from: ["running"],
		run: (vm) => call("post", "/vms/{vm}/restart", { params: p(vm) }),
		request: (vm) => sketch("post", "/vms/{vm}/restart", named(vm)),
		cli: (names) => `banger vm restart ${names}`,
	},
	{
		id: "recover", operation: "vm_recover", label: "Recover", doing: "being recovered", icon: "restart",
		from: ["failed"],
		run: (vm) => call("post", "/vms/{vm}/recover", { params: p(vm) }),
		request: (vm) => sketch("post", "/vms/{vm}/recover", named(vm)),
		cli: (names) => `banger vm recover ${names}`,
	},
	{
		id: "pause", operation: "vm_pause", label: "Pause", doing: "being paused", icon: "pause",
		from: ["running"],
		run: (vm) => call("post", "/vms/{vm}/pause", { params: p(vm) }),
		request: (vm) => sketch("post", "/vms/{vm}/pause", named(vm)),
		cli: (names) => `banger vm pause ${names}`,
	},
	{
		id: "resume", operation: "vm_resume", label: "Resume", doing: "resuming", icon: "play",
		from: ["paused", "suspended"],
		run: (vm) => call("post", "/vms/{vm}/resume", { params: p(vm) }),
		request: (vm) => sketch("post", "/vms/{vm}/resume", named(vm)),
		cli: (names) => `banger vm resume ${names}`,
	},
	{
		id: "suspend", operation: "vm_suspend", label: "Suspend", doing: "being suspended", icon: "moon",
		from: ["running", "paused"],
		run: (vm) => call("post", "/vms/{vm}/suspend", { params: p(vm) }),
		request: (vm) => sketch("post", "/vms/{vm}/suspend", named(vm)),
		cli: (names) => `banger vm suspend ${names}`,
	},
	{
		id: "kill", operation: "vm_kill", label: "Kill", doing: "being killed", icon: "power", danger: true,
		from: ["running", "paused", "starting", "stopping"],
		run: (vm) => call("post", "/vms/{vm}/kill", { params: p(vm) }),
		request: (vm) => sketch("post", "/vms/{vm}/kill", named(vm)),
		cli: (names) => `banger vm kill ${names}`,
		loses: () => "The power is cut: what the guest has not yet written to its disk is lost.",
		confirm: "Kill",
	},
	{
		id: "delete", operation: "vm_delete", label: "Delete", doing: "being deleted", icon: "trash", danger: true,
		key: "d",
		from: ["created", "running", "paused", "stopped", "suspended", "failed", "starting", "stopping"],
		run: (vm) => call("delete", "/vms/{vm}", { params: p(vm) }),
		request: (vm) => sketch("delete", "/vms/{vm}", named(vm)),
		cli: (names) => `banger vm delete ${names}`,
		loses: (list) =>
			list.length === 1
				? "Its disk and everything written to it are gone for good. The image and snapshots stay."
				: "Their disks and everything written to them are gone for good. Images and snapshots stay.",
		confirm: "Delete",
	},
];

export const actionById = (id: string): VmAction | undefined => VM_ACTIONS.find((a) => a.id === id);

/** Actions that the server has, whatever the state. */
export const offered = (): VmAction[] => VM_ACTIONS.filter((a) => can(a.operation));
export const fits = (action: VmAction, vm: Vm): boolean => action.from.includes(vm.state);

export interface ItemResult {
	vm: Vm;
	error?: string;
}

function isOperation(value: unknown): value is Operation {
	return typeof value === "object" && value !== null && "kind" in value && "stages" in value;
}

async function one(action: VmAction, vm: Vm): Promise<ItemResult> {
	try {
		const reply = await action.run(vm);
		if (isOperation(reply)) putOperation(reply);
		await refreshVm(vm.id).catch(() => undefined);
		return { vm };
	} catch (error) {
		return { vm, error: sentence(error) };
	}
}

function problemSentence(problem: Partial<Problem>, message: string): string {
	return problem.remedy ? `${message} ${problem.remedy}` : message;
}

export function sentence(error: unknown): string {
	if (error instanceof ApiError) return problemSentence(error.problem, error.message);
	return error instanceof Error ? error.message : String(error);
}

/** The one request that does it to several VMs, where the server knows this verb for many. */
export function requestForMany(action: VmAction, list: Vm[], key: "id" | "name" = "name"): { action: VmActionBody["action"]; vms: string[] } | undefined {
	const verbs = schemaOf("VmAction")?.properties?.["action"]?.enum;
	if (!can("vm_action") || (verbs && !verbs.includes(action.id))) return undefined;
	return { action: action.id as VmActionBody["action"], vms: list.map((vm) => vm[key]) };
}

async function many(list: Vm[], body: VmActionBody): Promise<ItemResult[]> {
	try {
		const { results } = await call("post", "/vms/actions", { body });
		await Promise.all([refreshVms(), refreshOperations()]).catch(() => undefined);
		return list.map((vm, i) => {
			const problem = results[i]?.error;
			return problem ? { vm, error: problemSentence(problem, problem.detail) } : { vm };
		});
	} catch (error) {
		return list.map((vm) => ({ vm, error: sentence(error) }));
	}
}

async function each(action: VmAction, list: Vm[]): Promise<ItemResult[]> {
	const results: ItemResult[] = [];
	const waiting = [...list];
	await Promise.all(
		Array.from({ length: Math.min(AT_ONCE, list.length) }, async () => {
			for (let vm = waiting.shift(); vm; vm = waiting.shift()) results.push(await one(action, vm));
		}),
	);
	return results;
}

const AT_ONCE = 6;

/** Does it to all of them; asks first where something is lost. null: was not wanted. */
export async function perform(action: VmAction, list: Vm[]): Promise<ItemResult[] | null> {
	if (list.length === 0) return null;
	const [first] = list as [Vm];
	const what = list.length === 1 ? `“${first.name}”` : plural(list.length, "VM");
	if (action.loses) {
		const sure = await ask({
			title: `${action.label} ${what}?`,
			body: action.loses(list) + (list.length > 1 ? ` (${names(list)})` : ""),
			confirm: `${action.confirm ?? action.label} ${what}`,
			danger: true,
			extra: commands(action, list),
			typed: action.id === "delete" && list.length > 5 ? `delete ${list.length}` : undefined,
		});
		if (!sure) return null;
	}
	const body = list.length > 1 ? requestForMany(action, list, "id") : undefined;
	const results = body ? await many(list, body) : await each(action, list);
	const failed = results.filter((r) => r.error);
	if (list.length === 1) {
		if (failed[0]) toast({ tone: "bad", title: `${action.label} ${what} failed`, body: failed[0].error });
	} else if (failed.length === 0) {
		toast({ tone: "ok", title: `${action.label}: ${what} accepted` });
	}
	return results;
}

/** What is asked about, as commands, where one request does it. */
function commands(action: VmAction, list: Vm[]): preact.ComponentChildren {
	const [first] = list as [Vm];
	const body = list.length > 1 ? requestForMany(action, list) : undefined;
	if (list.length > 1 && !body) return undefined;
	const recipe: Recipe = { label: action.label, request: body ? sketch("post", "/vms/actions", {}, body) : action.request(first) };
	if (action.cli) recipe.cli = action.cli(words(list.map((vm) => vm.name)));
	return h(AsShell, { recipe });
}

function names(list: Vm[]): string {
	const shown = list.slice(0, 6).map((vm) => vm.name);
	return shown.join(", ") + (list.length > shown.length ? ` and ${list.length - shown.length} more` : "");
}
