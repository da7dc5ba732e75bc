"""``--dist loadfile`` as this suite needs it: the longest first, and no test lost with a worker."""

from __future__ import annotations

from itertools import count

from xdist.scheduler import LoadFileScheduling

APART = {"tests/test_examples.py", "tests/cli/test_demo.py"}
"""Files whose tests have nothing in common, and wait for programs for many seconds each."""
LONG = {
    "tests/test_examples.py": 6.0,
    "tests/cli/test_demo.py": 6.0,
    "tests/interop/test_java.py": 0.2,
    "tests/cli/test_reloading.py": 1.0,
    "tests/registries/consul/test_registry.py": 0.5,
    "tests/registries/etcd3/test_registry.py": 0.5,
    "tests/registries/zookeeper/test_registry.py": 0.5,
    "tests/client/test_interruptions.py": 0.5,
    "tests/server/test_workers.py": 0.5,
    "tests/testing/simulation/test_scenarios.py": 0.5,
    "tests/testing/simulation/test_ledger.py": 0.5,
}
"""Seconds that a test of a file takes, about: where they are many more than those of ``USUAL``."""
USUAL = 0.03


class Scheduling(LoadFileScheduling):
    """Files begin in the order of their seconds, so that no worker is left with a long one."""

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return nodeid if file in APART else file

    def _assign_work_unit(self, node):
        """As in xdist, but the longest of all, and without a search for the number of each test."""
        scope = max(self.workqueue, key=self._seconds)
        tests = self.workqueue.pop(scope)
        self.assigned_work[node][scope] = tests
        node.send_runtest_some([self._numbers[test] for test in tests if not tests[test]])

    def _seconds(self, scope):
        return len(self.workqueue[scope]) * LONG.get(scope.partition("::")[0], USUAL)

    def remove_node(self, node):
        """As in xdist, but the test that ended a worker is not given to the next one."""
        files = self.assigned_work.pop(node)
        left = [(tests, test) for tests in files.values() for test in tests if not tests[test]]
        if not left:
            return None
        tests, ended_it = left[0]
        tests[ended_it] = True
        self.workqueue.update(
            {file: tests for file, tests in files.items() if not all(tests.values())}
        )
        self.schedule()
        return ended_it

    def schedule(self):
        """As in xdist, but twice: a worker with a single test waits for the next one."""
        if self.collection_is_completed:
            if self.collection is None:  # the same of all workers, as xdist finds out below
                collection = next(iter(self.registered_collections.values()))
                self._numbers = dict(zip(collection, count()))
            super().schedule()
        if self.collection is not None:
            super().schedule()
