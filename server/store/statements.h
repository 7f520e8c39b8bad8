/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every statement of the store, by name. STATEMENTS(X) is X(NAME, "SQL") for each.
 */
#pragma once

#define VM_COLUMNS                                                                             \
	"id, name, state, reason, since_ms, desired, image_id, image_name, kernel_id, vcpus, " \
	"memory_mib, disk_mib, "                                                               \
	"network, nat, init, labels, vmm, accel, pid, start_time, boot_id, booted_from, "      \
	"snapshot, created_ms, started_ms, "                                                   \
	"ends_ms, idle_stop_s, idle_suspend_s, wake, isolated, address"

#define VM_SET_STATE_TEXT                                                      \
	"UPDATE vms SET state = ?2, reason = ?3, since_ms = ?4, desired = ?5 " \
	"WHERE id = ?1 AND state = ?6"

#define EXEC_COLUMNS                                                                            \
	"id, vm_id, state, argv, user, by, tty, temporary, pid, exit_code, signal, timed_out, " \
	"output_bytes, reason, created_ms, started_ms, ended_ms"

#define STATEMENTS(X)                                                                              \
	X(BEGIN, "BEGIN IMMEDIATE")                                                                \
	X(COMMIT, "COMMIT")                                                                        \
	X(ROLLBACK, "ROLLBACK")                                                                    \
                                                                                                   \
	X(VM_INSERT, "INSERT INTO vms (" VM_COLUMNS ") VALUES "                                    \
		     "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?"   \
		     "21,?22,?23,?24,"                                                             \
		     "?25,?26,?27,?28,?29,?30,?31)")                                               \
	X(VM_LIST, "SELECT " VM_COLUMNS " FROM vms ORDER BY created_ms, id")                       \
	X(VM_DELETE, "DELETE FROM vms WHERE id = ?1")                                              \
	X(VM_SET_STATE, VM_SET_STATE_TEXT)                                                         \
	X(VM_SET_DELETING, VM_SET_STATE_TEXT)                                                      \
	X(VM_SET_PROCESS,                                                                          \
	  "UPDATE vms SET vmm = ?2, accel = ?3, pid = ?4, start_time = ?5, boot_id = ?6, "         \
	  "booted_from = ?7, started_ms = ?8, snapshot = ?9 WHERE id = ?1")                        \
	X(VM_SET_SPEC,                                                                             \
	  "UPDATE vms SET name = ?2, vcpus = ?3, memory_mib = ?4, disk_mib = ?5, nat = ?6, "       \
	  "labels = ?7, ends_ms = ?8, idle_stop_s = ?9, idle_suspend_s = ?10, wake = ?11, "        \
	  "address = ?12 WHERE id = ?1")                                                           \
                                                                                                   \
	X(IMAGE_PUT,                                                                               \
	  "INSERT INTO images (id, name, source, size_bytes, config, created_ms) "                 \
	  "VALUES (?1,?2,?3,?4,?5,?6) ON CONFLICT (name) DO UPDATE SET id = excluded.id, "         \
	  "source = excluded.source, size_bytes = excluded.size_bytes, config = excluded.config, " \
	  "created_ms = excluded.created_ms")                                                      \
	X(IMAGE_LIST,                                                                              \
	  "SELECT id, name, source, size_bytes, config, created_ms FROM images ORDER BY name")     \
	X(IMAGE_DELETE, "DELETE FROM images WHERE name = ?1")                                      \
                                                                                                   \
	X(KERNEL_PUT,                                                                              \
	  "INSERT INTO kernels (id, name, version, source, size_bytes, cmdline, created_ms) "      \
	  "VALUES (?1,?2,?3,?4,?5,?6,?7) ON CONFLICT (name) DO UPDATE SET id = excluded.id, "      \
	  "version = excluded.version, source = excluded.source, "                                 \
	  "size_bytes = excluded.size_bytes, cmdline = excluded.cmdline, "                         \
	  "created_ms = excluded.created_ms")                                                      \
	X(KERNEL_LIST,                                                                             \
	  "SELECT id, name, version, source, size_bytes, cmdline, created_ms FROM kernels "        \
	  "ORDER BY name")                                                                         \
	X(KERNEL_DELETE, "DELETE FROM kernels WHERE name = ?1")                                    \
                                                                                                   \
	X(OPERATION_PUT,                                                                           \
	  "INSERT INTO operations (id, kind, target, state, created_ms, document) "                \
	  "VALUES (?1,?2,?3,?4,?5,?6) ON CONFLICT (id) DO UPDATE SET state = excluded.state, "     \
	  "document = excluded.document")                                                          \
	X(OPERATION_GET, "SELECT document FROM operations WHERE id = ?1")                          \
	X(OPERATION_LIST, "SELECT document FROM operations WHERE id < ?1 "                         \
			  "AND (?3 IS NULL OR substr(kind, 1, length(?3)) = ?3) "                  \
			  "AND (?4 IS NULL OR target = ?4) AND (?5 IS NULL OR state = ?5) "        \
			  "ORDER BY id DESC LIMIT ?2")                                             \
	X(OPERATION_INTERRUPTED,                                                                   \
	  "SELECT document FROM operations WHERE state IN ('queued', 'running')")                  \
	X(OPERATION_EXPIRE, "DELETE FROM operations WHERE created_ms < ?1")                        \
	X(OPERATION_BOUND, "DELETE FROM operations WHERE id <= "                                   \
			   "(SELECT id FROM operations ORDER BY id DESC LIMIT 1 OFFSET ?1)")       \
                                                                                                   \
	X(RUN_PUT, "INSERT INTO runs (id, state, created_ms, document) VALUES (?1,?2,?3,?4) "      \
		   "ON CONFLICT (id) DO UPDATE SET state = excluded.state, "                       \
		   "document = excluded.document")                                                 \
	X(RUN_GET, "SELECT document FROM runs WHERE id = ?1")                                      \
	X(RUN_LIST, "SELECT document FROM runs WHERE id < ?1 ORDER BY id DESC")                    \
	X(RUN_BEYOND, "SELECT id FROM runs WHERE state NOT IN ('queued', 'running') "              \
		      "ORDER BY id DESC LIMIT 1 OFFSET ?1")                                        \
	X(RUN_DELETE, "DELETE FROM runs WHERE id = ?1")                                            \
                                                                                                   \
	X(EVENT_INSERT, "INSERT INTO events (seq, at_ms, kind, target, who, document) "            \
			"VALUES (?1,?2,?3,?4,?5,?6)")                                              \
	X(EVENT_LIST, "SELECT seq, document FROM events WHERE seq > ?1 "                           \
		      "AND (?3 IS NULL OR substr(kind, 1, length(?3)) = ?3) "                      \
		      "AND (?4 IS NULL OR target = ?4) AND (?5 IS NULL OR who = ?5) "              \
		      "ORDER BY seq LIMIT ?2")                                                     \
	X(EVENT_LATEST, "SELECT seq, document FROM events ORDER BY seq DESC LIMIT ?1")             \
	X(EVENT_BOUND, "DELETE FROM events WHERE kind <> 'request' AND seq <= "                    \
		       "(SELECT seq FROM events WHERE kind <> 'request' "                          \
		       "ORDER BY seq DESC LIMIT 1 OFFSET ?1)")                                     \
	X(EVENT_BOUND_REQUESTS, "DELETE FROM events WHERE kind = 'request' AND seq <= "            \
				"(SELECT seq FROM events WHERE kind = 'request' "                  \
				"ORDER BY seq DESC LIMIT 1 OFFSET ?1)")                            \
	X(EVENT_LAST_NAMED,                                                                        \
	  "SELECT target FROM events WHERE kind = ?1 AND instr(document, ?2) > 0 "                 \
	  "ORDER BY seq DESC LIMIT 1")                                                             \
	X(EVENT_OLDEST, "SELECT coalesce(min(seq), 0) FROM events WHERE kind <> 'request'")        \
                                                                                                   \
	X(TOKEN_INSERT,                                                                            \
	  "INSERT INTO tokens (id, name, scope, hash, created_ms, expires_ms, used_ms) "           \
	  "VALUES (?1,?2,?3,?4,?5,?6,0)")                                                          \
	X(TOKEN_LIST,                                                                              \
	  "SELECT id, name, scope, hash, created_ms, expires_ms, used_ms FROM tokens ORDER BY id") \
	X(TOKEN_USED, "UPDATE tokens SET used_ms = ?2 WHERE id = ?1")                              \
	X(TOKEN_DELETE, "DELETE FROM tokens WHERE id = ?1")                                        \
                                                                                                   \
	X(EXEC_INSERT, "INSERT INTO execs (" EXEC_COLUMNS ") VALUES "                              \
		       "(?1,?2,?3,?4,?5,?6,?7,?8,0,-1,0,0,0,'',?9,0,0)")                           \
	X(EXEC_UPDATE,                                                                             \
	  "UPDATE execs SET state = ?2, pid = ?3, exit_code = ?4, signal = ?5, timed_out = ?6, "   \
	  "output_bytes = ?7, reason = ?8, started_ms = ?9, ended_ms = ?10 WHERE id = ?1")         \
	X(EXEC_DELETE, "DELETE FROM execs WHERE id = ?1")                                          \
	X(EXEC_LIST, "SELECT " EXEC_COLUMNS " FROM execs ORDER BY id")                             \
                                                                                                   \
	X(HOLD_INSERT,                                                                             \
	  "INSERT INTO holds (id, vm_id, reason, who, expires_ms) VALUES (?1,?2,?3,?4,?5)")        \
	X(HOLD_DELETE, "DELETE FROM holds WHERE id = ?1")                                          \
	X(HOLD_LIST, "SELECT id, vm_id, reason, who, expires_ms FROM holds ORDER BY id")           \
                                                                                                   \
	X(FORWARD_INSERT, "INSERT INTO forwards (id, vm_id, host_port, guest_host, guest_port) "   \
			  "VALUES (?1,?2,?3,?4,?5)")                                               \
	X(FORWARD_DELETE, "DELETE FROM forwards WHERE id = ?1")                                    \
	X(FORWARD_LIST,                                                                            \
	  "SELECT id, vm_id, host_port, guest_host, guest_port FROM forwards ORDER BY id")         \
                                                                                                   \
	X(WORKSPACE_PUT, "INSERT INTO workspaces (vm_id, document) VALUES (?1,?2) "                \
			 "ON CONFLICT (vm_id) DO UPDATE SET document = excluded.document")         \
	X(WORKSPACE_GET, "SELECT document FROM workspaces WHERE vm_id = ?1")                       \
	X(WORKSPACE_COPY, "INSERT INTO workspaces (vm_id, document) "                              \
			  "SELECT ?1, document FROM workspaces WHERE vm_id = ?2")                  \
	X(WORKSPACE_DELETE, "DELETE FROM workspaces WHERE vm_id = ?1")                             \
                                                                                                   \
	X(IDEMPOTENCY_GET, "SELECT request_hash, status, headers, body FROM idempotency WHERE "    \
			   "key = ?1 AND who = ?2")                                                \
	X(IDEMPOTENCY_PUT,                                                                         \
	  "INSERT INTO idempotency (key, who, request_hash, status, headers, body, created_ms) "   \
	  "VALUES (?1,?2,?3,?4,?5,?6,?7) ON CONFLICT (key, who) DO UPDATE SET "                    \
	  "status = excluded.status, headers = excluded.headers, body = excluded.body")            \
	X(IDEMPOTENCY_DELETE, "DELETE FROM idempotency WHERE key = ?1 AND who = ?2")               \
	X(IDEMPOTENCY_EXPIRE, "DELETE FROM idempotency WHERE created_ms < ?1")

#define STATEMENT_ENUM(name, sql) STMT_##name,
enum statement { STATEMENTS(STATEMENT_ENUM) STMT_MAX_ };
#undef STATEMENT_ENUM
