/* SPDX-License-Identifier: Apache-2.0 */
/* On its own because names in OpenSSL's headers collide with lib/base/error.h. */
#include "server/http/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/hex.h"

int ws_accept_key(const char *key, char *ret_accept)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[WS_KEY_LEN + sizeof(guid)];
	unsigned int len = 0;

	memcpy(text, key, WS_KEY_LEN);
	memcpy(text + WS_KEY_LEN, guid, sizeof(guid));
	if (!EVP_Digest(text, WS_KEY_LEN + sizeof(guid) - 1, digest, &len, EVP_sha1(), NULL))
		return -EIO;
	(void)EVP_EncodeBlock((unsigned char *)ret_accept, digest, (int)len);
	return 0;
}

int hash_parts(const struct hash_part *parts, size_t n, char ret_hex[HASH_HEX_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	int ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

	for (size_t i = 0; ok && i < n; i++) {
		uint64_t size = parts[i].len;

		ok = EVP_DigestUpdate(ctx, &size, sizeof(size)) &&
		     EVP_DigestUpdate(ctx, parts[i].data, parts[i].len);
	}
	ok = ok && EVP_DigestFinal_ex(ctx, digest, &len);
	EVP_MD_CTX_free(ctx);
	if (ok)
		hex_of(digest, len, ret_hex);
	return ok ? 0 : -EIO;
}
