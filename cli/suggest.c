/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/suggest.h"

#include <string.h>

#include "lib/base/macro.h"

enum { WORD_MAX = 32 };

/* Letters to add, drop or change to turn one word into the other; words longer than WORD_MAX are
 * never near. */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1];
	size_t n_a = strlen(a), n_b = strlen(b);

	if (n_a > WORD_MAX || n_b > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= n_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = change < least ? change : least;
		}
	}
	return row[n_b];
}

const char *suggest(const char *word, const char *const *known, size_t n_known)
{
	const char *best = NULL;
	size_t limit = strlen(word) / 3 + 1, nearest = limit + 1;

	for (size_t i = 0; i < n_known; i++) {
		size_t d = distance(word, known[i]);

		if (d < nearest && d < strlen(known[i])) {
			nearest = d;
			best = known[i];
		}
	}
	return best;
}
