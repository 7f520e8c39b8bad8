/* SPDX-License-Identifier: Apache-2.0 */
/* Every command of the CLI, in the order that help lists them. */
#include <stddef.h>

#include "cli/args.h"
#include "cli/cli.h"
#include "lib/base/macro.h"

#define SHAPE                                                                                   \
	(OPTION(NAME) | OPTION(IMAGE) | OPTION(KERNEL) | OPTION(VCPUS) | OPTION(MEMORY) |       \
	 OPTION(DISK) | OPTION(NETWORK) | OPTION(NAT) | OPTION(NO_NAT) | OPTION(NO_ISOLATION) | \
	 OPTION(LABEL) | OPTION(TTL) | OPTION(INIT) | OPTION(BOOT) | OPTION(FROM_SNAPSHOT) |    \
	 OPTION(IDLE_STOP) | OPTION(IDLE_SUSPEND) | OPTION(WAKE))
#define COMMAND_OPTIONS (OPTION(ENV) | OPTION(CWD) | OPTION(USER) | OPTION(TIMEOUT) | OPTION(STDIN))

#define WORKSPACE_OPTIONS \
	(OPTION(DRY_RUN) | OPTION(UNTRACKED) | OPTION(MODE) | OPTION(BRANCH) | OPTION(FROM_COMMIT))

#define SEVERAL_TEXT                                                                           \
	"Several VMs are worked on at once and answered in the order given. Those that exist " \
	"are done even when others do not; the exit status is then 1."

