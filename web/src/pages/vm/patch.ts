// SPDX-License-Identifier: Apache-2.0
/* What a patch of git does to which files. Pure, for tests. */

export interface Changed {
	path: string;
	added: number;
	removed: number;
	/** "new", "deleted", "renamed", "binary"; empty for a file whose lines changed. */
	what: string;
}

const pathOf = (header: string): string => / "?b\/(.*?)"?$/.exec(header)?.[1] ?? header.replace(/^diff --git /, "");

/** A file of the patch each, in its order. */
export function changedFiles(patch: string): Changed[] {
	const files: Changed[] = [];
	let file: Changed | undefined;
	/* lines of a hunk begin with a sign whatever they hold, so that none of them is taken for a header */
	let inHunk = false;
	for (const line of patch.split("\n")) {
		if (line.startsWith("diff --git ")) {
			file = { path: pathOf(line), added: 0, removed: 0, what: "" };
			files.push(file);
			inHunk = false;
		} else if (!file) continue;
		else if (line.startsWith("@@")) inHunk = true;
		else if (inHunk && line.startsWith("+")) file.added++;
		else if (inHunk && line.startsWith("-")) file.removed++;
		else if (inHunk) continue;
		else if (line.startsWith("new file")) file.what = "new";
		else if (line.startsWith("deleted file")) file.what = "deleted";
		else if (line.startsWith("rename to ")) file.what = "renamed";
		else if (line.startsWith("GIT binary patch") || line.startsWith("Binary files")) file.what = file.what ? `${file.what}, binary` : "binary";
	}
	return files;
}
