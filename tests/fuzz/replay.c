/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: fuzz_<name> FOLDER
 * The corpus through the fuzz target, without a fuzzer: every file as it is, cut at every length,
 * and with every bit of its first 256 bytes turned over.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/fuzz/fuzz.h"

enum { FILE_MAX = 64 * 1024, FLIP_MAX = 256 };

static size_t replay(uint8_t *data, size_t len)
{
	size_t n = 0;

	for (size_t cut = 0; cut <= len; cut++, n++)
		(void)LLVMFuzzerTestOneInput(data, cut);
	for (size_t bit = 0; bit < 8 * (len < FLIP_MAX ? len : FLIP_MAX); bit++, n++) {
		data[bit / 8] = (uint8_t)(data[bit / 8] ^ 1U << bit % 8);
		(void)LLVMFuzzerTestOneInput(data, len);
		data[bit / 8] = (uint8_t)(data[bit / 8] ^ 1U << bit % 8);
	}
	return n;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	const struct dirent *e;
	size_t files = 0;
	size_t inputs = 0;

	if (!dir) {
		(void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	/* One thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((e = readdir(dir)) != NULL) {
		autofree char *data = NULL;
		size_t len;

		if (e->d_name[0] == '.' ||
		    read_file_at(dirfd(dir), e->d_name, FILE_MAX, &data, &len) < 0)
			continue;
		files++;
		inputs += replay((uint8_t *)data, len);
	}
	(void)closedir(dir);
	(void)printf("%zu files, %zu inputs\n", files, inputs);
	return files > 0 ? 0 : 1;
}
