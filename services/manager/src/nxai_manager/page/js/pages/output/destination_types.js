// Kinds of destinations, in the order in which they are offered.
import { t } from "../../i18n.js";
import { placeOfUrl } from "./secrets.js";

/** type -> {part (of the schema), icon, word, about} */
export const TYPES = {
  http: {
    part: "HttpDestination",
    icon: "webhook",
    word: () => t("HTTP server"),
    about: () => t("A web hook, Elasticsearch, Node-RED: results are sent as requests, with a body of your own if need be."),
  },
  mqtt: {
    part: "MqttDestination",
    icon: "radio-tower",
    word: () => t("MQTT broker"),
    about: () => t("Another broker gets the same topics, below a name of your choice."),
  },
  influxdb: {
    part: "InfluxDestination",
    icon: "chart-line",
    word: () => t("InfluxDB"),
    about: () => t("A database of time series, for Grafana and the like."),
  },
  file: {
    part: "FileDestination",
    icon: "file-text",
    word: () => t("File"),
    about: () => t("Lines of JSON on this box; full files are put aside and packed."),
  },
  socket: {
    part: "SocketDestination",
    icon: "plug",
    word: () => t("Unix socket"),
    about: () => t("A program on this box that listens on a socket: a length, then JSON."),
  },
};

/** Where it goes, in a few letters: a host or a file. */
export const placeOf = ({ url, path }) => (url ? placeOfUrl(url) : (path ?? ""));
