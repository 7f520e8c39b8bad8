/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/args.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/suggest.h"
#include "lib/base/macro.h"

const struct option_spec option_specs[OPTION_MAX_] = {
	[OPT_HELP] = { "help", 'h', OPTION_FLAG, NULL, NULL, NULL, "show help and exit" },
	[OPT_JSON] = { "json", 0, OPTION_FLAG, NULL, NULL, NULL,
		       "print the API's JSON instead of text" },
	[OPT_QUIET] = { "quiet", 'q', OPTION_FLAG, NULL, NULL, NULL,
			"names only, no progress, no hints" },
	[OPT_HOME] = { "home", 0, OPTION_STRING, "DIR", NULL, NULL,
		       "use the server of this home ($BANGER_HOME)" },
	[OPT_SERVER] = { "server", 0, OPTION_STRING, "ADDRESS", NULL, NULL,
			 "socket path or http:// address ($BANGER_SERVER)" },
	[OPT_NAME] = { "name", 'n', OPTION_STRING, "NAME", NULL, "name",
		       "name; chosen by the server if absent" },
	[OPT_IMAGE] = { "image", 'i', OPTION_STRING, "IMAGE", NULL, "image",
			"root file system to start from" },
	[OPT_KERNEL] = { "kernel", 0, OPTION_STRING, "KERNEL", NULL, "kernel", "guest kernel" },
	[OPT_VCPUS] = { "vcpus", 'c', OPTION_COUNT, "N", NULL, "vcpus", "virtual CPUs" },
	[OPT_MEMORY] = { "memory", 'm', OPTION_MIB, "SIZE", NULL, "memory_mib",
			 "memory, in MiB or as 512M, 2G" },
	[OPT_DISK] = { "disk", 0, OPTION_MIB, "SIZE", NULL, "disk_mib",
		       "writable disk, in MiB or as 8G" },
	[OPT_NETWORK] = { "network", 0, OPTION_STRING, "KIND", "none|user|bridge", "network",
			  "none, user or bridge" },
	[OPT_NAT] = { "nat", 0, OPTION_FLAG, NULL, NULL, "nat", "let the guest reach the outside" },
	[OPT_NO_NAT] = { "no-nat", 0, OPTION_FLAG, NULL, NULL, NULL,
			 "keep the guest from the outside" },
	[OPT_NO_ISOLATION] = { "no-isolation", 0, OPTION_FLAG, NULL, NULL, NULL,
			       "on the bridge: let it talk to others that have this too" },
	[OPT_LABEL] = { "label", 'l', OPTION_PAIR, "KEY=VALUE", NULL, "labels",
			"label; may be given more than once" },
	[OPT_TTL] = { "ttl", 0, OPTION_DURATION, "TIME", NULL, "ttl_s",
		      "delete the VM after 90s, 15m, 2h, 7d" },
	[OPT_TOKEN_TTL] = { "ttl", 0, OPTION_DURATION, "TIME", NULL, "ttl_s",
			    "let the token end after 90s, 15m, 2h, 7d; without it, never" },
	[OPT_INIT] = { "init", 0, OPTION_STRING, "KIND", "agent|system", "init",
		       "what process 1 is: agent or system" },
	[OPT_BOOT] = { "boot", 0, OPTION_STRING, "KIND", "auto|cold|template", "boot",
		       "auto, cold or template" },
	[OPT_NO_START] = { "no-start", 0, OPTION_FLAG, NULL, NULL, NULL, "create it stopped" },
	[OPT_RM] = { "rm", 0, OPTION_FLAG, NULL, NULL, NULL,
		     "delete the VM when the command has ended" },
	[OPT_DETACH] = { "detach", 'd', OPTION_FLAG, NULL, NULL, NULL, "do not wait for it" },
	[OPT_ENV] = { "env", 'e', OPTION_PAIR, "KEY=VALUE", NULL, "env",
		      "environment; may be given more than once" },
	[OPT_CWD] = { "cwd", 'w', OPTION_STRING, "DIR", NULL, "cwd", "working folder" },
	[OPT_USER] = { "user", 'u', OPTION_STRING, "USER", NULL, "user", "user name or uid" },
	[OPT_TIMEOUT] = { "timeout", 't', OPTION_DURATION, "TIME", NULL, "timeout_s",
			  "kill the command after 90s, 15m, 2h" },
	[OPT_STDIN] = { "stdin", 0, OPTION_FLAG, NULL, NULL, NULL,
			"give standard input to the command (at most 1 MiB)" },
	[OPT_ALL] = { "all", 'a', OPTION_FLAG, NULL, NULL, NULL, "every one of them" },
	[OPT_FORCE] = { "force", 'f', OPTION_FLAG, NULL, NULL, NULL, "do not ask" },
	[OPT_STATE] = { "state", 0, OPTION_STRING, "STATE", NULL, NULL,
			"only those in this state" },
	[OPT_TARGET] = { "target", 0, OPTION_STRING, "ID", NULL, NULL,
			 "only what concerns this VM or resource" },
	[OPT_FOLLOW] = { "follow", 'f', OPTION_FLAG, NULL, NULL, NULL, "go on with new output" },
	[OPT_TAIL] = { "tail", 0, OPTION_BYTES, "SIZE", NULL, NULL,
		       "at most this much of what is there: 4096, 64K, 1M" },
	[OPT_SINCE] = { "since", 0, OPTION_BYTES, "ID", NULL, NULL, "what came after this event" },
	[OPT_KIND] = { "kind", 0, OPTION_STRING, "PREFIX", NULL, NULL,
		       "only kinds that begin so: vm." },
	[OPT_BY] = { "by", 0, OPTION_STRING, "CLIENT", NULL, NULL,
		     "only what this one caused: uid:1000, token:ci" },
	[OPT_NO_FOLLOW] = { "no-follow", 0, OPTION_FLAG, NULL, NULL, NULL,
			    "what is kept, from the oldest on, and no more" },
	[OPT_SCOPE] = { "scope", 0, OPTION_STRING, "SCOPE", "read|run|admin", "scope",
			"read looks, run changes, admin manages tokens" },
	[OPT_PRINT] = { "print", 0, OPTION_FLAG, NULL, NULL, NULL, "print the link, open nothing" },
	[OPT_FIX] = { "fix", 0, OPTION_FLAG, NULL, NULL, NULL,
		      "do what the server can do about it and can't lose anything" },
	[OPT_FROM_SNAPSHOT] = { "from-snapshot", 0, OPTION_STRING, "ID", NULL, "from_snapshot",
				"make it from a snapshot" },
	[OPT_IDLE_STOP] = { "idle-stop", 0, OPTION_DURATION, "TIME", NULL, "idle_stop_s",
			    "stop it when nobody used it for so long; 0 for never" },
	[OPT_IDLE_SUSPEND] = { "idle-suspend", 0, OPTION_DURATION, "TIME", NULL, "idle_suspend_s",
			       "suspend it when nobody used it for so long; 0 for never" },
	[OPT_WAKE] = { "wake", 0, OPTION_STRING, "WHEN", "auto|never", "wake",
		       "whether commands and connections wake it when it is suspended" },
	[OPT_COUNT] = { "count", 0, OPTION_COUNT, "N", NULL, "count", "how many" },
	[OPT_NO_MEMORY] = { "no-memory", 0, OPTION_FLAG, NULL, NULL, NULL, "the disk alone" },
	[OPT_PIN] = { "pin", 0, OPTION_FLAG, NULL, NULL, "pinned", "never remove it to make room" },
	[OPT_SIGNAL] = { "signal", 0, OPTION_STRING, "SIGNAL",
			 "TERM|KILL|INT|HUP|QUIT|USR1|USR2|ABRT", NULL,
			 "the signal; of a VM, KILL follows when it does not end" },
	[OPT_UNTRACKED] = { "include-untracked", 0, OPTION_FLAG, NULL, NULL, NULL,
			    "copy untracked files too, but not ignored ones" },
	[OPT_MODE] = { "mode", 0, OPTION_STRING, "MODE", "tracked|full_copy", NULL,
		       "tracked files and short history, or everything" },
	[OPT_BRANCH] = { "branch", 0, OPTION_STRING, "NAME", NULL, NULL,
			 "check out a new branch instead of the files as they are" },
	[OPT_FROM_COMMIT] = { "from-commit", 0, OPTION_STRING, "COMMIT", NULL, NULL,
			      "where the new branch begins; HEAD if absent" },
	[OPT_BASE_COMMIT] = { "base-commit", 0, OPTION_STRING, "COMMIT", NULL, NULL,
			      "what the patch begins at; HEAD if absent" },
	[OPT_GUEST_PATH] = { "guest-path", 0, OPTION_STRING, "DIR", NULL, NULL,
			     "folder in the guest; /root/repo if absent" },
	[OPT_AUTO_PREPARE] = { "auto-prepare", 0, OPTION_FLAG, NULL, NULL, NULL,
			       "send the VM's workspace again first when it has changed here" },
	[OPT_INSTALL] = { "install", 0, OPTION_FLAG, NULL, NULL, NULL,
			  "let ~/.ssh/config include it" },
	[OPT_UNINSTALL] = { "uninstall", 0, OPTION_FLAG, NULL, NULL, NULL,
			    "take that line out again" },
	[OPT_TTY] = { "tty", 0, OPTION_FLAG, NULL, NULL, NULL, "give the command this terminal" },
	[OPT_SESSION] = { "session", 0, OPTION_STRING, "ID", NULL, "session",
			  "take up a session that was left" },
	[OPT_FROM] = { "from", 0, OPTION_BYTES, "OFFSET", NULL, NULL,
		       "begin at this byte of the output" },
	[OPT_WORKSPACE] = { "workspace", 0, OPTION_STRING, "DIR", NULL, NULL,
			    "send this folder; the command begins in it" },
	[OPT_ARTIFACT] = { "artifact", 'a', OPTION_PAIR, "PATH=FILE", NULL, NULL,
			   "keep a path of the guest as a tar archive; more than one is fine" },
	[OPT_KEEP] = { "keep", 0, OPTION_FLAG, NULL, NULL, NULL,
		       "leave the VM when the command fails" },
	[OPT_IF_EXISTS] = { "if-exists", 0, OPTION_STRING, "WHAT", "error|return|replace",
			    "if_exists", "with a VM of that name: error, return it or replace it" },
	[OPT_SORT] = { "sort", 0, OPTION_STRING, "KEY", NULL, NULL,
		       "created, name, state, image, memory_mib or since; -KEY for the reverse" },
	[OPT_DRY_RUN] = { "dry-run", 0, OPTION_FLAG, NULL, NULL, "dry_run",
			  "only say what would be done" },
};

