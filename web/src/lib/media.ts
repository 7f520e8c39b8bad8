// SPDX-License-Identifier: Apache-2.0
import { signal } from "@preact/signals";

const narrow = matchMedia("(max-width: 860px)");
/** A phone, or a window as narrow. */
export const phone = signal(narrow.matches);
narrow.addEventListener("change", () => (phone.value = narrow.matches));
