#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: step.sh [SCRIPT]
# A step of any CI system: sends this folder into a VM made for it and runs SCRIPT (default: sh ci/test.sh) there.
# Needs curl and jq. Output comes as it is made; the exit code is the script's, 125 when it could not be run.
set -euo pipefail
sock=${BANGER_SERVER:-${XDG_RUNTIME_DIR:-/tmp/banger-runtime-$(id -u)}/banger/server.sock}
api() {
	if [[ ${BANGER_SERVER:-} = http* ]]; then
		curl -sS --fail-with-body -H "Authorization: Bearer $BANGER_TOKEN" "$BANGER_SERVER$1" "${@:2}"
	else
		curl -sS --fail-with-body --unix-socket "$sock" "http://localhost$1" "${@:2}"
	fi
}

job=$(jq -nc --arg script "${1:-sh ci/test.sh}" --arg fail "${FAIL:-0}" '{image: "mini", vcpus: 1, memory_mib: 256, script: $script,
	env: {FAIL: $fail}, workspace: {path: "/workspace"}, artifacts: ["/workspace/reports"], timeout_s: 1200}')
# A connection that breaks is tried again; the key makes sure that the job is not begun twice.
run=$(api /runs --retry 3 -H "Idempotency-Key: ${CI_JOB_ID:-$RANDOM$RANDOM}" -d "$job" | jq -r .id)
trap 'api "/runs/$run" -X DELETE >/dev/null' INT TERM
tar -cf - . | api "/runs/$run/workspace" -H 'Content-Type: application/x-tar' -T - || true # then the output says why
api "/runs/$run/output" -H 'Accept: text/plain' -N
api "/runs/$run/artifacts" | tar -xf - || true
api "/runs/$run" -H 'Prefer: wait=60' | jq -r '.junit[]? | "\(.path): \(.tests) tests, \(.failures) failed"'
exit "$(api "/runs/$run" | jq -r '.exit_code // 125')"
