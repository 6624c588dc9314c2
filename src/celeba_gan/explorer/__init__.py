"""A page to explore a generator by hand: `python -m celeba_gan.explorer`. Only page.py and server.py know Gradio."""
