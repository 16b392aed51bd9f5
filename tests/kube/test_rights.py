"""Each Role of deploy/kubernetes/rbac is enough for what it is for, and holds nothing else."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterator

import pytest
import yaml

from agent.runtimes.kube_answers import (
    CREATE_EVENT,
    DELETE_POD,
    EVICT_POD,
    EXEC_IN_POD,
    GET_POD,
    READ_LOG,
    ApiError,
    Rule,
)
from agent.runtimes.kubernetes import Kubernetes
from tests.kube import cluster
from tests.kube.cluster import RBAC, Namespace, pod

Use = Callable[[Kubernetes], Awaitable[object]]

USES: dict[str, tuple[Rule, Use]] = {
    "instance": (GET_POD, lambda runtime: runtime.instance()),
    "exec": (EXEC_IN_POD, lambda runtime: runtime.run(["true"], lambda: None)),
    "log": (READ_LOG, lambda runtime: runtime.log_tail()),
    "events": (CREATE_EVENT, lambda runtime: runtime.announce("Restarting", "liveness/answers has failed")),
    "evict": (EVICT_POD, lambda runtime: runtime.evict("", 0)),
    "delete": (DELETE_POD, lambda runtime: runtime.delete("", 0, 1)),
}
"""Role to the rule that it grants and to what needs it."""

RIGHTS_SECONDS = 20  # until every authorizer has heard of a Role


@pytest.fixture(scope="module")
def bare(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace whose service account may do nothing yet."""
    with cluster.namespace(tmp_path_factory.mktemp("bare")) as made:
        made.grant()
        made.mount()
        yield made


@pytest.mark.parametrize("role", USES)
def test_a_role_holds_its_rule_and_no_other(role: str) -> None:
    rule, _ = USES[role]
    documents = {one["kind"]: one for one in yaml.safe_load_all((RBAC / f"{role}.yaml").read_text())}
    expected = {"apiGroups": [""], "resources": [rule.resource], "verbs": list(rule.verbs)}
    assert documents["Role"]["rules"] == [expected]
    assert documents["RoleBinding"]["roleRef"]["name"] == documents["Role"]["metadata"]["name"]
    assert documents["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": cluster.ACCOUNT}]


def test_there_is_a_role_for_each_use_and_none_besides() -> None:
    assert {path.stem for path in RBAC.glob("*.yaml")} == {*USES, "service-account"}


@pytest.mark.parametrize("role", USES)
async def test_without_the_role_its_rule_is_named_and_with_it_all_is_well(bare: Namespace, role: str) -> None:
    """The message is what a user would have to write; written, it is enough."""
    rule, use = USES[role]
    bare.start(pod(role, "sleep 3600"))
    runtime = bare.runtime(role)
    if role != "instance":
        bare.grant("instance")
        await allowed(runtime.instance)
    with pytest.raises(ApiError) as refused:
        await use(runtime)
    assert refused.value.errno == errno.EACCES
    told = f'{{apiGroups: [""], resources: [{rule.resource}], verbs: [{", ".join(rule.verbs)}]}}'
    assert f"add {told} to the rules of a Role in namespace {bare.name}" in str(refused.value)
    bare.grant(role)
    await allowed(lambda: use(runtime))


async def allowed(use: Callable[[], Awaitable[object]]) -> None:
    """Until the right that was just given is known."""
    async with asyncio.timeout(RIGHTS_SECONDS):
        while True:
            try:
                await use()
            except ApiError as refused:
                if refused.status != 403:
                    raise
                await asyncio.sleep(0.2)
            else:
                return


async def test_an_event_stands_where_people_look_for_it(namespace: Namespace) -> None:
    namespace.start(pod("told", "sleep 3600"))
    await namespace.runtime("told").announce("Restarting", "liveness/answers has failed; reason timeout; action signal")
    described = namespace.kubectl("describe", "pod", "told")
    [line] = [line for line in described.splitlines() if "Restarting" in line]
    assert line.split()[0] == "Warning"
    assert "model-health-agent" in line
    assert line.endswith("liveness/answers has failed; reason timeout; action signal")


async def test_the_last_log_lines_are_there_for_the_evidence(namespace: Namespace) -> None:
    namespace.start(pod("tells", "for n in $(seq 150); do echo line $n; done; sleep 3600"))
    namespace.grant("log")
    runtime = namespace.runtime("tells")
    await allowed(runtime.log_tail)
    async with asyncio.timeout(20):
        while not (told := await runtime.log_tail()).endswith("line 150\n"):  # noqa: ASYNC110 - the pod's own doing
            await asyncio.sleep(0.2)
    assert told.startswith("line 51\n")
