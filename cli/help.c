/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"

enum { TEXT_WIDTH = 78, INDENT = 7 };

/* Text in lines of at most TEXT_WIDTH columns, each indented; "\n\n" begins a paragraph. */
static void print_wrapped(FILE *out, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t len = strcspn(text, " \n");
		size_t width = 0;

		for (size_t i = 0; i < len; i++)
			width += ((unsigned char)text[i] & 0xc0) != 0x80;
		if (column > 0 && column + 1 + width > TEXT_WIDTH) {
			(void)fputc('\n', out);
			column = 0;
		}
		if (column == 0)
			column = (size_t)fprintf(out, "%*s", INDENT, "");
		else
			column += (size_t)fprintf(out, " ");
		(void)fwrite(text, 1, len, out);
		column += width;
		text += len;
		if (text[0] == '\n') {
			(void)fputs("\n\n", out);
			column = 0;
		}
		text += strspn(text, " \n");
	}
	(void)fputc('\n', out);
}

static void print_option(FILE *out, const struct option_spec *spec)
{
	char left[64];

	(void)snprintf(left, sizeof(left), "%c%c%s --%s%s%s", spec->letter ? '-' : ' ',
		       spec->letter ? spec->letter : ' ', spec->letter ? "," : " ", spec->name,
		       spec->value ? " " : "", spec->value ? spec->value : "");
	(void)fprintf(out, "%*s%-26s %s\n", INDENT, "", left, spec->help);
}

static void print_options(FILE *out, option_set set)
{
	for (size_t i = 0; i < OPTION_MAX_; i++) {
		if ((set >> i) & 1)
			print_option(out, &option_specs[i]);
	}
}

int help_command(const struct command *command)
{
	FILE *out = stdout;

	(void)fprintf(out, "NAME\n%*sbanger %s - %s\n\nSYNOPSIS\n%*sbanger %s%s%s\n", INDENT, "",
		      command->path, command->summary, INDENT, "", command->path,
		      *command->usage ? " " : "", command->usage);
	if (command->text) {
		(void)fputs("\nDESCRIPTION\n", out);
		print_wrapped(out, command->text);
	}
	if (command->options) {
		(void)fputs("\nOPTIONS\n", out);
		print_options(out, command->options);
	}
	(void)fputs("\nOPTIONS OF EVERY COMMAND\n", out);
	print_options(out, OPTIONS_COMMON);
	if (command->alias)
		(void)fprintf(out, "\nSHORTER\n%*s%s\n", INDENT, "", command->alias);
	if (command->examples) {
		const char *line = command->examples;

		(void)fputs("\nEXAMPLES\n", out);
		while (*line) {
			size_t len = strcspn(line, "\n");

			(void)fprintf(out, "%*s%.*s\n", INDENT, "", (int)len, line);
			line += len + (line[len] == '\n');
		}
	}
	return 0;
}

static void print_commands(FILE *out, const char *group)
{
	size_t len = group ? strlen(group) : 0;

	for (size_t i = 0; i < n_commands; i++) {
		const char *path = commands[i].path;

		if (group && (strncmp(path, group, len) != 0 || path[len] != ' '))
			continue;
		(void)fprintf(out, "%*s%-18s %s\n", INDENT, "", path, commands[i].summary);
	}
}

static void print_environment(FILE *out)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "BANGER_HOME", "folder that holds config, state, cache and run" },
		{ "BANGER_SERVER", "socket path or http:// address of the server" },
		{ "BANGER_TOKEN", "bearer token, for a server reached by TCP" },
		{ "NO_COLOR", "when set: no colours" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		(void)fprintf(out, "%*s%-18s %s\n", INDENT, "", rows[i].name, rows[i].text);
}

int help_overview(const char *group, bool asked)
{
	FILE *out = asked ? stdout : stderr;

	if (group) {
		(void)fprintf(out, "banger %s: commands\n\n", group);
		print_commands(out, group);
		(void)fprintf(out, "\nMore: banger help %s COMMAND\n", group);
		return asked ? 0 : EXIT_USAGE;
	}
	(void)fprintf(out,
		      "NAME\n%*sbanger - microVMs for development and CI\n\n"
		      "SYNOPSIS\n%*sbanger COMMAND [OPTION…] [ARGUMENT…]\n\nCOMMANDS\n",
		      INDENT, "", INDENT, "");
	print_commands(out, NULL);
	(void)fputs("\nOPTIONS OF EVERY COMMAND\n", out);
	print_options(out, OPTIONS_COMMON);
	(void)fputs("\nENVIRONMENT\n", out);
	print_environment(out);
	(void)fputs("\nEXAMPLES\n"
		    "       banger vm run --rm -- echo hello\n"
		    "       banger vm create --name web && banger vm exec web uname -a\n"
		    "       banger doctor\n"
		    "\nMore: banger help COMMAND\n",
		    out);
	return asked ? 0 : EXIT_USAGE;
}

int cmd_help(struct cli *cli, const struct args *args)
{
	const struct command *command;
	int used = 0;

	(void)cli;
	if (args->n_positional == 0)
		return help_overview(NULL, true);
	command = command_find(args->positional[0],
			       args->n_positional > 1 ? args->positional[1] : NULL, &used);
	if (command)
		return help_command(command);
	if (command_is_group(args->positional[0]))
		return help_overview(args->positional[0], true);
	(void)fprintf(stderr, "banger: no command '%s'\ntry: banger help\n", args->positional[0]);
	return EXIT_USAGE;
}
