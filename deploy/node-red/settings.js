// Node-RED for nxai-edge: `node-red --settings .../settings.js`. The compose profile `node-red`
// uses it as it is; README.md beside it says what the variables are.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const { env } = process;

// The value of NAME, or what is in the file that NAME_FILE names.
function setting(name, otherwise) {
    const file = env[`${name}_FILE`];
    if (env[name] || !file) {
        return env[name] || otherwise;
    }
    try {
        return fs.readFileSync(file, "utf8").trim();
    } catch (error) {
        throw new Error(`${name}_FILE is ${file}, which cannot be read: ${error.code}`);
    }
}

// What the flows' broker node refers to.
env.NXAI_MQTT_HOST = setting("NXAI_MQTT_HOST", "localhost");
env.NXAI_MQTT_PORT = setting("NXAI_MQTT_PORT", "1883");
env.NXAI_MQTT_USER = setting("NXAI_MQTT_USER", "operator");
env.NXAI_MQTT_PASSWORD = setting("NXAI_MQTT_PASSWORD", "");

// The flows beside this file; the broker node and the subflow are in several of them.
function nodesHere() {
    const nodes = new Map();
    for (const name of fs.readdirSync(__dirname).filter((name) => name.endsWith(".json")).sort()) {
        for (const node of JSON.parse(fs.readFileSync(path.join(__dirname, name), "utf8"))) {
            nodes.set(node.id, node);
        }
    }
    return [...nodes.values()];
}

// Written aside and moved, so that a start that is cut off leaves no half a file.
function write(file, content) {
    fs.writeFileSync(`${file}.new`, JSON.stringify(content, null, 4), { mode: 0o600 });
    fs.renameSync(`${file}.new`, file);
}

// The first start has all flows; from then on they are the user's. Node-RED keeps credentials (here
// names of variables) in a file of their own, and encrypts it when something is deployed.
const userDir = setting("NODE_RED_HOME", "") || path.join(os.homedir(), ".node-red");
const flowFile = path.join(userDir, "flows.json");
if (!fs.existsSync(flowFile)) {
    fs.mkdirSync(userDir, { recursive: true });
    const nodes = nodesHere();
    const secret = nodes.filter((node) => node.credentials);
    write(
        path.join(userDir, "flows_cred.json"),
        Object.fromEntries(secret.map((node) => [node.id, node.credentials])),
    );
    write(flowFile, nodes.map(({ credentials, ...node }) => node));
}
// Where names of files begin that flows give without a folder.
process.chdir(userDir);

// With a password the editor asks for it (user `admin`); flows are programs, and who reaches the
// editor may run any.
const password = setting("NODE_RED_PASSWORD", "");
const digest = (text) => crypto.createHash("sha256").update(text).digest();
const admin = { username: "admin", permissions: "*" };
const adminAuth = {
    type: "credentials",
    users: async (username) => (username === admin.username ? admin : null),
    authenticate: async (username, given) =>
        username === admin.username && crypto.timingSafeEqual(digest(given), digest(password))
            ? admin
            : null,
};

module.exports = {
    userDir,
    flowFile: "flows.json",
    flowFilePretty: true,
    uiHost: setting("NODE_RED_ADDRESS", undefined),
    uiPort: Number(setting("NODE_RED_PORT", "1880")),
    ...(password ? { adminAuth } : {}),
    // Totals and quiet times outlive a restart.
    contextStorage: { default: { module: "localfilesystem" } },
    // A batch of results of a box that was offline (the default is 5mb).
    apiMaxLength: "20mb",
    mqttReconnectTime: 5000,
    // "Snapshot to disk" looks into its folder with Node's fs.
    functionExternalModules: true,
    telemetry: { enabled: false, updateNotification: false },
    editorTheme: { tours: false, projects: { enabled: false } },
    logging: { console: { level: "info", metrics: false, audit: false } },
};
