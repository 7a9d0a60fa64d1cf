"""Archives as Edge Impulse's deployments make them, around any model.

The headers have the names and forms of real exports (2021 to 2026); what nobody reads is left out.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Form = Literal["file", "array", "eon"]
"""The model as a file (since 2025), as a C array (before, or with "xxd" chosen), or compiled."""


@dataclass(frozen=True)
class Export:
    """What the headers of a library say."""

    labels: Sequence[str] = ("beer", "can")
    project: int = 89078
    name: str = "Beers vs cans"
    deployment: int = 56
    width: int = 96
    height: int = 96
    resize_mode: str | None = "FIT_SHORTEST"
    """None: of a version before 2023, which did not say."""
    last_layer: str = "FOMO"
    detects: bool = True
    threshold: float | None = 0.55
    scaling: str | None = "NONE"
    datatype: str = "FLOAT32"
    sensor: str = "CAMERA"
    frames: int = 1
    visual_anomaly: int = 0
    learn: int = 5

    @property
    def stem(self) -> str:
        return f"tflite_learn_{self.project}_{self.learn}"

    def metadata(self) -> str:
        """Return `model_metadata.h`."""
        resize = (
            ""
            if self.resize_mode is None
            else "#define EI_CLASSIFIER_RESIZE_MODE                EI_CLASSIFIER_RESIZE_"
            f"{self.resize_mode}\n"
        )
        threshold = (
            ""
            if self.threshold is None
            else f"#define EI_CLASSIFIER_OBJECT_DETECTION_THRESHOLD   {self.threshold}\n"
        )
        return f"""\
#ifndef _EI_CLASSIFIER_MODEL_METADATA_H_
#define _EI_CLASSIFIER_MODEL_METADATA_H_

#include <stdint.h>

#define EI_CLASSIFIER_NONE                       255
#define EI_CLASSIFIER_TFLITE                     2
#define EI_CLASSIFIER_SENSOR_CAMERA              3
#define EI_CLASSIFIER_DATATYPE_FLOAT32           1

#define EI_CLASSIFIER_PROJECT_ID                 {self.project}
#define EI_CLASSIFIER_PROJECT_OWNER              "tester"
#define EI_CLASSIFIER_PROJECT_NAME               "{self.name}"
#define EI_CLASSIFIER_PROJECT_DEPLOY_VERSION     {self.deployment}
#define EI_CLASSIFIER_INPUT_WIDTH                {self.width}
#define EI_CLASSIFIER_INPUT_HEIGHT               {self.height}
{resize}#define EI_CLASSIFIER_INPUT_FRAMES               {self.frames}
#define EI_CLASSIFIER_LABEL_COUNT                {len(self.labels)}
#define EI_CLASSIFIER_HAS_VISUAL_ANOMALY         {self.visual_anomaly}

#define EI_CLASSIFIER_OBJECT_DETECTION             {int(self.detects)}
#define EI_CLASSIFIER_OBJECT_DETECTION_LAST_LAYER  EI_CLASSIFIER_LAST_LAYER_{self.last_layer}
#define EI_CLASSIFIER_OBJECT_DETECTION_COUNT       10
{threshold}
#define EI_CLASSIFIER_TFLITE_INPUT_DATATYPE         EI_CLASSIFIER_DATATYPE_{self.datatype}
#define EI_CLASSIFIER_INFERENCING_ENGINE            EI_CLASSIFIER_TFLITE
#define EI_CLASSIFIER_SENSOR                     EI_CLASSIFIER_SENSOR_{self.sensor}

#if EI_CLASSIFIER_INFERENCING_ENGINE == EI_CLASSIFIER_TFLITE
#undef EI_CLASSIFIER_INFERENCING_ENGINE
#define EI_CLASSIFIER_INFERENCING_ENGINE          EI_CLASSIFIER_TFLITE_FULL
#endif

