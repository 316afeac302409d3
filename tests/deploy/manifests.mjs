// What is to be true of Freshet's Kubernetes manifests beyond their schemas: that the objects fit each other, the daemons and the
// table of sockets. Each check takes the objects of a build and what is known of the daemons, and gives problems as sentences.

export const STOP_DEADLINE_MS = 15000;  // DAEMON_STOP_DEADLINE_MS in common/daemon/daemon.h
const DAEMON_OF = {ingest: "ingestd", transcoder: "transcoderd", origin: "originD", edge: "edged"};
const ROLE_OF = Object.fromEntries(Object.entries(DAEMON_OF).map(([role, daemon]) => [daemon, role]));

// ---- looking things up

export const kind = (objects, ...kinds) => objects.filter((o) => kinds.includes(o.kind));
export const workloads = (objects) => kind(objects, "Deployment", "StatefulSet");
const named = (o) => `${o.kind} ${o.metadata.name}`;
const container = (workload) => workload.spec.template.spec.containers[0];
const roleOf = (workload) => workload.spec.template.metadata.labels["app.kubernetes.io/name"];

const fits = (selector, labels) =>
    Object.entries(selector.matchLabels ?? {}).every(([k, v]) => labels[k] === v) &&
    (selector.matchExpressions ?? []).every(({key, operator, values}) => operator === "In" && values.includes(labels[key]));

const selected = (objects, selector) => workloads(objects).filter((w) => fits(selector, w.spec.template.metadata.labels));

function bytes(quantity) {
    const [, number, unit] = /^(\d+)(Ki|Mi|Gi|Ti)?$/.exec(quantity);
    return Number(number) * 1024 ** ["", "Ki", "Mi", "Gi", "Ti"].indexOf(unit ?? "");
}

// The environment of a workload's container, as kubelet would make it; names of pods are made up.
export function environment(objects, workload) {
    const env = {};
    for (const {configMapRef} of container(workload).envFrom)
        Object.assign(env, kind(objects, "ConfigMap").find((m) => m.metadata.name === configMapRef.name)?.data);
    for (const {name, value, valueFrom} of container(workload).env)
        env[name] = value ?? (valueFrom.fieldRef.fieldPath === "metadata.name" ? `${workload.metadata.name}-0` : "");
    return env;
}

// A key's value there: the environment's, else the daemon's default.
export const setting = (objects, workload, facts, key) =>
    environment(objects, workload)[`FRESHET_${key.toUpperCase()}`] ?? facts.defaults[DAEMON_OF[roleOf(workload)]][key];

// ---- the checks

