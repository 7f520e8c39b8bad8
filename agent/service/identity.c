/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a VM that was restored from another's memory a machine of its own: name, machine-id,
 * boot id, SSH host keys, addresses, and random numbers that nobody else has. The kernel's boot id
 * can't change: a file of ours is mounted over it. /run/banger/identity is replaced when all is
 * done, for programs that watch it; what lies in HOOKS is run.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/boot/boot.h"
#include "agent/service/service.h"
#include "agent/service/spawn.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/hex.h"
#include "lib/json/json.h"

#define RUN_DIR  "/run/banger"
#define BOOT_ID  "/proc/sys/kernel/random/boot_id"
#define HOOKS    "/etc/banger/identity.d"
#define SSHD_PID "/run/sshd.pid"

enum { ENTROPY_MAX = 512, MACHINE_ID_LEN = 32, UUID_LEN = 36, TEXT_MAX = 512 };

struct identity {
	const char *hostname;
	const char *machine_id;
	const char *ssh_host_keys;
	const char *entropy;
	const char *net;
	const char *mac;
	const char *boot_id;
	bool hooks;
};

static const struct json_field identity_fields[] = {
	{ "hostname", JSON_FIELD_STRING, offsetof(struct identity, hostname), false },
	{ "machine_id", JSON_FIELD_STRING, offsetof(struct identity, machine_id), false },
	{ "ssh_host_keys", JSON_FIELD_STRING, offsetof(struct identity, ssh_host_keys), false },
	{ "entropy", JSON_FIELD_STRING, offsetof(struct identity, entropy), false },
	{ "net", JSON_FIELD_STRING, offsetof(struct identity, net), false },
	{ "mac", JSON_FIELD_STRING, offsetof(struct identity, mac), false },
	{ "boot_id", JSON_FIELD_STRING, offsetof(struct identity, boot_id), false },
	{ "hooks", JSON_FIELD_BOOL, offsetof(struct identity, hooks), false },
};

/* Credited, and the generator reseeded at once: two restored VMs must not share a byte. */
static int add_entropy(const char *hex)
{
	struct {
		struct rand_pool_info head;
		uint8_t bytes[ENTROPY_MAX];
	} pool;
	size_t len = strlen(hex) / 2;
	autoclose int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (len == 0 || len > ENTROPY_MAX || strlen(hex) % 2)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int hi = hex_digit(hex[2 * i]);
		int lo = hex_digit(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		pool.bytes[i] = (uint8_t)(hi << 4 | lo);
	}
	pool.head.entropy_count = (int)len * 8;
	pool.head.buf_size = (int)len;
	if (ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		return -errno;
	return 0;
}

/* Over what is there, which usually has this length: a file that is emptied first costs far more.
 */
static int write_id(const char *path, const char *id)
{
	autoclose int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0444);
	char line[UUID_LEN + 2];
	int n = snprintf(line, sizeof(line), "%s\n", id);
	struct stat st;
	int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : write_all(fd, line, (size_t)n);

	return r == 0 && st.st_size > n && ftruncate(fd, n) < 0 ? -errno : r;
}

/* What of it is there becomes empty, and the next boot makes one. */
static int forget_machine_id(void)
{
	static const char *const paths[] = { "/etc/machine-id", "/var/lib/dbus/machine-id" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (truncate(paths[i], 0) < 0 && errno != ENOENT)
			return -errno;
	return 0;
}

static int set_machine_id(const char *id)
{
	int r;

	if (id[0] == '\0')
		return forget_machine_id();
	if (strlen(id) != MACHINE_ID_LEN || strspn(id, "0123456789abcdef") != MACHINE_ID_LEN)
		return -EINVAL;
	r = write_id("/etc/machine-id", id);
	/* D-Bus has a copy of its own where it is no link to the first. */
	if (r == 0 && access("/var/lib/dbus/machine-id", F_OK) == 0)
		(void)write_id("/var/lib/dbus/machine-id", id);
	return r;
}

/* A copy of a copy has the file over the kernel's already: then writing it is enough. */
static int set_boot_id(struct agent *agent, const char *id)
{
	static const char path[] = RUN_DIR "/boot_id";
	struct stat ours;
	struct stat kernels;
	int r;

	if (strlen(id) != UUID_LEN || strspn(id, "0123456789abcdef-") != UUID_LEN)
		return -EINVAL;
	r = write_id(path, id);
	if (r == -ENOENT && mkdir(RUN_DIR, 0755) == 0)
		r = write_id(path, id);
	if (r < 0)
		return r;
	(void)snprintf(agent->boot_id, sizeof(agent->boot_id), "%s", id);
	if (stat(path, &ours) < 0 || stat(BOOT_ID, &kernels) < 0)
		return -errno;
	if (ours.st_dev == kernels.st_dev && ours.st_ino == kernels.st_ino)
		return 0;
	return mount(path, BOOT_ID, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

/* A new file each time, under its name from one moment to the next. */
static int tell_programs(const struct identity *id)
{
	static const char path[] = RUN_DIR "/identity";
	static const char new_path[] = RUN_DIR "/identity.new";
	const struct {
		const char *key;
		const char *value;
	} rows[] = { { "hostname", id->hostname },
		     { "machine_id", id->machine_id },
		     { "boot_id", id->boot_id },
		     { "mac", id->mac } };
	char text[TEXT_MAX];
	autoclose int fd = -1;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].value && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s=%s\n", rows[i].key,
					      rows[i].value);
	if (n >= sizeof(text))
		return -EINVAL;
	/* Put back to a moment of its own: it is who it was. */
	if (n == 0)
		return 0;
	fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0) {
		(void)mkdir(RUN_DIR, 0755);
		(void)unlink(new_path);
		fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	}
	r = fd < 0 ? -errno : write_all(fd, text, n);
	return r == 0 && rename(new_path, path) < 0 ? -errno : r;
}

