/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share.
 *
 * Life of a request: libmicrohttpd announces its target (request_new), then its headers
 * (intake_headers: everything that can be refused is refused here, before the body is read), then
 * its body, then its end (intake_dispatch: validation and the handler). A handler that does not
 * reply leaves the connection suspended; the reply resumes it, and libmicrohttpd asks once more.
 * Whatever happens, request_completed() is the last call.
 */
#pragma once

#include <microhttpd.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/id.h"
#include "server/http/document.h"
#include "server/http/http.h"
#include "server/http/limits.h"

enum {
	REPLY_HEADERS_MAX = 64,
	PRINCIPAL_MAX = 80,
	HEADER_BYTES_MAX = 16 * 1024, /* all header fields of a request */
	DISCARD_MAX =
		16 * 1024 * 1024, /* of a refused body, read so that the client sees the reply */
};

struct listener {
	struct http_server *server;
	struct MHD_Daemon *daemon;
	struct loop_fd *source;   /* the daemon's epoll descriptor */
	struct loop_timer *timer; /* the daemon's own deadlines, and resumed connections */
	struct clients clients;
	bool tcp;
	bool pumping;
	bool again;        /* asked for while pumping */
	unsigned int open; /* connections */
	bool starved;      /* a client could not be let in: descriptors or memory are short */
	int64_t retry_us;  /* when to try that again */
	int64_t told_us;   /* when the log was told, 0: never */
};

/* A target whose path and query have been found good for an operation. */
struct good_target {
	const struct operation *op; /* NULL: none here */
	char *target;
};

enum { GOOD_TARGETS = 64, GOOD_TARGET_MAX = 256 };

struct http_server {
	struct loop *loop;
	struct http_config config;
	struct document *document;
	struct listener unix_listener;
	struct listener tcp_listener;
	bool bound; /* the socket file is ours, to be removed */
	uint16_t port;
	char *tls_cert, *tls_key; /* PEM, while the TCP listener starts */
	bool tls;                 /* of the TCP port */
	int web_fd;               /* folder of the dashboard's files, -1 without */
	struct session_tickets *tickets;
	struct previews *previews;
	struct rates rates;
	struct replay *replays;        /* requests with an Idempotency-Key that are under way */
	struct http_request *requests; /* all that are alive */
	struct http_request *spare;    /* some that are not */
	unsigned int n_spare;
	struct good_target good_targets[GOOD_TARGETS];
	struct http_counts counts;
};

struct reply_header {
	char *name;
	char *value;
};

struct http_request {
	struct http_server *server;
	struct listener *listener;
	struct MHD_Connection *connection;
	struct client *client; /* NULL where memory was short */
	struct http_request *prev, *next;

	bool uri_bad;
	bool wants_host; /* speaks HTTP/1.1 */
	bool seen;       /* headers have been looked at */
	const char *method;
	uint64_t absent; /* bits of header fields that are known not to be there (header_bit) */
	const struct operation *op;
	struct route_match match;
	enum http_scope scope;
	char principal[PRINCIPAL_MAX];
	bool by_cookie;  /* the session cookie says who it is */
	bool by_preview; /* the host name does: a page that a guest serves */

	struct buf body;
	size_t body_seen;
	size_t discarded;
	json_t *json;

	int wait_s;   /* of Prefer */
	bool cancels; /* the operation, when its client leaves */

	bool dispatched;
	bool suspended;
	bool aborted; /* the client is gone, or the server ends: the connection is to be closed */
	bool close_after;
	size_t n_headers;
	struct MHD_Response *response; /* made, not yet queued */
	struct http_text *shared;      /* it is this text's, not ours */
	unsigned int status;
	bool queued;

	loop_fn *gone;
	void *gone_data;
	struct loop_fd *watch;  /* of the client's leaving, while suspended */
	uint64_t stream_length; /* of the reply; UINT64_MAX: not known */
	struct http_stream *stream;
	struct http_tunnel *tunnel;
	const struct http_upload_callbacks *upload;
	void *upload_data;
	bool upload_ended;
	bool upload_late;      /* its handler waits before it reads the body */
	struct replay *replay; /* whose reply is kept */
	struct replay *waits;  /* for the reply to the same request */
	struct http_request *next_waiter;
	struct id new_id;

	/* Long; not cleared for each request. */
	struct error uri_error; /* found before there could be a reply */
	struct uri uri;
	struct reply_header headers[REPLY_HEADERS_MAX];
};

/* --- server.c --- */

/* Has libmicrohttpd look at its connections soon. */
void listener_kick(struct listener *listener);

/* --- request.c --- */

struct http_request *request_new(struct listener *listener, struct MHD_Connection *connection,
				 const char *target);
void request_free(struct http_request *req);
/* The server ends. */
void requests_done(struct http_server *server);
/* The connection waits until request_resume(); its client's leaving is noticed. */
void request_suspend(struct http_request *req);
void request_resume(struct http_request *req);
/* Tells whoever waits that the client has left (once), and lets the connection end. */
void request_abort(struct http_request *req);
/* Where a header field's absence is noted: most of those that are asked for are not there. */
static inline uint64_t header_bit(const char *name, size_t len)
{
	return UINT64_C(1) << ((len + 7 * ((unsigned char)name[0] | 0x20U)) & 63);
}
/* The handler has added such a header to the reply. */
bool request_replies_with(const struct http_request *req, const char *name);
/* Queues the reply that has been made. */
enum MHD_Result request_queue(struct http_request *req);
void request_set_response(struct http_request *req, unsigned int status,
			  struct MHD_Response *response);
