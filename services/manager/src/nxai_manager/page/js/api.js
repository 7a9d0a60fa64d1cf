// Asks the manager's REST interface. Addresses are relative: the page may lie below any prefix.
import { t } from "./i18n.js";

export const API = "api/v1/";

/** Why a question got no good answer. `status` 0: the box was not reached. */
export class ApiError extends Error {
  /** @param {{status: number, detail: string, problems?: {where?: string, reason: string, line?: number}[]}} answer */
  constructor({ status, detail, problems = [], title = "" }) {
    super(detail || title);
    this.name = "ApiError";
    this.status = status;
    this.detail = detail || title;
    this.problems = problems;
  }

  /** Reasons for one field: those whose `where` is it, or ends with it. */
  for(field) {
    return this.problems
      .filter(({ where }) => where === field || where?.endsWith(`.${field}`))
      .map(({ reason }) => reason);
  }
}

/** Set by the session: the token against forged requests, and what to do when a session ended. */
export const access = { csrf: "", onEnd: () => {} };

/** "cameras/front" and {query} as an address relative to the page. */
export function address(path, query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === null || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, one);
  }
  const text = parameters.toString();
  return API + path.replace(/^\//, "") + (text ? `?${text}` : "");
}

/** Ids in paths: path`cameras/${id}/still` quotes what is put in. */
export const path = (texts, ...values) =>
  texts.reduce((whole, text, index) => whole + encodeURIComponent(values[index - 1]) + text);

/**
 * Ask, and return the answer: an object, null (204), a Blob (a picture, a file) or text.
 * options: {query, body (object), raw (Blob), type, timeout (s, 30), signal}. Throws ApiError.
 */
export async function ask(method, where, options = {}) {
  const { query, body, raw, type, timeout = 30, signal } = options;
  const headers = { Accept: "application/json, */*" };
  if (method !== "GET") headers["X-CSRF-Token"] = access.csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  else if (raw !== undefined) headers["Content-Type"] = type || raw.type || "application/octet-stream";
  const limit = AbortSignal.timeout(timeout * 1000);
  let answer;
  try {
    answer = await fetch(address(where, query), {
      method,
      headers,
      body: body !== undefined ? JSON.stringify(body) : raw,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      credentials: "same-origin",
      cache: "no-store",
    });
    return await read(answer);
  } catch (error) {
    if (error instanceof ApiError) {
      if (error.status === 401 && where !== "session") access.onEnd();
      throw error;
    }
    if (signal?.aborted) throw error;
    throw unreachable(limit.aborted, timeout);
  }
}

function unreachable(late, timeout) {
  const detail = late
    ? t("The box did not answer within {n} seconds. Try again.", { n: timeout })
    : t("The box cannot be reached. Is it switched on, and are you on its network?");
  return new ApiError({ status: 0, detail });
}

async function read(answer) {
  const kind = answer.headers.get("Content-Type") ?? "";
  if (!answer.ok) throw problem(answer.status, kind, await answer.text(), answer.headers.get("Retry-After"));
  if (answer.status === 204) return null;
  if (/[/+]json/.test(kind)) return answer.json();
  if (kind.startsWith("text/")) return answer.text();
  return answer.blob();
}

function problem(status, kind, text, wait) {
  if (/[/+]json/.test(kind)) {
    try {
      const told = JSON.parse(text);
      return new ApiError({ ...told, status, problems: told.problems ?? [] });
    } catch {
      // Not JSON after all: said below.
    }
  }
  if (status === 413) return new ApiError({ status, detail: t("This file is larger than the box takes.") });
  if (status === 429)
    return new ApiError({ status, detail: t("Too many tries. Wait {n} seconds.", { n: wait ?? "60" }) });
  const first = text
    .split("\n")[0]
    .replace(/<[^>]*>/g, "")
    .slice(0, 200);
  return new ApiError({ status, detail: t("The box answered {status}: {text}", { status, text: first || "–" }) });
}

export const get = (where, query, options) => ask("GET", where, { ...options, query });
export const post = (where, body, options) => ask("POST", where, { ...options, body });
export const put = (where, body, options) => ask("PUT", where, { ...options, body });
export const patch = (where, body, options) => ask("PATCH", where, { ...options, body });
export const remove = (where, options) => ask("DELETE", where, options);

/**
 * Send a file. `onProgress(fraction 0..1)`; returns {done: Promise of the answer, cancel()}.
 * XMLHttpRequest, because fetch does not tell how far an upload is.
 */
export function upload(where, file, { query, method = "POST", onProgress = () => {}, type } = {}) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open(method, address(where, query));
    request.setRequestHeader("X-CSRF-Token", access.csrf);
    request.setRequestHeader("Content-Type", type || file.type || "application/octet-stream");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => {
      const kind = request.getResponseHeader("Content-Type") ?? "";
      if (request.status >= 400) {
        if (request.status === 401) access.onEnd();
        reject(problem(request.status, kind, request.responseText, request.getResponseHeader("Retry-After")));
      } else {
        onProgress(1);
        resolve(request.status === 204 || !/json/.test(kind) ? null : JSON.parse(request.responseText));
      }
    };
    request.onerror = () => reject(unreachable(false));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.send(file);
  });
  return { done, cancel: () => request.abort() };
}
