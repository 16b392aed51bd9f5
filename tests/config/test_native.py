"""Native documents: what their keys come to once they are resolved."""

from pathlib import Path

from agent.config import SourceRef, load
from agent.core.settings import Backoff, Budget, Drain, Log, Restart, Server
from agent.engine.watch import liveness_address
from agent.probes.exec import Exec
from agent.probes.http import HttpGet
from agent.probes.tcp import TcpSocket
from agent.runtimes.kubernetes import Kubernetes
from config.support import config, model, problems, read

CONTRACT = """
server: {host: null, port: 9809, details: reasons}
admin: null
log: {level: info, format: json}
state_file: null
shutdown_delay_seconds: 0
allow_hosts: []
containers:
  - name: model
    host: 127.0.0.1
    port: 8000
    ports: {http: 8000, grpc: 8001}
    preset: null
    runtime: null
    startup_check: {http_get: {path: /health}, period_seconds: 5, failure_threshold: 120}
    liveness_check:
      - {name: answers, http_get: {path: /health}, timeout_seconds: 5}
      - {tcp_socket: {port: grpc}}
    readiness_check: {http_get: {path: /v1/models}}
    restart:
      action: {none: {}}
      policy: Always
      grace_period_seconds: 30
      drain: {max_seconds: 0, until_idle: false}
      backoff: {initial_seconds: 10, max_seconds: 300, reset_after_seconds: 600}
      budget: {restarts: 5, window_seconds: 3600}
      action_timeout_seconds: 60
      assume_restarted_seconds: null
      arm_after_seconds: 0
      evidence_dir: null
      evidence_seconds: 10
      depends_on: []
      correlated_hold_seconds: 300
      maintenance_file: null
      escalate: null
      hooks: {}
      dry_run: false
"""


def test_a_document_that_spells_out_every_default_says_the_same_as_one_that_does_not() -> None:
    short = config("""
containers:
  - name: model
    port: 8000
    ports: {http: 8000, grpc: 8001}
    startup_check: {http_get: {path: /health}, period_seconds: 5, failure_threshold: 120}
    liveness_check:
      - {name: answers, http_get: {path: /health}, timeout_seconds: 5}
      - {tcp_socket: {port: grpc}}
    readiness_check: {http_get: {path: /v1/models}}
""")
    assert config(CONTRACT) == short


def test_what_is_not_written_has_the_documented_default() -> None:
    resolved = config(model("liveness_check: {http_get: {}}"))
    assert (resolved.server, resolved.log, resolved.state_file) == (Server(), Log(), None)
    container = resolved.containers[0]
    assert (container.host, container.startup, container.readiness) == ("127.0.0.1", (), ())
    check = container.liveness[0]
    assert (check.name, check.method, check.options) == ("http_get", "http_get", HttpGet())
    assert (check.initial_delay_seconds, check.period_seconds, check.timeout_seconds) == (0, 10, 1)
    assert (check.success_threshold, check.failure_threshold) == (1, 3)
    assert (check.termination_grace_period_seconds, check.errors_are_failures) == (None, False)
    restart = container.restart
    assert (restart.action_name, restart.policy, restart.assumed_after) == ("none", "Always", 120)
    assert (restart.drain, restart.backoff, restart.budget) == (Drain(), Backoff(), Budget())
    assert type(restart.action).__name__ == "NoAction"


def test_checks_without_a_name_are_called_like_their_method_and_then_numbered() -> None:
    checks = "liveness_check: [{http_get: {}}, {name: http_get-2, tcp_socket: {}}, {http_get: {}}, {tcp_socket: {}}]"
    names = [check.name for check in config(model(checks)).containers[0].liveness]
    assert names == ["http_get", "http_get-2", "http_get-3", "tcp_socket"]


def test_checks_of_different_types_may_have_the_same_name() -> None:
    both = "liveness_check: {name: a, http_get: {}}\nreadiness_check: {name: a, http_get: {}}"
    assert problems(model(both)) == []


def test_fractions_of_seconds_are_numbers() -> None:
    check = config(model("liveness_check: {http_get: {}, period_seconds: 0.1, timeout_seconds: 2.5}"))
    assert (check.containers[0].liveness[0].period_seconds, check.containers[0].liveness[0].timeout_seconds) == (
        0.1,
        2.5,
    )


def test_a_port_is_a_number_or_a_name_of_the_container() -> None:
    checks = "[{tcp_socket: {port: http}}, {tcp_socket: {port: 8001}}, {tcp_socket: {}}]"
    text = f"ports: {{http: 8000}}\nliveness_check: {checks}"
    assert [check.options for check in config(model(text)).containers[0].liveness] == [
        TcpSocket(port="http"),
        TcpSocket(port=8001),
        TcpSocket(),
    ]


def test_a_command_in_one_string_is_split_into_words_with_a_warning() -> None:
    loaded = read(model("""liveness_check: {exec: {command: "sh -c 'exit 0'"}}"""))
    assert loaded.config.containers[0].liveness[0].options == Exec(command=("sh", "-c", "exit 0"))
    (warning,) = loaded.warnings
    assert (warning.line, warning.path) == (4, "containers[0].liveness_check.exec.command")
    assert (warning.code, warning.message[:18]) == ("W-EXEC-STRING", "split into 3 words")


def test_a_command_for_the_container_without_a_runtime_is_told_apart_from_the_warnings() -> None:
    loaded = read(model("runtime: {process: {port: 8000}}\nliveness_check: {exec: {command: [x], in: container}}"))
    assert loaded.warnings == []
    (nowhere,) = loaded.exec_nowhere
    assert (nowhere.line, nowhere.path, nowhere.code) == (5, "containers[0].liveness_check.exec", "W-EXEC-NOWHERE")
    assert "--exec-in agent" in nowhere.message


