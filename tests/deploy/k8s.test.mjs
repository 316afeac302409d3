// The Kubernetes manifests: each overlay is built, each object checked against its schema, all of them against each other and
// against the daemons. Every check is also shown something that is wrong, and has to see it.
import assert from "node:assert/strict";
import {execFileSync, spawnSync} from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {after, test} from "node:test";
import {fileURLToPath} from "node:url";

import {build, documents, normal} from "./kustomize.mjs";
import {checks, defaultsOf, environment, kind, protoFacts, STOP_DEADLINE_MS, workloads} from "./manifests.mjs";
import {schemaProblems} from "./schema.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const TOP = path.join(HERE, "..", "..");
const K8S = path.join(TOP, "deploy", "k8s");
const DAEMONS = ["ingestd", "transcoderd", "originD", "edged"];
// everything: production with all components, the largest set of objects.
const BUILDS = {"single-node": path.join(K8S, "overlays/single-node"), production: path.join(K8S, "overlays/production"),
                everything: path.join(HERE, "everything")};

const facts = {
    ...protoFacts(fs.readFileSync(path.join(TOP, "proto/README.md"), "utf8")),
    defaults: Object.fromEntries(DAEMONS.map((d) => [d, defaultsOf(execFileSync(path.join(TOP, "bin", d), ["--help"],
                                                                                {encoding: "utf8"}))])),
    secrets: execFileSync(path.join(K8S, "secrets"), ["--names"], {encoding: "utf8"}).trim().split("\n"),
};

// What deploy/k8s/secrets makes, and a pod's volumes with it: the daemons read these files even when they only check.
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "freshet-k8s-"));
after(() => fs.rmSync(scratch, {recursive: true}));
fs.mkdirSync(path.join(scratch, "keys"));
fs.writeFileSync(path.join(scratch, "keys", "archive.json"), JSON.stringify({endpoint: "https://s3.example.org", bucket: "media", region: "eu-1",
                                                                             access_key: "a", secret_key: "b"}));
const secrets = documents(execFileSync(path.join(K8S, "secrets"), ["--dir", path.join(scratch, "keys"), "--host", "live.example.org"],
                                       {encoding: "utf8", stdio: ["ignore", "pipe", "ignore"]}));

function mounted(env, workload) {
    const {containers: [{volumeMounts}], volumes} = workload.spec.template.spec;
    const root = fs.mkdtempSync(path.join(scratch, "pod-"));
    for (const {name, mountPath} of volumeMounts) {
        fs.mkdirSync(root + mountPath, {recursive: true});
        const made = secrets.find((s) => s.metadata.name === volumes.find((v) => v.name === name)?.secret?.secretName);
        for (const [file, content] of Object.entries(made?.data ?? {}))
            fs.writeFileSync(path.join(root + mountPath, file), Buffer.from(content, "base64"));
    }
    return Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value.startsWith("/") ? root + value : value]));
}

test("the facts the checks stand on are found", () => {
    assert.ok(facts.sockets.length >= 12 && facts.flows.length >= 7, JSON.stringify(facts.flows));
    assert.ok(facts.secrets.length >= 4);
    assert.match(fs.readFileSync(path.join(TOP, "common/daemon/daemon.h"), "utf8"),
                 new RegExp(`DAEMON_STOP_DEADLINE_MS ${STOP_DEADLINE_MS}\\b`));
});

for (const [name, dir] of Object.entries(BUILDS)) {
    const objects = build(dir);
    test(`${name}: objects are what their kinds say`, () => assert.deepEqual(objects.flatMap(schemaProblems), []));
    for (const [what, check] of Object.entries(checks))
        test(`${name}: ${what}`, () => assert.deepEqual(check(objects, facts), []));
    for (const workload of workloads(objects))
        test(`${name}: the configuration of ${workload.metadata.name} passes its daemon's check`, () => {
            const daemon = DAEMONS.find((d) => d.toLowerCase() === workload.spec.template.spec.containers[0].name);
            const env = environment(objects, workload);
            const unknown = Object.keys(env).map((k) => k.replace("FRESHET_", "").toLowerCase())
                .filter((k) => !(k in facts.defaults[daemon]) && !(k.replace(/_file$/, "") in facts.defaults[daemon]));
            assert.deepEqual(unknown, []);
            const done = spawnSync(path.join(TOP, "bin", daemon), ["-n"], {env: mounted(env, workload), encoding: "utf8"});
            assert.equal(done.status, 0, done.stderr);
        });
}

