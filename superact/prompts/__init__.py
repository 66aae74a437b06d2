"""Prompting a chat model: does this sample contain that concept, and where?

`run` asks (table `prompt_answers`) and maps the places to tokens (table `prompt_tokens`). The words of the questions are the
files of `templates/`, the way to a model is one of `backends/`, and what a reply means is `parse`.
"""
