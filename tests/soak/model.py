# SPDX-License-Identifier: Apache-2.0
"""What must exist, and which steps may follow. A plan is made of the model and a seed only, so the same
seed makes the same plan as long as the server does what the model says.

A step is a list of actions that begin at the same time, each on a VM of its own, and at most one fault in
the middle of them. All of it is plain JSON: a recorded plan can be replayed and made shorter.
"""
VMS_MAX = 5
SNAPSHOTS_MAX = 2

# verb: (states it is allowed in, state afterwards, states it passes on its way)
VERBS = {
    "stop": (("running",), "stopped", ()),
    "start": (("stopped", "suspended", "failed"), "running", ("stopped",)),
    "restart": (("running",), "running", ("stopped",)),
    "kill": (("running", "paused"), "stopped", ()),
    "pause": (("running",), "paused", ()),
    # A server that dies between the guest's first step and its row can't know that it ran: its memory goes.
    "resume": (("paused", "suspended"), "running", ("stopped",)),
    "suspend": (("running", "paused"), "suspended", ("paused", "running")),
    "recover": (("failed",), "running", ("stopped",)),
}
# Faults of one VM.
AIMED = ("kill_vmm", "panic")
# Verbs after which the guest has booted anew, or may have.
BOOTING = ("start", "restart", "recover", "kill", "stop")


class Vm:
    def __init__(self, name, network="none", state="running"):
        self.name = name
        self.network = network
        self.states = {state}  # more than one only while a fault is being resolved
        self.files = {0}  # what /root/f may hold; 0: there is none
        self.boot_id = None  # None: not known yet
        self.may_be_gone = False
        self.copy_of = None
        self.has_disk = False  # for sure: it was seen running

    @property
    def state(self):
        (state,) = self.states
        return state


