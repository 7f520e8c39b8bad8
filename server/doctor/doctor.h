/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doctor: looks at the host and at the install, and says what is fine, what is not, and what to
 * do about it. It never changes anything: the database is opened read-only, services and files are
 * only looked at.
 *
 * doctor_run() belongs on a worker thread: checks run programs and may take a second or two. All
 * that it needs from the rest of the server is copied into `struct doctor_context` beforehand.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/base/error.h"
#include "server/vmm/vmm.h"

enum doctor_status { DOCTOR_PASS, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIP, DOCTOR_STATUS_MAX_ };
/* "pass", "warn", "fail", "skip" */
const char *doctor_status_name(enum doctor_status status);

enum { DOCTOR_ROWS_MAX = 64, DOCTOR_DB_ERROR_MAX = 200 };

/* A request of the API that mends what a row found, and takes nothing away that anything needs. */
struct doctor_fix {
	const char *path; /* POST; NULL: there is none */
	const char *body; /* JSON */
};

struct doctor_row {
	const char *name;  /* "store", "helper unit NoNewPrivileges"; static */
	const char *group; /* "host", "isolation", "vmm", "store", "network", "security"; static */
	enum doctor_status status;
	char detail[512]; /* what was found */
	char remedy[320]; /* what to do, as a command where there is one; "" when nothing is to do
			   */
	struct doctor_fix fix; /* static */
};

/*
 * How the checks look at the machine. `doctor_host_system` is the real one; tests bring a machine
 * of their own. Functions return 0 (or a count) or a negative errno.
 */
struct doctor_host {
	void *data;
	/* lstat(2) */
	int (*lstat)(void *data, const char *path, struct stat *ret_st);
	/* The whole of a small text file; *ret_text is the caller's to free. */
	int (*read)(void *data, const char *path, char **ret_text);
	/* Runs a program (argv[0]: a name without path) and returns its exit status; -ENOENT when
	 * it is not installed. *ret_out is the caller's to free. */
	int (*run)(void *data, const char *const *argv, char **ret_out);
	/* 1 when the program is in a system folder, else 0. */
	int (*has_program)(void *data, const char *name);
	/* Bytes that an ordinary user can still write to the file system of `path`. */
	int (*room)(void *data, const char *path, uint64_t *ret_bytes);
	/* access(2) for reading and writing. */
	int (*may_write)(void *data, const char *path);
	/* Opens the database read-only and reads its schema; `why` gets one sentence on failure. */
	int (*check_db)(void *data, const char *path, char *why, size_t size);
	/* Asks the helper for its version and what it lacks, of enum helper_lacks: 0 or a negative
	 * errno. */
	int (*helper_status)(void *data, const char *socket, char *version, size_t size,
			     unsigned int *ret_lacks);
	/* vmm_choose() */
	const struct vmm_driver *(*choose)(const char *wanted, struct vmm_probe *ret_probe,
					   char *why, size_t why_size, struct error *err);
	/* The probe of the Firecracker driver. */
	void (*probe_firecracker)(struct vmm_probe *ret_probe);
};

/* `choose` and `probe_firecracker` are left NULL, which skips their rows: set them in a copy. */
extern const struct doctor_host doctor_host_system;

/* A default of new VMs and where it came from: "config", "host", "builtin". */
struct doctor_default {
	const char *name;
	const char *value;
	const char *source;
};

struct doctor_context {
	const struct doctor_host *host;
	const char *db_path;   /* absolute */
	const char *state_dir; /* absolute; may not exist yet */
	const char *vmm;       /* what the configuration asks for: "auto", "qemu", … */
	int64_t n_images;      /* images in the store; -1: not known */
	int64_t n_kernels;
	const char *helper_socket; /* absolute */
	const char *no_limits;     /* why VMs of the server have none; NULL: they have */
	bool dns_enabled;
	int dns_error; /* 0: answering; else the negative errno of its start */
	uint16_t dns_port;
	const struct doctor_default *defaults;
	size_t n_defaults;
	const char *config_path;    /* of the server's configuration, for people */
	const char *install_record; /* NULL: /etc/banger/install.toml */
};

struct doctor_report {
	struct doctor_row rows[DOCTOR_ROWS_MAX];
	size_t n_rows;
};

/* Runs every check. A check can't fail as such: what stops it is its row. */
void doctor_check(const struct doctor_context *ctx, struct doctor_report *ret_report);

/* The worst status of the report: FAIL, WARN or PASS. */
enum doctor_status doctor_worst(const struct doctor_report *report);

/*
 * doctor_check() as the API shows it: {"status": …, "checks": [{"name", "group", "status",
 * "detail", "remedy", "fix"}]}. New reference in *ret; 0 or -ENOMEM.
 */
int doctor_run(const struct doctor_context *ctx, json_t **ret) MUST_USE;
