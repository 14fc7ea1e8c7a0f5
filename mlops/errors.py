"""This room's coded failures."""

from millrace.kernel.errors import Conflict, Invalid, Problem


class DatasetInvalid(Invalid):
    """The upload cannot become a data set; `reason` is a code of mlops.datasets.CODES, `problems` names the rows."""

    code = "dataset_invalid"
    title = "The upload is not a usable data set"


class UploadTooLarge(Problem):
    """The upload is larger than this door takes."""

    code, status, title = "too_large", 413, "The request is too large"


class RecipeRefused(Invalid):
    """A recipe does not take these parameters or this data."""

    code = "recipe_refused"
    title = "The recipe does not take this"


class DeviceUnknown(Invalid):
    """No machine of that class has ever been seen."""

    code = "device_unknown"
    title = "There is no such device class"


class JobStateRefused(Conflict):
    """The job cannot go from its state to that one."""

    code = "job_state"
    title = "Not possible in the job's state"


class SpendCapTooLow(Invalid):
    """The cap does not buy the least run."""

    code = "spend_cap_too_low"
    title = "The spend cap is too low"


class LeaseLost(Exception):
    """The caller no longer holds the job: a newer epoch, or a lease that ran out. Nothing was written."""


class ModelWithoutChampion(Conflict):
    """The model has no version that answers predictions."""

    code = "model_without_version"
    title = "The model has no version yet"


class InputsInvalid(Invalid):
    """An input cannot be predicted on; `reason` is a code of mlops.serving.inputs.InputInvalid, `index` its place."""

    code = "inputs_invalid"
    title = "An input cannot be predicted on"


class WeightsInvalid(Invalid):
    """A file of weights that is no safetensors file of this recipe."""

    code = "weights_invalid"
    title = "Not the weights of this recipe"


class ServingBusy(Problem):
    """No serving process answered in time; the request was not carried out."""

    code, status, title = "serving_unavailable", 503, "Predictions are not available right now"
