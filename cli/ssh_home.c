/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ssh_home.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/macro.h"
#include "lib/home/home.h"
#include "lib/proc/proc.h"

#define KEY_NAME    "id_ed25519"
#define KNOWN_HOSTS "known_hosts"
#define BLOCK_BEGIN "# >>> banger: ssh NAME.vm >>>\n"
#define BLOCK_END   "# <<< banger <<<\n"

enum { FILE_MAX = 4 * 1024 * 1024, KEYS_MAX = 16, KEY_MAX = 8192, KEYGEN_MS = 60 * 1000 };

/* --- words for a shell, and for ssh's configuration --- */

/* Appends 'word' for a shell; with `percent` each % is doubled, as ssh wants it. */
static int add_quoted(struct buf *b, const char *word, bool percent)
{
	int r = buf_append(b, "'", 1);

	for (; *word && r == 0; word++) {
		if (*word == '\'')
			r = buf_append(b, "'\\''", 4);
		else if (*word == '%' && percent)
			r = buf_append(b, "%%", 2);
		else
			r = buf_append(b, word, 1);
	}
	return r == 0 ? buf_append(b, "'", 1) : r;
}

/* The command that is run for each connection. No name reaches the shell but %h, which the pattern
 * of the Host line keeps free of quotes. */
static char *proxy_command(const char *home, const char *server)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	char self[PATH_MAX] = "banger";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int r;

	if (n > 0)
		self[n] = '\0';
	buf_init(&b, 4 * PATH_MAX);
	r = add_quoted(&b, self, true);
	if (r == 0)
		r = buf_append(&b, " ssh-proxy", 10);
	if (r == 0 && (home || server))
		r = buf_append(&b, home ? " --home " : " --server ", home ? 8 : 10);
	if (r == 0 && (home || server))
		r = add_quoted(&b, home ? home : server, true);
	if (r == 0)
		r = buf_append(&b, " '%h' %p", sizeof(" '%h' %p"));
	return r < 0 ? NULL : strdup((const char *)buf_bytes(&b));
}

/* --- the key --- */

static int make_key(const struct ssh_home *home, struct error *err)
{
	autofree char *program = proc_find_program("ssh-keygen");
	autofree char *made = NULL, *made_pub = NULL, *pub = NULL;
	const char *argv[] = { program, "-q",     "-t", "ed25519", "-N", "",
			       "-C",    "banger", "-f", NULL,      NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	int r;

	if (access(home->key, F_OK) == 0)
		return 0;
	if (!program)
		return error_set(err, ERR_UNSUPPORTED,
				 "ssh-keygen is not installed on this host; it comes with OpenSSH "
				 "(Debian: apt install openssh-client)");
	/* Made aside: two that begin at once get one key between them. */
	if (asprintf(&made, "%s.%d", home->key, (int)getpid()) < 0 ||
	    asprintf(&made_pub, "%s.pub", made) < 0 || asprintf(&pub, "%s.pub", home->key) < 0)
		return error_errno(err, -ENOMEM, "SSH key");
	argv[9] = made;
	spec.argv = argv;
	run.timeout_ms = KEYGEN_MS;
	r = proc_run_ok(&spec, &run, err);
	if (r == 0 && access(home->key, F_OK) < 0 &&
	    (rename(made_pub, pub) < 0 || rename(made, home->key) < 0))
		r = error_errno(err, -errno, "keep the SSH key %.300s", home->key);
	(void)unlink(made);
	(void)unlink(made_pub);
	return r;
}

/* Held while the key is made or known_hosts is written. Closing lets go. */
static int lock_dir(const struct ssh_home *home, struct error *err)
{
	autoclose int fd = open_dir_create(home->dir, 0700);

	if (fd < 0)
		return error_errno(err, fd, "open %.300s", home->dir);
	if (flock(fd, LOCK_EX) < 0)
		return error_errno(err, -errno, "lock %.300s", home->dir);
	return take_fd(&fd);
}

int ssh_home_open(const char *home, const char *server, struct ssh_home *ret, struct error *err)
{
	struct home paths CLEANUP(home_done) = { 0 };
	autoclose int lock = -1;
	int r;

	*ret = (struct ssh_home){ .dir = NULL };
	r = home_resolve(home, &paths, err);
	if (r < 0)
		return r;
	ret->dir = path_join(paths.state, "ssh");
	ret->config = path_join(paths.config, "ssh_config");
	ret->key = ret->dir ? path_join(ret->dir, KEY_NAME) : NULL;
	ret->known_hosts = ret->dir ? path_join(ret->dir, KNOWN_HOSTS) : NULL;
	ret->proxy = proxy_command(home, server);
	if (!ret->config || !ret->key || !ret->known_hosts || !ret->proxy)
		return error_errno(err, -ENOMEM, "SSH");
	/* A line of ssh's configuration has no way to write these. */
	if (strpbrk(ret->dir, "\"\n") || strpbrk(ret->proxy, "\n"))
		return error_set(err, ERR_INVALID,
				 "%.300s: ssh can't be told of a folder with such a name",
				 ret->dir);
	lock = lock_dir(ret, err);
	return lock < 0 ? lock : make_key(ret, err);
}

void ssh_home_done(struct ssh_home *home)
{
	free(home->dir);
	free(home->key);
	free(home->known_hosts);
	free(home->config);
	free(home->proxy);
	*home = (struct ssh_home){ .dir = NULL };
}

/* --- options --- */

/* A path in quotes, with % doubled: ssh expands those. */
static char *path_option(const char *word, const char *path)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	int r;

	buf_init(&b, 4 * PATH_MAX);
	r = buf_append(&b, word, strlen(word));
	if (r == 0)
		r = buf_append(&b, " \"", 2);
	for (; *path && r == 0; path++)
		r = *path == '%' ? buf_append(&b, "%%", 2) : buf_append(&b, path, 1);
	if (r == 0)
		r = buf_append(&b, "\"", 2);
	return r < 0 ? NULL : strdup((const char *)buf_bytes(&b));
}

