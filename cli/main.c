/* SPDX-License-Identifier: Apache-2.0 */
/* banger: the command line over the REST API. Nothing here that curl could not do. */
#include "cli/cli.h"

int main(int argc, char *argv[])
{
	return cli_main(argc, argv);
}
