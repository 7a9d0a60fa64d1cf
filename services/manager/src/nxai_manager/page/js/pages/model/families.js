// Models with all that is known of them: what runs, its versions, its trial.

/**
 * One entry a name in topics: {model, name, source, cameras, manifest, status, deployment, versions (newest first),
 * current (the version in force, if it was imported), newest}
 */
export function familiesOf({ models, versions }, deployed) {
  const candidates = new Set([...deployed.values()].map(({ candidate }) => candidate?.digest).filter(Boolean));
  const families = models
    // The version on trial runs under a name of its own; it is shown with the model it is tried beside.
    .filter((one) => !one.shadow_of)
    .filter((one) => !(one.source === "imported" && !one.deployment && one.manifest && candidates.has(one.manifest.digest)))
    .map((one) => {
      const own = versions.filter(({ model }) => model === one.model).sort((a, b) => b.imported_at_us - a.imported_at_us);
      const deployment = deployed.get(one.model) ?? one.deployment;
      const digest = deployment?.installed.digest ?? one.manifest?.digest;
      return {
        ...one,
        deployment,
        versions: own,
        current: own.find((version) => version.digest === digest),
        newest: own[0],
      };
    });
  // Versions whose record is damaged have no model's name.
  const lost = versions.filter(({ model }) => !model);
  if (lost.length) families.push({ model: "", name: "", source: "imported", cameras: [], versions: lost, newest: lost[0] });
  return families;
}

/** Facts of a model as a person wants them: {task, width, height, channels, labels, engineMs, engine, threshold}. */
export function factsOf({ manifest, status, current, newest }) {
  const version = current ?? newest;
  return {
    task: manifest?.task ?? version?.task ?? "",
    width: manifest?.width ?? version?.width ?? 0,
    height: manifest?.height ?? version?.height ?? 0,
    channels: manifest?.channels ?? version?.channels ?? 0,
    labels: manifest?.labels ?? version?.labels ?? [],
    engine: status?.engine || manifest?.engine || version?.engine || "",
    engineMs: status?.engine_ms ?? manifest?.engine_ms ?? version?.engine_ms ?? null,
    threshold: manifest?.threshold ?? version?.threshold ?? null,
    resizeMode: manifest?.resize_mode ?? version?.resize_mode ?? "",
    version: manifest?.version || version?.version || "",
  };
}
