#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Stands for the tests of a project: writes a report and ends with what it is told to.
set -eu
mkdir -p reports
cat >reports/unit.xml <<-XML
	<testsuite name="unit" tests="2" failures="${FAIL:-0}"><testcase name="adds"/>
	<testcase name="subtracts">$([ "${FAIL:-0}" = 0 ] || echo '<failure message="wrong"/>')</testcase></testsuite>
XML
echo "tested on $(uname -r) with $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB"
exit "${FAIL:-0}"
