/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's console tells of its end. A guest writes what it likes there: of use for words to
 * its owner, and for nothing that must not be wrong.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The last line is the one that Linux prints, at every log level, when it ends as it should. */
bool last_words_goodbye(const char *log, size_t len);

/* And it says that it was to boot again. */
bool last_words_reboot(const char *log, size_t len);

/*
 * Why the kernel panicked, printable and cut to `size`, which is written only then; false where it
 * did not say that it has.
 */
bool last_words_panic(const char *log, size_t len, char *ret_why, size_t size);
