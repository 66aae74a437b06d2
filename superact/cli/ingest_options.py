"""The options of ingest and its stages, so that each is spelt, explained and defaulted once."""

from __future__ import annotations

from typing import Annotated

import typer

DatasetRef = Annotated[
    str, typer.Option("--dataset", metavar="NAME", help="A folder under the data root, or the path of one.")
]
ModelRef = Annotated[
    str,
    typer.Option("--model", metavar="REF", help="A local model's name, a transformers folder, or a hub id."),
]
LayersOrAll = Annotated[
    str | None,
    typer.Option("--layers", metavar="all|NUMBERS", help="Layers, such as all, 1,6,12 or 0-12. Default: all."),
]
Percents = Annotated[
    str | None, typer.Option("--percent", metavar="NUMBERS", help="Layers by percent through the model: 25,50,100.")
]
Units = Annotated[str, typer.Option("--unit", metavar="token,cls", help="Tokens, whole samples (cls), or both.")]
Methods = Annotated[
    str,
    typer.Option(
        "--methods", metavar="NAMES", help="How concepts are learned: any of avg, linsep, kmeans and kmeans-linsep."
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="NUMBER", min=0, help="Seed of the learners.")]
Suffix = Annotated[
    str, typer.Option("--suffix", metavar="SLUG", help="Name the sets METHOD-SLUG, beside those that are there.")
]
MaxRows = Annotated[
    int | None, typer.Option("--max-rows", metavar="NUMBER", min=2, help="Cap on the training rows of a separator.")
]
TokenBudget = Annotated[
    int, typer.Option("--token-budget", metavar="NUMBER", min=1, help="Padded tokens a batch; part of the identity.")
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        "--device-map",
        metavar="NAME",
        help="Spread the weights over devices: auto, balanced or sequential (accelerate).",
    ),
]
Dtype = Annotated[str, typer.Option("--dtype", metavar="NAME", help="float32, float16 or bfloat16.")]
Autocast = Annotated[
    str | None,
    typer.Option(
        "--autocast",
        metavar="bfloat16|float16",
        help="Compute products in that dtype, with float32 weights and residual stream; part of the identity.",
    ),
]
Attention = Annotated[str, typer.Option("--attention", metavar="NAME", help="sdpa, eager or flash_attention_2.")]
Revision = Annotated[str | None, typer.Option("--revision", metavar="REF", help="Branch, tag or commit on the hub.")]
SpecialTokens = Annotated[
    str,
    typer.Option(
        "--special-tokens", metavar="auto|none", help="auto: the tokenizer's own; none: as the published runs."
    ),
]
GeometryName = Annotated[
    str | None, typer.Option("--geometry", metavar="NAME", help="squash, crop or letterbox (images).")
]
InputSize = Annotated[int | None, typer.Option("--input-size", metavar="PIXELS", min=1, help="Side of the input.")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that a hub model brings.")]
