// Whether an object is what its apiVersion and kind say, by the validators of kubernetes-models. These let fields pass that they
// do not know, as a cluster would ("unknown field" is only a warning there, and the field is dropped): here it is a problem.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const PACKAGES = {"monitoring.coreos.com": "@kubernetes-models/prometheus-operator", "cert-manager.io": "@kubernetes-models/cert-manager"};

function model({apiVersion, kind}) {
    const group = apiVersion.includes("/") ? apiVersion.split("/")[0] : "";
    // Groups without a domain (apps, policy) are named so in the package too.
    return require(`${PACKAGES[group] ?? "kubernetes-models"}/${apiVersion}/${kind}`)[kind];
}

// The object as it is, but who reads it is noted: a field that no validator asks for has no place in the schema.
function watched(value, path, seen) {
    if (typeof value !== "object" || value === null)
        return value;
    const fields = new Set();
    seen.push({value, path, fields});
    return new Proxy(value, {
        get: (target, key) => {
            fields.add(key);
            return typeof key === "symbol" ? target[key] : watched(target[key], `${path}.${key}`, seen);
        },
        ownKeys: (target) => {
            Reflect.ownKeys(target).forEach((key) => fields.add(key));
            return Reflect.ownKeys(target);
        },
    });
}

export function schemaProblems(object) {
    const what = `${object.kind} ${object.metadata?.name}`;
    let Model;
    try {
        Model = model(object);
    } catch {
        return [`${what}: there is no ${object.apiVersion} ${object.kind}`];
    }
    const seen = [];
    try {
        Model.prototype.validate.call(watched(object, "", seen));
    } catch (e) {
        return [`${what}: ${e.message}`];
    }
    // One object may be looked at more than once (anyOf): what any look asked for is known.
    const known = new Map();
    for (const {path, fields, value} of seen) {
        const at = known.get(path) ?? {value, fields: new Set()};
        fields.forEach((f) => at.fields.add(f));
        known.set(path, at);
    }
    return [...known].flatMap(([path, {value, fields}]) => Array.isArray(value) || !fields.size ? [] :
        Object.keys(value).filter((key) => !fields.has(key)).map((key) => `${what}: unknown field ${path.slice(1)}${path && "."}${key}`));
}
