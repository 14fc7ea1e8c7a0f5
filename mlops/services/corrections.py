"""Users' corrections become data: a new version of a data set, for a challenger to learn from."""

from uuid import UUID

import numpy as np

from millrace.kernel import outbox
from millrace.kernel.audit import Actor
from millrace.kernel.errors import Invalid
from mlops.datasets import DEFAULT_LIMITS, DatasetProblem, ParsedDataset
from mlops.datasets.assemble import build_dataset
from mlops.errors import DatasetInvalid, ModelWithoutChampion
from mlops.models import DatasetVersion, Feedback, Model, Prediction
from mlops.recipes import DataShape
from mlops.services.datasets import dataset_keep, dataset_open


def feedback_give(
    *,
    prediction: Prediction,
    item: int,
    correct: bool,
    label: str = "",
    rating: int | None = None,
    actor: Actor,
) -> Feedback:
    """Keep a user's verdict on one output of a prediction. Announces `prediction.feedback`."""
    names = DataShape.from_json(prediction.model_version.shape).class_names
    if item >= prediction.items:
        raise Invalid(f"The prediction has {prediction.items} outputs.", field="item")
    if label and label not in names:
        raise Invalid(f"The model knows no class {label[:60]!r}.", field="label")
    if label and correct != (label == prediction.outputs[item]["label"]):
        raise Invalid("The label and `correct` contradict each other.", field="correct")
    feedback = Feedback.objects.create(
        tenant_id=prediction.tenant_id,
        prediction=prediction,
        item=item,
        correct=correct,
        label=label,
        rating=rating,
        given_by=str(actor),
    )
    outbox.announce(
        "prediction.feedback",
        tenant_id=prediction.tenant_id,
        payload={
            "feedback_id": str(feedback.pk),
            "prediction_id": str(prediction.pk),
            "model_id": str(prediction.model_version.model_id),
            "correct": correct,
            "rating": rating,
        },
    )
    return feedback


def dataset_correct(*, tenant_id: UUID, model: Model, name: str = "", actor: Actor) -> tuple[DatasetVersion, bool]:
    """The champion's training data plus every corrected or confirmed prediction, as a version of a data set.

    A confirmed output keeps its label, a corrected one has the user's; verdicts without a label that say "wrong" teach
    nothing and are left out, and so are examples of another size than the champion's. The latest verdict on an output
    counts.
    """
    champion = model.champion
    if champion is None:
        raise ModelWithoutChampion(f"{model.name} has no version yet.")
    base_version = DatasetVersion.objects.select_related("dataset").get(pk=champion.dataset_version_id)
    base = dataset_open(base_version)
    inputs, labels = _corrections(model, base.shape)
    if not labels:
        raise DatasetInvalid("No prediction of this model has been confirmed or corrected yet.", field="corrections_of")
    everything = np.concatenate([base.inputs, np.stack(inputs)])
    texts = [base.class_names[place] for place in base.labels] + labels
    return dataset_keep(
        tenant_id=tenant_id,
        name=name or base_version.dataset.name,
        parsed=_built(base, everything, texts),
        source=f"corrections:{model.public_id}",
        licence=base_version.licence,
        actor=actor,
    )


def _built(base: ParsedDataset, inputs: np.ndarray, labels: list[str]) -> ParsedDataset:
    try:
        return build_dataset(base.layout, inputs, labels, limits=DEFAULT_LIMITS, column_names=base.column_names)
    except DatasetProblem as problem:
        raise DatasetInvalid(problem.detail, field="corrections_of", reason=problem.code) from problem


def _corrections(model: Model, wanted: DataShape) -> tuple[list[np.ndarray], list[str]]:
    """The examples that users labelled, in the order of their predictions; a version may have taken others than these."""
    verdicts: dict[tuple[UUID, int], Feedback] = {}
    rows = Feedback.objects.filter(prediction__model_version__model=model).select_related("prediction__model_version")
    for feedback in rows.order_by("id"):
        verdicts[feedback.prediction_id, feedback.item] = feedback
    inputs, labels = [], []
    for (_, item), feedback in sorted(verdicts.items()):
        shape = DataShape.from_json(feedback.prediction.model_version.shape)
        if (shape.layout, shape.input_shape) != (wanted.layout, wanted.input_shape):
            continue
        label = feedback.label or (feedback.prediction.outputs[item]["label"] if feedback.correct else "")
        if label:
            inputs.append(_example(feedback.prediction, shape, item))
            labels.append(label)
    return inputs, labels


def _example(prediction: Prediction, shape: DataShape, item: int) -> np.ndarray:
    dtype = np.dtype("uint8") if shape.layout == "images" else np.dtype("<f4")
    return np.frombuffer(bytes(prediction.inputs), dtype).reshape(-1, *shape.input_shape)[item]
