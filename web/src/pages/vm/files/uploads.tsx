// SPDX-License-Identifier: Apache-2.0
/* Uploads go on while other pages are looked at; each can be cancelled. */
import { signal } from "@preact/signals";
import { filePath, joined, upload, type Upload } from "../../../api/files";
import { sentence } from "../../../actions/actions";
import type { Vm } from "../../../api/types";
import { bytes, percent } from "../../../lib/format";
import { Button, Progress } from "../../../ui/basics";
import { Shape } from "../../../ui/state";
import { toast } from "../../../ui/toast";

interface Going {
	id: number;
	vm: string;
	name: string;
	to: string;
	sent: number;
	total: number;
	error?: string;
	transfer?: Upload;
}

let next = 1;
const going = signal<Going[]>([]);

export const uploadsOf = (vm: Vm): Going[] => going.value.filter((g) => g.vm === vm.id);

function change(id: number, more: Partial<Going>): void {
	going.value = going.value.map((g) => (g.id === id ? { ...g, ...more } : g));
}

const drop = (id: number): void => {
	going.value = going.value.filter((g) => g.id !== id);
};

/** One after the other; what fails stays in the list with its reason. */
export async function uploadAll(vm: Vm, at: string[], files: File[]): Promise<void> {
	const jobs = files.map((file) => ({ file, row: { id: next++, vm: vm.id, name: file.name, to: joined(at), sent: 0, total: file.size } as Going }));
	going.value = [...going.value, ...jobs.map((j) => j.row)];
	let done = 0;
	for (const { file, row } of jobs) {
		if (!going.value.some((g) => g.id === row.id)) continue;
		const transfer = upload(filePath(vm.id, [...at, file.name]), file, (sent) => change(row.id, { sent }));
		change(row.id, { transfer });
		try {
			await transfer.done;
			drop(row.id);
			done++;
		} catch (error) {
			change(row.id, { error: sentence(error) });
		}
	}
	if (done) toast({ tone: "ok", title: done === 1 ? `${files[0]?.name ?? "The file"} is uploaded` : `${done} files are uploaded` });
}

export function Uploads({ vm }: { vm: Vm }) {
	return (
		<ul class="uploads card" aria-label="Uploads">
			{uploadsOf(vm).map((g) => (
				<li key={g.id} class="row">
					{g.error && <Shape shape="diamond" tone="bad" />}
					<span class="clip upload-name">{g.name}</span>
					<span class="dim clip hide-phone">to {g.to}</span>
					{g.error ? (
						<span class="grow clip wrong" role="alert" title={g.error}>{g.error}</span>
					) : (
						<>
							<span class="grow"><Progress value={percent(g.sent, g.total)} label={`Upload of ${g.name}`} /></span>
							<span class="num soft">{bytes(g.sent)} of {bytes(g.total)}</span>
						</>
					)}
					<Button kind="quiet" icon="close" title={g.error ? "Take it off the list" : `Cancel the upload of ${g.name}`} onClick={() => {
						if (!g.error && g.transfer) g.transfer.cancel();
						else drop(g.id);
					}} />
				</li>
			))}
		</ul>
	);
}
