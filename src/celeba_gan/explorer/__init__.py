"""A page to explore a generator by hand, `python -m celeba_gan.explorer`.

Only page, handling, theme and server know Gradio.
"""
