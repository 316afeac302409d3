// Runs the pods of the single-node overlay on a Docker engine, as kubelet would: the same images, environment, user, mounts and
// restrictions, secrets by deploy/k8s/secrets, headless services as names of a network. For machines without Kubernetes; it is no
// part of `make check`. The images are to be there (deploy/Dockerfile).
//
//   node tests/deploy/pods.mjs [TAG]        DOCKER_HOST says which engine, as always; TAG: of the images, instead of the version
//
// Publishes by RTMPS with a token, watches through an edge, tries to publish without, and stops each tier as Kubernetes does. Prints
// what it saw, and ends with status 0 when all of it was as it is to be. Takes its containers, network and volumes away again.
import {execFileSync, spawn, spawnSync} from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import {setTimeout as sleep} from "node:timers/promises";
import {fileURLToPath} from "node:url";

import {build, documents} from "./kustomize.mjs";
import {environment, kind, workloads} from "./manifests.mjs";

const TOP = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "..");
const NET = `freshet-pods-${process.pid}`;
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "freshet-pods-"));
const docker = (...argv) => execFileSync("docker", argv, {encoding: "utf8"}).trim();
const run = (program, ...argv) => execFileSync(program, argv, {encoding: "utf8", stdio: ["ignore", "pipe", "ignore"]});
const pods = [];

const free = () => new Promise((done) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
        const {port} = server.address();
        server.close(() => done(port));
    });
});

const get = (port, url) => new Promise((done) => {
    http.get({host: "127.0.0.1", port, path: url, timeout: 3000}, (answer) => {
        let text = "";
        answer.on("data", (d) => { text += d; }).on("end", () => done({status: answer.statusCode, text}));
    }).on("error", (e) => done({status: 0, text: e.message}));
});

async function until(what, seconds, condition) {
    for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(200)) {
        const value = await condition();
        if (value)
            return value;
    }
    throw new Error(`not within ${seconds} s: ${what}`);
}

async function start(objects, secrets, workload, i) {
    const {containers: [c], volumes, securityContext: {runAsUser, runAsGroup}} = workload.spec.template.spec;
    const name = `${workload.metadata.name}-${i}`, container = `${NET}-${name}`;
    const labels = workload.spec.template.metadata.labels;
    const aliases = kind(objects, "Service")
        .filter((s) => s.spec.clusterIP === "None" && Object.entries(s.spec.selector).every(([k, v]) => labels[k] === v))
        .flatMap((s) => ["--network-alias", s.metadata.name]);
    const mounts = c.volumeMounts.flatMap((m) => {
        const from = path.join(scratch, name, m.name);
        fs.mkdirSync(from, {recursive: true});
        const secret = secrets.find((s) => s.metadata.name === volumes.find((v) => v.name === m.name)?.secret?.secretName);
        for (const [file, content] of Object.entries(secret?.data ?? {}))
            fs.writeFileSync(path.join(from, file), Buffer.from(content, "base64"), {mode: 0o440});
        run("chown", "-R", secret ? `0:${runAsGroup}` : `${runAsUser}:${runAsGroup}`, from);
        fs.chmodSync(from, 0o770);
        return ["-v", `${from}:${m.mountPath}${m.readOnly ? ":ro" : ""}`];
    });
    const ports = {};
    for (const port of c.ports)
        ports[port.name] = await free();
    const env = {...environment(objects, workload), FRESHET_ID: name};
    const publish = c.ports.flatMap((p) => ["-p", `127.0.0.1:${ports[p.name]}:${p.containerPort}`]);
    docker("run", "-d", "--name", container, "--hostname", name, "--network", NET, ...aliases, "--read-only", "--cap-drop", "ALL",
           "--security-opt", "no-new-privileges", "--user", `${runAsUser}:${runAsGroup}`, ...mounts, ...publish,
           ...Object.entries(env).flatMap(([k, v]) => ["-e", `${k}=${v}`]), c.image.replace(/:[^:]*$/, (tag) => process.argv[2] ? `:${process.argv[2]}` : tag));
    pods.push({name, container, ports, grace: workload.spec.template.spec.terminationGracePeriodSeconds});
}

const pod = (name) => pods.find((p) => p.name === name);
const encoder = (stream, seconds) => ["-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=30", "-f", "lavfi", "-i", "sine",
                                      "-t", String(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "60",
                                      "-c:a", "aac", "-f", "flv", `rtmps://127.0.0.1:${pod("ingest-0").ports.rtmps}/live/${stream}`];

async function main() {
    const objects = build(path.join(TOP, "deploy/k8s/overlays/single-node"));
    const secrets = documents(run(path.join(TOP, "deploy/k8s/secrets"), "--dir", path.join(scratch, "keys"), "--host", "127.0.0.1"));
    docker("network", "create", NET);
    for (const workload of workloads(objects))
        for (let i = 0; i < workload.spec.replicas; i++)
            await start(objects, secrets, workload, i);
    for (const p of pods)
        await until(`${p.name} is ready`, 60, async () => (await get(p.ports.admin, "/readyz")).status === 200);
    console.log(`${pods.length} pods are ready: ${pods.map((p) => p.name).join(" ")}`);

    for (const p of pods) {
        const {status} = await get(p.ports.admin, "/metrics");
        if (status !== 401)
            throw new Error(`${p.name}: /metrics without the token is ${status}, not 401`);
    }
    console.log("/metrics asks for the token everywhere");

    const denied = spawnSync("ffmpeg", encoder("cam", 3), {encoding: "utf8"});
    if (denied.status === 0)
        throw new Error("published without a token");
    console.log("publishing without a token is refused");

    const token = run(path.join(TOP, "deploy/token"), "make", "publish", "cam", "--for", "1h", "--keys",
                      path.join(scratch, "keys/publish-private.json")).split("\n").find((l) => l.startsWith("ey"));
    const broadcast = spawn("ffmpeg", encoder(`cam?token=${token}`, 60), {stdio: ["ignore", "ignore", "inherit"]});
    const edge = pod("edge-0").ports.http;
    await until("the stream is live at the edge", 30, async () => (await get(edge, "/api/streams")).text.includes('"state":"live"'));
    const played = run("ffprobe", "-v", "error", "-read_intervals", "%+2", "-show_entries", "stream=codec_name,height", "-of", "csv=p=0",
                       `http://127.0.0.1:${edge}/live/cam/manifest.mpd`).trim().split("\n");
    console.log(`published by RTMPS with a token, and read at the edge: ${played.join(" ")}`);
    broadcast.kill("SIGINT");

    for (const tier of ["ingest-0", "transcoder-0", "edge-0", "origin-0"]) {
        const {container, grace} = pod(tier), began = Date.now();
        docker("stop", "-t", String(grace), container);
        const status = docker("inspect", "-f", "{{.State.ExitCode}}", container), took = (Date.now() - began) / 1000;
        console.log(`${tier} left after ${took.toFixed(1)} s of ${grace}, status ${status}`);
        if (status !== "0")
            throw new Error(`${tier} was killed or failed`);
    }
}

let status = 0;
try {
    await main();
} catch (e) {
    status = 1;
    console.error(`FAILED: ${e.message}`);
    for (const p of pods)
        console.error(`---- ${p.name}\n${spawnSync("docker", ["logs", "--tail", "15", p.container], {encoding: "utf8"}).stderr}`);
} finally {
    for (const p of pods)
        spawnSync("docker", ["rm", "-f", "-v", p.container]);
    spawnSync("docker", ["network", "rm", NET]);
    fs.rmSync(scratch, {recursive: true, force: true});
}
process.exit(status);
