// SPDX-License-Identifier: Apache-2.0
/* A create request as a command of the CLI. */
import type { VmCreate } from "../../api/types";
import { quote } from "../../lib/shell";

const OPTIONS: Partial<Record<keyof VmCreate, (value: never) => string>> = {
	name: (v: string) => `--name ${quote(v)}`,
	image: (v: string) => `--image ${quote(v)}`,
	kernel: (v: string) => `--kernel ${quote(v)}`,
	vcpus: (v: number) => `--vcpus ${v}`,
	memory_mib: (v: number) => `--memory ${v}`,
	disk_mib: (v: number) => `--disk ${v}`,
	network: (v: string) => `--network ${quote(v)}`,
	nat: (v: boolean) => (v ? "--nat" : "--no-nat"),
	labels: (v: Record<string, string>) => Object.entries(v).map(([key, value]) => `--label ${quote(`${key}=${value}`)}`).join(" "),
	ttl_s: (v: number) => `--ttl ${v}s`,
	init: (v: string) => `--init ${quote(v)}`,
	boot: (v: string) => `--boot ${quote(v)}`,
	from_snapshot: (v: string) => `--from-snapshot ${quote(v)}`,
	start: (v: boolean) => (v ? "" : "--no-start"),
};

/** undefined when the request has a field that the CLI has no option for. */
export function createCommand(body: VmCreate): string | undefined {
	const words = ["banger vm create"];
	for (const [field, value] of Object.entries(body)) {
		const option = OPTIONS[field as keyof VmCreate];
		if (!option) return undefined;
		words.push(option(value as never));
	}
	return words.filter(Boolean).join(" ");
}
