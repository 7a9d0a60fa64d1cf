"""Studio's JSON, with every field that its own API description requires.

Which fields these are, the official client says; a test parses every answer with it.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from support.edge_impulse.project import (
    ApiKey,
    Artefact,
    Deployment,
    DspBlock,
    Impulse,
    InputBlock,
    Job,
    LearnBlock,
    Metrics,
    Project,
    Sample,
)

Json: TypeAlias = dict[str, Any]

KIB = 1024


def date(moment: datetime) -> str:
    """Return a date as Studio writes it."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def project(of: Project) -> Json:
    """Return one project of a list."""
    return {
        "id": of.id,
        "name": of.name,
        "description": of.description,
        "created": date(of.created),
        "lastModified": date(of.last_modified),
        "owner": of.owner,
        "ownerIsDeveloperProfile": True,
        "collaborators": [],
        "labelingMethod": of.labeling_method,
        "metadata": {},
        "isEnterpriseProject": False,
        "whitelabelId": None,
        "tier": "free",
        "hasPublicVersion": False,
        "isPublic": False,
        "allowsLivePublicAccess": False,
        "indPauseProcessingSamples": False,
        "publicProjectListed": False,
    }


def project_info(of: Project, impulse: Impulse | None, studio: str) -> Json:
    """Return all about one project."""
    samples = list(of.samples.values())
    complete = impulse is not None and any(block.trained for block in impulse.learn)
    start = of.created.replace(day=1)
    training = [sample for sample in samples if sample.category == "training"]
    return {
        "project": project(of),
        "developmentKeys": {},
        "impulse": {
            "created": impulse is not None,
            "configured": impulse is not None,
            "complete": complete,
        },
        "devices": [],
        "dataSummary": data_summary(training),
        "dataSummaryPerCategory": {
            name: data_summary(sample for sample in samples if sample.category == category)
            for name, category in (
                ("training", "training"),
                ("testing", "testing"),
                ("validation", "validation"),
                ("postProcessing", "post-processing"),
            )
        },
        "computeTime": {
            "periodStartDate": date(start),
            "periodEndDate": date(start + timedelta(days=31)),
            "timeUsedMs": max(0, 1_200_000 - of.compute_time_left_ms),
            "timeLeftMs": of.compute_time_left_ms,
        },
        "acquisitionSettings": {
            "intervalMs": 16,
            "lengthMs": 10000,
            "segmentShift": False,
            "defaultPageSize": 12,
            "viewType": "list",
            "gridColumnCount": 2,
            "gridColumnCountDetailed": 1,
            "showExactSampleLength": False,
            "inlineEditBoundingBoxes": False,
        },
        "collaborators": [],
        "deploySettings": {
            "eonCompiler": True,
            "sensor": "camera",
            "arduinoLibraryName": "",
            "tinkergenLibraryName": "",
            "particleLibraryName": "",
        },
        "experiments": [],
        "latencyDevices": [],
        "urls": {},
        "showCreateFirstImpulse": impulse is None,
        "showGettingStartedWizard": {"showWizard": False, "step": 0},
        "performance": {
            "gpu": False,
            "jobLimitM": 20,
            "dspFileSizeMb": 4096,
            "enterprisePerformance": False,
            "trainJobRamMb": 4096,
        },
        "trainJobNotificationUids": [],
        "dspJobNotificationUids": [],
        "modelTestingJobNotificationUids": [],
        "exportJobNotificationUids": [],
        "hasNewTrainingData": of.has_new_training_data,
        "studioUrl": f"{studio}/studio/{of.id}",
        "inPretrainedModelFlow": False,
        "showSensorDataInAcquisitionGraph": True,
        "notifications": [],
        "datasetSplitOptions": {"trainingSplitRatio": 0.8, "testingSplitRatio": 0.2},
        "explicitValidationEnabled": of.explicit_validation,
        **({} if impulse is None else {"defaultImpulseId": of.default_impulse_id}),
    }


def labels_of(samples: Iterable[Sample]) -> list[str]:
    """Return all labels of some samples, of their boxes too."""
    found = {sample.label for sample in samples} | {
        box.label for sample in samples for box in sample.boxes
    }
    return sorted(found - {""})


def data_summary(samples: Iterable[Sample]) -> Json:
    """Return how much there is of what."""
    samples = list(samples)
    labels = labels_of(samples)
    return {
        "totalLengthMs": 0,
        "labels": labels,
        "totalLabels": len(labels),
        "dataCount": len(samples),
    }


