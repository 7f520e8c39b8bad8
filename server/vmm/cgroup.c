/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

#define ROOT "/sys/fs/cgroup"

/* Far more than a monitor should need beside its guest; emulation keeps what it has translated. */
enum {
	EXTRA_MIB = 128,
	EMULATION_MIB = 1024,
	EXTRA_CPU_PERCENT = 100,
	EXTRA_PIDS = 128,
	CPU_PERIOD_US = 100 * 1000
};
enum { TEXT_MAX = 64 * 1024 };

struct cgroup_limits cgroup_limits_of(uint32_t vcpus, uint32_t memory_mib, bool emulated)
{
	uint64_t mib = (uint64_t)memory_mib + EXTRA_MIB + (emulated ? EMULATION_MIB : 0);

	return (struct cgroup_limits){ .memory_bytes = mib << 20,
				       .cpu_percent = vcpus * 100 + EXTRA_CPU_PERCENT,
				       .pids = vcpus + EXTRA_PIDS };
}

/* The path in the line of cgroup v2, "0::/a/b"; the caller frees. */
static char *path_in(const char *text)
{
	const char *line = text;

	while (line && strncmp(line, "0::/", 4) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return line ? strndup(line + 3, strcspn(line + 3, "\n")) : NULL;
}

static int put(const char *dir, const char *file, const char *text, struct error *err)
{
	autofree char *path = path_join(dir, file);
	autoclose int fd = path ? open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	int r;

	if (!path)
		return error_errno(err, -ENOMEM, "cgroup");
	r = fd < 0 ? -errno : write_all(fd, text, strlen(text));
	return r < 0 ? error_errno(err, r, "write %s", path) : 0;
}

static bool is_delegated(const char *dir)
{
	char value[2] = "";

	return getxattr(dir, "user.delegate", value, sizeof(value)) == 1 && value[0] == '1';
}

static bool is_empty(const char *dir)
{
	autofree char *path = path_join(dir, "cgroup.procs");
	autofree char *text = NULL;
	size_t len = 0;

	return path && read_file(path, TEXT_MAX, &text, &len) == 0 && len == 0;
}

int cgroup_find(const char *root, const char *own, char **ret_dir, struct error *err)
{
	autofree char *path = path_in(own);
	autofree char *dir = NULL;
	char *slash = path ? strrchr(path, '/') : NULL;
	int r;

	if (!slash || slash == path)
		return error_set(err, ERR_UNSUPPORTED,
				 "the server is in no cgroup that could be delegated to it");
	*slash = '\0';
	dir = path_join(root, path + 1);
	if (!dir)
		return error_errno(err, -ENOMEM, "cgroup");
	if (!is_delegated(dir))
		return error_set(err, ERR_UNSUPPORTED, "cgroup %s is not delegated to the server",
				 path);
	if (!is_empty(dir))
		return error_set(err, ERR_UNSUPPORTED,
				 "cgroup %s has processes of its own beside the server's", path);
	r = put(dir, "cgroup.subtree_control", "+cpu +memory +pids", err);
	if (r < 0)
		return r;
	*ret_dir = TAKE_PTR(dir);
	return 0;
}

int cgroup_find_own(char **ret_dir, struct error *err)
{
	autofree char *own = NULL;
	struct statfs fs;
	int r = read_file("/proc/self/cgroup", TEXT_MAX, &own, NULL);

	if (r < 0)
		return error_errno(err, r, "read /proc/self/cgroup");
	if (statfs(ROOT, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return error_set(err, ERR_UNSUPPORTED, "no cgroup version 2 at " ROOT);
	return cgroup_find(ROOT, own, ret_dir, err);
}

/* "<dir>/vm-<id>"; the caller frees. */
static char *dir_of(const char *dir, const char *id)
{
	char *path = NULL;

	return asprintf(&path, "%s/vm-%s", dir, id) < 0 ? NULL : path;
}

int cgroup_create(const char *dir, const char *id, const struct cgroup_limits *limits,
		  char **ret_procs, struct error *err)
{
	autofree char *vm = dir_of(dir, id);
	autofree char *procs = vm ? path_join(vm, "cgroup.procs") : NULL;
	char memory[24];
	char cpu[40];
	char pids[16];
	int r;

	if (!procs)
		return error_errno(err, -ENOMEM, "cgroup");
	if (mkdir(vm, 0755) < 0 && errno != EEXIST)
		return error_errno(err, -errno, "make %s", vm);
	(void)snprintf(memory, sizeof(memory), "%" PRIu64, limits->memory_bytes);
	(void)snprintf(cpu, sizeof(cpu), "%" PRIu64 " %d",
		       (uint64_t)limits->cpu_percent * CPU_PERIOD_US / 100, CPU_PERIOD_US);
	(void)snprintf(pids, sizeof(pids), "%" PRIu32, limits->pids);
	r = put(vm, "memory.max", memory, err);
	if (r == 0)
		r = put(vm, "cpu.max", cpu, err);
	if (r == 0)
		r = put(vm, "pids.max", pids, err);
	if (r < 0) {
		(void)rmdir(vm);
		return r;
	}
	*ret_procs = TAKE_PTR(procs);
	return 0;
}

int cgroup_join(const char *procs, const struct proc *proc, struct error *err)
{
	autoclose int fd = -1;
	char text[16];
	int r;

	if (!procs)
		return 0;
	(void)snprintf(text, sizeof(text), "%d", (int)proc->pid);
	fd = open(procs, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	r = fd < 0 ? -errno : write_all(fd, text, strlen(text));
	return r < 0 ? error_errno(err, r, "put the VMM into %s", procs) : 0;
}

void cgroup_remove(const char *dir, const char *id)
{
	autofree char *vm = dir ? dir_of(dir, id) : NULL;

	if (vm)
		(void)rmdir(vm);
}

bool cgroup_ran_out(const char *dir, const char *id)
{
	static const char key[] = "oom_kill ";
	autofree char *vm = dir ? dir_of(dir, id) : NULL;
	autofree char *path = vm ? path_join(vm, "memory.events") : NULL;
	autofree char *text = NULL;
	const char *found;

	if (!path || read_file(path, TEXT_MAX, &text, NULL) < 0)
		return false;
	found = strstr(text, key);
	return found && strtoull(found + strlen(key), NULL, 10) > 0;
}

bool cgroup_holds(pid_t pid, const char *id)
{
	autofree char *text = NULL;
	autofree char *path = NULL;
	const char *last;
	char file[64];

	(void)snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)pid);
	if (read_file(file, TEXT_MAX, &text, NULL) < 0)
		return false;
	path = path_in(text);
	last = path ? strrchr(path, '/') : NULL;
	return last && str_has_prefix(last, "/vm-") && streq(last + strlen("/vm-"), id);
}
