// SPDX-License-Identifier: Apache-2.0
/* The kept output of a command or a run, read from its beginning and as it grows. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { send, ApiError } from "../api/client";
import { readNdjson } from "../api/streams";
import type { ExecFrame, RunLine } from "../api/types";
import { sentence } from "../actions/actions";
import { useLatest } from "../lib/keys";
import { LogBuffer } from "./log";

const AGAIN_MS = 1500;

function decode(base64: string): string {
	return new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
}

/**
 * `path`: where its NDJSON frames are; "" reads nothing. While `goes` says that it goes on, a stream that broke is
 * taken up again.
 */
export function useOutput(path: string, goes: boolean): { buffer: LogBuffer; problem: string } {
	const buffer = useMemo(() => new LogBuffer(), [path]);
	const [problem, setProblem] = useState("");
	const still = useLatest(goes);
	useEffect(() => {
		if (!path) return;
		const control = new AbortController();
		let timer = 0;
		let done = false;
		const take = (frame: ExecFrame | RunLine): void => {
			if ("data" in frame || "base64" in frame) buffer.push(frame.data ?? decode(frame.base64 ?? ""), frame.type === "stderr" ? "err" : "");
			else if (frame.type === "error") buffer.push(`${frame.problem.detail}\n`, "err");
			done ||= frame.type === "exit" || frame.type === "error";
		};
		const read = async (): Promise<void> => {
			try {
				const response = await send("get", path, { accept: "application/x-ndjson", signal: control.signal });
				buffer.clear();
				setProblem("");
				await readNdjson<ExecFrame | RunLine>(response, take);
				buffer.flushRest();
			} catch (error) {
				if (control.signal.aborted) return;
				if (error instanceof ApiError && !error.offline) {
					setProblem(sentence(error));
					done = true;
				}
			}
			if (!done && still.current) timer = window.setTimeout(() => void read(), AGAIN_MS);
		};
		void read();
		return () => {
			control.abort();
			window.clearTimeout(timer);
		};
	}, [path]);
	return { buffer, problem };
}
