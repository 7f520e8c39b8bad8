/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vmm/vm_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "server/vmm/run_dir.h"
#include "tests/unit/test.h"
#include "tests/unit/vmm/tiny_guest.h"

enum { PATIENCE_MS = 60 * 1000 };

void vm_fixture_init(struct vm_fixture *f, uint32_t spins)
{
	*f = (struct vm_fixture){ .dir = "/tmp/banger-vmm-XXXXXX" };
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->kernel, sizeof(f->kernel), "%s/vmlinux", f->dir);
	assert_int_equal(tiny_guest_write(f->kernel, spins), 0);
	f->config = (struct vmm_config){ .id = "0123456789abcdef",
					 .name = "tiny",
					 .run_dir = f->dir,
					 .vcpus = 1,
					 .memory_mib = 64,
					 .accel = VMM_ACCEL_TCG,
					 .kernel = f->kernel };
	f->wait = (struct vmm_wait){ .deadline_us = clock_mono_us() + (int64_t)PATIENCE_MS * 1000,
				     .cancel_fd = -1 };
}

/* Ends the VMM of a run folder, if there is one: a failed assertion jumps over the test's own
 * clean-up. */
static void end_vmm(const char *dir)
{
	struct proc proc = PROC_INIT;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && run_pid_adopt(fd, &proc) == 0)
		proc_kill(&proc);
	if (fd >= 0)
		(void)close(fd);
}

void vm_fixture_done(struct vm_fixture *f)
{
	static const char *const folders[] = { "",        "/sibling", "/clone0",
					       "/clone1", "/clone2",  "/clone3" };
	char dir[96];

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		(void)snprintf(dir, sizeof(dir), "%s%s", f->dir, folders[i]);
		end_vmm(dir);
	}
	assert_int_equal(remove_tree_at(AT_FDCWD, f->dir), 0);
}

struct vmm_config vm_fixture_sibling(const struct vm_fixture *f, char *dir, size_t size)
{
	struct vmm_config config = f->config;

	(void)snprintf(dir, size, "%s/sibling", f->dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	config.run_dir = dir;
	return config;
}

void read_letters(int fd, char *buf, size_t n)
{
	size_t have = 0;

	while (have < n) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char c;

		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		assert_int_equal(read(fd, &c, 1), 1);
		if (c >= 'a' && c <= 'z')
			buf[have++] = c;
	}
}

void assert_in_sequence(const char *letters, size_t n)
{
	for (size_t i = 1; i < n; i++)
		assert_int_equal(letters[i], letters[i - 1] == 'z' ? 'a' : letters[i - 1] + 1);
}
