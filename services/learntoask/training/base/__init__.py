"""The base model that training starts from, as an ordinary Hugging Face folder.

stage       run(context): fetch, check and publish
hub         from the Hugging Face hub or a mirror
packaged    SmolLM2-135M-Instruct from its Python package    (gguf: reads the package's GGUF file)
tiny        a few million random parameters, for tests
"""