def api_key(of: ApiKey, created: datetime) -> Json:
    """Return a key as the list of keys shows it."""
    return {
        "id": of.id,
        "apiKey": f"{of.key[:8]}...",
        "isDevelopmentKey": False,
        "name": of.role,
        "created": date(created),
        "role": of.role,
    }


def impulse(of: Impulse) -> Json:
    """Return an impulse with its blocks."""
    return {
        "id": of.id,
        "name": of.name,
        "type": "default",
        "inputBlocks": [_input(block) for block in of.inputs],
        "dspBlocks": [_dsp(block) for block in of.dsp],
        "learnBlocks": [_learn(block) for block in of.learn],
        "postProcessingBlocks": [],
    }


def _input(block: InputBlock) -> Json:
    return {
        "id": block.id,
        "type": "image",
        "name": "Image data",
        "title": "Image data",
        "imageWidth": block.width,
        "imageHeight": block.height,
        "resizeMode": block.resize_mode,
        "resizeMethod": block.resize_method,
        "cropAnchor": block.crop_anchor,
    }


def _dsp(block: DspBlock) -> Json:
    return {
        "id": block.id,
        "type": "image",
        "name": "Image",
        "title": "Image",
        "axes": ["image"],
        "input": block.input,
        "implementationVersion": 1,
    }


def _learn(block: LearnBlock) -> Json:
    return {
        "id": block.id,
        "type": block.type,
        "name": block.name,
        "title": block.title,
        "dsp": list(block.dsp),
    }


def detailed_impulse(of: Impulse, labels: list[str]) -> Json:
    """Return an impulse with the configuration of its blocks."""
    return {
        "impulse": impulse(of),
        "metrics": [],
        "dspBlockConfigs": [
            {"blockId": block.id, "config": dsp_config(of, block, labels)} for block in of.dsp
        ],
        "learnBlockKerasConfigs": [
            {
                "blockId": block.id,
                "config": keras(of, block),
                **({"metadata": keras_metadata(block, labels)} if block.trained else {}),
            }
            for block in of.learn
        ],
        "learnBlockAnomalyConfigs": [],
        "postProcessingBlockConfigs": [],
        "isStale": any(block.model_types is not None for block in of.learn),
        "configured": True,
        "complete": any(block.trained for block in of.learn),
        "tags": [],
    }


def dsp_config(of: Impulse, block: DspBlock, labels: list[str]) -> Json:
    """Return the parameters of a DSP block: the colours."""
    colours = [{"value": value} for value in ("RGB", "Grayscale")]
    return {
        "dsp": {
            "id": block.id,
            "name": "Image",
            "windowLength": 0,
            "type": "image",
            "classes": labels,
            "features": {"generated": True, "count": _feature_count(of, block)},
            "expectedWindowCount": 0,
            "inputAxes": ["image"],
            "canCalculateFeatureImportance": False,
            "calculateFeatureImportance": False,
            "canNormalizeData": False,
            "normalizeData": "none",
        },
        "config": [
            {
                "group": "Image",
                "items": [
                    {
                        "name": "Color depth",
                        "param": "channels",
                        "value": block.channels,
                        "defaultValue": "RGB",
                        "type": "select",
                        "help": "Color depth to use for the DSP block",
                        "selectOptions": [
                            {**each, "selected": each["value"] == block.channels}
                            for each in colours
                        ],
                        "readonly": False,
                        "shouldShow": True,
                        "required": True,
                        "showClickToSet": False,
                    }
                ],
            }
        ],
    }


def _feature_count(of: Impulse, dsp: DspBlock) -> int:
    size = next((b.width * b.height for b in of.inputs if b.id == dsp.input), 0)
    return size * (3 if dsp.channels == "RGB" else 1)


def _thresholds(block: LearnBlock) -> list[Json]:
    return [
        {
            "key": threshold.key,
            "description": threshold.description,
            "helpText": f"{threshold.description}: what is below is ignored.",
            "value": threshold.value,
        }
        for threshold in block.thresholds
    ]