/* A whole reply; `data` is what `response` will send. Steals the response, NULL when there was no
 * memory for it. */
void reply_whole(struct http_request *req, int status, const char *content_type, const char *data,
		 size_t len, struct MHD_Response *response);
/* Whether a reply can be sent that is the same for all: no header of its own, and no waiting for
 * it. */
bool request_takes_shared(const struct http_request *req);
/* Such a reply with the text that it belongs to, which is held until it is queued. `response` NULL:
 * no memory for it. */
void reply_shared(struct http_request *req, int status, struct http_text *text,
		  struct MHD_Response *response);
void reply_problem(struct http_request *req, const struct error *err, const char *operation,
		   json_t *errors, bool more);

/* --- intake.c --- */

/* Refuses what can be refused from target and headers: true when a reply has been made. */
bool intake_headers(struct http_request *req);
/* Takes what it can of the body and lowers *len to what is left; false: the connection is to be
 * closed. */
bool intake_body(struct http_request *req, const char *data, size_t *len);
/* The whole request is there. */
void intake_dispatch(struct http_request *req);
/* The rest of it, once the gate lets the request through. */
void intake_go_on(struct http_request *req);

/* Runs the handler of a request that has been found good. */
void intake_run(struct http_request *req);

/* --- prefer.c --- */

/* Reads `Prefer`; what is malformed of what is known is an error. */
int prefer_read(struct http_request *req, struct error *err) MUST_USE;

/* --- gate.c --- */

/* True: the change can be written. False: the request waits for that, or has been refused. */
bool gate_pass(struct http_request *req);

/* --- params.c --- */

/* Holds the parameters against the document; what is wrong is added to `v`. */
void params_check(struct http_request *req, struct violations *v);
/* Of a 404 the entry of `errors` that tells which part of the path names nothing. New reference;
 * NULL where that can't be told. */
json_t *params_missing(const struct http_request *req, const struct error *err);
/* The server ends. */
void params_forget(struct http_server *server);

/* --- conditional.c --- */

enum { HTTP_ETAG_SIZE = 20 };
/* What is read has its content's hash (FNV-1a) as version, unless the handler knows a better one.
 */
void http_json_etag(const char *text, size_t len, char etag[HTTP_ETAG_SIZE]);
/* If-None-Match has it. */
bool http_matches_etag(const struct http_request *req, const char *etag);

/* --- fields.c --- */

/* Adds what `?fields=` names and the document does not know. */
void fields_check(const struct http_request *req, struct violations *v);

/* --- replay.c --- */

/* False when the request is answered from memory, waits for its twin, or is refused. */
bool replay_begin(struct http_request *req);
/* A whole reply has been made; `data` is borrowed. */
void replay_done(struct http_request *req, int status, const char *content_type, const char *data,
		 size_t len);
/* The server ends. */
void replays_forget(struct http_server *server);
/* The reply is a stream, or there will be none: nothing to be said again. */
void replay_drop(struct http_request *req);

/* --- refusal.c --- */

enum { CONTENT_LENGTH_DIGITS = 18 };
enum length_fault { LENGTH_FINE, LENGTH_NO_NUMBER, LENGTH_TOO_LARGE };
/* What is wrong with the value of a Content-Length. */
enum length_fault content_length_fault(const char *value, size_t len);

/* --- auth.c --- */

/* What follows the name in Host: nothing, or a colon and a port. Another port than the listener's
 * is fine: forwards and proxies have their own. */
bool host_port_valid(const char *rest);
/* Host and Origin of a request by TCP: 0, or err set. */
int auth_check_site(const struct http_request *req, struct error *err) MUST_USE;
/* Fills principal and scope; 0, or err set when the operation wants more than that. */
int auth_check(struct http_request *req, enum http_scope want, struct error *err) MUST_USE;
/* May this peer of the unix socket connect at all? */
bool auth_peer_allowed(uid_t uid);

/* --- listen.c --- */

/* A listening socket or a negative errno with err set. */
int listen_unix(const char *path, struct error *err) MUST_USE;
/*
 * The listening socket at `path` that systemd has bound and handed over (sd_listen_fds(3)): the
 * descriptor; 0 when nothing was; a negative errno when what was is something else. Its file is
 * systemd's.
 */
int listen_inherited(const char *path, struct error *err) MUST_USE;
/* Only an address of loopback unless `beyond` is given. */
int listen_tcp(const char *host, uint16_t port, bool beyond, uint16_t *ret_port,
	       struct error *err) MUST_USE;
/* Text of a PEM file, the caller's; `secret`: nobody else may be able to read it. */
int read_pem(const char *path, bool secret, char **ret_text, struct error *err) MUST_USE;

/* --- stream.c --- */

/* The server ends: true when the owner has said its last word. */
bool stream_ending(struct http_stream *stream);
/* The client has left: the owner is told, unless it has ended the stream itself. */
void stream_completed(struct http_stream *stream);
/* The same, and the request ends before the stream's memory does. */
void stream_detach(struct http_stream *stream);

/* --- tunnel.c --- */

/* The connection has ended or is to end: the owner is told. */
void tunnel_abort(struct http_tunnel *tunnel);
/* The server ends: true when the owner has said its last word. The tunnel may be gone. */
bool tunnel_ending(struct http_tunnel *tunnel);

/* --- builtin.c: operations that this folder answers itself --- */

extern const struct http_handler builtin_handlers[];
extern const size_t builtin_handlers_n;