class Model:
    def __init__(self):
        self.vms = {}
        self.snapshots = {}  # name: (what /root/f may hold, network)
        self.serial = 0

    def next_serial(self):
        self.serial += 1
        return self.serial

    # --- planning ---

    def choose(self, random, features):
        """The next step."""
        free = sorted(self.vms)
        random.shuffle(free)
        actions = []
        wanted = random.choice((1, 1, 2, 3))
        while len(actions) < wanted:
            action = self.choose_action(random, free, features, actions)
            if action is None:
                break
            actions.append(action)
        fault = self.choose_fault(random, free, features) if random.random() < 0.35 else None
        return {"actions": actions, "fault": fault}

    def choose_action(self, random, free, features, chosen):
        begun = len(chosen)
        # A snapshot is one action's: others could come before or after its deletion.
        snapshots = sorted(set(self.snapshots) - {a.get("snapshot") for a in chosen})
        room = len(self.vms) + begun < VMS_MAX
        if room and (not free or random.random() < 0.2):
            name = f"v{self.next_serial()}"
            if snapshots and random.random() < 0.25:
                return {"do": "create", "vm": name, "snapshot": random.choice(snapshots)}
            return {"do": "create", "vm": name, "network": random.choice(features["networks"])}
        if not free:
            return None
        vm = self.vms[free.pop()]
        verbs = [v for v, (states, _, _) in VERBS.items() if vm.state in states]
        if vm.state == "running":
            verbs += ["write"] * 4 + ["exec", "exec", "labels"]
            verbs += ["fork"] if room and "fork" not in [a["do"] for a in chosen] else []
        if vm.state == "suspended":
            verbs += ["exec"]
        if vm.state in ("running", "paused", "stopped", "failed") and vm.has_disk:
            verbs += ["snapshot"] if len(self.snapshots) + begun < SNAPSHOTS_MAX else []
            own = [n for n in snapshots if self.snapshots[n]["vm"] == vm.name]
            verbs += ["restore"] if own else []
        verbs += ["delete"] if len(self.vms) > 2 else []
        if snapshots and random.random() < 0.08:
            return {"do": "delete_snapshot", "vm": vm.name, "snapshot": random.choice(snapshots)}
        verb = random.choice(verbs)
        action = {"do": verb, "vm": vm.name}
        if verb in ("write", "labels"):
            action["value"] = self.next_serial()
        elif verb == "fork":
            action["child"] = f"v{self.next_serial()}"
        elif verb == "snapshot":
            action["name"] = f"s{self.next_serial()}"
        elif verb == "restore":
            action["snapshot"] = random.choice(own)
        return action

    def choose_fault(self, random, free, features):
        """`free`: VMs that no action of the step uses."""
        running = [n for n in free if self.vms[n].state == "running"]
        kinds = list(features["faults"])
        if not running:
            kinds = [k for k in kinds if k not in AIMED]
        fault = {"do": random.choice(kinds), "after_ms": random.choice((0, 5, 20, 50, 120, 300, 800, 2000))}
        if fault["do"] in AIMED:
            fault["vm"] = random.choice(running)
        if fault["do"] in ("full_disk", "slow_disk"):
            fault["for_ms"] = random.choice((300, 1500, 4000))
        if fault["do"] == "slow_disk":
            fault["each_ms"] = random.choice((20, 150, 500))
        return fault

    def applies(self, action):
        """Whether an action of a recorded plan makes sense here; steps before it may have been taken out."""
        verb = action["do"]
        if verb == "create":
            return action["vm"] not in self.vms and action.get("snapshot", None) in (None, *self.snapshots)
        vm = self.vms.get(action["vm"])
        if vm is None or ("snapshot" in action and action["snapshot"] not in self.snapshots):
            return False
        if verb in VERBS:
            return vm.state in VERBS[verb][0]
        if verb in ("write", "labels", "fork"):
            return vm.state == "running"
        if verb == "exec":
            return vm.state in ("running", "suspended")
        if verb in ("snapshot", "restore"):
            return vm.has_disk and vm.state in ("running", "paused", "stopped", "failed")
        return True

    def may_refuse(self, action, answer):
        """A copy whose making was cut has no disk, and must not get an empty one."""
        vm = self.vms.get(action["vm"])
        return action["do"] in ("start", "recover") and vm and not vm.has_disk and "its disk was never made" in str(answer)

    # --- what an action does ---

    def apply(self, action, sure):
        """`sure`: the server said that it was done. Else it may have been, in whole or in part."""
        verb = action["do"]
        if verb == "create":
            self.created(action, sure)
            return
        if verb == "delete_snapshot":
            if sure:
                del self.snapshots[action["snapshot"]]
            else:
                self.snapshots[action["snapshot"]]["may_be_gone"] = True
            return
        vm = self.vms[action["vm"]]
        if verb in VERBS:
            states, after, between = VERBS[verb]
            vm.states = {after} if sure else vm.states | {after, "failed", *between}
            vm.boot_id = None if verb in BOOTING else vm.boot_id
        elif verb == "write":
            vm.files = {action["value"]} if sure else vm.files | {action["value"]}
        elif verb == "exec":
            vm.states = {"running"} if sure else vm.states | {"running", "failed", "stopped"}
        elif verb == "delete":
            if sure:
                del self.vms[vm.name]
            else:
                vm.may_be_gone = True
                vm.states |= {"running", "paused", "stopped", "suspended", "failed"}
        elif verb == "fork":
            child = self.vms[action["child"]] = Vm(action["child"], vm.network)
            child.files = set(vm.files)
            child.copy_of = vm.name
            child.may_be_gone = not sure
            child.states = {"running"} if sure else {"running", "stopped", "failed", "created"}
            vm.states = vm.states if sure else vm.states | {"paused", "failed"}
        elif verb == "snapshot":
            self.snapshots[action["name"]] = {"vm": vm.name, "files": set(vm.files), "network": vm.network,
                                              "may_be_gone": not sure}
            vm.states = vm.states if sure else vm.states | {"paused", "failed"}
        elif verb == "restore":
            kept = self.snapshots[action["snapshot"]]["files"]
            vm.files = set(kept) if sure else vm.files | kept
            # A snapshot with memory comes back running, one of a disk stopped.
            vm.states = {"running", "stopped", "paused"} if sure else {"running", "stopped", "paused", "failed"}
            vm.boot_id = None

    def created(self, action, sure):
        vm = self.vms[action["vm"]] = Vm(action["vm"], action.get("network", "none"))
        if "snapshot" in action:
            vm.network = self.snapshots[action["snapshot"]]["network"]
            vm.files = set(self.snapshots[action["snapshot"]]["files"])
        if not sure:
            vm.may_be_gone = True
            vm.states = {"running", "created", "stopped", "failed"}

    def strike(self, fault):
        """What a fault does to the VMs that it is aimed at."""
        if fault["do"] in AIMED:
            vm = self.vms[fault["vm"]]
            vm.states = {"failed", "stopped"}
            vm.boot_id = None