int ssh_home_options(const struct ssh_home *home, char *ret_options[SSH_OPTIONS], struct error *err)
{
	static const char *const fixed[] = { "IdentitiesOnly yes", "StrictHostKeyChecking yes",
					     "GlobalKnownHostsFile /dev/null", "UpdateHostKeys no",
					     "User root" };
	size_t n = 0;

	for (; n < ARRAY_SIZE(fixed); n++)
		ret_options[n] = strdup(fixed[n]);
	ret_options[n++] = path_option("IdentityFile", home->key);
	ret_options[n++] = path_option("UserKnownHostsFile", home->known_hosts);
	if (asprintf(&ret_options[n++], "ProxyCommand %s", home->proxy) < 0)
		ret_options[n - 1] = NULL;
	ret_options[n++] = strdup("CheckHostIP no");
	for (size_t i = 0; i < n; i++)
		if (!ret_options[i])
			return error_errno(err, -ENOMEM, "SSH options");
	return 0;
}

/* --- known hosts --- */

/* The length of "type base64" at the beginning of a line, or 0 where it is no key. */
static size_t key_len(const char *line, size_t len)
{
	static const char kinds[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	static const char base64[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
	size_t kind = strspn(line, kinds);
	size_t blob = line[kind] == ' ' ? strspn(line + kind + 1, base64) : 0;
	size_t all = kind + 1 + blob;

	if ((!str_has_prefix(line, "ssh-") && !str_has_prefix(line, "ecdsa-")) || blob < 40 ||
	    all > len || len > KEY_MAX)
		return 0;
	return all;
}

/* Copies what is not about `name`. */
static int copy_others(const char *old, const char *name, struct buf *to)
{
	size_t name_len = strlen(name);
	int r = 0;

	for (const char *line = old; *line && r == 0;) {
		size_t len = strcspn(line, "\n");

		len += line[len] == '\n';
		if (strncmp(line, name, name_len) != 0 || line[name_len] != ',')
			r = buf_append(to, line, len);
		line += len;
	}
	return r;
}

/* Appends the keys for any port. Returns how many, or negative. */
static int add_keys(const char *keys, const char *name, struct buf *to)
{
	int n = 0;

	for (const char *line = keys; *line && n < KEYS_MAX;) {
		size_t len = strcspn(line, "\n");
		size_t key = key_len(line, len);
		autofree char *entry = NULL;
		int r;

		if (key > 0) {
			r = asprintf(&entry, "%s,[%s]:* %.*s\n", name, name, (int)key, line);
			if (r < 0 || buf_append(to, entry, (size_t)r) < 0)
				return -ENOMEM;
			n++;
		}
		line += len;
		line += *line == '\n';
	}
	return n;
}

int ssh_home_pin(const struct ssh_home *home, const char *name, const char *keys, struct error *err)
{
	autoclose int dir = lock_dir(home, err);
	struct buf b CLEANUP(buf_done) = { 0 };
	autofree char *old = NULL;
	size_t old_len = 0;
	int n, r;

	buf_init(&b, FILE_MAX);
	if (dir < 0)
		return dir;
	r = read_file_at(dir, KNOWN_HOSTS, FILE_MAX, &old, &old_len);
	if (r < 0 && r != -ENOENT)
		return error_errno(err, r, "read %.300s", home->known_hosts);
	r = old ? copy_others(old, name, &b) : 0;
	n = r == 0 ? add_keys(keys, name, &b) : r;
	if (n < 0)
		return error_errno(err, n, "write %.300s", home->known_hosts);
	/* Nothing new: the file is not replaced for each connection. */
	if (old && buf_len(&b) == old_len &&
	    (old_len == 0 || memcmp(old, buf_bytes(&b), old_len) == 0))
		return n;
	r = write_file_at(dir, KNOWN_HOSTS, buf_bytes(&b), buf_len(&b), 0600);
	return r < 0 ? error_errno(err, r, "write %.300s", home->known_hosts) : n;
}

/* Length of the host's name at the beginning of a line that add_keys() made, or 0. */
static size_t host_len(const char *line)
{
	size_t n = strcspn(line, ",\n ");

	return line[n] == ',' ? n : 0;
}

static bool is_among(const json_t *hosts, const char *host, size_t len)
{
	const json_t *one;
	size_t i;

	json_array_foreach (hosts, i, one)
		if (json_string_length(one) == len &&
		    memcmp(json_string_value(one), host, len) == 0)
			return true;
	return false;
}

json_t *ssh_home_known(const struct ssh_home *home)
{
	autofree char *text = NULL;
	json_t *hosts = json_array();
	size_t len = 0;

	if (read_file(home->known_hosts, FILE_MAX, &text, &len) < 0)
		return hosts;
	for (const char *line = text; *line;) {
		size_t n = host_len(line);

		if (n > 0 && !is_among(hosts, line, n))
			(void)json_array_append_new(hosts, json_stringn(line, n));
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return hosts;
}

int ssh_home_drop(const struct ssh_home *home, const json_t *hosts, struct error *err)
{
	autoclose int dir = lock_dir(home, err);
	struct buf b CLEANUP(buf_done) = { 0 };
	autofree char *old = NULL;
	size_t old_len = 0;
	int r;

	buf_init(&b, FILE_MAX);
	if (dir < 0)
		return dir;
	r = read_file_at(dir, KNOWN_HOSTS, FILE_MAX, &old, &old_len);
	for (const char *line = old; r == 0 && *line;) {
		size_t len = strcspn(line, "\n");

		len += line[len] == '\n';
		if (!is_among(hosts, line, host_len(line)))
			r = buf_append(&b, line, len);
		line += len;
	}
	if (r == 0 && buf_len(&b) != old_len)
		r = write_file_at(dir, KNOWN_HOSTS, buf_bytes(&b), buf_len(&b), 0600);
	return r < 0 ? error_errno(err, r, "write %.300s", home->known_hosts) : 0;
}

int ssh_home_forget(const char *home, const char *vm, struct error *err)
{
	struct home paths CLEANUP(home_done) = { 0 };
	autofree char *dir = NULL, *known = NULL, *host = NULL;
	struct ssh_home ours = { .dir = NULL };
	int r = home_resolve(home, &paths, err);

	if (r < 0)
		return r;
	dir = path_join(paths.state, "ssh");
	known = dir ? path_join(dir, KNOWN_HOSTS) : NULL;
	if (!known || asprintf(&host, "%s.vm", vm) < 0)
		return error_errno(err, -ENOMEM, "known hosts");
	if (access(known, F_OK) < 0)
		return 0;
	ours.dir = dir;
	ours.known_hosts = known;
	r = ssh_home_pin(&ours, host, "", err);
	return r < 0 ? r : 0;
}

/* --- the configuration --- */

int ssh_home_write_config(const struct ssh_home *home, struct error *err)
{
	/* Quotes in a host's name would leave those of the ProxyCommand. */
	static const char head[] = "# Written by banger ssh-config; changes here are lost.\n"
				   "Host *.vm !*\\'* !*\\\"*\n";
	char *options[SSH_OPTIONS] = { NULL };
	struct buf b CLEANUP(buf_done) = { 0 };
	autofree char *folder = strndup(home->config, strlen(home->config) - strlen("/ssh_config"));
	autoclose int dir = folder ? open_dir_create(folder, 0700) : -ENOMEM;
	int r = dir < 0 ? error_errno(err, dir, "open %.300s", home->config)
			: ssh_home_options(home, options, err);

	buf_init(&b, FILE_MAX);
	if (r == 0)
		r = buf_append(&b, head, strlen(head));
	for (size_t i = 0; i < SSH_OPTIONS; i++) {
		if (r == 0)
			r = buf_append(&b, "    ", 4);
		if (r == 0)
			r = buf_append(&b, options[i], strlen(options[i]));
		if (r == 0)
			r = buf_append(&b, "\n", 1);
		free(options[i]);
	}
	if (r == 0) {
		r = write_file_at(dir, "ssh_config", buf_bytes(&b), buf_len(&b), 0600);
		if (r < 0)
			return error_errno(err, r, "write %.300s", home->config);
	}
	return r;
}

/* The file that ~/.ssh/config is, behind links that somebody keeps it with: folder and name. */
static int find_user_config(char ret_path[PATH_MAX], struct error *err)
{
	const char *user = secure_getenv("HOME");
	autofree char *dir = user && *user == '/' ? path_join(user, ".ssh") : NULL;
	autofree char *path = dir ? path_join(dir, "config") : NULL;
	autoclose int fd = -1;

	if (!path)
		return error_set(err, ERR_INVALID, "$HOME does not say whose ~/.ssh/config it is");
	fd = open_dir_create(dir, 0700);
	if (fd < 0)
		return error_errno(err, fd, "open %.300s", dir);
	if (realpath(path, ret_path))
		return 0;
	if (errno != ENOENT || strlen(path) >= PATH_MAX)
		return error_errno(err, -errno, "find %.300s", path);
	(void)snprintf(ret_path, PATH_MAX, "%s", path);
	return 0;
}

/* What there was without our block. */
static int drop_block(const char *old, struct buf *to, struct error *err)
{
	const char *begin = strstr(old, BLOCK_BEGIN);
	const char *end = begin ? strstr(begin, BLOCK_END) : NULL;
	int r;

	if (begin && !end)
		return error_set(err, ERR_STATE,
				 "~/.ssh/config has the line that begins banger's block and not "
				 "the one that ends it; remove the rest of the block by hand");
	r = buf_append(to, old, begin ? (size_t)(begin - old) : strlen(old));
	if (r == 0 && end)
		r = buf_append(to, end + strlen(BLOCK_END), strlen(end + strlen(BLOCK_END)));
	return r < 0 ? error_errno(err, r, "~/.ssh/config") : 0;
}

static int write_user_config(const char *path, const struct buf *b, struct error *err)
{
	autofree char *folder = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
	autoclose int dir = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct stat st = { .st_mode = 0600 };
	int r;

	(void)stat(path, &st);
	r = dir < 0 ? -errno
		    : write_file_at(dir, strrchr(path, '/') + 1, buf_bytes(b), buf_len(b),
				    st.st_mode & 0777);
	return r < 0 ? error_errno(err, r, "write %.300s", path) : 0;
}

int ssh_include_change(const struct ssh_home *home, bool install, bool *ret_changed,
		       struct error *err)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	autofree char *old = NULL, *block = NULL;
	char path[PATH_MAX];
	size_t len = 0;
	int r = find_user_config(path, err);

	buf_init(&b, FILE_MAX);
	if (r < 0)
		return r;
	r = read_file(path, FILE_MAX, &old, &len);
	if (r < 0 && r != -ENOENT)
		return error_errno(err, r, "read %.300s", path);
	if (old && strlen(old) != len)
		return error_set(err, ERR_INVALID, "%.300s holds bytes that are no text", path);
	if (asprintf(&block, BLOCK_BEGIN "Include \"%s\"\n" BLOCK_END, home->config) < 0)
		return error_errno(err, -ENOMEM, "~/.ssh/config");
	/* First, because what stands behind a Host line counts for that host only. */
	if (install && buf_append(&b, block, strlen(block)) < 0)
		return error_errno(err, -ENOMEM, "~/.ssh/config");
	r = drop_block(old ? old : "", &b, err);
	if (r < 0)
		return r;
	*ret_changed = buf_len(&b) != len || (len > 0 && memcmp(old, buf_bytes(&b), len) != 0);
	return *ret_changed ? write_user_config(path, &b, err) : 0;
}