/* A whole number and what follows it. 0, -EINVAL or -ERANGE. */
static int parse_number(const char *s, uint64_t *ret_n, const char **ret_rest)
{
	uint64_t n = 0;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	for (; isdigit((unsigned char)*s); s++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return -ERANGE;
	}
	*ret_n = n;
	*ret_rest = s;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int parse_amount(const char *s, const struct unit *units, size_t n_units, uint64_t *ret_n)
{
	const char *rest;
	uint64_t n;
	int r;

	r = parse_number(s, &n, &rest);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_units; i++) {
		if (strcasecmp(rest, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(n, units[i].factor, &n) || n > INT64_MAX)
			return -ERANGE;
		*ret_n = n;
		return 0;
	}
	return -EINVAL;
}

int parse_mib(const char *s, uint64_t *ret_mib)
{
	static const struct unit units[] = {
		{ "", 1 },       { "m", 1 },           { "mib", 1 },           { "g", 1024 },
		{ "gib", 1024 }, { "t", 1024 * 1024 }, { "tib", 1024 * 1024 },
	};

	return parse_amount(s, units, ARRAY_SIZE(units), ret_mib);
}

int parse_bytes(const char *s, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "k", 1024 },
		{ "m", 1024 * 1024 },
		{ "g", 1024 * 1024 * 1024 },
	};

	return parse_amount(s, units, ARRAY_SIZE(units), ret_bytes);
}