static void closedir_p(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static int remove_host_keys(void)
{
	CLEANUP(closedir_p)
	DIR *dir = opendir("/etc/ssh");
	const struct dirent *e;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): one thread */
		if (str_has_prefix(e->d_name, "ssh_host_") &&
		    unlinkat(dirfd(dir), e->d_name, 0) < 0)
			return -errno;
	return 0;
}

/* Runs a program as root; the reply waits for its end. */
static int run(struct agent *agent, const char *path, const char *const *argv)
{
	static const char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	const char *const paths[] = { path, NULL };
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct user root = { .uid = 0 };
	const struct spawn_spec spec = {
		.paths = paths,
		.argv = argv,
		.env = env,
		.cwd = "/",
		.user = &root,
		.in = null,
		.out = null,
		.err = null,
	};
	enum spawn_stage stage;
	pid_t pid;

	if (null < 0)
		return -errno;
	pid = spawn_program(&spec, &stage);
	if (pid < 0)
		return pid;
	agent->reply_after = pid;
	return 0;
}

static bool has_hooks(void)
{
	CLEANUP(closedir_p)
	DIR *dir = opendir(HOOKS);
	const struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): one thread */
		if (e->d_name[0] != '.')
			return true;
	return false;
}

/*
 * The part that takes programs: one host key, of the kind that is quick to make (without ssh-keygen
 * there is nobody to need it), a word to an sshd that still has the old ones in its memory, and the
 * hooks. A shell only where there is more to do than the key.
 */
static int run_programs(struct agent *agent, bool key, bool hooks)
{
	static const char *const keygen[] = { "ssh-keygen", "-q",
					      "-t",         "ed25519",
					      "-N",         "",
					      "-f",         "/etc/ssh/ssh_host_ed25519_key",
					      NULL };
	static const char script[] =
		"if [ \"$1\" = 1 ]; then\n"
		"  ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key\n"
		"  [ -s " SSHD_PID " ] && kill -HUP \"$(cat " SSHD_PID ")\"\n"
		"fi\n"
		"[ \"$2\" = 1 ] || exit 0\n"
		"for f in " HOOKS "/*; do [ -f \"$f\" ] && [ -x \"$f\" ] && \"$f\"; done\n"
		"exit 0\n";
	const char *const shell[] = {
		"sh", "-c", script, "identity", key ? "1" : "0", hooks ? "1" : "0", NULL
	};

	key = key && access("/usr/bin/ssh-keygen", X_OK) == 0;
	if (!hooks && (!key || access(SSHD_PID, F_OK) < 0))
		return key ? run(agent, "/usr/bin/ssh-keygen", keygen) : 0;
	return access("/bin/sh", X_OK) < 0 ? 0 : run(agent, "/bin/sh", shell);
}

static int set_host_keys(const char *how)
{
	return streq(how, "remove") || streq(how, "regenerate") ? remove_host_keys() : -EINVAL;
}

static int set_net(const char *word)
{
	struct boot_net net;
	int r = boot_net_parse(word, &net);

	return r < 0 ? r : boot_net_apply(&net);
}

/* Everything that the request names, the quick parts first. */
static int apply(struct agent *agent, const struct identity *id, struct error *err)
{
	int r;

	r = id->entropy ? add_entropy(id->entropy) : 0;
	if (r < 0)
		return error_errno(err, r, "add entropy");
	r = id->hostname ? boot_set_hostname(id->hostname) : 0;
	if (r < 0)
		return error_errno(err, r, "set the host name");
	r = id->machine_id ? set_machine_id(id->machine_id) : 0;
	if (r < 0)
		return error_errno(err, r, "set the machine-id");
	r = id->boot_id ? set_boot_id(agent, id->boot_id) : 0;
	if (r < 0)
		return error_errno(err, r, "set the boot id");
	/* Not every VM has an interface. */
	r = id->mac ? boot_set_mac(id->mac) : 0;
	if (r < 0 && r != -ENODEV)
		return error_errno(err, r, "set the network address");
	r = id->net ? set_net(id->net) : 0;
	if (r < 0)
		return error_errno(err, r, "set up the network");
	r = id->ssh_host_keys ? set_host_keys(id->ssh_host_keys) : 0;
	if (r < 0)
		return error_errno(err, r, "replace the SSH host keys");
	r = tell_programs(id);
	if (r < 0)
		return error_errno(err, r, "write " RUN_DIR "/identity");
	r = run_programs(agent, id->ssh_host_keys && streq(id->ssh_host_keys, "regenerate"),
			 id->hooks && has_hooks());
	return r < 0 ? error_errno(err, r, "run the programs of the identity") : 0;
}

int call_identity(struct agent *agent, const json_t *body, json_t **ret_reply, struct error *err)
{
	struct identity wanted = { .hostname = NULL };
	int r;

	(void)ret_reply;
	if (!agent->in_guest)
		return agent_refuse_outside(err);
	if (!body)
		return 0;
	r = json_decode(body, identity_fields, ARRAY_SIZE(identity_fields), &wanted, err);
	if (r < 0)
		return r;
	return apply(agent, &wanted, err);
}
