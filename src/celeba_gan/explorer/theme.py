"""Colours and type of the page: fonts of the system, so that none is fetched."""

from typing import Any, Final

import gradio as gr

_SANS: Final = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO: Final = ("ui-monospace", "Menlo", "Consolas", "monospace")
_COLOURS: Final[dict[str, tuple[str, str]]] = {  # light, dark; as the page of an export
    "body_background_fill": ("#f5f4f0", "#14161a"),
    "background_fill_primary": ("#ffffff", "#1c1f25"),
    "background_fill_secondary": ("#efede7", "#22262d"),
    "block_background_fill": ("#ffffff", "#1c1f25"),
    "block_border_color": ("#dedbd2", "#333943"),
    "border_color_primary": ("#d3d0c7", "#3b414c"),
    "border_color_accent": ("#17627f", "#77c4e6"),
    "color_accent_soft": ("#e2eef2", "#1d3540"),
    "body_text_color": ("#1c1f24", "#e9e7e2"),
    "body_text_color_subdued": ("#5a606b", "#a7adb8"),
    "block_label_text_color": ("#5a606b", "#a7adb8"),
    "block_title_text_color": ("#1c1f24", "#e9e7e2"),
    "block_info_text_color": ("#5a606b", "#a7adb8"),
    "slider_color": ("#17627f", "#77c4e6"),
    "input_background_fill": ("#faf9f6", "#14161a"),
    "input_border_color": ("#d3d0c7", "#3b414c"),
    "input_border_color_focus": ("#17627f", "#77c4e6"),
    "checkbox_background_color_selected": ("#17627f", "#77c4e6"),
    "checkbox_label_background_fill": ("#faf9f6", "#22262d"),
    "checkbox_label_background_fill_selected": ("#e2eef2", "#1d3540"),
    "button_primary_background_fill": ("#17627f", "#77c4e6"),
    "button_primary_background_fill_hover": ("#124e66", "#96d2ee"),
    "button_primary_border_color": ("#17627f", "#77c4e6"),
    "button_primary_text_color": ("#ffffff", "#10242d"),
    "button_secondary_background_fill": ("#ffffff", "#22262d"),
    "button_secondary_background_fill_hover": ("#efede7", "#2b3039"),
    "button_secondary_border_color": ("#d3d0c7", "#3b414c"),
    "button_secondary_text_color": ("#1c1f24", "#e9e7e2"),
}


def make_theme() -> Any:
    """The theme, in light and dark."""
    theme = gr.themes.Base(font=list(_SANS), font_mono=list(_MONO), radius_size="md", text_size="md", spacing_size="md")
    pairs: dict[str, Any] = {}
    for name, (light, dark) in _COLOURS.items():
        dark_name = f"{name}_dark"
        pairs[name] = light
        pairs[dark_name] = dark
    return theme.set(**pairs, block_shadow="none", block_border_width="1px", button_border_width="1px")