int parse_duration(const char *s, uint64_t *ret_seconds)
{
	static const struct unit units[] = {
		{ "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 },
	};

	return parse_amount(s, units, ARRAY_SIZE(units), ret_seconds);
}

/* Length of the first of the blank- or bar-separated words in `list`; *list moves behind it. */
static bool next_word(const char **list, const char **ret_word, size_t *ret_len)
{
	const char *s = *list + strspn(*list, " |");

	*ret_len = strcspn(s, " |");
	*ret_word = s;
	*list = s + *ret_len;
	return *ret_len > 0;
}

static bool word_in(const char *list, const char *word)
{
	const char *w;
	size_t len;

	while (list && next_word(&list, &w, &len)) {
		if (strlen(word) == len && memcmp(w, word, len) == 0)
			return true;
	}
	return false;
}

bool command_is_group(const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i < n_commands; i++) {
		if (strncmp(commands[i].path, word, len) == 0 && commands[i].path[len] == ' ')
			return true;
	}
	return false;
}

/* True when `word` names the second half of the command: "vm rm" through its alias "rm" too. */
static bool second_word_is(const struct command *command, const char *group, const char *word)
{
	size_t len = strlen(group);

	if (strncmp(command->path, group, len) != 0 || command->path[len] != ' ')
		return false;
	return streq(command->path + len + 1, word) || word_in(command->alias, word);
}