const versionOfKustomize = () => {
    const {stdout} = spawnSync("kubectl", ["version", "--client"], {encoding: "utf8"});
    return Number(/Kustomize Version: v(\d+)/.exec(stdout ?? "")?.[1] ?? 0);
};
test("kubectl builds the same", {skip: versionOfKustomize() < 5 && "no kubectl with kustomize 5 here"}, () => {
    for (const dir of Object.values(BUILDS)) {
        const theirs = documents(execFileSync("kubectl", ["kustomize", dir], {encoding: "utf8"}));
        assert.deepEqual(normal(build(dir)), normal(theirs));
    }
});

test("the script of secrets makes those that are named, as Secrets", () => {
    assert.deepEqual(secrets.flatMap(schemaProblems), []);
    assert.deepEqual(secrets.map((s) => s.metadata.name).sort(), [...facts.secrets].sort());
    assert.ok(secrets.every((s) => Object.values(s.data).every((v) => Buffer.from(v, "base64").length > 30)));
    const signs = ["ca.key", "publish-private.json", "view-private.json"].map((f) => fs.readFileSync(path.join(scratch, "keys", f)));
    assert.ok(secrets.every((s) => Object.values(s.data).every((v) => !signs.some((k) => k.equals(Buffer.from(v, "base64"))))));
});

// ---- the checks see what is wrong

