"""Numbers as text."""

from collections.abc import Sequence

from celeba_gan.evaluation.metrics.metric import Kind


def write(value: float, kind: Kind = "number") -> str:
    """About three significant digits; shares in percent."""
    if kind == "share":
        text = f"{100 * value:.1f}".replace("-", "−")
        return f"{text.removesuffix('.0') if text in ('0.0', '100.0') else text} %"
    size = abs(value)
    decimals = next((count for end, count in ((100, 0), (10, 1), (1, 2), (0.01, 3)) if size >= end), 4 if size else 0)
    return f"{value:,.{decimals}f}".replace("-", "−")


def write_range(low: float, high: float, kind: Kind = "number") -> str:
    """`16.9 to 19.1`."""
    return f"{write(low, kind).removesuffix(' %')} to {write(high, kind)}"


def enumerate_names(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def write_attribute(name: str) -> str:
    """An attribute as it is read: `Wearing Hat`."""
    return name.replace("_", " ")
