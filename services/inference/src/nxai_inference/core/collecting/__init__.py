"""Which pictures are worth keeping for retraining, and why.

A `Collector` asks the strategies of the configuration in their order; the first that wants a
frame gives the reason. Each reason has a value from 0 to 1, so that what is worth least can be
dropped first, whichever strategy asked for it:

* Where a strategy looks at what the model answered, the value is how undecided the model was: 0
  when it was sure, 1 when it could not have been less sure. `doubt.py` and `band.py` say how.
* A slice that is taken whatever is on it (`interval`, `random`, `nothing-found`) has the fixed
  value `UNSELECTED`: more than a picture that is hardly doubtful, less than one that is.
"""

from nxai_inference.core.collecting.collector import Collector, Subject
from nxai_inference.core.collecting.look import Look
from nxai_inference.core.collecting.slices import UNSELECTED

__all__ = ["UNSELECTED", "Collector", "Look", "Subject"]