const of = (objects, what, name) => kind(objects, what).find((o) => o.metadata.name === name);
const pod = (objects, what, name) => of(objects, what, name).spec.template.spec;
const WRONG = {
    "selectors select a workload": [
        (o) => { of(o, "Service", "viewers").spec.selector = {"app.kubernetes.io/name": "egde"}; },
        (o) => { of(o, "PodDisruptionBudget", "origin").spec.selector.matchLabels = {app: "origin"}; },
        (o) => { of(o, "Deployment", "edge").spec.selector.matchLabels = {app: "edge"}; },
        (o) => { pod(o, "Deployment", "edge").topologySpreadConstraints[0].labelSelector.matchLabels = {app: "edge"}; },
        (o) => { of(o, "HorizontalPodAutoscaler", "edge").spec.scaleTargetRef.name = "edges"; },
        (o) => { of(o, "Deployment", "edge").spec.replicas = 3; },
    ],
    "ports are the daemons' and lead somewhere": [
        (o) => { pod(o, "Deployment", "transcoder").containers[0].ports[0].containerPort = 9203; },
        (o) => { of(o, "Service", "origin").spec.ports[0].targetPort = "puts"; },
        (o) => { of(o, "Service", "origin").spec.ports[0].port = 9311; },
        (o) => { of(o, "Ingress", "viewers").spec.rules[0].http.paths[0].backend.service.port.name = "quic"; },
        (o) => { pod(o, "Deployment", "edge").containers[0].livenessProbe.httpGet.path = "/readyz"; },
        (o) => { delete pod(o, "Deployment", "edge").containers[0].readinessProbe; },
        (o) => { of(o, "PodMonitor", "freshet").spec.podMetricsEndpoints[0].port = "metrics"; },
    ],
    "peers are found by headless services that tell of pods that are not ready": [
        (o) => { delete of(o, "Service", "transcoder").spec.clusterIP; },
        (o) => { of(o, "Service", "origin").spec.publishNotReadyAddresses = false; },
        (o) => { of(o, "ConfigMap", "edge").data.FRESHET_ORIGINS = "origin:9301,origins:9302"; },
    ],
    "what is named is there": [
        (o) => { pod(o, "Deployment", "edge").containers[0].envFrom[0].configMapRef.name = "nodes"; },
        (o) => { pod(o, "Deployment", "edge").volumes[0].secret.secretName = "cluster-egde"; },
        (o) => { pod(o, "Deployment", "edge").containers[0].volumeMounts[0].name = "certs"; },
        (o) => { of(o, "ConfigMap", "edge").data.FRESHET_VIEW_JWKS = "/run/freshet/views/jwks.json"; },
        (o) => { of(o, "StatefulSet", "origin").spec.serviceName = "origins"; },
        (o) => { of(o, "Ingress", "viewers").spec.tls[0].secretName = "tls"; },
    ],
    "pods have the time that a daemon takes to leave": [
        (o) => { pod(o, "Deployment", "transcoder").terminationGracePeriodSeconds = 20; },
        (o) => { of(o, "ConfigMap", "edge").data.FRESHET_DRAIN_MS = "60000"; },
    ],
    "budgets fit into limits": [
        (o) => { pod(o, "Deployment", "edge").containers[0].resources.limits.memory = "4Gi"; },
        (o) => { pod(o, "Deployment", "ingest").containers[0].resources.requests.memory = "8Gi"; },
        (o) => { delete of(o, "ConfigMap", "ingest").data.FRESHET_REPLAY_TOTAL_BYTES; },
        (o) => { of(o, "ConfigMap", "origin").data.FRESHET_RETENTION_BYTES = "0"; },
    ],
    "pods ask for nothing that the restricted standard refuses": [
        (o) => { delete pod(o, "StatefulSet", "origin").securityContext; },
        (o) => { delete pod(o, "Deployment", "ingest").containers[0].securityContext; },
        (o) => { pod(o, "Deployment", "ingest").containers[0].securityContext.capabilities.add = ["NET_ADMIN"]; },
        (o) => { pod(o, "Deployment", "edge").hostNetwork = true; },
        (o) => { pod(o, "Deployment", "edge").volumes.push({name: "h", hostPath: {path: "/"}}); },
        (o) => { delete pod(o, "Deployment", "edge").automountServiceAccountToken; },
    ],
    "network policies are the table of sockets": [
        (o) => { o.splice(o.findIndex((p) => p.kind === "NetworkPolicy" && p.metadata.name === "nothing-else"), 1); },
        (o) => { of(o, "NetworkPolicy", "transcoder").spec.ingress[0].from.push(
            {podSelector: {matchLabels: {"app.kubernetes.io/name": "edge"}}}); },
        (o) => { of(o, "NetworkPolicy", "edge").spec.egress.shift(); },
        (o) => { delete of(o, "NetworkPolicy", "origin").spec.ingress[0].ports; },
        (o) => { delete of(o, "NetworkPolicy", "origin").spec.ingress[0].from; },
    ],
};
test("every check is shown something wrong", () => assert.deepEqual(Object.keys(WRONG), Object.keys(checks)));
for (const [what, spoilers] of Object.entries(WRONG))
    test(`seen when it is wrong: ${what}`, () => {
        for (const spoil of spoilers) {
            const objects = structuredClone(build(BUILDS.everything));
            spoil(objects);
            assert.notDeepEqual(checks[what](objects, facts), [], `not seen: ${spoil}`);
        }
    });

test("seen when it is wrong: a type, a field that there is not, a kind that there is not", () => {
    for (const spoil of [
        (o) => { of(o, "StatefulSet", "origin").spec.replicas = "three"; },
        (o) => { pod(o, "Deployment", "edge").containers[0].imagge = "x"; },
        (o) => { pod(o, "Deployment", "edge").containers[0].securityContext.readonlyRootFilesystem = true; },
        (o) => { of(o, "NetworkPolicy", "edge").spec.ingress[0].form = []; },
        (o) => { of(o, "Deployment", "edge").kind = "Deploymnt"; },
        (o) => { of(o, "HorizontalPodAutoscaler", "edge").apiVersion = "autoscaling/v3"; },
    ]) {
        const objects = structuredClone(build(BUILDS.everything));
        spoil(objects);
        assert.notDeepEqual(objects.flatMap(schemaProblems), [], `not seen: ${spoil}`);
    }
});