const struct command *command_find(const char *first, const char *second, int *ret_used)
{
	for (size_t i = 0; second && i < n_commands; i++) {
		if (second_word_is(&commands[i], first, second)) {
			*ret_used = 2;
			return &commands[i];
		}
	}
	for (size_t i = 0; i < n_commands; i++) {
		bool alone = !strchr(commands[i].path, ' ');

		/* "ps" stands for "vm list", but "rm" alone for nothing: too easy to mistake. */
		if ((alone && streq(commands[i].path, first)) ||
		    (str_has_prefix(commands[i].path, "vm ") && !streq(first, "rm") &&
		     !streq(first, "ls") && word_in(commands[i].alias, first))) {
			*ret_used = 1;
			return &commands[i];
		}
	}
	return NULL;
}

static int unknown_option(const struct command *command, const char *word, struct error *err)
{
	const char *names[OPTION_MAX_];
	const char *near;
	size_t n = 0;

	for (size_t i = 0; i < OPTION_MAX_; i++) {
		if ((((command ? command->options : 0) | OPTIONS_COMMON) >> i) & 1)
			names[n++] = option_specs[i].name;
	}
	near = suggest(word + strspn(word, "-"), names, n);
	if (near)
		return error_set(err, ERR_BAD_REQUEST, "unknown option '%s'; did you mean --%s?",
				 word, near);
	return error_set(err, ERR_BAD_REQUEST, "unknown option '%s'", word);
}