def keras(of: Impulse, block: LearnBlock) -> Json:
    """Return how a learn block is set up."""
    layers: list[Json] = [{"type": name} for name in block.visual_layers]
    if block.organization_model_id is not None:
        layers = [{**each, "organizationModelId": block.organization_model_id} for each in layers]
    first = next((dsp for dsp in of.dsp if dsp.id in block.dsp), DspBlock())
    return {
        "dependencies": {
            "classes": list(block.labels),
            "blockNames": ["Image"],
            "featureCount": _feature_count(of, first),
            "sampleCount": 0,
            "outputClasses": list(block.labels),
        },
        "trained": block.trained,
        "name": block.name,
        "type": block.type,
        "script": "",
        "minimumConfidenceRating": block.thresholds[0].value if block.thresholds else 0.5,
        "selectedModelType": "int8" if "int8" in block.available_model_types else "float32",
        "mode": "visual",
        "visualLayers": layers,
        "trainingCycles": 60,
        "learningRate": 0.001,
        "defaultBatchSize": 32,
        "shape": "",
        "augmentationPolicyImage": "all",
        "transferLearningModels": [],
        "profileInt8": True,
        "skipEmbeddingsAndMemory": False,
        "showAdvancedTrainingSettings": False,
        "showAugmentationTrainingSettings": False,
        "thresholds": _thresholds(block),
    }


def keras_metadata(block: LearnBlock, labels: list[str]) -> Json:
    """Return what is known about a trained network."""
    types = block.available_model_types
    return {
        "created": date(block.created),
        "layers": [],
        "classNames": list(block.labels),
        "labels": labels,
        "availableModelTypes": list(types),
        "recommendedModelType": types[-1] if types else "requiresRetrain",
        "modelValidationMetrics": [_metrics(block, metrics) for metrics in block.metrics],
        "hasTrainedModel": block.trained,
        "mode": block.mode,
        "imageInputScaling": block.scaling,
        "thresholds": _thresholds(block),
        **({} if block.last_layer is None else {"objectDetectionLastLayer": block.last_layer}),
    }


def _metrics(block: LearnBlock, of: Metrics) -> Json:
    size = sum(len(each.data) for each in block.artefacts if of.variant in each.type.lower())
    memory = {"ramRequired": 250_000, "romRequired": size, "arenaSize": 240_000, "modelSize": size}
    return {
        "type": of.variant,
        "loss": of.loss,
        "confusionMatrix": [],
        "report": {},
        "onDevicePerformance": [
            {
                "mcu": "cortex-m4f-80mhz",
                "name": "Cortex-M4F 80MHz",
                "isDefault": True,
                "latency": 120,
                "tflite": memory,
                "eon": memory,
                "hasPerformance": True,
            }
        ],
        "visualization": "none",
        "isSupportedOnMcu": True,
        "additionalMetrics": [
            {"name": "F1 score", "value": f"{of.f1:.2f}", "fullPrecisionValue": of.f1}
        ],
    }


def download(project_id: int, of: Impulse, block: LearnBlock, artefact: Artefact) -> Json:
    """Return one line of the list of downloads."""
    return {
        "id": artefact.id,
        "name": artefact.name,
        "type": artefact.type,
        "size": f"{max(1, len(artefact.data) // KIB)} KB",
        "link": f"/v1/api/{project_id}/learn-data/{block.id}/model/{artefact.id}",
        "impulseId": of.id,
    }


def features_downloads(project_id: int, of: Impulse, windows: int) -> list[Json]:
    """Return the lines for the features of the DSP blocks."""
    return [
        {
            "id": f"dsp-{block.id}-{part}",
            "name": f"Image training {word}",
            "type": "NPY file",
            "size": f"{windows} windows",
            "link": f"/v1/api/{project_id}/dsp-data/{block.id}/{part}/training",
            "impulseId": of.id,
        }
        for block in of.dsp
        for part, word in (("x", "data"), ("y", "labels"))
    ]


def job(of: Job) -> Json:
    """Return where a job stands."""
    made = {
        "id": of.id,
        "category": of.category,
        "categoryKey": of.key,
        "key": of.key,
        "created": date(of.created),
        "jobNotificationUids": [],
    }
    if of.started is not None:
        made["started"] = date(of.started)
    if of.finished is not None:
        made["finished"] = date(of.finished)
        made["finishedSuccessful"] = of.successful
        made["computeTime"] = 1.5
    return made


