/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest link: one byte stream between server ("host") and agent, in this order:
 *
 * 1. Handshake. The host sends LINK_PADDING bytes of '\n' and the line
 *        BANGER-LINK 1 <nonce: 32 lower-case hex digits>\n
 *    The agent looks for that line and drops all else. It answers
 *        \nBANGER-LINK 1 OK <nonce> <hello: JSON object>\n
 *    and the host drops everything up to the line with its own nonce. Either side may so meet a
 *    stream that still carries bytes of an earlier connection: the padding is longer than any
 *    frame that the other side can be in the middle of, and "\n\n\n" as a frame's length is beyond
 *    the allowed one, so an agent that still believes in an old session leaves it and scans again.
 *    hello: {"agent_version": "…", "boot_id": "…", "boot_us": n, "degraded": bool, "problem": "…"}
 *
 * 2. HTTP/2 with prior knowledge; the host is the client. Frames of at most LINK_FRAME_MAX bytes to
 *    the agent, and LINK_FRAME_MAX_HOST to the host.
 *
 * Requests. All bodies are JSON objects unless said otherwise; an error is a status >= 400 with
 * {"error": "sentence", "errno": n}.
 *
 *   POST /execs/{id}       frames both ways, see "Execs" below; id: [a-zA-Z0-9_-]{1,63}
 *   GET  /execs            {"execs": [{"id", "pid", "running", "attached"}]}
 *   POST /identity         any of {"hostname": s, "machine_id": 32 hex digits or "" (the next boot
 *                          makes one), "ssh_host_keys": "remove" | "regenerate", "entropy":
 *                          hex, "mac": "02:…", "net": s as in banger.net=, "boot_id": UUID,
 *                          "hooks": true: runs what lies in /etc/banger/identity.d}
 *   POST /home             any of {"authorized_keys": lines, "git_name": s, "git_email": s}, for
 *                          root; see agent/service/home.c
 *   POST /clock            {"realtime_us": n} sets the clock, {"adjust_us": n} moves it; {} only
 *                          reads. All reply
 *                          {"realtime_us": n, "adjusted_us": n}
 *   POST /stats            {} -> see agent/service/stats.c
 *   POST /ports            {} -> {"ports": [{"protocol", "address", "port", "pid", "process"}]}
 *   POST /sync             {} -> {} when all file systems have been flushed
 *   POST /poweroff         {"action": "reboot" | "poweroff", "force": bool}; the reply comes first.
 *                          Default: reboot, which is how a VMM with -no-reboot ends. In the mode
 *                          init=system the image's init is asked, unless forced.
 *   GET, HEAD /files/{path}?offset=n&length=n   bytes of a regular file; with ?last=n so many
 *                          before its end, or all there are. Reply headers: file-type
 *                          (file, dir, link, fifo, socket, char, block), file-size, file-mode
 *                          (octal), file-uid, file-gid, file-mtime-ns, etag. HEAD of a folder is
 *                          fine; GET of a folder replies {"entries": [{"name", "type", "size",
 *                          "mode", "uid", "gid", "mtime_ns", "target"}], "truncated": bool}
 *   PUT  /files/{path}?mode=octal&uid=n&gid=n&parents=1   body: the bytes; replaced atomically.
 *                          With &offset=n: written in place from there on, made if absent.
 *   DELETE /files/{path}?recursive=1
 *                          PUT and DELETE heed if-match and if-none-match: 412 where the file is
 *                          another version
 *   GET  /tar/{path}       the tree as a tar stream (pax), names relative to it. With ?root=1: as
 *                          an image has it, with extended attributes and without other mounts
 *   PUT  /tar/{path}       unpacks a tar stream below the folder, which is made if absent
 *   CONNECT host:port      a TCP connection from inside the guest; host is a numeric address
 *                          (IPv6 in brackets) or "localhost"
 *
 * Paths are absolute in the guest, percent-encoded, without their leading slash.
 *
 * Execs. Request and reply body are sequences of frames: type (1 byte), length of the payload
 * (4 bytes, big endian, at most LINK_EXEC_FRAME_MAX), payload. All numbers are big endian. The
 * first frame of a request is START, ATTACH or RELEASE. The reply begins with STARTED and
 * STDIN_ACK, or is END alone (and nothing at all for RELEASE).
 *
 * Output has one offset that counts the bytes of both streams. The agent keeps what has not been
 * acknowledged, at most LINK_EXEC_OUTPUT_MAX bytes, and then stops reading from the program: there
 * is never a gap. Input is bounded the same way: the host has at most LINK_EXEC_STDIN_WINDOW bytes
 * on their way to the program. A stream that ends without RELEASE leaves the exec alive; ATTACH
 * takes it up again and ends an older stream of it. START of an id that is known attaches to it
 * at offset 0, so it can be repeated when a link broke before STARTED came.
 */
#pragma once

