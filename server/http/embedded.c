/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/embedded.h"

/* The assembler reads the file; a NUL follows the bytes. */
#define EMBED(name, path)                                                                      \
	__asm__(".pushsection .rodata\n"                                                       \
		".global " #name "_begin\n" #name "_begin:\n"                                  \
		".incbin \"" path "\"\n"                                                       \
		".global " #name "_end\n" #name "_end:\n"                                      \
		".byte 0\n"                                                                    \
		".popsection\n");                                                              \
	extern const char name##_begin[];                                                      \
	extern const char name##_end[];                                                        \
	struct embedded name(void)                                                             \
	{                                                                                      \
		return (struct embedded){ name##_begin, (size_t)(name##_end - name##_begin) }; \
	}

EMBED(embedded_openapi_json, OPENAPI_JSON)
EMBED(embedded_openapi_rules, OPENAPI_RULES)
EMBED(embedded_openapi_json_gz, OPENAPI_JSON ".gz")
EMBED(embedded_openapi_yaml, OPENAPI_YAML)
EMBED(embedded_docs_html, DOCS_HTML)
EMBED(embedded_docs_html_gz, DOCS_HTML ".gz")