def test_a_restart_block_becomes_its_action_and_hooks() -> None:
    container = config(
        "state_file: /var/lib/agent/state.json\n"
        + model("""
runtime: {process: {command_contains: vllm}}
restart:
  action: {signal: {signal: INT}}
  grace_period_seconds: 5
  hooks: {on_give_up: {exec: {command: [page, me]}}, pre_restart: null}
""")
    ).containers[0]
    restart = container.restart
    assert (restart.action_name, restart.action.signal, restart.grace_period_seconds) == ("signal", "INT", 5)
    assert restart.hooks.on_give_up.command == ("page", "me")
    assert restart.hooks.pre_restart is None
    assert container.runtime.command_contains == "vllm"


def test_a_runtime_takes_what_the_document_leaves_to_the_container_and_to_the_environment() -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    source = SourceRef("config.yaml", content=model("runtime: {kubernetes: {namespace: prod}}").encode())
    runtime = load([source], environ).config.containers[0].runtime
    assert runtime == Kubernetes(namespace="prod", container="model", api="https://10.96.0.1:443")


def test_a_webhook_waits_longer_for_a_new_instance() -> None:
    restart = config(model("restart: {action: {webhook: {url: http://127.0.0.1:1/hook}}}")).containers[0].restart
    assert (restart.action_name, restart.assumed_after) == ("webhook", 900)


def test_null_blocks_mean_that_they_are_not_there() -> None:
    checks = "startup_check: null\nliveness_check: []\nrestart: null\nruntime: null\nports: null"
    container = config(model(checks)).containers[0]
    assert container.checks() == ()
    assert type(container.restart) is Restart


def test_a_check_may_go_to_another_containers_host_to_this_machine_and_to_allowed_hosts() -> None:
    text = """
allow_hosts: [gateway.example]
containers:
  - {name: other, host: other.example, port: 80}
  - name: model
    port: 8000
    liveness_check:
      - {http_get: {host: other.example}}
      - {http_get: {host: gateway.example}}
      - {http_get: {host: localhost}}
      - {http_get: {host: "::1"}}
"""
    assert problems(text) == []


def test_a_check_of_the_agents_port_on_another_host_is_no_check_of_itself() -> None:
    remote = "containers: [{name: a, host: model.example, liveness_check: {http_get: {port: 9809}}}]"
    assert problems(remote) == []
    assert "own listener" in problems(remote.replace("model.example", "127.0.0.1"))[0]
    assert "own listener" in problems(remote.replace("model.example", "localhost"))[0]


def test_a_third_partys_method_and_action_are_used_by_import_string() -> None:
    text = model("""
liveness_check:
  - config.third_party:Redis: {port: 6379, database: 2}
  - config.third_party:Redis: {}
    timeout_seconds: 2
restart: {action: {"config.third_party:Page": {who: me}}}
""")
    container = config(text).containers[0]
    first, second = container.liveness
    assert (first.name, first.method, first.options.database) == (
        "config.third_party:Redis",
        "config.third_party:Redis",
        2,
    )
    assert (first.timeout_seconds, first.failure_threshold, second.timeout_seconds) == (7, 1, 2)
    assert (container.restart.action_name, container.restart.action.who) == ("config.third_party:Page", "me")


def test_a_third_partys_options_are_checked_like_any_other() -> None:
    text = model("""
liveness_check:
  - {"config.third_party:Redis": {databse: 2}}
  - {"config.third_party:Redis": {database: -1}}
  - {"config.third_party:Redis": {database: 99}}
  - {"config.third_party:Broken": {}}
  - {"config.third_party:Raising": {}}
""")
    method = "containers[0].liveness_check[{}].config.third_party:{}"
    assert problems(text) == [
        f"config.yaml:5: {method.format(0, 'Redis')}.databse: unknown key, did you mean 'database'?",
        f"config.yaml:6: {method.format(1, 'Redis')}.database: -1 is below the minimum of 0",
        f"config.yaml:7: {method.format(2, 'Redis')}.database: only 16 databases",
        f"config.yaml:8: {method.format(3, 'Broken')}: refused by Broken: nothing pleases me",
        f"config.yaml:9: {method.format(4, 'Raising')}: the options could not be checked: RuntimeError: a bug",
    ]


def test_a_process_check_connects_nowhere_so_its_port_is_no_target() -> None:
    """It needs no port, not even the container's, and the agent's own port is as good as any to find a process by."""
    text = "containers: [{name: model, liveness_check: [{process: {pid_file: /run/p}}, {process: {port: 9809}}]}]"
    (container,) = config(text).containers
    assert [check.failure_threshold for check in container.liveness] == [1, 1]
    assert liveness_address(container) is None


def test_where_finds_the_line_of_a_path_or_of_the_nearest_thing_above_it() -> None:
    loaded = read(model("liveness_check:\n  - http_get: {}\n  - tcp_socket: {}\n    timeout_seconds: 2"))
    assert loaded.where("containers[0].liveness_check[1].timeout_seconds") == ("config.yaml", 7)
    assert loaded.where("containers[0].liveness_check[1].period_seconds") == ("config.yaml", 6)
    assert loaded.where("containers[0].liveness_check[0].http_get.path") == ("config.yaml", 5)
    assert loaded.where("server.port") == ("config.yaml", 1)


def test_the_files_that_were_read_are_known(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(model("liveness_check: {http_get: {}}"))
    loaded = load([SourceRef(str(path), str(path))], {})
    assert (loaded.kind, loaded.files) == ("native", (str(path),))