static int store_value(struct args *args, enum option_id id, const char *value, struct error *err)
{
	static const char *const forms[] = {
		[OPTION_COUNT] = "a whole number from 1 on",
		[OPTION_BYTES] = "bytes, or with K, M or G: 4096, 64K, 1M",
		[OPTION_MIB] = "MiB, or with M, G or T: 512, 512M, 2G",
		[OPTION_DURATION] = "seconds, or with s, m, h or d: 90, 15m, 2h, 7d",
		[OPTION_PAIR] = "a name, an equals sign and a value: team=ci",
	};
	const struct option_spec *spec = &option_specs[id];
	int r = 0;

	args->given |= (option_set)1 << id;
	args->values[id] = value;
	switch (spec->kind) {
	case OPTION_FLAG:
	case OPTION_STRING:
		break;
	case OPTION_COUNT: {
		const char *rest = "";

		r = parse_number(value, &args->numbers[id], &rest);
		if (r == 0 && (*rest || args->numbers[id] == 0 || args->numbers[id] > INT32_MAX))
			r = -EINVAL;
		break;
	}
	case OPTION_BYTES:
		r = parse_bytes(value, &args->numbers[id]);
		break;
	case OPTION_MIB:
		r = parse_mib(value, &args->numbers[id]);
		break;
	case OPTION_DURATION:
		r = parse_duration(value, &args->numbers[id]);
		break;
	case OPTION_PAIR:
		if (args->n_pairs == PAIRS_MAX)
			return error_set(err, ERR_BAD_REQUEST, "too many pairs");
		if (!strchr(value, '=') || value[0] == '=')
			r = -EINVAL;
		args->pair_of[args->n_pairs] = id;
		args->pairs[args->n_pairs++] = value;
		break;
	}
	if (r == 0 && spec->choices && !word_in(spec->choices, value))
		return error_set(err, ERR_BAD_REQUEST, "--%s: '%s' is not one of %s", spec->name,
				 value, spec->choices);
	if (r < 0)
		return error_set(err, ERR_BAD_REQUEST, "--%s: '%s' is no %s: %s", spec->name, value,
				 spec->value, forms[spec->kind]);
	return 0;
}

/* The option that `word` ("--name", "--name=x", "-n") names, or OPTION_MAX_. */
static enum option_id find_option(option_set allowed, const char *word)
{
	size_t len = strcspn(word, "=");

	for (enum option_id id = 0; id < OPTION_MAX_; id++) {
		const struct option_spec *spec = &option_specs[id];

		if (!((allowed >> id) & 1))
			continue;
		if (str_has_prefix(word, "--") && len > 2 && strlen(spec->name) == len - 2 &&
		    memcmp(spec->name, word + 2, len - 2) == 0)
			return id;
		if (word[1] != '-' && word[1] == spec->letter && word[2] == '\0')
			return id;
	}
	return OPTION_MAX_;
}

/* Takes argv[*i], an option, and its value. */
static int take_option(int argc, char *const argv[], int *i, struct args *args, struct error *err)
{
	const struct command *command = args->command;
	option_set allowed = OPTIONS_COMMON | (command ? command->options : 0);
	const char *word = argv[*i], *value = strchr(word, '=');
	enum option_id id = find_option(allowed, word);

	if (id == OPTION_MAX_)
		return unknown_option(command, word, err);
	if (option_specs[id].kind == OPTION_FLAG) {
		if (value)
			return error_set(err, ERR_BAD_REQUEST, "--%s takes no value",
					 option_specs[id].name);
		args->given |= (option_set)1 << id;
		return 0;
	}
	if (value) {
		value++;
	} else if (*i + 1 < argc) {
		value = argv[++*i];
	} else {
		return error_set(err, ERR_BAD_REQUEST, "--%s needs a value: %s",
				 option_specs[id].name, option_specs[id].value);
	}
	return store_value(args, id, value, err);
}

static int check_counts(const struct args *args, struct error *err)
{
	const struct command *command = args->command;

	if (args->n_positional < command->min_args)
		return error_set(err, ERR_BAD_REQUEST, "%s needs %s", command->path,
				 command->usage);
	return 0;
}

static int unknown_command(int argc, char *const argv[], struct error *err)
{
	const char *names[64];
	const char *near;
	size_t n = 0;
	bool group = command_is_group(argv[0]) && argc > 1;

	for (size_t i = 0; i < n_commands && n < ARRAY_SIZE(names); i++) {
		const char *blank = strchr(commands[i].path, ' ');

		if (group && blank && strlen(argv[0]) == (size_t)(blank - commands[i].path) &&
		    str_has_prefix(commands[i].path, argv[0]))
			names[n++] = blank + 1;
		else if (!group)
			names[n++] = blank ? blank + 1 : commands[i].path;
	}
	near = suggest(argv[group ? 1 : 0], names, n);
	return error_set(err, ERR_BAD_REQUEST, "unknown command '%s%s%s'%s%s%s", argv[0],
			 group ? " " : "", group ? argv[1] : "", near ? "; did you mean '" : "",
			 near ? near : "", near ? "'?" : "");
}

