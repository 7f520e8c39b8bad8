/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/empty_disks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/unit/test.h"

static char cache[64];
static int disks;

static int set_up(void **state)
{
	autofree char *path = NULL;

	(void)state;
	(void)snprintf(cache, sizeof(cache), "/tmp/banger-test-XXXXXX");
	assert_non_null(mkdtemp(cache));
	path = path_join(cache, "disks");
	disks = open_dir_create(path, 0700);
	assert_true(disks >= 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_keep_errno(disks);
	return remove_tree_at(AT_FDCWD, cache);
}

/* The disk is one of that size, with the mark of ext4. */
static void take(uint64_t mib)
{
	struct error err = ERROR_INIT;
	autoclose int fd = empty_disk_open(cache, mib, -1, &err);
	unsigned char magic[2] = { 0, 0 };
	struct stat st;

	if (fd < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, (off_t)mib << 20);
	assert_int_equal(pread(fd, magic, 2, 1080), 2);
	assert_int_equal(magic[0], 0x53);
	assert_int_equal(magic[1], 0xef);
}

static bool kept(uint64_t mib)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "ext4-%llu", (unsigned long long)mib);
	return faccessat(disks, name, F_OK, 0) == 0;
}

static int count(void)
{
	DIR *dir = fdopendir(dup(disks));
	int n = 0;

	assert_non_null(dir);
	rewinddir(dir);
	/* One DIR belongs to one caller. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static uint64_t prune(int64_t age_s, bool dry_run)
{
	struct error err = ERROR_INIT;
	uint64_t bytes = 0;

	if (empty_disks_prune(cache, age_s, dry_run, &bytes, &err) < 0)
		fail_msg("%s", err.msg);
	return bytes;
}

/* As if it had been used so long ago. */
static void age(const char *name, time_t seconds)
{
	const struct timespec then = { .tv_sec = time(NULL) - seconds };
	const struct timespec times[2] = { then, then };

	assert_int_equal(utimensat(disks, name, times, 0), 0);
}

static void the_last_used_sizes_are_kept(void **state)
{
	(void)state;
	for (uint64_t mib = 16; mib < 16 + EMPTY_DISKS_MAX; mib++)
		take(mib);
	assert_int_equal(count(), EMPTY_DISKS_MAX);
	age("ext4-16", 100);
	age("ext4-17", 50);
	take(16);
	take(40);
	assert_int_equal(count(), EMPTY_DISKS_MAX);
	assert_true(kept(16));
	assert_false(kept(17));
	assert_true(kept(40));
}

static void what_is_kept_takes_little_room(void **state)
{
	autoclose int fd = openat(disks, "ext4-1000", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, (off_t)EMPTY_DISKS_MIB_MAX << 20), 0);
	age("ext4-1000", 50);
	take(16);
	assert_true(kept(16));
	assert_false(kept(1000));
}

static void pruning_removes_what_nobody_used(void **state)
{
	uint64_t bytes;

	(void)state;
	take(16);
	take(17);
	assert_int_equal(mkdirat(disks, "folder", 0700), 0);
	assert_int_equal(write_file_at(disks, "half.tmp", "x", 1, 0600), 0);
	bytes = prune(0, true);
	assert_true(bytes > 0);
	assert_int_equal(count(), 4);
	assert_int_equal(prune(3600, false), 0);
	age("ext4-16", 4000);
	assert_true(prune(3600, false) > 0);
	assert_false(kept(16));
	assert_true(kept(17));
	assert_true(prune(0, false) < bytes);
	/* Somebody may be making it. */
	assert_int_equal(count(), 2);
	age("half.tmp", 4000);
	assert_true(prune(0, false) > 0);
	assert_int_equal(count(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_last_used_sizes_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_kept_takes_little_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pruning_removes_what_nobody_used, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
