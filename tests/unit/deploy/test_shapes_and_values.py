"""Which pairs can be, and what the values and objects of those say."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from rendered_repos import EXECUTOR, NEW, NODES, OLD, config_of, node, with_everything

from carrental_mlops.deploy.manifests import helm
from carrental_mlops.deploy.manifests.network import egress_of
from carrental_mlops.deploy.manifests.policy import pods_of
from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.deploy.manifests.values import as_helm, values_of
from carrental_mlops.errors import ConfigError

ISTIO = {"by": "istio", "host": "fraud.example.com", "gateway": "istio-system/main"}
AMBASSADOR = {"by": "ambassador", "host": "fraud.example.com"}
GATEWAY = {"by": "gateway", "host": "fraud.example.com", "gateway": "gateways/main"}


def objects_of(kind: str, weight: int | None = None, **deploy: Any) -> list[dict[str, Any]]:
    """Objects of one kind of a rollout of NEW beside OLD."""
    return [made for made in render(config_of(**deploy), "prod", NEW, OLD, weight).objects if made["kind"] == kind]


@pytest.mark.parametrize(
    ("deploy", "nearest"),
    [
        (
            {"platform": "kserve", "rollout": {"kind": "shadow"}},
            "deploy.platform: seldon, or .*canary.*serverless: true",
        ),
        ({"platform": "kserve", "rollout": {"kind": "canary"}}, "deploy.serverless: true, or deploy.platform: seldon"),
        ({"platform": "kserve", "rollout": {"kind": "ab"}}, "deploy.serverless: true"),
        ({"platform": "kserve", "serverless": True, "rollout": {"kind": "shadow"}}, "platform: seldon"),
        (
            {"platform": "kserve", "shape": "ensemble", "nodes": NODES["ensemble"]},
            "platform: seldon, or .*shape: single",
        ),
        ({"platform": "kserve", "shape": "router", "nodes": NODES["router"]}, "platform: seldon"),
        ({"platform": "kserve", "shape": "multi_model", "nodes": NODES["multi_model"]}, "shape: single in a repo"),
        ({"serverless": True}, "platform: kserve"),
        ({"platform": "kserve", "serverless": True, "route": ISTIO}, "route.by: none"),
        ({"platform": "kserve", "serverless": True, "autoscale": {"p99_ms": 50}}, "p99_ms: null"),
        ({"platform": "kserve", "serverless": True, "autoscale": {"by": "keda", "rps": 5}}, "by: hpa"),
        ({"rollout": {"kind": "ab", "header": "x-model"}}, "route.by: istio, ambassador or gateway"),
        (
            {"platform": "kserve", "serverless": True, "rollout": {"kind": "ab", "header": "x-model"}},
            "remove deploy.rollout.header",
        ),
    ],
)
def test_an_unsupported_pair_is_an_error_that_names_the_nearest_that_can_be(
    deploy: dict[str, Any], nearest: str
) -> None:
    with pytest.raises(ConfigError, match=nearest):
        values_of(config_of(**deploy), "prod", NEW, OLD)


@pytest.mark.parametrize(
    ("deploy", "said"),
    [
        ({"shape": "ensemble", "nodes": [node("mean", "combiner", "Mean")]}, "wants 1 to 8 of kind model, found 0"),
        ({"shape": "router"}, "wants 1 of kind router, found 0"),
        ({"nodes": [node("mean", "combiner", "Mean")]}, "shape single does not have"),
        ({"nodes": [node("drift", "drift_detector", "DriftDetector")] * 2}, "`drift` is taken"),
        ({"nodes": [node("fraud-payments", "drift_detector", "DriftDetector")]}, "`fraud-payments` is taken"),
        ({"nodes": [node("audit-ship", "drift_detector", "DriftDetector")]}, "`audit-ship` is taken"),
    ],
)
def test_nodes_that_do_not_make_the_shape_are_refused(deploy: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        values_of(config_of(**deploy), "prod", NEW)


def test_a_service_whose_name_cannot_name_objects_is_refused() -> None:
    config = config_of().model_copy(update={"service": "Fraud_Payments"})
    with pytest.raises(ConfigError, match="small letters"):
        values_of(config, "prod", NEW)


@pytest.mark.parametrize(
    ("shape", "graph"),
    [
        ("single", "fraud-payments"),
        ("transformer", "lookup(fraud-payments)"),
        ("ensemble", "mean(fraud-payments, second)"),
        ("router", "bandit(fraud-payments, second)"),
    ],
)
def test_each_shape_has_its_graph_with_a_container_for_each_unit(shape: str, graph: str) -> None:
    (made,) = objects_of("SeldonDeployment", shape=shape, nodes=NODES[shape])
    (predictor,) = made["spec"]["predictors"]
    containers = {one["name"]: one for one in predictor["componentSpecs"][0]["spec"]["containers"]}

    def shown(unit: dict[str, Any]) -> str:
        assert unit["name"] in containers
        inner = ", ".join(map(shown, unit["children"]))
        return f"{unit['name']}({inner})" if inner else unit["name"]

    assert shown(predictor["graph"]) == graph
    ports = [port["containerPort"] for one in containers.values() for port in one["ports"]]
    assert len(ports) == len(set(ports)), "containers of one pod share its ports"
    assert (predictor.get("annotations") == {"seldon.io/no-engine": "true"}) == (shape == "single")


def test_a_graph_on_seldon_brings_its_own_restricted_orchestrator_that_knows_where_each_node_answers() -> None:
    (made,) = objects_of("SeldonDeployment", shape="ensemble", nodes=NODES["ensemble"])
    (predictor,) = made["spec"]["predictors"]
    containers = {one["name"]: one for one in predictor["componentSpecs"][0]["spec"]["containers"]}
    engine = containers["seldon-container-engine"]
    assert engine["image"] == EXECUTOR
    assert engine["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert predictor["labels"]["seldon-app"] == "fraud-payments-champion", "what the predictor's Service selects"
    [told] = [one["value"] for one in engine["env"] if one["name"] == "ENGINE_PREDICTOR"]

    def endpoints(unit: dict[str, Any]) -> dict[str, Any]:
        found = {unit["name"]: (unit["endpoint"]["service_host"], unit["endpoint"]["httpPort"])}
        return found | {name: one for child in unit["children"] for name, one in endpoints(child).items()}

    ports = {name: one["ports"][0]["containerPort"] for name, one in containers.items() if one is not engine}
    assert endpoints(json.loads(base64.b64decode(told))["graph"]) == {n: ("localhost", p) for n, p in ports.items()}


def test_a_graph_on_seldon_without_an_orchestrator_is_refused_and_on_kserve_needs_none() -> None:
    graph: dict[str, Any] = {"shape": "transformer", "nodes": NODES["transformer"], "orchestrator_image": None}
    with pytest.raises(ConfigError, match=r"deploy\.orchestrator_image to Seldon's executor by digest"):
        values_of(config_of(**graph), "prod", NEW)
    assert values_of(config_of(platform="kserve", **graph), "prod", NEW).orchestrator is None


def test_a_canary_starts_with_the_first_step_and_takes_the_weight_it_is_given() -> None:
    for weight, shares in ((None, [90, 10]), (40, [60, 40]), (0, [100, 0])):
        (made,) = objects_of("SeldonDeployment", weight, rollout={"kind": "canary"})
        assert [one["traffic"] for one in made["spec"]["predictors"]] == shares
        assert [one["name"] for one in made["spec"]["predictors"]] == ["champion", "canary"]


def test_champion_and_canary_have_images_and_labels_of_their_own_release() -> None:
    (made,) = objects_of("SeldonDeployment", rollout={"kind": "canary"})
    keys = ("track", "release", "model-version")
    said = [tuple(one["labels"][f"crm.carrental/{key}"] for key in keys) for one in made["spec"]["predictors"]]
    assert said == [("champion", "prod-1", "1"), ("canary", "prod-2", "2")]
    images = [one["componentSpecs"][0]["spec"]["containers"][0]["image"] for one in made["spec"]["predictors"]]
    assert images == [OLD.image, NEW.image]


def test_a_direct_rollout_and_a_first_release_put_the_new_one_alone() -> None:
    for config, champion in ((config_of(), OLD), (config_of(rollout={"kind": "canary"}), None)):
        (track,) = values_of(config, "prod", NEW, champion).tracks
        assert (track.name, track.release, track.share) == ("champion", "prod-2", 100)


def test_a_shadow_gets_copies_and_leaves_the_champion_all_traffic() -> None:
    (made,) = objects_of("SeldonDeployment", rollout={"kind": "shadow"})
    champion, shadow = made["spec"]["predictors"]
    assert (champion["traffic"], shadow["shadow"]) == (100, True)


def test_kserve_splits_by_knatives_revisions() -> None:
    (made,) = objects_of("InferenceService", 25, platform="kserve", serverless=True, rollout={"kind": "canary"})
    predictor = made["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 25
    assert predictor["containers"][0]["image"] == NEW.image
    assert "terminationGracePeriodSeconds" not in predictor, "Knative does not allow it; `timeout` is its grace period"
    assert predictor["timeout"] == 40


@pytest.mark.parametrize("route", [ISTIO, AMBASSADOR, GATEWAY], ids=["istio", "ambassador", "gateway"])
def test_each_route_splits_mirrors_and_reads_the_header(route: dict[str, Any]) -> None:
    kind = {"istio": "VirtualService", "ambassador": "Mapping", "gateway": "HTTPRoute"}[route["by"]]

    def routed(**rollout: Any) -> str:
        return str([one["spec"] for one in objects_of(kind, route=route, rollout=rollout)])

    split = routed(kind="ab", share=30)
    assert "'weight': 30" in split
    assert "fraud-payments-champion" in split and "fraud-payments-ab" in split
    shadow = routed(kind="shadow")
    assert any(word in shadow for word in ("'mirror'", "'shadow': True", "RequestMirror"))
    header = routed(kind="ab", header="x-model")
    assert "x-model" in header and "weight" not in header


def test_a_graph_is_asked_at_its_orchestrator_a_single_model_at_itself() -> None:
    alone = objects_of("VirtualService", route=ISTIO)[0]["spec"]["http"][0]["route"][0]["destination"]
    graph = objects_of("VirtualService", route=ISTIO, shape="ensemble", nodes=NODES["ensemble"])[0]["spec"]["http"][0]
    assert alone["port"]["number"] == 8080
    assert graph["route"][0]["destination"]["port"]["number"] == 8000


def test_a_kserve_transformer_asks_the_model_at_a_service_of_its_own() -> None:
    rendered = render(config_of(platform="kserve", shape="transformer", nodes=NODES["transformer"]), "prod", NEW)
    services = {one["metadata"]["name"]: one["spec"] for one in rendered.objects if one["kind"] == "Service"}
    (made,) = [one for one in rendered.objects if one["kind"] == "InferenceService"]
    args = made["spec"]["transformer"]["containers"][0]["args"]
    assert args[args.index("--predictor_host") + 1] == "fraud-payments-model.models:8080"
    assert services["fraud-payments-model"]["selector"]["crm.carrental/part"] == "predictor"
    assert services["fraud-payments-http"]["selector"]["crm.carrental/part"] == "transformer"


def test_the_grace_period_is_longer_than_pre_stop_and_drain() -> None:
    values = values_of(config_of(serving={"drain_s": 25.5}), "prod", NEW)
    assert values.grace_s > values.pre_stop_s + values.drain_s + 20
    (pod,) = pods_of(helm.render(as_helm(values), "fraud-payments", "models"))
    assert pod.spec["terminationGracePeriodSeconds"] == values.grace_s == 56


def test_scaling_by_hpa_names_the_operators_deployment_and_the_models_container() -> None:
    (hpa,) = objects_of("HorizontalPodAutoscaler", autoscale={"rps": 12.5, "p99_ms": 80, "minimum": 3, "maximum": 30})
    spec = hpa["spec"]
    assert spec["scaleTargetRef"]["name"] == "fraud-payments-champion-0-app"
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 30)
    assert [one["type"] for one in spec["metrics"]] == ["ContainerResource", "Pods", "Pods"]
    assert spec["metrics"][1]["pods"]["target"]["averageValue"] == "12500m"
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_scaling_by_keda_asks_prometheus_for_each_track() -> None:
    autoscale = {"by": "keda", "rps": 12.5, "p99_ms": 80, "cpu_percent": None}
    made = objects_of("ScaledObject", autoscale=autoscale, rollout={"kind": "canary"})
    queries = [one["metadata"]["query"] for scaled in made for one in scaled["spec"]["triggers"]]
    assert len(queries) == 4
    assert 'crm_carrental_track="champion"' in queries[0] and 'crm_carrental_track="canary"' in queries[3]


def test_a_canary_has_as_many_replicas_as_its_share_needs_at_least() -> None:
    config = config_of(autoscale={"minimum": 10, "maximum": 20}, rollout={"kind": "canary"})
    assert [track.minimum for track in values_of(config, "prod", NEW, OLD).tracks] == [10, 1]
    assert [track.minimum for track in values_of(config, "prod", NEW, OLD, 50).tracks] == [10, 5]


@pytest.mark.parametrize(
    ("serving", "feast", "ways"),
    [
        ({}, None, []),
        ({}, "rediss://cache.example.com:6380/0", [(6380, None)]),
        ({"audit": {"sink": "kafka://broker.streams.svc:9093/audit"}}, None, [(9093, "streams")]),
        ({"traces": {"endpoint": "http://collector.tracing:4318/v1/traces"}}, None, [(4318, None), (4318, "tracing")]),
        ({"auth": {"kind": "oidc", "issuer": "https://login.example.com"}}, None, [(443, None)]),
        ({"features": {"source": "server", "feast_url": "http://feast:6566"}}, None, [(6566, "models")]),
    ],
)
def test_the_network_policy_lets_out_what_crm_yaml_names(
    serving: dict[str, Any], feast: str | None, ways: list[tuple[int, str | None]]
) -> None:
    config = config_of(serving=serving)
    config = config.model_copy(update={"feast": config.feast.model_copy(update={"online": feast})})
    assert [(one.port, one.namespace) for one in egress_of(config)] == ways


def test_nobody_may_ask_but_the_gateway_prometheus_and_named_callers() -> None:
    policies = objects_of("NetworkPolicy", allowed_callers=["payments"])
    deny, allow = sorted(policies, key=lambda one: "ingress" in one["spec"])
    assert "ingress" not in deny["spec"] and deny["spec"]["policyTypes"] == ["Ingress", "Egress"]
    named = [
        source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for way in allow["spec"]["ingress"]
        for source in way["from"]
        if "namespaceSelector" in source
    ]
    assert named == ["istio-system", "payments", "monitoring"]


def test_secrets_are_files_and_the_stores_url_is_read_from_one() -> None:
    secrets = {"by": "external_secrets", "store": "aws", "names": {"redis-url": "prod/redis"}}
    rendered = render(config_of(secrets=secrets), "prod", NEW)
    (secret,) = [one for one in rendered.objects if one["kind"] == "ExternalSecret"]
    assert secret["spec"]["data"] == [{"secretKey": "redis-url", "remoteRef": {"key": "prod/redis"}}]
    (pod,) = pods_of(rendered.objects)
    container = pod.spec["containers"][0]
    assert {"name": "CRM_REDIS_URL_FILE", "value": "/etc/crm/secrets/redis-url"} in container["env"]
    assert all("valueFrom" not in one for one in container["env"])


def test_a_durable_audit_has_a_disk_of_its_own_and_is_sent_on_after_the_drain() -> None:
    serving = {"audit": {"sink": "https://audit.example.com/events"}}
    (pod,) = pods_of(render(config_of(serving=serving, audit_storage_class="gp3"), "prod", NEW).objects)
    (state,) = [one for one in pod.spec["volumes"] if one["name"] == "state"]
    claim = state["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("gp3", "10Gi")
    (ship,) = [one for one in pod.spec["containers"] if one["name"] == "audit-ship"]
    assert "time.sleep(15)" in ship["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_a_gpu_comes_with_its_nodes_and_their_taint() -> None:
    (pod,) = pods_of(render(config_of(resources={"gpu": 1}), "prod", NEW).objects)
    assert pod.spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod.spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pod.spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_detector_is_a_deployment_that_no_request_passes() -> None:
    rendered = render(with_everything(), "prod", NEW, OLD)
    (made,) = [one for one in rendered.objects if one["kind"] == "Deployment"]
    assert made["metadata"]["name"] == "fraud-payments-drift"
    (main,) = [one for one in rendered.objects if one["kind"] == "SeldonDeployment"]
    assert "drift" not in str(main["spec"]["predictors"][0]["graph"])
    assert "logger" not in str(main)


def test_what_a_detector_learnt_outlives_its_pod_and_one_pod_at_a_time_writes_it() -> None:
    for platform in ("seldon", "kserve"):
        rendered = render(with_everything(platform=platform), "prod", NEW, OLD)
        (claim,) = [one for one in rendered.objects if one["kind"] == "PersistentVolumeClaim"]
        assert (claim["metadata"]["name"], claim["spec"]["accessModes"]) == ("fraud-payments-drift", ["ReadWriteOnce"])
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert "crm.carrental/release" not in claim["metadata"]["labels"], "a release changes nothing of it"
        (made,) = [one for one in rendered.objects if one["kind"] == "Deployment"]
        assert (made["spec"]["replicas"], made["spec"]["strategy"]) == (1, {"type": "Recreate"})
        pod = made["spec"]["template"]["spec"]
        assert {"name": "disk-drift", "mountPath": "/app/.crm/nodes/drift"} in pod["containers"][0]["volumeMounts"]
        assert {"name": "disk-drift", "persistentVolumeClaim": {"claimName": "fraud-payments-drift"}} in pod["volumes"]


def test_all_pods_and_tracks_of_a_bandit_share_its_disk_which_must_allow_many_writers() -> None:
    bandit, second = NODES["router"]
    shared = [{**bandit, "disk": {"storage_class": "efs", "gb": 2}}, second]
    rendered = render(config_of(shape="router", nodes=shared, rollout={"kind": "canary"}), "prod", NEW, OLD)
    (claim,) = [one for one in rendered.objects if one["kind"] == "PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"] and claim["spec"]["storageClassName"] == "efs"
    for pod in pods_of(rendered.objects):
        containers = {one["name"]: one for one in pod.spec["containers"]}
        mounts = {name: [m["mountPath"] for m in one.get("volumeMounts", ())] for name, one in containers.items()}
        assert [name for name, paths in mounts.items() if "/app/.crm/nodes/bandit" in paths] == ["bandit"]
        assert {"name": "disk-bandit", "persistentVolumeClaim": {"claimName": "fraud-payments-bandit"}} in pod.spec[
            "volumes"
        ]
    with pytest.raises(ConfigError, match="ReadWriteMany"):
        render(config_of(shape="router", nodes=[{**bandit, "disk": {}}, second]), "prod", NEW)


def test_prometheus_finds_every_pod_and_its_track() -> None:
    rendered = render(config_of(rollout={"kind": "canary"}), "prod", NEW, OLD)
    (monitor,) = [one for one in rendered.objects if one["kind"] == "ServiceMonitor"]
    (service,) = [one for one in rendered.objects if one["metadata"]["name"] == "fraud-payments-metrics"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert "crm.carrental/track" in monitor["spec"]["podTargetLabels"]
    assert all(service["spec"]["selector"].items() <= pod.labels.items() for pod in pods_of(rendered.objects))
    (rule,) = [one for one in rendered.objects if one["kind"] == "PrometheusRule"]
    assert rule["spec"]["groups"]


def test_an_owners_mail_address_becomes_a_label_and_stays_whole_beside_it() -> None:
    for made in render(config_of(), "prod", NEW).objects:
        assert made["metadata"]["labels"]["crm.carrental/owner"] == "risk-ds-at-example.com"
        assert made["metadata"]["annotations"]["crm.carrental/owner"] == "risk-ds@example.com"