/* Finds the command after any common options in front of it. Returns the index behind it. */
static int take_command(int argc, char *const argv[], struct args *args, const char **ret_group,
			struct error *err)
{
	int i = 0, used = 0, r;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		r = take_option(argc, argv, &i, args, err);
		if (r < 0)
			return r;
	}
	if (i == argc)
		return i;
	args->command = command_find(argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
	if (args->command)
		return i + used;
	if (command_is_group(argv[i]) && (i + 1 == argc || argv[i + 1][0] == '-')) {
		*ret_group = argv[i];
		return i + 1;
	}
	return unknown_command(argc - i, argv + i, err);
}

static void take_rest(int argc, char *const argv[], int from, struct args *args)
{
	args->rest = argv + from;
	args->n_rest = (size_t)(argc - from);
}

int args_parse(int argc, char *const argv[], struct args *ret_args, const char **ret_group,
	       struct error *err)
{
	int i;

	*ret_args = (struct args){ 0 };
	*ret_group = NULL;
	i = take_command(argc, argv, ret_args, ret_group, err);
	if (i < 0)
		return i;
	for (; i < argc; i++) {
		const struct command *command = ret_args->command;

		if (streq(argv[i], "--") && command && command->rest != REST_NONE) {
			take_rest(argc, argv, i + 1, ret_args);
			break;
		}
		if (argv[i][0] == '-' && argv[i][1]) {
			int r = take_option(argc, argv, &i, ret_args, err);

			if (r < 0)
				return r;
			continue;
		}
		if (command && command->rest == REST_ARGS &&
		    ret_args->n_positional == command->max_args) {
			take_rest(argc, argv, i, ret_args);
			break;
		}
		if (!command || ret_args->n_positional == command->max_args ||
		    ret_args->n_positional == ARGS_MAX)
			return error_set(err, ERR_BAD_REQUEST, "unexpected argument '%s'%s",
					 argv[i],
					 command && command->rest == REST_DASHES
						 ? "; a command goes behind '--'"
						 : "");
		ret_args->positional[ret_args->n_positional++] = argv[i];
	}
	if (!ret_args->command || args_given(ret_args, OPT_HELP))
		return 0;
	return check_counts(ret_args, err);
}

static int body_add_pairs(json_t *body, const struct args *args, enum option_id id)
{
	json_auto_t *object = json_object();

	for (size_t i = 0; i < args->n_pairs; i++) {
		const char *equals = strchr(args->pairs[i], '=');

		if (args->pair_of[i] != id)
			continue;
		if (json_object_setn_new(object, args->pairs[i], (size_t)(equals - args->pairs[i]),
					 json_string(equals + 1)) < 0)
			return -ENOMEM;
	}
	return json_object_set(body, option_specs[id].field, object);
}

json_t *args_body(const struct args *args)
{
	json_auto_t *body = json_object();

	for (enum option_id id = 0; id < OPTION_MAX_; id++) {
		const struct option_spec *spec = &option_specs[id];
		int r;

		if (!args_given(args, id) || !spec->field)
			continue;
		switch (spec->kind) {
		case OPTION_FLAG:
			r = json_object_set_new(body, spec->field, json_true());
			break;
		case OPTION_STRING:
			r = json_object_set_new(body, spec->field, json_string(args->values[id]));
			break;
		case OPTION_PAIR:
			r = body_add_pairs(body, args, id);
			break;
		case OPTION_COUNT:
		case OPTION_BYTES:
		case OPTION_MIB:
		case OPTION_DURATION:
		default:
			r = json_object_set_new(body, spec->field,
						json_integer((json_int_t)args->numbers[id]));
			break;
		}
		if (r < 0)
			return NULL;
	}
	return json_incref(body);
}
