/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image `debian`: the host's release of Debian with systemd, sshd and git, installed by
 * mmdebstrap from the host's own apt sources and streamed as tar into the squashfs. It needs root,
 * or user namespaces with a range of subordinate ids, or fakechroot; mmdebstrap picks what works.
 *
 * What must differ from VM to VM is not in the image: SSH host keys are made at the first start of
 * sshd, the machine id is empty.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/proc/proc.h"
#include "server/image/image.h"
#include "server/image/manifest.h"
#include "server/image/mmdebstrap.h"
#include "server/image/squashfs.h"

#define SOURCES_FILE "sources.list"

enum { INSTALL_TIMEOUT_S = 3600, OS_RELEASE_MAX = 64 * 1024 };

static const char packages[] =
	"systemd,systemd-sysv,dbus,openssh-server,git,curl,ca-certificates,iproute2,iputils-ping,"
	"netbase,procps,less,vim-tiny,sudo,xz-utils,zstd,unzip,rsync";

/*
 * Units without use in a microVM: they wait for hardware or udev that is not there, wake an idle
 * guest up, or do again what the agent has done. Each costs an emulated guest's start about a tenth
 * of a second.
 */
#define MASKED                                                                                \
	"apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer "     \
	"e2scrub_reap.service fstrim.timer getty@.service getty-static.service "              \
	"serial-getty@.service modprobe@.service systemd-modules-load.service "               \
	"kmod-static-nodes.service dev-hugepages.mount sys-kernel-debug.mount "               \
	"sys-kernel-tracing.mount systemd-journal-flush.service systemd-pstore.service "      \
	"systemd-random-seed.service systemd-remount-fs.service systemd-update-utmp.service " \
	"systemd-update-utmp-runlevel.service"

#define HOST_KEY "/etc/ssh/ssh_host_ed25519_key"

/* Shell commands of ours that mmdebstrap runs with the new root as "$1". */
static const char *const hooks[] = {
	"--customize-hook=for u in " MASKED "; do ln -sf /dev/null \"$1\"/etc/systemd/system/$u; "
	"done",
	"--customize-hook=rm -f \"$1\"/etc/ssh/ssh_host_*",
	"--customize-hook=echo 'HostKey " HOST_KEY "' > \"$1\"/etc/ssh/sshd_config.d/host-key.conf",
	"--customize-hook=mkdir -p \"$1\"/etc/systemd/system/ssh.service.d "
	"\"$1\"/etc/systemd/journald.conf.d",
	"--customize-hook=printf '[Service]\\nExecStartPre=\\nExecStartPre=/bin/sh -c \"test "
	"-s " HOST_KEY " || ssh-keygen -q -t ed25519 -N \\\"\\\" -f " HOST_KEY
	"\"\\n' > \"$1\"/etc/systemd/system/ssh.service.d/host-key.conf",
	"--customize-hook=printf '[Journal]\\nStorage=volatile\\n' > "
	"\"$1\"/etc/systemd/journald.conf.d/volatile.conf",
	"--customize-hook=: > \"$1\"/etc/machine-id",
	"--customize-hook=printf 'LANG=C.UTF-8\\n' > \"$1\"/etc/default/locale",
	"--customize-hook=echo localhost > \"$1\"/etc/hostname",
	"--customize-hook=printf '127.0.0.1\\tlocalhost\\n::1\\tlocalhost\\n' > \"$1\"/etc/hosts",
	"--customize-hook=rm -f \"$1\"/etc/resolv.conf && : > \"$1\"/etc/resolv.conf",
	/* Nothing is to be brought up to date at the first start. */
	"--customize-hook=touch \"$1\"/etc/.updated \"$1\"/var/.updated",
};

const char debian_targets_format[] =
	"$(ORIGIN) $(CODENAME) $(RELEASE) $(COMPONENT) $(REPO_URI) $(SIGNED_BY)";

/* --- the host's sources --- */

struct target {
	char origin[32];
	char codename[64];
	char release[64];
	char component[64];
	char uri[512];
	char signed_by[256]; /* a path, or apt's own placeholder when there is none */
};

static bool suite_fits(const char *release, const char *suite)
{
	size_t len = strlen(suite);

	return strncmp(release, suite, len) == 0 && (release[len] == '\0' || release[len] == '-');
}

int debian_sources(const char *targets, const char *suite, char *ret_sources, size_t size,
		   struct error *err)
{
	size_t used = 0;

