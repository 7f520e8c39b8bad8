/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of a guest: one link to the VM's agent, with as many streams on it as wanted.
 *
 * Everything here belongs to the loop's thread; callbacks run there and may call back in,
 * guest_free() included. The guest is hostile: each limit is stated here, and whatever arrives can
 * at worst end this link. A link that breaks is opened again for as long as the object lives
 * (`open` says where); execs live on in the agent meanwhile and their streams go on where they
 * stopped, without a gap.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/loop/loop.h"

struct guest;
struct guest_exec;
struct guest_stream;

/* What the agent says of itself when the link is up. */
struct guest_info {
	char agent_version[32];
	char boot_id[40];
	uint64_t boot_us; /* guest's uptime when its agent was ready */
	bool degraded;    /* the root file system is not as asked: `problem` says why */
	char problem[256];
};

struct guest_callbacks {
	/* A new connection to the byte stream, non-blocking, or a negative errno; tried again
	 * later. */
	int (*open)(void *data);
	/* The link is up (again). */
	void (*up)(void *data, const struct guest_info *info);
	/* The link broke; it is being opened again. */
	void (*down)(void *data, const struct error *why);
};

int guest_new(struct loop *loop, const struct guest_callbacks *callbacks, void *data,
	      struct guest **ret_guest) MUST_USE;
/* Ends all streams with ERR_GUEST "the VM has ended". NULL is fine. */
void guest_free(struct guest *guest);
bool guest_is_up(const struct guest *guest);

/* --- simple requests: JSON in, JSON out --- */

/* `reply` is borrowed; NULL with err set on failure. Called exactly once. */
typedef void guest_reply_fn(void *data, const json_t *reply, const struct error *err);
/*
 * POST `path` of the agent with `body` (stolen; may be NULL). `timeout_ms` bounds the whole
 * exchange. Paths: "/identity", "/poweroff", "/stats", "/ports", "/clock", "/sync",
 * "/home": see
 * lib/link/protocol.h.
 */
void guest_call(struct guest *guest, const char *path, json_t *body, int timeout_ms,
		guest_reply_fn *fn, void *data);

/* --- exec --- */

struct guest_exec_end {
	bool exited; /* exit_code is set; else signal or error */
	int exit_code;
	int signal; /* number, 0 for none */
	bool timed_out;
	struct error error; /* code != ERR_NONE: could not be started, or the VM ended */
};

struct guest_exec_callbacks {
	/* It runs, with this pid in the guest; again each time the link has come back. May be NULL.
	 */
	void (*started)(void *data, int64_t pid);
	/* Output. Return false to take no more until guest_exec_resume(): the bytes given were
	 * taken. */
	bool (*output)(void *data, bool is_stderr, const void *bytes, size_t len);
	/* Standard input can take more (after guest_exec_write() returned less). May be NULL. */
	void (*writable)(void *data);
	/* The last call: ended for good. The handle is gone when this returns, and only then the
	 * agent is told to forget the program. */
	void (*end)(void *data, const struct guest_exec_end *end);
};

struct guest_exec_spec {
	const json_t *argv; /* array of strings, not empty; borrowed for the call */
	const json_t *env;  /* object of strings; may be NULL */
	const char *cwd;    /* NULL: the user's home */
	const char *user;   /* name or number; NULL: root */
	bool tty;
	uint16_t rows, cols;
	uint32_t timeout_ms; /* 0: none */
	bool stdin_open;     /* false: standard input is /dev/null */
};

/* Starts a program in the guest. Failure to start arrives through end(). */
int guest_exec_start(struct guest *guest, const char *exec_id, const struct guest_exec_spec *spec,
		     const struct guest_exec_callbacks *callbacks, void *data,
		     struct guest_exec **ret_exec, struct error *err) MUST_USE;
/* Takes up an exec that an earlier server started, from byte `offset` of its output on. */
int guest_exec_attach(struct guest *guest, const char *exec_id, uint64_t offset,
		      const struct guest_exec_callbacks *callbacks, void *data,
		      struct guest_exec **ret_exec, struct error *err) MUST_USE;
/* Returns how many bytes were taken (0 when the window is full). */
size_t guest_exec_write(struct guest_exec *exec, const void *bytes, size_t len);
void guest_exec_close_stdin(struct guest_exec *exec);
void guest_exec_resize(struct guest_exec *exec, uint16_t rows, uint16_t cols);
void guest_exec_signal(struct guest_exec *exec, int sig);
void guest_exec_resume(struct guest_exec *exec);
/* Kills it in the guest and forgets it; no further callback. */
void guest_exec_kill(struct guest_exec *exec);
/* Forgets the handle; the program goes on in the guest. No further callback. */
void guest_exec_detach(struct guest_exec *exec);

/* --- byte streams: files, trees, tunnels --- */

/*
 * Each of these is one request to the agent with a stream of bytes in one or both directions. They
 * need the link: while it is down they end at once with ERR_UNAVAILABLE, and one that breaks off
 * ends with ERR_GUEST. What was asked for is then not done (a file that is written is replaced only
 * at its end).
 */