#define LINK_PORT_NAME "banger.link" /* of the virtio-serial port */
#define LINK_HELLO     "BANGER-LINK 1 "
#define LINK_HELLO_OK  "BANGER-LINK 1 OK "
#define LINK_DISK_ROOT "root" /* serials of the disks: the image, a read-only squashfs */
#define LINK_DISK_WORK "work" /* the VM's own ext4 */

/*
 * Words on the kernel's command line. The first value given counts.
 *   banger.hostname=<DNS label>
 *   banger.init=agent|system    who is PID 1: the agent (default), or the image's own /sbin/init
 *   banger.work=disk|tmpfs      what is written goes to the disk `work` (default) or to memory
 *   banger.net=<address>/<prefix>[,gw=<address>][,dns=<address>]…[,dev=<name>][,mtu=<n>]
 *                               [,mac=<address>][,ip6=<address>/<prefix>][,gw6=<address>]
 *                               dev: the first interface that is not the loopback
 *   banger.disks=<name>:<serial>[,…]  what the disks' serials are where the VMM chooses them itself
 * A word that can't be understood makes the agent come up degraded.
 */
#define LINK_WORD_HOSTNAME "banger.hostname="
#define LINK_WORD_INIT     "banger.init="
#define LINK_WORD_WORK     "banger.work="
#define LINK_WORD_NET      "banger.net="
#define LINK_WORD_DISKS    "banger.disks="

enum {
	LINK_VSOCK_PORT = 1024,
	LINK_NONCE_LEN = 32,
	LINK_FRAME_MAX = 32 * 1024,       /* payload of an HTTP/2 frame to the agent … */
	LINK_FRAME_MAX_HOST = 128 * 1024, /* … and to the host, which takes less to handle each */
	LINK_FRAME_HEAD = 9,
	LINK_PADDING = LINK_FRAME_MAX + 64,
	LINK_LINE_MAX = 2048,              /* a handshake line with its end */
	LINK_HEADERS_MAX = 16384,          /* bytes of one header section */
	LINK_HEADER_FIELDS_MAX = 64,       /* fields of one */
	LINK_STREAMS_MAX = 256,            /* at once on one link */
	LINK_STREAM_WINDOW = 256 * 1024,   /* receive window of a stream */
	LINK_STREAM_WINDOW_WIDE = 1 << 21, /* of one that many bytes come on … */
	LINK_STREAMS_WIDE = 8,             /* … as so many at once may have it */
	LINK_DATA_MAX = 64 * 1024,         /* what a reader is given at once */
	LINK_STREAM_BUFFER = 128 * 1024,   /* send buffer of a stream */
	LINK_JSON_MAX = 1024 * 1024,       /* a JSON body */
	LINK_EXEC_ID_MAX = 63,             /* characters of an exec's id */
	LINK_EXEC_FRAME_MAX = 256 * 1024,  /* payload of an exec frame; START is the large one */
	LINK_EXEC_CHUNK = 16 * 1024,       /* most bytes of output or input in a frame */
	LINK_EXEC_OUTPUT_MAX = 1 << 20,    /* output kept until acknowledged */
	LINK_EXEC_STDIN_WINDOW = 64 * 1024,
	LINK_EXECS_MAX = 1024,      /* running ones */
	LINK_EXECS_ENDED_MAX = 256, /* ended ones that nobody has released: oldest go first */
};

enum link_exec_frame {
	/* host to agent */
	LINK_EXEC_START = 0x01,  /* JSON: {"argv": [s], "env": {k: s}, "cwd": s, "user": s, "tty":
				    bool, "rows": n, "cols": n, "timeout_ms": n, "stdin": bool}; a
				    "cwd" that ends with '/' is made where it is missing */
	LINK_EXEC_ATTACH = 0x02, /* u64 offset of the output to go on from */
	LINK_EXEC_STDIN = 0x03,  /* u64 offset in the input, bytes */
	LINK_EXEC_STDIN_END = 0x04,
	LINK_EXEC_SIGNAL = 0x05,  /* u32 number; to the process group */
	LINK_EXEC_RESIZE = 0x06,  /* u16 rows, u16 columns */
	LINK_EXEC_ACK = 0x07,     /* u64: output below this offset is safe */
	LINK_EXEC_RELEASE = 0x08, /* kill if it runs, forget all of it, end the stream */

	/* agent to host */
	LINK_EXEC_STARTED = 0x81,   /* JSON: {"pid": n, "offset": n}: output goes on from there */
	LINK_EXEC_STDOUT = 0x82,    /* u64 offset, bytes */
	LINK_EXEC_STDERR = 0x83,    /* u64 offset, bytes */
	LINK_EXEC_STDIN_ACK = 0x84, /* u64 bytes received, u64 bytes given to the program */
	LINK_EXEC_END = 0x85, /* JSON: one of {"code": n}, {"signal": n}, {"error": s, "errno":
				 n}; with "timed_out": true where the time limit ended it */
};