	for (const char *line = targets; *line;) {
		struct target t = { .origin = "" };
		int n = sscanf(line, "%31s %63s %63s %63s %511s %255s", t.origin, t.codename,
			       t.release, t.component, t.uri, t.signed_by);

		if (n >= 5 && streq(t.origin, "Debian") && suite_fits(t.codename, suite) &&
		    !strpbrk(t.uri, "[]\"'")) {
			bool key = n == 6 && t.signed_by[0] == '/';
			int len = snprintf(ret_sources + used, size - used, "deb %s%s%s%s %s %s\n",
					   key ? "[signed-by=" : "", key ? t.signed_by : "",
					   key ? "] " : "", t.uri, t.release, t.component);

			if (len < 0 || (size_t)len >= size - used)
				return error_set(err, ERR_TOO_LARGE, "too many apt sources");
			used += (size_t)len;
		}
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return used ? 0
		    : error_set(err, ERR_UNAVAILABLE,
				"the host's apt sources have no lists of Debian %s; run \"apt-get "
				"update\" as root and try again",
				suite);
}

int debian_codename(const char *os_release, char ret_suite[DEBIAN_SUITE_MAX], struct error *err)
{
	static const char key[] = "VERSION_CODENAME=";

	for (const char *line = os_release; *line;) {
		size_t len = strcspn(line, "\n");
		size_t n;

		if (str_has_prefix(line, key)) {
			line += strlen(key);
			line += *line == '"';
			n = strspn(line, "abcdefghijklmnopqrstuvwxyz");
			if (n == 0 || n >= DEBIAN_SUITE_MAX)
				break;
			memcpy(ret_suite, line, n);
			ret_suite[n] = '\0';
			return 0;
		}
		line += len + (line[len] == '\n');
	}
	return error_set(err, ERR_UNSUPPORTED, "/etc/os-release names no VERSION_CODENAME");
}

static int find_sources(char suite[DEBIAN_SUITE_MAX], char *sources, size_t size, struct op *op,
			struct error *err)
{
	struct proc_result result CLEANUP(proc_result_done) = { 0 };
	const char *argv[] = { "/usr/bin/apt-get",    "indextargets",         "--format",
			       debian_targets_format, "Created-By: Packages", NULL };
	struct proc_run run = PROC_RUN_INIT;
	struct proc_spec spec = PROC_SPEC_INIT;
	autofree char *release = NULL;
	int r = read_file("/etc/os-release", OS_RELEASE_MAX, &release, NULL);

	if (r < 0)
		return error_errno(err, r, "read /etc/os-release");
	r = debian_codename(release, suite, err);
	if (r < 0)
		return r;
	if (access(argv[0], X_OK) < 0)
		return error_set(err, ERR_UNSUPPORTED,
				 "apt is not there: the image debian is made on a Debian host");
	spec.argv = argv;
	run.cancel_fd = op_cancel_fd(op);
	r = proc_run(&spec, &run, &result, err);
	if (r < 0)
		return r;
	if (!WIFEXITED(result.status) || WEXITSTATUS(result.status) != 0)
		return error_set(err, ERR_UNAVAILABLE, "apt-get indextargets failed: %.200s",
				 result.err);
	return debian_sources(result.out, suite, sources, size, err);
}

/* --- mmdebstrap --- */

static const struct {
	const char *line; /* of mmdebstrap's log, after "I: " */
	const char *stage;
} stages[] = {
	{ "running apt-get update", "update" },
	{ "downloading packages", "download" },
	{ "extracting archives", "extract" },
	{ "installing essential packages", "essential" },
	{ "installing remaining packages", "install" },
	{ "cleaning package lists", "clean" },
	{ "creating tarball", "squashfs" },
};

const char *debian_stage(const char *line)
{
	if (!str_has_prefix(line, "I: "))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
		if (str_has_prefix(line + 3, stages[i].line))
			return stages[i].stage;
	return NULL;
}

struct watch {
	struct op *op;
	const struct task_running *running;
	struct lines lines;
};

static void take_line(void *data, const char *line)
{
	const char *stage = debian_stage(line);

	if (stage)
		op_stage(data, stage);
}

/* Turns the lines that have come since the last look into stages. */
static int follow_log(void *data, struct error *err)
{
	struct watch *w = data;

	(void)err;
	w->lines.fd = w->running->log_fd;
	lines_follow(&w->lines, take_line, w->op);
	return 0;
}

/* mmdebstrap's own choice, told in our words when there is none. */
static int check_privileges(struct error *err)
{
	autofree char *newuidmap = proc_find_program("newuidmap");
	autofree char *fakechroot = proc_find_program("fakechroot");

	if (geteuid() == 0 || newuidmap || fakechroot)
		return 0;
	return error_set(err, ERR_UNSUPPORTED,
			 "without root the image debian needs user namespaces; on Debian: apt-get "
			 "install uidmap");
}

static int install(struct squashfs *sq, const char *suite, const char *sources_path, struct op *op,
		   struct error *err)
{
	struct task_running running CLEANUP(task_abandon) = TASK_RUNNING_INIT;
	struct watch watch = { .op = op, .running = &running };
	autofree char *program = proc_find_program("mmdebstrap");
	autofree char *include = NULL;
	struct task task = TASK_INIT;
	const char *argv[ARRAY_SIZE(hooks) + 10];
	autoclose int out = -1;
	size_t n = 0;
	int r;