struct guest_file_info {
	char type[8];  /* "file", "dir", "link", "fifo", "socket", "char", "block" */
	uint64_t size; /* of the whole file, bytes */
	bool sized;    /* `size` is known: no file that the kernel makes as it is read */
	uint32_t mode; /* permission bits */
	uint32_t uid;
	uint32_t gid;
	int64_t mtime_ns;
	char etag[80]; /* with its quotes; "" for none */
};

struct guest_stream_callbacks {
	/* The agent has agreed: the file is described (zeroed for trees and tunnels), the tunnel
	 * is connected. May be NULL. */
	void (*ready)(void *data, const struct guest_file_info *info);
	/* Bytes of the guest. Return false to take no more until guest_stream_resume(): the bytes
	 * given were taken. NULL: dropped. */
	bool (*output)(void *data, const void *bytes, size_t len);
	/* The guest has sent all; bytes may still be written to a tunnel. May be NULL. */
	void (*output_end)(void *data);
	/* More can be written (after guest_stream_write() took less). May be NULL. */
	void (*writable)(void *data);
	/* The last call: done (ERR_NONE), refused by the agent (ERR_NOT_FOUND, ERR_STATE,
	 * ERR_INVALID, ERR_UNAVAILABLE, ERR_GUEST, with the guest's errno in `sys`), or broken off.
	 * The handle is gone when this returns. */
	void (*end)(void *data, const struct error *err);
};

/* Versions that a change of a file is bound to: values of the headers, or NULL. */
struct guest_condition {
	const char *if_match;
	const char *if_none_match;
};

#define GUEST_NO_CONDITION ((struct guest_condition){ .if_match = NULL })

struct guest_put_options {
	int64_t offset; /* -1: the whole file is replaced; else written in place from there on */
	int32_t mode;   /* -1: as the old file, or 0644 */
	int64_t uid;    /* -1: as the old file, or root; likewise gid */
	int64_t gid;
	bool parents;                     /* make missing folders */
	struct guest_condition condition; /* else ERR_PRECONDITION */
};

#define GUEST_PUT_OPTIONS_INIT \
	((struct guest_put_options){ .offset = -1, .mode = -1, .uid = -1, .gid = -1 })

/* A part of a file. */
struct guest_range {
	uint64_t offset;
	uint64_t length; /* UINT64_MAX: to the end */
	bool from_end;   /* the last `length` bytes; no offset */
};

#define GUEST_RANGE_ALL ((struct guest_range){ .length = UINT64_MAX })

/* `path` is absolute in the guest; any bytes but NUL. A folder's output is a JSON document, see
 * lib/link/protocol.h. end() may come only after the call. */
int guest_file_get(struct guest *guest, const char *path, const struct guest_range *range,
		   const struct guest_stream_callbacks *callbacks, void *data,
		   struct guest_stream **ret_stream, struct error *err) MUST_USE;
int guest_file_head(struct guest *guest, const char *path, bool follow_links,
		    const struct guest_stream_callbacks *callbacks, void *data,
		    struct guest_stream **ret_stream, struct error *err) MUST_USE;
/* The bytes are what is written up to guest_stream_finish(). */
int guest_file_put(struct guest *guest, const char *path, const struct guest_put_options *options,
		   const struct guest_stream_callbacks *callbacks, void *data,
		   struct guest_stream **ret_stream, struct error *err) MUST_USE;
int guest_file_delete(struct guest *guest, const char *path, bool recursive,
		      const struct guest_condition *condition,
		      const struct guest_stream_callbacks *callbacks, void *data,
		      struct guest_stream **ret_stream, struct error *err) MUST_USE;
/* A tree as a tar stream, out of and into the guest. Names are relative to the folder. */
int guest_tar_get(struct guest *guest, const char *path,
		  const struct guest_stream_callbacks *callbacks, void *data,
		  struct guest_stream **ret_stream, struct error *err) MUST_USE;
/* All of the guest's root file system as an image has it: see tar_write_root(). */
int guest_tar_get_root(struct guest *guest, const struct guest_stream_callbacks *callbacks,
		       void *data, struct guest_stream **ret_stream, struct error *err) MUST_USE;
int guest_tar_put(struct guest *guest, const char *path,
		  const struct guest_stream_callbacks *callbacks, void *data,
		  struct guest_stream **ret_stream, struct error *err) MUST_USE;
/* A TCP connection made by the guest. `host`: a numeric address or "localhost". */
int guest_tunnel_open(struct guest *guest, const char *host, uint16_t port,
		      const struct guest_stream_callbacks *callbacks, void *data,
		      struct guest_stream **ret_stream, struct error *err) MUST_USE;

/* How many bytes were taken. Of a tunnel only after ready(). */
size_t guest_stream_write(struct guest_stream *stream, const void *bytes, size_t len);
/* Nothing more will be written. */
void guest_stream_finish(struct guest_stream *stream);
void guest_stream_resume(struct guest_stream *stream);
/* Breaks it off; no further callback. */
void guest_stream_abort(struct guest_stream *stream);