def sample(of: Sample, within: Project) -> Json:
    """Return a sample without its bytes."""
    is_image = of.width is not None
    chart = "image" if is_image else "chart"
    sensor = "image" if is_image else "value"
    sensors = [{"index": 0, "name": sensor, "units": "rgba" if is_image else "count"}]
    size = {"imageDimensions": {"width": of.width, "height": of.height}} if is_image else {}
    return {
        "id": of.id,
        "filename": of.filename,
        "signatureValidate": False,
        "signatureMethod": "none",
        "created": date(of.added),
        "lastModified": date(of.added),
        "added": date(of.added),
        "category": of.category,
        "coldstorageFilename": (
            f"{within.id}/raw/{of.filename}.{of.sha256[:8]}.ingestion-{of.id}.cbor"
        ),
        "label": of.label,
        "intervalMs": 0,
        "frequency": 0,
        "originalIntervalMs": 0,
        "originalFrequency": 0,
        "deviceType": "unknown",
        "sensors": sensors,
        "valuesCount": 1,
        "totalLengthMs": 0,
        "boundingBoxes": [
            {"label": box.label, "x": box.x, "y": box.y, "width": box.width, "height": box.height}
            for box in of.boxes
        ],
        "boundingBoxesType": "object_detection",
        "chartType": chart,
        "isDisabled": not of.enabled,
        "isProcessing": False,
        "processingError": False,
        "isCropped": False,
        "metadata": dict(of.metadata),
        "projectId": within.id,
        "projectOwnerName": within.owner,
        "projectName": within.name,
        "projectLabelingMethod": within.labeling_method,
        "sha256Hash": of.sha256,
        "datastreams": [
            {
                "index": 0,
                "chartType": chart,
                "intervalMs": 0,
                "frequencyHz": 0,
                "sensors": sensors,
                "valuesCount": 1,
                "totalLengthMs": 0,
                **size,
            }
        ],
        **size,
        **({"structuredLabels": list(of.structured_labels)} if of.structured_labels else {}),
    }


def sample_with_payload(of: Sample, within: Project) -> Json:
    """Return a sample with as much of its bytes as JSON has."""
    described = sample(of, within)
    payload = {
        "device_type": "unknown",
        "sensors": described["sensors"],
        "values": [[0]],
        "intervalMs": 0,
        "frequencyHz": 0,
    }
    return {
        "sample": described,
        "payload": payload,
        "totalPayloadLength": 1,
        "datastreamPayloads": [{"index": 0, "payload": payload, "totalPayloadLength": 1}],
    }


def deployment(of: Deployment, within: Project) -> Json:
    """Return an archive of the history."""
    names = {each.id: each.name for each in within.impulses}
    return {
        "created": date(of.created),
        "deploymentVersion": of.version,
        "deploymentFormat": of.format,
        "engine": of.engine,
        "impulseId": of.impulse_id,
        "impulseName": names.get(of.impulse_id, "deleted"),
        "impulseIsDeleted": of.impulse_id not in names,
        "impulseHasChangedSinceDeployment": within.last_modified > of.created,
        "downloadUrl": f"/v1/api/{within.id}/deployment/history/{of.version}/download",
        "createdByBuildPublicDeploymentJob": False,
        **({} if of.model_type is None else {"modelType": of.model_type}),
    }


def deployment_target(format_: str, name: str) -> Json:
    """Return a target that could be built for."""
    no = dict.fromkeys(
        (
            "hasTensorRT",
            "hasTensaiFlow",
            "hasDRPAI",
            "hasTIDL",
            "hasAkida",
            "hasMemryx",
            "hasStAton",
            "hasCevaNpn",
            "hasNordicAxon",
            "hasQaic",
            "hideOptimizations",
        ),
        False,
    )
    return {
        "name": name,
        "description": name,
        "image": "",
        "imageClasses": "",
        "format": format_,
        "hasEonCompiler": True,
        **no,
        "uiSection": "hidden" if format_.startswith("runner-") else "library",
        "supportedEngines": ["tflite-eon", "tflite"],
        "preferredEngine": "tflite-eon",
        "docsUrl": "",
        "modelVariants": [
            {"variant": variant, "supported": True} for variant in ("int8", "float32")
        ],
        "parameters": [],
        "recommendedForProject": False,
        "disabledForProject": False,
    }


def with_success(answer: Mapping[str, Any]) -> Json:
    """Return an answer as it goes out."""
    return {"success": True, **answer}
