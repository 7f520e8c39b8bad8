// SPDX-License-Identifier: Apache-2.0
import type { Operation } from "../api/types";
import { bytes, count } from "../lib/format";

/** "12 MiB of 40 MiB" of an operation that counts; undefined of one that does not. */
export function amount(op: Operation): string | undefined {
	const progress = op.progress;
	if (!progress || (progress.done === 0 && !progress.total)) return undefined;
	const text = (n: number): string =>
		progress.unit === "bytes" || progress.unit === undefined ? bytes(n) : `${count(n)} ${progress.unit}`;
	return progress.total ? `${text(progress.done)} of ${text(progress.total)}` : text(progress.done);
}
