#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: matrix.sh
# A matrix by labels: one job for each memory size and locale, all asked for at once. The server decides how many have a VM
# at the same time. The label `matrix` finds them again, the others tell them apart. Needs curl and jq.
# Exit status 1 when one of them failed.
set -euo pipefail
sock=${BANGER_SERVER:-${XDG_RUNTIME_DIR:-/tmp/banger-runtime-$(id -u)}/banger/server.sock}
api() {
	if [[ ${BANGER_SERVER:-} = http* ]]; then
		curl -sS --fail-with-body -H "Authorization: Bearer $BANGER_TOKEN" "$BANGER_SERVER$1" "${@:2}"
	else
		curl -sS --fail-with-body --unix-socket "$sock" "http://localhost$1" "${@:2}"
	fi
}

matrix=${CI_PIPELINE_ID:-$(date +%s)-$$}
script=$(cat ci/test.sh)
for memory in 128 256; do
	for locale in C de; do
		jq -nc --arg matrix "$matrix" --argjson memory $memory --arg locale $locale --arg script "$script" --arg fail "${FAIL:-0}" '{
			image: "mini", vcpus: 1, memory_mib: $memory, script: $script, env: {LANG: $locale, FAIL: $fail},
			labels: {matrix: $matrix, memory: "\($memory)", locale: $locale, queue: "matrix"}}' |
			api /runs -H "Idempotency-Key: $matrix-$memory-$locale" -d @- >/dev/null
	done
done

# Each of them in turn is waited for: the last one to end decides how long that takes.
all() { api "/runs?label=matrix=$matrix&limit=1000"; }
for run in $(all | jq -r '.items[].id'); do
	until [ "$(api "/runs/$run?fields=phase" -H 'Prefer: wait=300' | jq -r .phase)" = ended ]; do :; done
done
all | jq -r '.items | reverse[] | [.labels.memory, .labels.locale, .state, .exit_code // "-", "\(.duration_ms | round) ms"] | @tsv'
[ "$(all | jq '[.items[] | select(.state != "succeeded")] | length')" = 0 ]