export const checks = {
    "selectors select a workload"(objects) {
        const problems = [];
        const must = (object, selector) => {
            if (!selected(objects, selector).length)
                problems.push(`${named(object)} selects nothing: ${JSON.stringify(selector)}`);
        };
        for (const w of workloads(objects)) {
            if (!fits(w.spec.selector, w.spec.template.metadata.labels))
                problems.push(`${named(w)} does not select its own pods`);
            for (const spread of w.spec.template.spec.topologySpreadConstraints)
                if (!fits(spread.labelSelector, w.spec.template.metadata.labels))
                    problems.push(`${named(w)} is not spread by its own labels`);
        }
        kind(objects, "Service").forEach((s) => must(s, {matchLabels: s.spec.selector}));
        kind(objects, "PodDisruptionBudget", "PodMonitor").forEach((o) => must(o, o.spec.selector));
        for (const policy of kind(objects, "NetworkPolicy")) {
            must(policy, policy.spec.podSelector);
            for (const {from = [], to = []} of [...policy.spec.ingress ?? [], ...policy.spec.egress ?? []])
                [...from, ...to].filter((p) => p.podSelector && !p.namespaceSelector).forEach((p) => must(policy, p.podSelector));
        }
        for (const scaler of kind(objects, "HorizontalPodAutoscaler")) {
            const {kind: wanted, name} = scaler.spec.scaleTargetRef;
            const target = kind(objects, wanted).find((o) => o.metadata.name === name);
            if (!target)
                problems.push(`${named(scaler)}: there is no ${wanted} ${name}`);
            else if (target.spec.replicas !== undefined)
                problems.push(`${named(scaler)}: ${named(target)} has a number of replicas of its own`);
        }
        return problems;
    },

    "ports are the daemons' and lead somewhere"(objects, facts) {
        const problems = [];
        for (const w of workloads(objects)) {
            const daemon = DAEMON_OF[roleOf(w)];
            const known = facts.sockets.filter((s) => s.daemon === daemon).map((s) => s.port);
            for (const {name, containerPort} of container(w).ports)
                if (!known.includes(containerPort))
                    problems.push(`${named(w)}: ${daemon} does not listen on ${containerPort} (${name})`);
        }
        for (const service of kind(objects, "Service"))
            for (const {port, targetPort} of service.spec.ports)
                for (const w of selected(objects, {matchLabels: service.spec.selector})) {
                    const target = container(w).ports.find((p) => p.name === targetPort);
                    if (!target)
                        problems.push(`${named(service)}: ${named(w)} has no port ${targetPort}`);
                    else if (service.spec.clusterIP === "None" && target.containerPort !== port)
                        problems.push(`${named(service)} is headless, and ${port} is ${target.containerPort} in the pod`);
                }
        for (const ingress of kind(objects, "Ingress"))
            for (const {backend: {service: {name, port}}} of ingress.spec.rules.flatMap((r) => r.http.paths)) {
                const service = kind(objects, "Service").find((s) => s.metadata.name === name);
                if (!service?.spec.ports.some((p) => p.name === port.name))
                    problems.push(`${named(ingress)}: there is no ${port.name} of Service ${name}`);
            }
        for (const monitor of kind(objects, "PodMonitor"))
            for (const {port} of monitor.spec.podMetricsEndpoints)
                if (!workloads(objects).every((w) => container(w).ports.some((p) => p.name === port)))
                    problems.push(`${named(monitor)}: not every workload has a port ${port}`);
        for (const w of workloads(objects))
            for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"])
                if (container(w)[probe]?.httpGet.port !== "admin" ||
                    container(w)[probe].httpGet.path !== (probe === "readinessProbe" ? "/readyz" : "/healthz"))
                    problems.push(`${named(w)}: ${probe}`);
        return problems;
    },

    "peers are found by headless services that tell of pods that are not ready"(objects, facts) {
        const problems = [];
        for (const w of workloads(objects)) {
            const where = ["transcoders", "origins", "peers"].map((key) => setting(objects, w, facts, key)).filter(Boolean);
            for (const [host, port] of where.flatMap((list) => list.split(",")).map((a) => a.split(":"))) {
                const service = kind(objects, "Service").find((s) => s.metadata.name === host);
                if (!service?.spec.ports.some((p) => p.port === Number(port)))
                    problems.push(`${named(w)}: no service is ${host}:${port}`);
                else if (service.spec.clusterIP !== "None" || !service.spec.publishNotReadyAddresses)
                    problems.push(`${named(w)}: ${host} does not tell all addresses`);
            }
        }
        return problems;
    },

    "what is named is there"(objects, facts) {
        const problems = [];
        const maps = kind(objects, "ConfigMap").map((m) => m.metadata.name);
        const secrets = [...facts.secrets, ...kind(objects, "Certificate").map((c) => c.spec.secretName)];
        for (const w of workloads(objects)) {
            for (const {configMapRef} of container(w).envFrom)
                if (!maps.includes(configMapRef.name))
                    problems.push(`${named(w)}: no ConfigMap ${configMapRef.name}`);
            const volumes = [...w.spec.template.spec.volumes, ...(w.spec.volumeClaimTemplates ?? []).map((v) => v.metadata)];
            for (const {secret} of volumes)
                if (secret && !secrets.includes(secret.secretName))
                    problems.push(`${named(w)}: no Secret ${secret.secretName}`);
            const mounts = container(w).volumeMounts;
            for (const {name} of mounts)
                if (!volumes.some((v) => v.name === name))
                    problems.push(`${named(w)}: no volume ${name}`);
            for (const [key, value] of Object.entries(environment(objects, w)))
                if (value.startsWith("/") && !mounts.some((m) => value === m.mountPath || value.startsWith(m.mountPath + "/")))
                    problems.push(`${named(w)}: ${key}=${value} is in no volume`);
            if (w.spec.serviceName && !kind(objects, "Service").some((s) => s.metadata.name === w.spec.serviceName))
                problems.push(`${named(w)}: no Service ${w.spec.serviceName}`);
        }
        for (const ingress of kind(objects, "Ingress"))
            for (const {secretName} of ingress.spec.tls)
                if (!secrets.includes(secretName))
                    problems.push(`${named(ingress)}: no Secret ${secretName}`);
        return problems;
    },

    "pods have the time that a daemon takes to leave"(objects, facts) {
        return workloads(objects).flatMap((w) => {
            const takes = ["leave_ms", "drain_ms", "finish_ms"].reduce((sum, key) => sum + Number(setting(objects, w, facts, key) ?? 0),
                                                                      STOP_DEADLINE_MS);
            const grace = w.spec.template.spec.terminationGracePeriodSeconds * 1000;
            return grace >= takes ? [] : [`${named(w)}: ${grace} ms to stop, and it takes up to ${takes}`];
        });
    },

    "budgets fit into limits"(objects, facts) {
        const problems = [];
        for (const w of workloads(objects)) {
            const limit = bytes(container(w).resources.limits.memory);
            if (bytes(container(w).resources.requests.memory) > limit)
                problems.push(`${named(w)} requests more memory than it may have`);
            for (const key of ["cache_bytes", "replay_total_bytes"]) {
                const kept = Number(setting(objects, w, facts, key) ?? 0);
                if (kept * 1.25 > limit)
                    problems.push(`${named(w)}: ${key} of ${kept} in ${limit} bytes`);
            }
            for (const claim of w.spec.volumeClaimTemplates ?? []) {
                const kept = Number(setting(objects, w, facts, "retention_bytes"));
                const size = bytes(claim.spec.resources.requests.storage);
                if (kept === 0 || kept > 0.9 * size)
                    problems.push(`${named(w)}: ${kept} bytes of recordings on a volume of ${size}`);
            }
        }
        return problems;
    },

    "pods ask for nothing that the restricted standard refuses"(objects) {
        return workloads(objects).flatMap((w) => {
            const pod = w.spec.template.spec, c = container(w);
            const wrong = Object.entries({
                "runs as root": pod.securityContext?.runAsNonRoot !== true || !pod.securityContext.runAsUser,
                "no seccomp profile": pod.securityContext?.seccompProfile?.type !== "RuntimeDefault",
                "may gain privileges": c.securityContext?.allowPrivilegeEscalation !== false,
                "keeps capabilities": String(c.securityContext?.capabilities?.drop) !== "ALL" || c.securityContext.capabilities.add,
                "writes to its image": c.securityContext?.readOnlyRootFilesystem !== true,
                "has a token of the cluster": pod.automountServiceAccountToken !== false,
                "gets services as keys": pod.enableServiceLinks !== false,
                "shares the machine": pod.hostNetwork || pod.hostPID || pod.hostIPC || pod.volumes.some((v) => v.hostPath),
                "has other containers": pod.containers.length !== 1 || pod.initContainers,
            }).filter(([, is]) => is);
            return wrong.map(([what]) => `${named(w)}: ${what}`);
        });
    },

    "network policies are the table of sockets"(objects, facts) {
        const policies = kind(objects, "NetworkPolicy");
        const problems = [];
        if (!policies.some((p) => !Object.keys(p.spec.podSelector).length && !p.spec.ingress && !p.spec.egress &&
                                  String(p.spec.policyTypes) === "Ingress,Egress"))
            problems.push("nothing denies by default");
        const flows = {ingress: new Set(), egress: new Set()};
        for (const policy of policies)
            for (const direction of ["ingress", "egress"])
                for (const rule of policy.spec[direction] ?? [])
                    for (const peer of rule.from ?? rule.to ?? [])
                        if (peer.podSelector && !peer.namespaceSelector)
                            for (const here of selected(objects, policy.spec.podSelector))
                                for (const there of selected(objects, peer.podSelector))
                                    for (const {port} of rule.ports ?? [{port: "all"}]) {
                                        const ends = [roleOf(there), roleOf(here)];
                                        const [from, to] = direction === "ingress" ? ends : ends.reverse();
                                        flows[direction].add(`${from} -> ${to}:${port}`);
                                    }
        const wanted = new Set(facts.flows.map(({from, to, port}) => `${ROLE_OF[from]} -> ${ROLE_OF[to]}:${port}`));
        for (const direction of ["ingress", "egress"]) {
            problems.push(...[...wanted].filter((f) => !flows[direction].has(f)).map((f) => `${direction} misses ${f}`));
            problems.push(...[...flows[direction]].filter((f) => !wanted.has(f)).map((f) => `${direction} allows ${f}`));
        }
        // What strangers reach: what the table says is for broadcasters and viewers, and nothing else.
        for (const policy of policies)
            for (const {from, ports = []} of policy.spec.ingress ?? [])
                if (!from)
                    for (const w of selected(objects, policy.spec.podSelector))
                        for (const {port} of ports)
                            if (!facts.sockets.some((s) => s.open && s.daemon === DAEMON_OF[roleOf(w)] && s.port === port))
                                problems.push(`${named(policy)} lets everybody in at ${port}`);
        return problems;
    },
};