#endif // _EI_CLASSIFIER_MODEL_METADATA_H_
"""

    def variables(self) -> str:
        """Return `model_variables.h`."""
        labels = ", ".join(f'"{label}"' for label in self.labels)
        scaling = "" if self.scaling is None else f"EI_CLASSIFIER_IMAGE_SCALING_{self.scaling},"
        threshold = "" if self.threshold is None else f"    .threshold = {self.threshold},\n"
        return f"""\
#ifndef _EI_CLASSIFIER_MODEL_VARIABLES_H_
#define _EI_CLASSIFIER_MODEL_VARIABLES_H_

#include "model_metadata.h"
#include "tflite-model/{self.stem}.h"

const char* ei_classifier_inferencing_categories_{self.project}_1[] = {{ {labels} }};

ei_dsp_config_image_t ei_dsp_config_4 = {{
    4, // uint32_t blockId
    "RGB" // select channels
}};

const ei_learning_block_t ei_learning_blocks[1] = {{
    {{
        {self.learn},
        &run_nn_inference,
        {scaling}
    }},
}};

const ei_object_detection_nms_config_t ei_object_detection_nms = {{
    0.0f, /* NMS confidence threshold */
    0.2f  /* NMS IOU threshold */
}};
ei_fill_result_fomo_f32_config_t ei_fill_result_fomo_f32_config_{self.learn} = {{
{threshold}    .out_width = 12,
    .out_height = 12,
    .object_detection_count = 10,
}};

const ei_impulse_t impulse_{self.project}_0 = {{
    .project_id = {self.project},
    .project_owner = "tester",
    .project_name = "{self.name}",
    .deploy_version = {self.deployment},
    .input_width = {self.width},
    .input_height = {self.height},
    .categories = ei_classifier_inferencing_categories_{self.project}_1
}};

#endif // _EI_CLASSIFIER_MODEL_VARIABLES_H_
"""

    def library(
        self, model: bytes, form: Form = "file", folder: str = "", suffix: str = ".tflite"
    ) -> dict[str, bytes]:
        """Return the files of a C++ library; `folder` is `src/` in one for Arduino."""
        place = f"{folder}tflite-model/{self.stem}"
        files = {
            f"{folder}edge-impulse-sdk/classifier/ei_run_classifier.h": b"#pragma once\n",
            f"{folder}model-parameters/model_metadata.h": self.metadata().encode(),
            f"{folder}model-parameters/model_variables.h": self.variables().encode(),
            "README.txt": b"Generated by Edge Impulse\n",
        }
        match form:
            case "file":
                name = f"tflite-model/{self.stem}{suffix}"
                files[f"{place}.h"] = f'INCBIN(incbin_{self.stem}, "{name}");\n'.encode()
                files[f"{place}{suffix}"] = model
            case "array":
                files[f"{place}.h"] = c_array(self.stem, model)
            case "eon":
                code = b"const ALIGN(8) int32_t tensor_data2[2] = { 45004, -48449, };\n"
                files[f"{place}_compiled.cpp"] = code
                files[f"{place}_compiled.h"] = b"TfLiteStatus invoke();\n"
        return files


def c_array(name: str, content: bytes) -> bytes:
    """Return a header that holds bytes, as `xxd -i` and Edge Impulse write it."""
    lines = [
        "  " + ", ".join(f"0x{byte:02x}" for byte in content[at : at + 12])
        for at in range(0, len(content), 12)
    ]
    body = ",\n".join(lines)
    return (
        f"#define ALIGN(X) __attribute__((aligned(X)))\n\n"
        f"ALIGN(16) const unsigned char {name}[] = {{\n{body}\n}};\n"
        f"unsigned int {name}_len = {len(content)};\n"
    ).encode()


def openmv(model: bytes, labels: Sequence[str], *, detects: bool = True) -> dict[str, bytes]:
    """Return the files of OpenMV's library; FOMO's background stands first in its labels."""
    script = "ei_object_detection.py" if detects else "ei_image_classification.py"
    lines = ["background", *labels] if detects else list(labels)
    return {
        "trained.tflite": model,
        "labels.txt": "\n".join(lines).encode(),
        script: b"import sensor, image\n",
    }


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()