	if (!program)
		return error_set(err, ERR_UNSUPPORTED,
				 "mmdebstrap is missing; on Debian: apt-get install mmdebstrap");
	if (asprintf(&include, "--include=%s", packages) < 0) {
		include = NULL;
		return error_errno(err, -ENOMEM, "image debian");
	}
	argv[n++] = program;
	argv[n++] = "--mode=auto";
	argv[n++] = "--variant=minbase";
	argv[n++] = "--format=tar";
	argv[n++] = include;
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		argv[n++] = hooks[i];
	argv[n++] = suite;
	argv[n++] = "-";
	argv[n++] = sources_path;
	argv[n] = NULL;
	out = squashfs_take_fd(sq);
	task.argv = argv;
	task.stdout_fd = out;
	task.timeout_s = INSTALL_TIMEOUT_S;
	task.tick = follow_log;
	task.tick_data = &watch;
	r = task_start(&task, &running, err);
	close_keep_errno(take_fd(&out));
	if (r == 0)
		r = task_finish(&running, &task, op, err);
	return r;
}

static int build(struct staging *staging, const char *suite, const char *sources, struct op *op,
		 struct image_info *info, struct error *err)
{
	struct squashfs sq CLEANUP(squashfs_abandon) = SQUASHFS_INIT;
	autofree char *path = staging_path(staging, SOURCES_FILE);
	int r = path ? write_new_file(staging->fd, SOURCES_FILE, sources, strlen(sources))
		     : -ENOMEM;

	if (r < 0)
		return error_errno(err, r, "write " SOURCES_FILE);
	r = squashfs_start(&sq, staging, SQUASHFS_EPOCH_NONE, op, err);
	if (r == 0)
		r = install(&sq, suite, path, op, err);
	if (r == 0)
		r = squashfs_finish(&sq, err);
	if (r < 0)
		return r;
	(void)unlinkat(staging->fd, SOURCES_FILE, 0);
	info->config =
		json_pack("{s:s, s:[s], s:[s,s]}", "init", "system", "cmd", "/bin/bash", "env",
			  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			  "LANG=C.UTF-8");
	if (!info->config)
		return error_errno(err, -ENOMEM, "image debian");
	op_stage(op, "digest");
	return image_publish(staging, info, err);
}

int image_build_debian(const struct image_paths *paths, struct op *op, struct image_info *ret_info,
		       struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	struct image_info info CLEANUP(image_info_done) = { .name = "debian" };
	autofree char *sources = calloc(1, DEBIAN_SOURCES_MAX);
	char suite[DEBIAN_SUITE_MAX];
	int r;

	op_stage(op, "resolve");
	if (!sources)
		return error_errno(err, -ENOMEM, "image debian");
	r = check_privileges(err);
	if (r == 0)
		r = find_sources(suite, sources, DEBIAN_SOURCES_MAX, op, err);
	if (r == 0)
		r = staging_open(paths->images, &staging, err);
	if (r < 0)
		return r;
	(void)snprintf(info.source, sizeof(info.source), "Debian %s from the host's apt sources",
		       suite);
	r = build(&staging, suite, sources, op, &info, err);
	if (r < 0)
		return error_wrap(err, "image debian");
	*ret_info = info;
	info.config = NULL;
	return 0;
}
