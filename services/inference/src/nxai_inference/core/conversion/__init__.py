"""TensorFlow Lite to ONNX, without TensorFlow: strict, or refused by name.

`convert` is the whole of it. The modules, in the order in which a model passes them:

* `reader`: flatbuffer bytes to plain values, every index and size checked;
* `builder`: the ONNX graph under construction; which layout and which number type
  (stored integer or real) each tensor is already there in;
* `convolution`, `pooling`, `elementwise`, `movement`: one function per operator;
* `convert`: the table of operators, and the final check.
"""

from nxai_inference.core.conversion.convert import QUANTISATION_KEY, convert

__all__ = ["QUANTISATION_KEY", "convert"]