const struct command commands[] = {
	{
		.path = "run",
		.summary = "run a command in a VM made for it",
		.usage = "[OPTION…] -- COMMAND…",
		.text = "The server makes a VM, runs the command and deletes the VM whatever "
			"happens. Runs beyond the server's limit wait for their turn; those with "
			"different values of the label queue take turns.\n\n"
			"The exit status is the command's own; 125 when the run failed around it, "
			"128 + n when signal n ended the command or this program.",
		.examples = "banger run -- echo hello\n"
			    "banger run --workspace . --timeout 20m -- make test\n"
			    "banger run --workspace . --artifact /workspace/out=out.tar -- make",
		.options = (SHAPE & ~(OPTION(NAME) | OPTION(TTL))) | OPTION(ENV) | OPTION(CWD) |
			   OPTION(USER) | OPTION(TIMEOUT) | OPTION(WORKSPACE) | OPTION(ARTIFACT) |
			   OPTION(KEEP) | OPTION(DETACH),
		.rest = REST_DASHES,
		.run = cmd_run,
	},
	{
		.path = "run list",
		.alias = "ls",
		.summary = "list runs",
		.usage = "[OPTION…]",
		.options = OPTION(STATE),
		.run = cmd_run_list,
	},
	{
		.path = "run show",
		.summary = "show everything about a run",
		.usage = "RUN…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.run = cmd_run_show,
	},
	{
		.path = "run output",
		.summary = "show or follow the output of a run",
		.usage = "RUN",
		.text = "The exit status is the command's own, as with run.",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_run_output,
	},
	{
		.path = "run cancel",
		.summary = "end runs and delete their VMs",
		.usage = "RUN…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.run = cmd_run_cancel,
	},
	{
		.path = "vm run",
		.summary = "create a VM and run a command in it",
		.usage = "[OPTION…] [PATH] [-- COMMAND…]",
		.text = "Creates a VM, runs the command in it and ends with the command's own exit "
			"status. The VM stays unless --rm is given: then it is deleted at the end, "
			"also after Ctrl-C. When this program or the server is killed before "
			"that, the server deletes it within two minutes, or once it is back: "
			"such a VM has an end (\"expires\") that this program moves on while it "
			"runs.\n\n"
			"With the PATH of a git repository its tracked files, as they are now, "
			"and a short history are put at /root/repo, and the command runs "
			"there.\n\n"
			"The first VM of a shape boots; the server then makes a template of that "
			"shape in the background, and later ones start from it in a fraction of "
			"the time: see banger template list. --boot cold always boots.\n\n"
			"Without a command the VM is left running, as with --detach.\n\n"
			"Exit status 125 means that the VM could not be made or the command not "
			"started; 128 + n that signal n ended the command or this program.",
		.examples = "banger vm run --rm -- echo hello\n"
			    "banger vm run --rm --memory 1G -e CI=1 -- sh -c 'make test'\n"
			    "banger vm run --rm ~/src/app -- make test\n"
			    "banger vm run --name web --detach",
		.options =
			SHAPE | COMMAND_OPTIONS | WORKSPACE_OPTIONS | OPTION(RM) | OPTION(DETACH),
		.max_args = 1,
		.rest = REST_DASHES,
		.run = cmd_vm_run,
	},
	{
		.path = "vm exec",
		.alias = "exec",
		.summary = "run a command in a running VM",
		.usage = "VM [[--] COMMAND…]",
		.text = "Without a command the one of the VM's image is run.\n\n"
			"Output comes as the command writes it, standard output and standard error "
			"each on its own. The exit status is the command's own; 125 when it could "
			"not be run, 128 + n when signal n ended it.\n\n"
			"No shell is involved: for pipes and variables run sh -c '…'.\n\n"
			"In a VM that was given a workspace the command begins there, unless --cwd "
			"or --user is given. When the repository on this host has changed since, "
			"that is said; with --auto-prepare it is sent again first: files of this "
			"host win, commits made in the guest go, and what else is there stays.\n\n"
			"With --detach the command goes on by itself and its id is printed: see "
			"the commands of banger execs.",
		.examples = "banger vm exec web uname -a\n"
			    "banger vm exec web -- sh -c 'cd /srv && ls -l'\n"
			    "banger vm exec --stdin web -- sh < script.sh\n"
			    "banger vm exec --tty web top\n"
			    "banger vm exec --detach web -- make test\n"
			    "banger vm exec --auto-prepare web -- make test",
		.options = COMMAND_OPTIONS | OPTION(DETACH) | OPTION(TTY) | OPTION(AUTO_PREPARE),
		.min_args = 1,
		.max_args = 1,
		.rest = REST_ARGS,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_exec,
	},
	{
		.path = "vm shell",
		.alias = "shell",
		.summary = "open a shell in a VM",
		.usage = "VM",
		.text = "On this terminal. After a newline, ~. ends the session, ~d leaves it (it "
			"is "
			"kept for five minutes), and ~~ is a tilde. A connection that breaks is "
			"opened again. The exit status is the shell's own.",
		.examples = "banger shell web\nbanger vm shell --user builder --cwd /srv web",
		.options = OPTION(USER) | OPTION(CWD) | OPTION(SESSION),
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_shell,
	},
	{
		.path = "vm console",
		.summary = "open a VM's serial console",
		.usage = "VM",
		.text = "After a newline, ~. leaves it. Firecracker's console is output only.",
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_console,
	},
	{
		.path = "vm ports",
		.summary = "list what listens in a VM",
		.usage = "VM",
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_ports,
	},
	{
		.path = "vm forward",
		.summary = "let ports of this host lead to ports of a VM",
		.usage = "VM [[HOST:]GUEST…]",
		.text = "8080:80 lets 127.0.0.1:8080 lead to port 80 of the guest, also where its "
			"server listens on the guest's own loopback; 80 alone takes any free port "
			"of "
			"the host. Forwards stay until they or the VM are taken away. Without "
			"ports "
			"they are listed.",
		.examples = "banger vm forward web 8080:80 5432\nbanger vm forward web",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_forward,
	},
	{
		.path = "vm unforward",
		.summary = "take forwards away",
		.usage = "VM HOSTPORT…",
		.min_args = 2,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_unforward,
	},
	{
		.path = "vm tunnel",
		.summary = "connect standard input and output to a port of a VM",
		.usage = "VM PORT",
		.text = "For programs that can use a command as their connection, as OpenSSH's "
			"ProxyCommand.",
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_tunnel,
	},
	{
		.path = "vm ssh",
		.alias = "ssh",
		.summary = "open an SSH session in a VM",
		.usage = "VM [-- COMMAND…]",
		.text = "By OpenSSH through the guest link, so no network is needed, as root. The "
			"key is banger's own; the guest's host keys are read over the link first, "
			"so there is nothing to trust on first use. The guest needs an SSH "
			"server: the image debian has one, for others there is banger shell.\n\n"
			"The exit status is ssh's: the command's own, or 255.",
		.examples = "banger vm ssh web\nbanger ssh web -- ls -l '/srv/a folder'",
		.min_args = 1,
		.max_args = 1,
		.rest = REST_DASHES,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_ssh,
	},
	{
		.path = "ssh-config",
		.summary = "let ssh, scp, git and editors reach NAME.vm",
		.usage = "[--install | --uninstall]",
		.text = "Writes banger's own ssh_config and prints the line that includes it. With "
			"--install that line is put at the top of ~/.ssh/config, in a marked "
			"block; --uninstall takes the block out. The rest of the file is left as "
			"it is.",
		.examples = "banger ssh-config --install\nssh web.vm\n"
			    "git clone web.vm:/root/repo",
		.options = OPTION(INSTALL) | OPTION(UNINSTALL),
		.run = cmd_ssh_config,
	},
	{
		.path = "ssh-proxy",
		.summary = "connect ssh to a VM, as its ProxyCommand",
		.usage = "NAME.vm PORT",
		.text = "Puts banger's key into the guest's /root/.ssh/authorized_keys, reads its "
			"host keys, and ties standard input and output to the port.",
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_ssh_proxy,
	},
	{
		.path = "vm create",
		.summary = "create a VM",
		.usage = "[OPTION…]",
		.text = "Creates a VM and starts it. What is not given is the server's default.",
		.examples = "banger vm create --name web --image mini --vcpus 2 --memory 512M\n"
			    "banger vm create --label team=ci --ttl 2h",
		.options = SHAPE | OPTION(NO_START) | OPTION(IF_EXISTS),
		.run = cmd_vm_create,
	},
	{
		.path = "vm list",
		.alias = "ls ps",
		.summary = "list VMs",
		.usage = "[OPTION…]",
		.examples = "banger ps\nbanger vm list --state running --label team=ci",
		.options = OPTION(STATE) | OPTION(LABEL) | OPTION(SORT),
		.run = cmd_vm_list,
	},
	{
		.path = "vm show",
		.summary = "show everything about a VM",
		.usage = "VM…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_show,
	},
	{
		.path = "vm logs",
		.summary = "show what a VM wrote on its serial console",
		.usage = "VM",
		.text = "On a terminal only colours of the guest's output are let through; into a "
			"pipe or file it goes as it is.",
		.options = OPTION(FOLLOW) | OPTION(TAIL),
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_logs,
	},
	{
		.path = "vm stats",
		.summary = "show what VMs use of the host",
		.usage = "[VM…]",
		.text = "Those that run, when none is named. MEMORY counts what clones have in "
			"common in parts, PRIVATE is what is this VM's alone, PEAK the most memory "
			"seen since the server started. IN GUEST and LOAD are what the guest says "
			"of its own memory and processes.",
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_stats,
	},
	{
		.path = "vm start",
		.summary = "start VMs",
		.usage = "VM…",
		.text = SEVERAL_TEXT,
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_verb,
	},
	{
		.path = "vm stop",
		.summary = "stop VMs cleanly",
		.usage = "VM…",
		.text = SEVERAL_TEXT,
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_verb,
	},
	{
		.path = "vm restart",
		.summary = "stop VMs and start them again",
		.usage = "VM…",
		.text = SEVERAL_TEXT,
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_verb,
	},
	{
		.path = "vm kill",
		.summary = "end VMs at once; unwritten data is lost",
		.usage = "VM…",
		.text = SEVERAL_TEXT,
		.examples = "banger vm kill web\nbanger vm kill --signal TERM web",
		.options = OPTION(SIGNAL),
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_verb,
	},
	{
		.path = "vm pause",
		.summary = "let VMs stand still, memory kept",
		.usage = "VM…",
		.text = SEVERAL_TEXT,
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_verb,
	},
	{
		.path = "vm resume",
		.summary = "let paused or suspended VMs go on",
		.usage = "VM…",
		.text = SEVERAL_TEXT,
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_verb,
	},
	{
		.path = "vm suspend",
		.summary = "write VMs' memory to disk and free it",
		.usage = "VM…",
		.text = SEVERAL_TEXT,
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_verb,
	},
	{
		.path = "vm recover",
		.summary = "bring failed VMs back",
		.usage = "VM…",
		.text = SEVERAL_TEXT,
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_verb,
	},
	{
		.path = "vm set",
		.summary = "change a VM",
		.usage = "VM OPTION…",
		.text = "Labels, --ttl, --idle-stop, --idle-suspend and --wake can change at any "
			"time, the others while the VM is stopped. Labels that are not given go. A "
			"disk only grows.",
		.examples = "banger vm set web --memory 1G --vcpus 2\nbanger vm set web --ttl 0",
		.options = OPTION(VCPUS) | OPTION(MEMORY) | OPTION(DISK) | OPTION(NAT) |
			   OPTION(NO_NAT) | OPTION(LABEL) | OPTION(TTL) | OPTION(IDLE_STOP) |
			   OPTION(IDLE_SUSPEND) | OPTION(WAKE),
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_set,
	},
	{
		.path = "vm wait",
		.summary = "wait until a VM is in a state",
		.usage = "VM",
		.text = "Without --state: until it is neither starting, stopping nor being "
			"deleted. "
			"The exit status is 1 when the time is over.",
		.examples = "banger vm wait web --state stopped --timeout 5m",
		.options = OPTION(STATE) | OPTION(TIMEOUT),
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_wait,
	},
	{
		.path = "vm fork",
		.summary = "copy a running VM, memory and all",
		.usage = "VM",
		.text = "Each copy becomes a machine of its own, with its own name and identity. "
			"Their "
			"names are printed.",
		.examples = "banger vm fork web --count 3",
		.options = OPTION(COUNT),
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_fork,
	},
	{
		.path = "vm restore",
		.summary = "put a VM back to a snapshot",
		.usage = "VM SNAPSHOT",
		.text = "What happened since is lost.",
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_restore,
	},
	{
		.path = "vm delete",
		.alias = "rm",
		.summary = "delete VMs and their disks",
		.usage = "VM…",
		.text = SEVERAL_TEXT,
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_VMS,
		.run = cmd_vm_verb,
	},
	{
		.path = "vm prune",
		.summary = "delete every VM that does not run",
		.usage = "",
		.text = "Lists them and asks first, unless --force is given.",
		.options = OPTION(FORCE),
		.run = cmd_vm_prune,
	},
	{
		.path = "cp",
		.summary = "copy files and folders into or out of a VM",
		.usage = "VM:SOURCE TARGET | SOURCE VM:TARGET",
		.text = "Into an existing folder, or else under the new name. A folder is copied "
			"with "
			"all that is in it; SOURCE/. means what is in it. Files belong to root in "
			"the "
			"guest, and to you on this host. - is a tar archive on standard output, or "
			"from standard input: it is unpacked in the folder TARGET as it is.",
		.examples = "banger cp ./site web:/srv\nbanger cp web:/var/log/app.log .\n"
			    "banger cp ./config/. web:/etc/app\n"
			    "banger cp web:/srv - | gzip > srv.tar.gz",
		.min_args = 2,
		.max_args = 2,
		.run = cmd_cp,
	},
	{
		.path = "workspace prepare",
		.summary = "put a git repository of this host into a VM",
		.usage = "VM [PATH]",
		.text = "The files that git tracks, as they are now, and the last ten commits, at "
			"/root/repo. The guest needs no git for it. Secrets in the address of "
			"origin "
			"are left out, but not with --mode full_copy, which takes .git as it is. "
			"The repository on this host is only read.",
		.examples = "banger workspace prepare web ~/src/app\n"
			    "banger workspace prepare --dry-run web\n"
			    "banger workspace prepare --branch fix --from-commit v1.2 web",
		.options = WORKSPACE_OPTIONS | OPTION(FORCE) | OPTION(GUEST_PATH),
		.min_args = 1,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_workspace_prepare,
	},
	{
		.path = "workspace show",
		.summary = "show what was last put into a VM",
		.usage = "VM",
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_workspace_show,
	},
	{
		.path = "workspace export",
		.summary = "print what was changed in a VM's repository, as a patch",
		.usage = "VM",
		.text = "For git apply: new, deleted and binary files included. Neither the index "
			"nor "
			"the files in the guest are touched. The guest needs git.",
		.examples = "banger workspace export web | git apply",
		.options = OPTION(BASE_COMMIT) | OPTION(GUEST_PATH),
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_workspace_export,
	},
	{
		.path = "execs list",
		.alias = "ls",
		.summary = "list commands that go on by themselves",
		.usage = "VM",
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_execs_list,
	},
	{
		.path = "execs show",
		.summary = "show everything about one",
		.usage = "VM EXEC",
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_execs_show,
	},
	{
		.path = "execs logs",
		.summary = "show its output",
		.usage = "VM EXEC",
		.text = "Standard output and standard error each on its own; the newest 4 MiB are "
			"kept. With --follow it goes on to the end of the command, also when the "
			"server is restarted meanwhile.",
		.examples = "banger execs logs -f web 06a1b2c3d4e5f6g7",
		.options = OPTION(FOLLOW) | OPTION(FROM),
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_execs_logs,
	},
	{
		.path = "execs wait",
		.summary = "wait for its end; exits with its exit status",
		.usage = "VM EXEC",
		.text = "128 + n when signal n ended it, 125 when it was lost with its VM.",
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_execs_wait,
	},
	{
		.path = "execs kill",
		.summary = "send it and what it has started a signal",
		.usage = "VM EXEC",
		.options = OPTION(SIGNAL),
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_execs_kill,
	},
	{
		.path = "execs delete",
		.alias = "rm",
		.summary = "kill it if it runs, and forget it",
		.usage = "VM EXEC",
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_execs_delete,
	},
	{
		.path = "snapshot create",
		.summary = "take a snapshot of a VM",
		.usage = "VM",
		.text = "Of memory and disk at one moment; of the disk alone when the VM does not "
			"run.",
		.examples = "banger snapshot create web --name before-upgrade",
		.options = OPTION(NAME) | OPTION(NO_MEMORY),
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_snapshot_create,
	},
	{
		.path = "snapshot list",
		.alias = "ls",
		.summary = "list snapshots",
		.usage = "[VM]",
		.max_args = 1,
		.complete = COMPLETE_VMS,
		.run = cmd_snapshot_list,
	},
	{
		.path = "snapshot show",
		.summary = "show everything about a snapshot",
		.usage = "SNAPSHOT…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.run = cmd_snapshot_show,
	},
	{
		.path = "snapshot export",
		.summary = "write a snapshot as a tar archive",
		.usage = "SNAPSHOT [FILE]",
		.text = "To standard output without a file. Another server of the same kind takes "
			"it "
			"in with: banger snapshot import",
		.examples = "banger snapshot export 06a1b2c3d4e5f6g7 web.tar\n"
			    "banger snapshot export 06a1b2c3d4e5f6g7 | ssh other banger snapshot "
			    "import",
		.min_args = 1,
		.max_args = 2,
		.run = cmd_snapshot_export,
	},
	{
		.path = "snapshot import",
		.summary = "take in a snapshot that another server has exported",
		.usage = "[FILE]",
		.text = "From standard input without a file. Its image and kernel have to be on "
			"this "
			"server when a VM is made from it.",
		.examples = "banger snapshot import web.tar",
		.max_args = 1,
		.run = cmd_snapshot_import,
	},
	{
		.path = "snapshot delete",
		.alias = "rm",
		.summary = "delete snapshots",
		.usage = "SNAPSHOT…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.run = cmd_snapshot_delete,
	},
	{
		.path = "template list",
		.alias = "ls",
		.summary = "list what new VMs are cloned from",
		.usage = "",
		.text = "After the first VM of a shape (image, kernel, vcpus, memory, disk, "
			"network) the server boots one more by itself and keeps its memory and "
			"disk: later VMs of that shape start from there.",
		.run = cmd_template_list,
	},
	{
		.path = "template show",
		.summary = "show everything about a template",
		.usage = "TEMPLATE…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_TEMPLATES,
		.run = cmd_template_show,
	},
	{
		.path = "template pin",
		.summary = "keep templates: none of them is removed to make room",
		.usage = "TEMPLATE…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_TEMPLATES,
		.run = cmd_template_pin,
	},
	{
		.path = "template unpin",
		.summary = "let templates go when room is needed",
		.usage = "TEMPLATE…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_TEMPLATES,
		.run = cmd_template_unpin,
	},
	{
		.path = "template delete",
		.alias = "rm",
		.summary = "delete templates; VMs cloned from them go on",
		.usage = "TEMPLATE…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_TEMPLATES,
		.run = cmd_template_delete,
	},
	{
		.path = "image list",
		.alias = "ls",
		.summary = "list images",
		.usage = "",
		.run = cmd_image_list,
	},
	{
		.path = "image build",
		.summary = "build an image",
		.usage = "BUILDER",
		.text = "Builders: mini (busybox, ready in seconds), debian (systemd, ssh, git).",
		.examples = "banger image build mini",
		.options = OPTION(NAME),
		.min_args = 1,
		.max_args = 1,
		.run = cmd_image_build,
	},
	{
		.path = "image pull",
		.summary = "pull an image from a registry",
		.usage = "REFERENCE",
		.text = "A name without a host is Docker Hub's. Credentials are those of the "
			"server "
			"owner's ~/.docker/config.json.",
		.examples = "banger image pull python:3.12\n"
			    "banger image pull --name tool ghcr.io/org/tool:1",
		.options = OPTION(NAME),
		.min_args = 1,
		.max_args = 1,
		.run = cmd_image_pull,
	},
	{
		.path = "image prepare",
		.summary = "boot an image once, so that its VMs start in a fraction of a second",
		.usage = "IMAGE",
		.text = "For the shape (kernel, vcpus, memory, disk, network, init) that the "
			"options "
			"say; what is left out is what a VM gets that leaves it out. Without it "
			"the "
			"first VM of a shape boots, and the second is quick.",
		.examples = "banger image prepare mini\n"
			    "banger image prepare --memory 1G --network user --pin debian",
		.options = OPTION(KERNEL) | OPTION(VCPUS) | OPTION(MEMORY) | OPTION(DISK) |
			   OPTION(NETWORK) | OPTION(INIT) | OPTION(PIN),
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_IMAGES,
		.run = cmd_image_prepare,
	},
	{
		.path = "image import",
		.summary = "make an image of a tar archive, OCI layout or docker archive of the "
			   "server's machine",
		.usage = "NAME PATH",
		.examples = "banger image import base /srv/rootfs.tar.gz",
		.min_args = 2,
		.max_args = 2,
		.run = cmd_image_import,
	},
	{
		.path = "image register",
		.summary =
			"make an image of a root file system on the server's disk: a squashfs or "
			"a folder",
		.usage = "NAME PATH",
		.text = "A squashfs is copied as it is. A folder is packed with owners and modes; "
			"what is mounted in it stays out.",
		.examples = "banger image register base /srv/root.squashfs\n"
			    "banger image register base /srv/chroot",
		.min_args = 2,
		.max_args = 2,
		.run = cmd_image_import,
	},
	{
		.path = "image promote",
		.summary = "make an image of a VM's disk",
		.usage = "VM NAME",
		.text = "The VM may be stopped, paused or running; one that runs is held for as "
			"long as its disk is copied. SSH host keys and the machine-id stay behind.",
		.examples = "banger image promote web tools",
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_VMS,
		.run = cmd_image_promote,
	},
	{
		.path = "image tag",
		.summary = "give an image another name",
		.usage = "IMAGE NAME",
		.text = "A name that is taken goes over to this image; VMs keep what they were "
			"made of.",
		.examples = "banger image tag python:3.12 py",
		.min_args = 2,
		.max_args = 2,
		.complete = COMPLETE_IMAGES,
		.run = cmd_image_tag,
	},
	{
		.path = "image size",
		.summary = "show what an image takes up",
		.usage = "IMAGE",
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_IMAGES,
		.run = cmd_image_size,
	},
	{
		.path = "image verify",
		.summary = "hold an image against its digest",
		.usage = "IMAGE",
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_IMAGES,
		.run = cmd_image_verify,
	},
	{
		.path = "cache prune",
		.summary = "remove downloaded layers and what else can be had again",
		.usage = "",
		.text = "No image needs the layers any more; a pull that shares them downloads "
			"them again. Beside them go empty disks, kernel builds that were broken "
			"off and files that nothing refers to.",
		.options = OPTION(DRY_RUN),
		.run = cmd_cache_prune,
	},
	{
		.path = "image show",
		.summary = "show everything about an image",
		.usage = "IMAGE…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_IMAGES,
		.run = cmd_image_show,
	},
	{
		.path = "image delete",
		.alias = "rm",
		.summary = "delete images",
		.usage = "IMAGE…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_IMAGES,
		.run = cmd_image_delete,
	},
	{
		.path = "catalog list",
		.alias = "ls",
		.summary = "list names that can be brought",
		.usage = "",
		.text = "A VM that names an image of them that is not here gets it. Lines of your "
			"own "
			"go into catalog.list beside banger.conf.",
		.run = cmd_catalog_list,
	},
	{
		.path = "kernel list",
		.alias = "ls",
		.summary = "list kernels",
		.usage = "",
		.run = cmd_kernel_list,
	},
	{
		.path = "kernel import",
		.summary = "import a kernel",
		.usage = "SOURCE [MODULES | SHA256]",
		.text = "Sources: debian-cloud and debian (packages of the host's sources, not "
			"installed on the host); the path of a vmlinux, bzImage or kernel package "
			"on "
			"the server's machine, with the folder of its modules; an address, with "
			"the "
			"sha256 of what is there; an artifact of a registry. All but the first "
			"two need --name.",
		.examples = "banger kernel import debian-cloud\n"
			    "banger kernel import --name host /boot/vmlinuz-6.1.0-35-amd64 "
			    "/lib/modules/6.1.0-35-amd64",
		.options = OPTION(NAME),
		.min_args = 1,
		.max_args = 2,
		.run = cmd_kernel_import,
	},
	{
		.path = "kernel build",
		.summary = "build a kernel that boots fast",
		.usage = "BUILDER",
		.text = "Builders: microvm (Debian's kernel sources with a small configuration; "
			"minutes of all processors, at the lowest priority). A build that was "
			"cancelled is gone on with. VMs that name no kernel use it from then on.",
		.examples = "banger kernel build microvm",
		.options = OPTION(NAME),
		.min_args = 1,
		.max_args = 1,
		.run = cmd_kernel_build,
	},
	{
		.path = "kernel show",
		.summary = "show everything about a kernel",
		.usage = "KERNEL…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_KERNELS,
		.run = cmd_kernel_show,
	},
	{
		.path = "kernel delete",
		.alias = "rm",
		.summary = "delete kernels",
		.usage = "KERNEL…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_KERNELS,
		.run = cmd_kernel_delete,
	},
	{
		.path = "operation list",
		.alias = "ls",
		.summary = "list long-running work, newest first",
		.usage = "[OPTION…]",
		.options = OPTION(STATE) | OPTION(TARGET) | OPTION(KIND),
		.run = cmd_operation_list,
	},
	{
		.path = "operation show",
		.summary = "show an operation with its stages",
		.usage = "OPERATION",
		.min_args = 1,
		.max_args = 1,
		.complete = COMPLETE_OPERATIONS,
		.run = cmd_operation_show,
	},
	{
		.path = "operation cancel",
		.summary = "ask an operation to end",
		.usage = "OPERATION…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.complete = COMPLETE_OPERATIONS,
		.run = cmd_operation_cancel,
	},
	{
		.path = "token create",
		.summary = "make a token for the TCP port",
		.usage = "NAME",
		.text = "The secret is shown this once. Give it to curl as "
			"-H \"Authorization: Bearer …\", or to this program as $BANGER_TOKEN.",
		.examples = "banger token create ci --scope run --ttl 7d",
		.options = OPTION(SCOPE) | OPTION(TOKEN_TTL),
		.min_args = 1,
		.max_args = 1,
		.run = cmd_token_create,
	},
	{
		.path = "token list",
		.alias = "ls",
		.summary = "list tokens",
		.usage = "",
		.run = cmd_token_list,
	},
	{
		.path = "token delete",
		.alias = "rm",
		.summary = "revoke tokens",
		.usage = "NAME…",
		.min_args = 1,
		.max_args = ARGS_MAX,
		.run = cmd_token_delete,
	},
	{
		.path = "events",
		.summary = "follow what happens on the server",
		.usage = "[OPTION…]",
		.text = "Kind request is the audit log: who asked for what, and the answer's "
			"status.",
		.examples = "banger events --kind request --no-follow   # who did what\n"
			    "banger events --target web                 # what happens to a VM",
		.options = OPTION(KIND) | OPTION(TARGET) | OPTION(BY) | OPTION(SINCE) |
			   OPTION(NO_FOLLOW),
		.run = cmd_events,
	},
	{
		.path = "open",
		.summary = "open the dashboard, signed in",
		.usage = "",
		.text = "Makes a link that signs in once, within five minutes, and gives it to "
			"the desktop's browser; without one the link is printed.",
		.options = OPTION(PRINT),
		.run = cmd_open,
	},
	{
		.path = "doctor",
		.summary = "check this host and install",
		.usage = "",
		.text = "One line a check: pass, warn or fail. The exit status is 1 when one "
			"failed. Nothing is changed, unless --fix asks for it: then a kernel and "
			"an "
			"image are made where there is none, and what nothing needs is freed where "
			"the disk is nearly full.",
		.options = OPTION(FIX),
		.run = cmd_doctor,
	},
	{
		.path = "version",
		.summary = "show the versions of this program and the server",
		.usage = "",
		.run = cmd_version,
	},
	{
		.path = "completion",
		.summary = "print a completion script for a shell",
		.usage = "bash|zsh|fish",
		.examples = "source <(banger completion bash)\n"
			    "banger completion fish > ~/.config/fish/completions/banger.fish",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_completion,
	},
	{
		.path = "help",
		.summary = "show help on a command",
		.usage = "[COMMAND]",
		.max_args = 2,
		.run = cmd_help,
	},
};
const size_t n_commands = ARRAY_SIZE(commands);
