/* SPDX-License-Identifier: Apache-2.0 */
#include "server/program/program.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"

static void usage(FILE *out)
{
	(void)fputs(
		"Usage: banger-server [options]\n"
		"\n"
		"Serves the REST API and the dashboard of this user's microVMs.\n"
		"\n"
		"  --home DIR          keep config, state, cache and runtime below DIR (also: "
		"BANGER_HOME)\n"
		"  --listen HOST:PORT  address of the TCP port (default 127.0.0.1:8420); beyond\n"
		"                      loopback with tls_cert and tls_key in banger.conf only\n"
		"  --no-tcp            the unix socket only\n"
		"  --vmm NAME          auto (default), qemu or firecracker\n"
		"  --web DIR           files of the dashboard\n"
		"  --agent FILE        the agent for guests\n"
		"  --log-level LEVEL   error, warn, info (default) or debug\n"
		"  --forget-names      take <name>.vm out of the system's resolver and end; a "
		"server\n"
		"                      that is stopped for good does it by itself, unless systemd\n"
		"                      holds its socket\n"
		"  --version           print the version\n"
		"  --help              print this\n",
		out);
}

/* getopt_long(3) takes a beginning for the whole, and with that "--hom" for "--home" until there is
 * another option that begins so. */
static const char *abbreviated(int argc, char **argv, const struct option *longs)
{
	for (int i = 1; i < argc && !streq(argv[i], "--"); i++) {
		const struct option *o = longs;
		size_t len = strcspn(argv[i], "=");

		if (!str_has_prefix(argv[i], "--"))
			continue;
		while (o->name &&
		       (strlen(o->name) != len - 2 || memcmp(o->name, argv[i] + 2, len - 2) != 0))
			o++;
		if (!o->name)
			return argv[i];
		/* Its value is the next word. */
		i += o->has_arg == required_argument && argv[i][len] != '=';
	}
	return NULL;
}

int options_parse(int argc, char **argv, struct options *o)
{
	enum {
		OPT_HOME = 256,
		OPT_LISTEN,
		OPT_NO_TCP,
		OPT_VMM,
		OPT_WEB,
		OPT_AGENT,
		OPT_LOG,
		OPT_FORGET,
		OPT_VERSION,
		OPT_HELP
	};
	static const struct option longs[] = {
		{ "home", required_argument, NULL, OPT_HOME },
		{ "listen", required_argument, NULL, OPT_LISTEN },
		{ "no-tcp", no_argument, NULL, OPT_NO_TCP },
		{ "vmm", required_argument, NULL, OPT_VMM },
		{ "web", required_argument, NULL, OPT_WEB },
		{ "agent", required_argument, NULL, OPT_AGENT },
		{ "log-level", required_argument, NULL, OPT_LOG },
		{ "forget-names", no_argument, NULL, OPT_FORGET },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP },
		{ NULL, 0, NULL, 0 },
	};
	const char *unknown = abbreviated(argc, argv, longs);
	int c;

	if (unknown) {
		(void)fprintf(stderr, "banger-server: there is no option '%s'; see --help\n",
			      unknown);
		return 2;
	}
	/* Before the first thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case OPT_HOME:
			o->home = optarg;
			break;
		case OPT_LISTEN:
			o->listen = optarg;
			break;
		case OPT_NO_TCP:
			o->listen = "off";
			break;
		case OPT_VMM:
			o->vmm = optarg;
			break;
		case OPT_WEB:
			o->web_root = optarg;
			break;
		case OPT_AGENT:
			o->agent = optarg;
			break;
		case OPT_LOG:
			o->log_level = optarg;
			break;
		case OPT_FORGET:
			o->forget_names = true;
			break;
		case OPT_VERSION:
			(void)puts("banger-server " BANGER_VERSION);
			return 0;
		case OPT_HELP:
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "banger-server: unexpected argument '%s'\n", argv[optind]);
		return 2;
	}
	return -1;
}

/* "127.0.0.1:8420" or "off". */
static int parse_listen(struct server *s, struct error *err)
{
	const char *text = config_text(&s->config, CONFIG_SERVER_LISTEN);
	char *colon;
	char *end = NULL;
	long port;

	if (streq(text, "off"))
		return 0;
	(void)snprintf(s->listen, sizeof(s->listen), "%s", text);
	colon = strrchr(s->listen, ':');
	errno = 0;
	port = colon ? strtol(colon + 1, &end, 10) : -1;
	if (!colon || errno || end == colon + 1 || *end || port < 0 || port > 65535)
		return error_set(err, ERR_INVALID, "server.listen wants HOST:PORT or off, not '%s'",
				 text);
	*colon = '\0';
	s->listen_host = s->listen;
	s->listen_port = (uint16_t)port;
	return 0;
}

/* The file, then the command line over it. */
int configure(struct server *s, struct error *err)
{
	struct config_host host = { .memory_mib = host_memory_mib() };
	const struct {
		enum config_key key;
		const char *text;
	} given[] = { { CONFIG_SERVER_LISTEN, s->options.listen },
		      { CONFIG_SERVER_VMM, s->options.vmm },
		      { CONFIG_SERVER_LOG_LEVEL, s->options.log_level } };
	enum log_level level = LOG_INFO;
	struct statvfs fs;
	int r;

	if (statvfs(s->home.state, &fs) == 0)
		host.disk_mib = (uint64_t)fs.f_blocks * fs.f_frsize >> 20;
	config_init(&s->config, &host);
	s->config_path = path_join(s->home.config, "banger.conf");
	if (!s->config_path)
		return error_errno(err, -ENOMEM, "configuration");
	r = config_read(&s->config, s->config_path, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(given); i++)
		if (given[i].text)
			r = config_set(&s->config, given[i].key, given[i].text, CONFIG_OPTION, err);
	if (r == 0)
		r = parse_listen(s, err);
	if (r < 0)
		return r;
	(void)!log_level_parse(config_text(&s->config, CONFIG_SERVER_LOG_LEVEL), &level);
	log_init("banger-server", level);
	return 0;
}
