"""What the gate asks of each precision, and why.

Every number can be set, for example ``VITRINE_GATE_INT8__MINIMUM_COSINE=0.9``. The defaults
come from measurements of sound engines of both recipes (docs/export.md), with room to
spare, and of broken ones, which must stay outside.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from export.targets import Precision, Target
from faults import InvalidInput


class Limits(BaseModel):
    """Limits of one precision; what begins with ``largest_`` is an upper bound."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean_cosine: float = Field(gt=0, le=1)
    p1_cosine: float = Field(gt=0, le=1)
    minimum_cosine: float = Field(gt=0, le=1)
    """Of vectors to PyTorch's in float32: the mean, the first percentile and the worst row."""
    minimum_cosine_in_company: float = Field(gt=0, le=1)
    """Of a row alone to itself in a batch or under padding: by how much dynamic batching may move it."""
    largest_weight_difference: float = Field(ge=0)
    """Of a modality weight to PyTorch's."""
    largest_weight_difference_in_company: float = Field(ge=0)
    """Of a modality weight of a row alone to its own in a batch or under padding."""
    largest_norm_error: float = Field(ge=0)
    """Scores are inner products: a vector that is too long outranks its neighbours."""
    overlap_at_10: float = Field(gt=0, le=1)
    """Mean share of the ten best products that stay; ties are forgiven."""
    largest_recall_at_100_loss: float = Field(ge=0)
    largest_ndcg_at_10_loss: float = Field(ge=0)
    """Against the float32 towers, on the catalogue's own queries and judgements."""

    def subset(self, names: tuple[str, ...]) -> dict[str, float]:
        """Returns some limits by name."""
        return {name: getattr(self, name) for name in names}


class CompanyLimits(BaseModel):
    """What a target asks in place of its precision's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_cosine_in_company: float = Field(gt=0, le=1)
    largest_weight_difference_in_company: float = Field(ge=0)


class GateSettings(BaseSettings):
    """The limits by precision, and by target where a target needs its own."""

    model_config = SettingsConfigDict(
        env_prefix="VITRINE_GATE_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,  # one limit can be set without the others
        frozen=True,
        extra="ignore",
    )

    # Only the last digits differ: another order of additions.
    fp32: Limits = Limits(
        mean_cosine=0.99999,
        p1_cosine=0.99999,
        minimum_cosine=0.99999,
        minimum_cosine_in_company=0.99999,
        largest_weight_difference=1e-5,
        largest_weight_difference_in_company=1e-5,
        largest_norm_error=1e-4,
        overlap_at_10=0.999,
        largest_recall_at_100_loss=0.001,
        largest_ndcg_at_10_loss=0.001,
    )
    # Ten bits of mantissa and fp32 islands: sound towers lose 3e-6 at worst; one that overflows loses all.
    fp16: Limits = Limits(
        mean_cosine=0.9999,
        p1_cosine=0.9999,
        minimum_cosine=0.9999,
        minimum_cosine_in_company=0.9999,
        largest_weight_difference=0.003,
        largest_weight_difference_in_company=0.001,
        largest_norm_error=1e-4,
        overlap_at_10=0.98,
        largest_recall_at_100_loss=0.003,
        largest_ndcg_at_10_loss=0.003,
    )
    # Seven bits of mantissa: sound towers lose 2.4e-4 at worst.
    bf16: Limits = Limits(
        mean_cosine=0.9995,
        p1_cosine=0.999,
        minimum_cosine=0.999,
        minimum_cosine_in_company=0.9999,
        largest_weight_difference=0.01,
        largest_weight_difference_in_company=0.001,
        largest_norm_error=1e-4,
        overlap_at_10=0.95,
        largest_recall_at_100_loss=0.005,
        largest_ndcg_at_10_loss=0.005,
    )
    # Eight bits move a vector more than its neighbours may. Scales are constants and integers add exactly,
    # so company moves nothing. ONNX Runtime's dynamic int8 can be nearer to PyTorch and is still refused:
    # neighbours moved its rows to .99990 at best and .973 at worst.
    int8: Limits = Limits(
        mean_cosine=0.99,
        p1_cosine=0.97,
        minimum_cosine=0.95,
        minimum_cosine_in_company=0.99995,
        largest_weight_difference=0.08,
        largest_weight_difference_in_company=0.001,
        largest_norm_error=1e-4,
        overlap_at_10=0.9,
        largest_recall_at_100_loss=0.01,
        largest_ndcg_at_10_loss=0.01,
    )
    # On a GPU another batch size means another kernel; the last digit of an fp32 island then decides on
    # which step a number lands, and a step is 1/127 of the range (fp8: up to 1/16 of the number).
    fp8: Limits = int8.model_copy(
        update={"minimum_cosine_in_company": 0.99, "largest_weight_difference_in_company": 0.02}
    )
    int8_on_tensorrt: CompanyLimits = CompanyLimits(
        minimum_cosine_in_company=0.999, largest_weight_difference_in_company=0.01
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = "__".join(str(part) for part in first["loc"])
            raise InvalidInput(
                first["msg"],
                field=f"VITRINE_GATE_{name}".upper(),
                value=first["input"],
                fix="docs/export.md lists the thresholds.",
            ) from error

    def of(self, precision: Precision, target: Target = "cpu") -> Limits:
        """Returns the limits of a precision on a target."""
        limits: Limits = getattr(self, precision)
        if (precision, target) == ("int8", "tensorrt"):
            return limits.model_copy(update=self.int8_on_tensorrt.model_dump())
        return limits
