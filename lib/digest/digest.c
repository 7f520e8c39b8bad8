/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/digest/digest.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

enum { READ_BYTES = 256 * 1024, SPARSE_BLOCK = 64 * 1024 };

static EVP_MD *sha256; /* as long as the program lives */

static void to_hex(const unsigned char *bytes, size_t len, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * len] = '\0';
}

void digest_abandon(struct digest_stream *stream)
{
	EVP_MD_CTX_free(stream->ctx);
	stream->ctx = NULL;
}

/* OpenSSL would look it up by its name each time. */
static void find_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

int digest_start(struct digest_stream *stream)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, find_sha256);
	stream->ctx = EVP_MD_CTX_new();
	if (!stream->ctx)
		return -ENOMEM;
	if (!sha256 || EVP_DigestInit_ex(stream->ctx, sha256, NULL) != 1) {
		digest_abandon(stream);
		return -EIO;
	}
	return 0;
}

int digest_update(struct digest_stream *stream, const void *data, size_t len)
{
	return EVP_DigestUpdate(stream->ctx, data, len) == 1 ? 0 : -EIO;
}

int digest_finish(struct digest_stream *stream, struct digest *ret_digest)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	int ok = EVP_DigestFinal_ex(stream->ctx, md, &len);

	digest_abandon(stream);
	if (ok != 1 || len * 2 != DIGEST_HEX)
		return -EIO;
	to_hex(md, len, ret_digest->hex);
	return 0;
}

int digest_bytes(const void *data, size_t len, struct digest *ret_digest)
{
	struct digest_stream stream CLEANUP(digest_abandon) = DIGEST_STREAM_INIT;
	int r = digest_start(&stream);

	if (r == 0)
		r = digest_update(&stream, data, len);
	return r < 0 ? r : digest_finish(&stream, ret_digest);
}

int digest_file(int fd, struct digest *ret_digest)
{
	struct digest_stream stream CLEANUP(digest_abandon) = DIGEST_STREAM_INIT;
	autofree char *data = malloc(READ_BYTES);
	off_t at = 0;
	int r;

	if (!data)
		return -ENOMEM;
	r = digest_start(&stream);
	while (r == 0) {
		ssize_t n = pread(fd, data, READ_BYTES, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return digest_finish(&stream, ret_digest);
		r = digest_update(&stream, data, (size_t)n);
		at += n;
	}
	return r;
}

/* Reads up to a whole block; fewer bytes at the end of the file only. */
static ssize_t read_block(int fd, unsigned char *block, off_t at)
{
	size_t have = 0;

	while (have < SPARSE_BLOCK) {
		ssize_t n = pread(fd, block + have, SPARSE_BLOCK - have, at + (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* Zeros count for nothing: the number of the block in front says what was left out. */
static int update_sparse(struct digest_stream *stream, const unsigned char *block, size_t len,
			 off_t at)
{
	uint64_t place = htole64((uint64_t)at);
	int r;

	if (len == 0 || (block[0] == 0 && memcmp(block, block + 1, len - 1) == 0))
		return 0;
	r = digest_update(stream, &place, sizeof(place));
	return r < 0 ? r : digest_update(stream, block, len);
}

int digest_sparse(int fd, struct digest *ret_digest)
{
	struct digest_stream stream CLEANUP(digest_abandon) = DIGEST_STREAM_INIT;
	autofree unsigned char *block = malloc(SPARSE_BLOCK);
	uint64_t size;
	struct stat st;
	off_t at = 0;
	int r = block ? digest_start(&stream) : -ENOMEM;

	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r < 0)
		return r;
	size = htole64((uint64_t)st.st_size);
	r = digest_update(&stream, &size, sizeof(size));
	while (r == 0 && at < st.st_size) {
		off_t data = lseek(fd, at, SEEK_DATA);
		ssize_t n;

		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0)
			return -errno;
		at = data / SPARSE_BLOCK * SPARSE_BLOCK;
		n = read_block(fd, block, at);
		if (n < 0)
			return (int)n;
		r = update_sparse(&stream, block, (size_t)n, at);
		at += SPARSE_BLOCK;
	}
	return r < 0 ? r : digest_finish(&stream, ret_digest);
}

bool digest_hex_valid(const char *s)
{
	return strspn(s, "0123456789abcdef") == DIGEST_HEX && s[DIGEST_HEX] == '\0';
}
