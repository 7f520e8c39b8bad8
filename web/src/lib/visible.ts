// SPDX-License-Identifier: Apache-2.0
/*
 * Names that a guest chose, as they are: a character that is not seen, or that turns the order of
 * the others around ("exe.jpg" that is U+202E before "gpj.exe"), stands there as what it is.
 */

/* controls, marks of direction (Unicode TR 36), line ends, and spaces of no width that no script needs */
const UNSEEN = /[\0-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const named = (char: string): string => `⟨U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

export const visible = (text: string): string => text.replace(UNSEEN, named);
