/* SPDX-License-Identifier: Apache-2.0 */
/* What a program keeps in memory while it waits. */
#pragma once

/*
 * Gives back the pages of code that only the start needed: the program's and its libraries' text,
 * which the page cache still has. Code that runs again is mapped again, a page fault each. Best
 * effort; changes nothing else.
 */
void footprint_drop_text(void);
