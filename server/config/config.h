/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the owner may choose: <config>/banger.conf, an INI file. Every key, its bounds and what it
 * means stand in one table; a key that is not there, or a value that it does not take, stops the
 * start with the number of its line. What the file leaves open is chosen by the host or built in,
 * and each value knows where it came from.
 *
 * Read once, before the first thread; then it does not change.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/helper/wire.h"
#include "server/config/file_sync.h"

enum config_source {
	CONFIG_BUILTIN,
	CONFIG_HOST,   /* chosen by what the host has */
	CONFIG_FILE,   /* banger.conf */
	CONFIG_OPTION, /* the command line */
	CONFIG_SOURCE_MAX_,
};
/* "builtin", "host", "config", "option" */
const char *config_source_name(enum config_source source);

/*
 * X(enum's name, section, key, kind, least, most, built-in value, what it means). Kinds: NUMBER
 * with its bounds, WORD of the words listed in place of the bounds, TEXT.
 */
#define CONFIG_KEYS(X)                                                                            \
	X(SERVER_LISTEN, "server", "listen", TEXT, 0, 0, "127.0.0.1:8420",                        \
	  "address and port of the API and the dashboard, or off; loopback unless with TLS")      \
	X(SERVER_TLS_CERT, "server", "tls_cert", TEXT, 0, 0, "",                                  \
	  "file with the TCP port's certificate and its chain (PEM); needed beyond loopback")     \
	X(SERVER_TLS_KEY, "server", "tls_key", TEXT, 0, 0, "", "file with its key (PEM)")         \
	X(SERVER_WORKERS, "server", "workers", NUMBER, 1, 64, "32",                               \
	  "operations that run at the same time")                                                 \
	X(SERVER_LOG_LEVEL, "server", "log_level", TEXT, 0, 0, "info",                            \
	  "error, warn, info or debug")                                                           \
	X(SERVER_VMM, "server", "vmm", TEXT, 0, 0, "auto", "auto, qemu or firecracker")           \
	X(SERVER_JAIL, "server", "jail", TEXT, 0, 0, HELPER_JAIL_DIR,                             \
	  "folder of the root helper's jails, used where it is there; empty for none")            \
	X(VMS_MAX, "vms", "max", NUMBER, 1, 100000, "2000", "VMs that may exist")                 \
	X(VMS_VCPUS, "vms", "vcpus", NUMBER, 1, 64, "1", "processors of a VM that names none")    \
	X(VMS_MEMORY, "vms", "memory_mib", NUMBER, 96, 1048576, "512",                            \
	  "memory of a VM that names none")                                                       \
	X(VMS_DISK, "vms", "disk_mib", NUMBER, 16, 16777215, "8192",                              \
	  "disk of a VM that names none, sparse")                                                 \
	X(VMS_OVERCOMMIT, "vms", "memory_overcommit_percent", NUMBER, 10, 1000, "100",            \
	  "how much of the host's memory may be promised to VMs that run")                        \
	X(VMS_DISK_RESERVE, "vms", "disk_reserve_mib", NUMBER, 0, 16777216, "1024",               \
	  "room on the host's disk below which no VM is created or started")                      \
	X(VMS_CHECK, "vms", "check_s", NUMBER, 1, 86400, "60",                                    \
	  "how often what is recorded of VMs is held against what is there, in seconds")          \
	X(VMS_CLOCK, "vms", "clock_s", NUMBER, 1, 86400, "600",                                   \
	  "how often the clocks of guests are held against this host's, in seconds")              \
	X(VMS_NETWORK, "vms", "network", TEXT, 0, 0, "auto",                                      \
	  "none, user or bridge for a VM that names none; auto: user where it can be had")        \
	X(GUEST_KEYS, "guest", "authorized_keys", TEXT, 0, 0, "",                                 \
	  "file of public keys that open guests by ssh, off for none; banger's own key if empty") \
	X(GUEST_GIT, "guest", "git_identity", NUMBER, 0, 1, "1",                                  \
	  "1: root in guests commits with the owner's user.name and user.email of git")           \
	X(NETWORK_HELPER, "network", "helper", TEXT, 0, 0, HELPER_SOCKET,                         \
	  "socket of the root helper")                                                            \
	X(NETWORK_DNS_PORT, "network", "dns_port", NUMBER, 0, 65535, "42069",                     \
	  "loopback port that answers <name>.vm; 0 for none")                                     \
	X(TEMPLATES_MAX, "templates", "max_mib", NUMBER, 0, 16777216, "8192",                     \
	  "room for warm templates; the least recently used go first")                            \
	X(TEMPLATES_STANDBY, "templates", "standby", NUMBER, 0, 64, "2",                          \
	  "VMs kept ready, each for one of the shapes asked for last; 0 for none")                \
	X(RUNS_PARALLEL, "runs", "parallel", NUMBER, 1, 1000, "4",                                \
	  "runs that have a VM at the same time; the others wait")                                \
	X(RUNS_KEPT, "runs", "kept", NUMBER, 1, 100000, "200",                                    \
	  "runs that are remembered with their output and artefacts")                             \
	X(RUNS_ARTIFACTS, "runs", "artifacts_mib", NUMBER, 0, 1048576, "1024",                    \
	  "artefacts that one run may leave")                                                     \
	X(IMAGES_PARALLEL, "images", "parallel_downloads", NUMBER, 1, 16, "4",                    \
	  "layers of an image that are downloaded at the same time")                              \
	X(IMAGES_INSECURE, "images", "insecure_registries", TEXT, 0, 0, "",                       \
	  "registries that are asked by http, with ',' between; those on this machine are")       \
	X(IMAGES_CA, "images", "ca_file", TEXT, 0, 0, "",                                         \
	  "certificates that registries are held against, in place of the host's")                \
	X(IMAGES_STALL, "images", "stall_s", NUMBER, 1, 3600, "30",                               \
	  "a download slower than 1 KiB/s for so long is begun again; five in vain end it")       \
	X(IMAGES_CATALOG, "images", "catalog_sha256", TEXT, 0, 0, "",                             \
	  "what catalog.list must have, else it is not used; empty: it may be any")               \
	X(IMAGES_AUTO_PULL, "images", "auto_pull", NUMBER, 0, 1, "1",                             \
	  "1: an image that a new VM names and that is not here is brought first")