// ---- what is known of the daemons, from where it is written down

// proto/README.md: "| daemon | listens (default) | answers |" and "| type | message | who asks → whom | …"
export function protoFacts(readme) {
    const rows = readme.split("\n").filter((l) => l.startsWith("|")).map((l) => l.split("|").slice(1, -1).map((c) => c.trim()));
    const sockets = [];
    for (const [daemon, listens, answers] of rows.filter((r) => r.length === 3)) {
        const ports = listens.match(/\d{4,5}/g)?.map(Number) ?? [];
        if (daemon === "all")
            ports.forEach((port, i) => sockets.push({daemon: Object.values(DAEMON_OF)[i], port, messages: [], open: false}));
        else if (ROLE_OF[daemon])
            for (const port of ports)
                sockets.push({daemon, port, messages: answers.split(", "), open: ["broadcasters", "viewers"].includes(answers)});
    }
    const flows = [];
    for (const [, message, who] of rows.filter((r) => r.length === 5 && r[2].includes("→") && !r[2].includes("any")))
        for (const part of who.split(";")) {
            const [froms, tos] = part.split("→").map((side) => side.split(",").map((s) => s.trim()));
            for (const from of froms)
                for (const to of tos)
                    for (const {port} of sockets.filter((s) => s.daemon === to && s.messages.includes(message.split(" ")[0])))
                        flows.push({from, to, port});
        }
    return {sockets, flows};
}

// key -> default, of --help
export const defaultsOf = (help) => Object.fromEntries(
    [...help.matchAll(/^([a-z]\w*)(?: [*+])* = (\S+)/gm)].map(([, key, value]) => [key, value === '""' ? "" : value]));
