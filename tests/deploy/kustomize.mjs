// What `kubectl kustomize` does, as far as deploy/k8s asks for it, so that the manifests are checked on machines without kubectl
// too. Anything it does not know it refuses. k8s.test.mjs compares the two where both can be had.
import fs from "node:fs";
import path from "node:path";
import YAML from "yaml";

const KNOWN = ["apiVersion", "kind", "namespace", "labels", "resources", "components", "configMapGenerator", "patches", "replicas",
               "images"];
const CLUSTER_WIDE = ["Namespace"];

export function build(dir) {
    const objects = [];
    apply(dir, objects);
    return objects;
}

function apply(dir, objects) {
    const k = YAML.parse(fs.readFileSync(path.join(dir, "kustomization.yaml"), "utf8"));
    const unknown = Object.keys(k).filter((key) => !KNOWN.includes(key));
    if (unknown.length)
        throw new Error(`${dir}: not known here: ${unknown}`);
    for (const resource of k.resources ?? []) {
        const at = path.join(dir, resource);
        objects.push(...(fs.statSync(at).isDirectory() ? build(at) : read(at)));
    }
    for (const map of k.configMapGenerator ?? [])
        generate(map, objects);
    for (const component of k.components ?? [])
        apply(path.join(dir, component), objects);
    for (const patch of k.patches ?? [])
        patchAll(objects, patch.path ? read(path.join(dir, patch.path)) : documents(patch.patch), patch.target, dir);
    for (const {name, count} of k.replicas ?? [])
        one(objects, (o) => o.metadata.name === name && o.spec?.template, name).spec.replicas = count;
    for (const object of objects) {
        if (k.namespace && !CLUSTER_WIDE.includes(object.kind))
            object.metadata.namespace = k.namespace;
        for (const label of k.labels ?? [])
            addLabels(object, label);
        for (const container of object.spec?.template?.spec?.containers ?? [])
            for (const image of k.images ?? [])
                container.image = renamed(container.image, image);
    }
}

// 1.1, as Kubernetes' own tools read it: 0440 is octal.
export const documents = (text) => YAML.parseAllDocuments(text, {version: "1.1"}).map((d) => {
    if (d.errors.length)
        throw d.errors[0];
    return d.toJS();
});
const read = (file) => documents(fs.readFileSync(file, "utf8"));

function one(objects, fits, what) {
    const found = objects.filter(fits);
    if (found.length !== 1)
        throw new Error(`${what}: ${found.length} objects`);
    return found[0];
}

function generate({name, behavior, literals, ...rest}, objects) {
    if (Object.keys(rest).length)
        throw new Error(`ConfigMap ${name}: not known here: ${Object.keys(rest)}`);
    const data = Object.fromEntries(literals.map((l) => [l.slice(0, l.indexOf("=")), l.slice(l.indexOf("=") + 1)]));
    if (behavior === "merge")
        Object.assign(one(objects, (o) => o.kind === "ConfigMap" && o.metadata.name === name, name).data, data);
    else
        objects.push({apiVersion: "v1", kind: "ConfigMap", metadata: {name}, data});
}

function addLabels(object, {pairs, includeTemplates, ...rest}) {
    if (Object.keys(rest).length)
        throw new Error(`labels: not known here: ${Object.keys(rest)}`);
    const labelled = includeTemplates ? [object.spec?.template, ...object.spec?.volumeClaimTemplates ?? []] : [];
    for (const {metadata} of [object, ...labelled.filter(Boolean)])
        metadata.labels = {...metadata.labels, ...pairs};
}

const renamed = (image, {name, newName, newTag}) => {
    const [was, tag] = image.split(":");
    return was === name ? `${newName ?? was}:${newTag ?? tag}` : image;
};

// ---- patches

function patchAll(objects, patches, target, dir) {
    if (Array.isArray(patches[0])) {
        const fitting = objects.filter((o) => (!target.kind || o.kind === target.kind) &&
                                              (!target.name || o.metadata.name === target.name));
        if (!fitting.length)
            throw new Error(`${dir}: a patch fits nothing: ${JSON.stringify(target)}`);
        for (const object of fitting)
            for (const step of patches[0])
                jsonPatch(object, step);
        return;
    }
    for (const patch of patches) {
        const object = one(objects, (o) => o.kind === patch.kind && o.metadata.name === patch.metadata.name,
                           `${dir}: patch of ${patch.kind} ${patch.metadata.name}`);
        merge(object, patch);
    }
}

function jsonPatch(object, {op, path: pointer, value}) {
    const parts = pointer.slice(1).split("/").map((p) => p.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = parts.pop();
    const at = parts.reduce((o, p) => o[p], object);
    if (op === "add" && Array.isArray(at))
        at.splice(last === "-" ? at.length : Number(last), 0, value);
    else if (op === "add" || op === "replace")
        at[last] = value;
    else if (op === "remove" && last in at)
        delete at[last];
    else if (op !== "test" || at[last] !== value)
        throw new Error(`${op} ${pointer}: there is ${JSON.stringify(at[last])}`);
}

// By which field entries of a list are the same one; lists that are not here are replaced as a whole.
const LIST_KEYS = {containers: ["name"], volumes: ["name"], env: ["name"], ports: ["containerPort", "port"], volumeMounts: ["mountPath"]};

function merge(into, patch) {
    for (const [key, value] of Object.entries(patch)) {
        if (key.startsWith("$"))
            throw new Error(`${key} is not known here`);
        if (value === null)
            delete into[key];
        else if (Array.isArray(value) && LIST_KEYS[key] && Array.isArray(into[key]))
            mergeLists(into[key], value, key);
        else if (typeof value === "object" && !Array.isArray(value) && typeof into[key] === "object")
            merge(into[key], value);
        else
            into[key] = value;
    }
}

function mergeLists(into, patches, list) {
    for (const patch of patches) {
        const key = LIST_KEYS[list].find((k) => k in patch);
        const same = into.find((entry) => entry[key] === patch[key]);
        if (same)
            merge(same, patch);
        else
            into.push(patch);
    }
}

// The same objects in one order, without the hashes that kustomize appends to generated names: for comparing.
export function normal(objects) {
    const text = JSON.stringify(objects);
    const hashes = objects.filter((o) => o.kind === "ConfigMap").map((o) => o.metadata.name)
        .filter((name) => /-[0-9a-z]{10}$/.test(name));
    const plain = JSON.parse(hashes.reduce((t, name) => t.replaceAll(`"${name}"`, `"${name.slice(0, -11)}"`), text));
    const sorted = (value, key) => {
        if (Array.isArray(value)) {
            const by = LIST_KEYS[key];
            const items = value.map((v) => sorted(v));
            return by ? items.sort((a, b) => String(by.map((k) => a[k])).localeCompare(String(by.map((k) => b[k])))) : items;
        }
        if (value && typeof value === "object")
            return Object.fromEntries(Object.keys(value).sort().map((k) => [k, sorted(value[k], k)]));
        return value;
    };
    return plain.map((o) => sorted(o)).sort((a, b) => `${a.kind} ${a.metadata.name}`.localeCompare(`${b.kind} ${b.metadata.name}`));
}
