/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line as data: every option once in a table, every command a row that names the
 * options it takes. Parsing, help, completion and request bodies all read the same tables.
 */
#pragma once

#include <assert.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"

struct cli;

enum option_id {
	/* everywhere */
	OPT_HELP,
	OPT_JSON,
	OPT_QUIET,
	OPT_HOME,
	OPT_SERVER,
	/* the shape of a VM */
	OPT_NAME,
	OPT_IMAGE,
	OPT_KERNEL,
	OPT_VCPUS,
	OPT_MEMORY,
	OPT_DISK,
	OPT_NETWORK,
	OPT_NAT,
	OPT_NO_NAT,
	OPT_NO_ISOLATION,
	OPT_LABEL,
	OPT_TTL,
	OPT_INIT,
	OPT_BOOT,
	OPT_NO_START,
	OPT_FROM_SNAPSHOT,
	OPT_IDLE_STOP,
	OPT_IDLE_SUSPEND,
	OPT_WAKE,
	OPT_RM,
	OPT_DETACH,
	/* a command in a VM */
	OPT_ENV,
	OPT_CWD,
	OPT_USER,
	OPT_TIMEOUT,
	OPT_STDIN,
	/* the rest */
	OPT_ALL,
	OPT_FORCE,
	OPT_STATE,
	OPT_TARGET,
	OPT_FOLLOW,
	OPT_TAIL,
	OPT_SINCE,
	OPT_KIND,
	OPT_BY,
	OPT_NO_FOLLOW,
	OPT_SCOPE,
	OPT_TOKEN_TTL,
	OPT_PRINT,
	OPT_FIX,
	OPT_COUNT,
	OPT_NO_MEMORY,
	OPT_PIN,
	OPT_TTY,
	OPT_SESSION,
	OPT_DRY_RUN,
	OPT_UNTRACKED,
	OPT_MODE,
	OPT_BRANCH,
	OPT_FROM_COMMIT,
	OPT_BASE_COMMIT,
	OPT_GUEST_PATH,
	OPT_AUTO_PREPARE,
	OPT_FROM,
	OPT_SIGNAL,
	OPT_WORKSPACE,
	OPT_ARTIFACT,
	OPT_KEEP,
	OPT_IF_EXISTS,
	OPT_SORT,
	OPT_INSTALL,
	OPT_UNINSTALL,
	OPTION_MAX_,
};

enum option_kind {
	OPTION_FLAG,
	OPTION_STRING,
	OPTION_COUNT,    /* a whole number of at least 1 */
	OPTION_BYTES,    /* whole number of bytes, 0 included: "4096", "64K" */
	OPTION_MIB,      /* amount in MiB: "512", "512M", "2G" */
	OPTION_DURATION, /* seconds: "90", "90s", "15m", "2h", "7d" */
	OPTION_PAIR,     /* KEY=VALUE, may be given more than once */
};

struct option_spec {
	const char *name; /* without the dashes */
	char letter;      /* 0: none */
	enum option_kind kind;
	const char *value;   /* word for the value in help: "NAME" */
	const char *choices; /* "none|user|bridge"; NULL: anything */
	const char *field;   /* of the request's body that takes the value; NULL: none */
	const char *help;
};

extern const struct option_spec option_specs[OPTION_MAX_];

/* A set of options: OPTION(NAME) | OPTION(IMAGE). */
__extension__ typedef unsigned __int128 option_set;
static_assert(OPTION_MAX_ <= 128, "a set holds every option");
#define OPTION(id)     ((option_set)1 << OPT_##id)
#define OPTIONS_COMMON (OPTION(HELP) | OPTION(JSON) | OPTION(QUIET) | OPTION(HOME) | OPTION(SERVER))

enum rest_kind {
	REST_NONE,
	REST_DASHES, /* a command after "--" */
	REST_ARGS,   /* a command after "--" or right after the last argument */
};

/* What a shell offers for the arguments of a command. */
enum completion_kind {
	COMPLETE_NONE,
	COMPLETE_VMS,
	COMPLETE_IMAGES,
	COMPLETE_KERNELS,
	COMPLETE_TEMPLATES,
	COMPLETE_OPERATIONS
};

enum { ARGS_MAX = 256, PAIRS_MAX = 256 };

struct command;

struct args {
	const struct command *command;
	option_set given;
	const char *values[OPTION_MAX_];   /* as typed; borrowed from argv */
	uint64_t numbers[OPTION_MAX_];     /* of the numeric kinds */
	const char *pairs[PAIRS_MAX];      /* every KEY=VALUE, in order */
	enum option_id pair_of[PAIRS_MAX]; /* the option that each belongs to */
	size_t n_pairs;
	const char *positional[ARGS_MAX];
	size_t n_positional;
	char *const *rest; /* the command after "--"; ended by NULL */
	size_t n_rest;
};

struct command {
	const char *path;     /* "vm run" */
	const char *alias;    /* "run ps": other names, separated by blanks; NULL: none */
	const char *summary;  /* one line */
	const char *usage;    /* arguments for help: "[--] COMMAND…" */
	const char *text;     /* paragraphs for help; NULL: none */
	const char *examples; /* lines for help; NULL: none */
	option_set options;   /* besides OPTIONS_COMMON */
	size_t min_args, max_args;
	enum rest_kind rest;
	enum completion_kind complete;
	int (*run)(struct cli *cli, const struct args *args); /* returns the exit status */
};

extern const struct command commands[];
extern const size_t n_commands;

static inline bool args_given(const struct args *args, enum option_id id)
{
	return (args->given & ((option_set)1 << id)) != 0;
}

/*
 * Parses argv (without the program's name). With --help given nothing else is asked of the line.
 * ret_args->command is NULL when no command is named, or only a group: `*ret_group` then is the
 * group ("vm"), or NULL. Everything in *ret_args is borrowed from argv.
 */
int args_parse(int argc, char *const argv[], struct args *ret_args, const char **ret_group,
	       struct error *err) MUST_USE;

/* The given options that have a field, as the body of a request. New reference, or NULL. */
json_t *args_body(const struct args *args) MUST_USE;

/* The command that begins with these words ("vm", "run"), or NULL; *ret_used: how many of them are
 * its name. `second` may be NULL. */
const struct command *command_find(const char *first, const char *second, int *ret_used);

/* True for the first word of commands of two words: "vm". */
bool command_is_group(const char *word);

/* "2G" -> 2048. 0, or -EINVAL, -ERANGE. */
int parse_mib(const char *s, uint64_t *ret_mib) MUST_USE;
int parse_duration(const char *s, uint64_t *ret_seconds) MUST_USE;
int parse_bytes(const char *s, uint64_t *ret_bytes) MUST_USE;