#define CONFIG_ENUM(name, ...) CONFIG_##name,
enum config_key { CONFIG_KEYS(CONFIG_ENUM) CONFIG_KEY_MAX_ };
#undef CONFIG_ENUM

enum { CONFIG_TEXT_MAX = 128 };

struct config_value {
	char text[CONFIG_TEXT_MAX];
	int64_t number; /* of a NUMBER */
	enum config_source source;
};

struct config {
	struct config_value values[CONFIG_KEY_MAX_];
	struct file_sync sync[FILE_SYNC_MAX];
	size_t n_sync;
};

/* What the host has, for the values that depend on it. */
struct config_host {
	uint64_t memory_mib;
	uint64_t disk_mib; /* size of the file system that holds the state; 0: not known */
};

/* The built-in values and the host's. */
void config_init(struct config *config, const struct config_host *host);
/* Reads the file over them; one that is absent is fine. ERR_INVALID names file and line. */
int config_read(struct config *config, const char *path, struct error *err) MUST_USE;
/* Sets one value, checked. */
int config_set(struct config *config, enum config_key key, const char *text,
	       enum config_source source, struct error *err) MUST_USE;

int64_t config_number(const struct config *config, enum config_key key);
const char *config_text(const struct config *config, enum config_key key);

/* Every key with value, source, built-in value and meaning; new reference. */
json_t *config_to_json(const struct config *config);
