# SPDX-License-Identifier: Apache-2.0
"""POST /vms from a template until a command has run in it, beside the cold boot."""
import time

from figures import at_most_times, beside, figure


def to_first_command(server, name, **fields):
    """Seconds."""
    start = time.monotonic()
    server.create(name, **fields)
    server.execute(name, "true")
    took = time.monotonic() - start
    server.delete(name)
    return took


def measure(server, rounds):
    server.create("seed")
    server.wait_for_template()
    cold, clone = [], []
    for i in range(rounds):
        cold.append(to_first_command(server, f"cold{i}", boot="cold"))
        clone += [to_first_command(server, f"clone{i}-{k}") for k in range(3)]
    server.delete("seed")
    yield figure("clone: POST /vms to the first command's end", clone, "s", [beside("cold boot", cold)],
                 goal=at_most_times(0.1))
