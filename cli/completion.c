/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion scripts for three shells. They are made from the command and option tables; names of
 * VMs, images and kernels are asked for live (`banger … list --quiet`) and silently absent when no
 * server answers.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/base/macro.h"

static const char *list_command(enum completion_kind kind)
{
	switch (kind) {
	case COMPLETE_VMS:
		return "vm list";
	case COMPLETE_IMAGES:
		return "image list";
	case COMPLETE_KERNELS:
		return "kernel list";
	case COMPLETE_TEMPLATES:
		return "template list";
	case COMPLETE_OPERATIONS:
		return "operation list";
	case COMPLETE_NONE:
	default:
		return NULL;
	}
}

/* First words: groups and single commands, each once. */
static void print_first_words(void)
{
	for (size_t i = 0; i < n_commands; i++) {
		size_t len = strcspn(commands[i].path, " ");

		if (i > 0 && strncmp(commands[i].path, commands[i - 1].path, len) == 0 &&
		    strcspn(commands[i - 1].path, " ") == len)
			continue;
		(void)printf("%.*s ", (int)len, commands[i].path);
	}
	(void)fputs("run exec ps", stdout);
}

static void print_second_words(const char *group)
{
	size_t len = strlen(group);

	for (size_t i = 0; i < n_commands; i++) {
		if (strncmp(commands[i].path, group, len) == 0 && commands[i].path[len] == ' ')
			(void)printf("%s ", commands[i].path + len + 1);
	}
}

static void print_option_words(const struct command *command)
{
	for (size_t i = 0; i < OPTION_MAX_; i++) {
		if (((command->options | OPTIONS_COMMON) >> i) & 1)
			(void)printf("--%s ", option_specs[i].name);
	}
}

/* True for the first command of its group. */
static bool first_of_group(size_t i)
{
	const char *blank = strchr(commands[i].path, ' ');
	size_t len = blank ? (size_t)(blank - commands[i].path) + 1 : 0;

	return blank && (i == 0 || strncmp(commands[i].path, commands[i - 1].path, len) != 0);
}

static void print_bash(void)
{
	(void)fputs("_banger() {\n"
		    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\"\" key=\"${COMP_WORDS[1]} "
		    "${COMP_WORDS[2]}\"\n"
		    "\tCOMPREPLY=()\n"
		    "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"",
		    stdout);
	print_first_words();
	(void)fputs("\"\n\telif [ \"$COMP_CWORD\" -eq 2 ]; then\n\t\tcase ${COMP_WORDS[1]} in\n",
		    stdout);
	for (size_t i = 0; i < n_commands; i++) {
		char group[32];

		if (!first_of_group(i))
			continue;
		(void)snprintf(group, sizeof(group), "%.*s", (int)strcspn(commands[i].path, " "),
			       commands[i].path);
		(void)printf("\t\t%s) words=\"", group);
		print_second_words(group);
		(void)fputs("\" ;;\n", stdout);
	}
	(void)fputs("\t\tcompletion) words=\"bash zsh fish\" ;;\n\t\tesac\n\tfi\n\tcase $key in\n",
		    stdout);
	for (size_t i = 0; i < n_commands; i++) {
		const char *list = list_command(commands[i].complete);

		(void)printf("\t\"%s%s\"*)\n\t\tcase $cur in\n\t\t-*) words=\"", commands[i].path,
			     strchr(commands[i].path, ' ') ? "" : " ");
		print_option_words(&commands[i]);
		(void)fputs("\" ;;\n", stdout);
		if (list)
			(void)printf("\t\t*) [ \"$COMP_CWORD\" -lt 3 ] || "
				     "words=$(banger %s --quiet 2>/dev/null) ;;\n",
				     list);
		(void)fputs("\t\tesac ;;\n", stdout);
	}
	(void)fputs("\tesac\n"
		    "\twhile IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -W "
		    "\"$words\" -- \"$cur\")\n"
		    "}\ncomplete -o default -F _banger banger\n",
		    stdout);
}

/* zsh runs the bash function through its own bridge. */
static void print_zsh(void)
{
	(void)fputs("#compdef banger\nautoload -U +X bashcompinit && bashcompinit\n", stdout);
	print_bash();
}

static void print_fish_quoted(const char *s)
{
	(void)putchar('\'');
	for (; *s; s++) {
		if (*s == '\'' || *s == '\\')
			(void)putchar('\\');
		(void)putchar(*s);
	}
	(void)putchar('\'');
}

static void print_fish_command(const struct command *command)
{
	const char *blank = strchr(command->path, ' ');
	int len = (int)strcspn(command->path, " ");
	char when[160];

	if (blank) {
		(void)printf("complete -c banger -f -n '__fish_seen_subcommand_from %.*s; and test "
			     "(count (commandline -opc)) -eq 2' -a '%s' -d ",
			     len, command->path, blank + 1);
		(void)snprintf(
			when, sizeof(when),
			"__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s", len,
			command->path, blank + 1);
	} else {
		(void)printf("complete -c banger -f -n __fish_use_subcommand -a '%s' -d ",
			     command->path);
		(void)snprintf(when, sizeof(when), "__fish_seen_subcommand_from %s", command->path);
	}
	print_fish_quoted(command->summary);
	(void)putchar('\n');
	for (size_t i = 0; i < OPTION_MAX_; i++) {
		const struct option_spec *spec = &option_specs[i];

		if (!((command->options >> i) & 1))
			continue;
		(void)printf("complete -c banger -n '%s' -l %s%s -d ", when, spec->name,
			     spec->kind == OPTION_FLAG ? "" : " -x");
		print_fish_quoted(spec->help);
		(void)putchar('\n');
	}
	if (list_command(command->complete))
		(void)printf("complete -c banger -f -n '%s' -a '(banger %s --quiet 2>/dev/null)'\n",
			     when, list_command(command->complete));
}

static void print_fish(void)
{
	for (size_t i = 0; i < n_commands; i++) {
		if (first_of_group(i))
			(void)printf("complete -c banger -f -n __fish_use_subcommand -a '%.*s'\n",
				     (int)strcspn(commands[i].path, " "), commands[i].path);
		print_fish_command(&commands[i]);
	}
}

int cmd_completion(struct cli *cli, const struct args *args)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };

	(void)cli;
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (streq(shells[i].shell, args->positional[0])) {
			shells[i].print();
			return 0;
		}
	}
	(void)fprintf(stderr, "banger: no completion for '%s'; there are bash, zsh and fish\n",
		      args->positional[0]);
	return EXIT_USAGE;
}
