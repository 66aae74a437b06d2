"""`superact prompt`: ask a chat model whether each sample carries each label, and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superact.cli import prompt_eval
from superact.cli.errors import extra_packages
from superact.cli.ingest_options import Attention, Device, DeviceMap, Dtype, Revision, TrustRemoteCode
from superact.cli.options import DATA_ROOT, WAREHOUSE, DataRoot, Quiet, Replace, WarehousePath
from superact.cli.progress import note, progress_line
from superact.cli.reading import ImageRoot, TextRoot, note_decisions
from superact.errors import BadInput

if TYPE_CHECKING:
    from superact.datasets import Dataset
    from superact.prompts.backends.base import Backend
    from superact.prompts.run import Answered
    from superact.store import Warehouse

app = typer.Typer(
    help="Prompting as a detector: ask a chat model, and evaluate its answers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("eval")(prompt_eval.run)


@app.command()
def run(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="A folder under the data root, or the path of one.")
    ],
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A local model's name, a transformers folder or a hub id; with --backend http the name a server knows it by.",
        ),
    ],
    warehouse: WarehousePath = WAREHOUSE,
    data_root: DataRoot = DATA_ROOT,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="published|all|NAMES",
            help="Labels that eval reports, and every question lists; by default those that the warehouse has, else published.",
            show_default=False,
        ),
    ] = None,
    image_root: ImageRoot = None,
    text_root: TextRoot = None,
    backend: Annotated[
        str,
        typer.Option(
            "--backend", metavar="transformers|http", help="In this process, or a server's /v1/chat/completions."
        ),
    ] = "transformers",
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="The server, such as http://localhost:8000.", show_default=False),
    ] = None,
    api_key_variable: Annotated[
        str, typer.Option("--api-key-variable", metavar="NAME", help="The environment variable with the server's key.")
    ] = "OPENAI_API_KEY",
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="NAME", help="Ask about this label only; may be repeated. Default: all evaluated."
        ),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAMES", help="Splits to ask, such as cal,test.")] = "test",
    sample_limit: Annotated[
        int | None,
        typer.Option(
            "--sample-limit",
            metavar="NUMBER",
            min=1,
            help="Ask about the first samples of a split only, to try things out.",
        ),
    ] = None,
    localize: Annotated[
        bool, typer.Option("--localize", help="Ask where the label is, too, wherever the answer is yes.")
    ] = False,
    tokens_of: Annotated[
        list[str] | None,
        typer.Option(
            "--tokens-of", metavar="SLUG", help="Map the places to the tokens of this ingested model; may be repeated."
        ),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option("--template", metavar="DIR", help="Use the question files in this folder.", show_default=False),
    ] = None,
    batch: Annotated[
        int, typer.Option("--batch", metavar="NUMBER", min=1, help="Questions between two saves: what a kill can lose.")
    ] = 64,
    concurrency: Annotated[
        int,
        typer.Option("--concurrency", metavar="NUMBER", min=1, help="Questions in flight, or in one forward pass."),
    ] = 8,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Longest wait for one try of a question (http)."),
    ] = 120.0,
    retry_for: Annotated[
        float,
        typer.Option("--retry-for", metavar="SECONDS", min=0, help="How long a question is tried again (http)."),
    ] = 600.0,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="NUMBER", min=1, help="Longest reply; part of the identity.")
    ] = 256,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What the answering model is called in the warehouse.", show_default=False
        ),
    ] = None,
    device: Device = "auto",
    device_map: DeviceMap = None,
    dtype: Dtype = "float32",
    attention: Attention = "sdpa",
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Ask a chat model whether each sample of a split carries each label.

    One question a (sample, label), greedy, answered yes, no or neither. Answers are saved as they come: run the same command
    again after an interruption, and only what is missing is asked. A run that asks for more (labels, splits, --localize) takes
    over what is there. Cost: test samples times labels; see docs/prompts.md.
    """
    from superact.store import Warehouse

    if tokens_of and not localize:
        raise BadInput(what="--tokens-of maps places, and the model is not asked where.", remedy="Add --localize.")
    store = Warehouse(warehouse)
    with extra_packages("superact prompt run"):
        from superact.prompts.plan import Plan
        from superact.prompts.questions import split_names
        from superact.prompts.run import prompt

        opened = _open(store, dataset, data_root, labels, {"image_root": image_root, "text_root": text_root})
        plan = Plan(_asked(opened, label), split_names(split), sample_limit, localize)
        shared: dict[str, Any] = {"max_tokens": max_tokens, "concurrency": concurrency}
        loading = {
            "device": device,
            "device_map": device_map,
            "dtype": dtype,
            "attention": attention,
            "revision": revision,
            "trust_remote_code": trust_remote_code,
        }
        server = {"url": url, "key_variable": api_key_variable, "timeout": timeout, "retry_for": retry_for}
        way = _backend(backend, model, name, opened.modality, shared, loading, server)
        note_decisions(opened, quiet)
        with progress_line(quiet) as report:
            done = prompt(store, opened, way, plan, templates=template, batch=batch, replace=replace, progress=report)
        _note_answers(done, max_tokens, quiet)
        if localize:
            _map_places(store, opened.slug, way.model.slug, tokens_of or [], quiet)
    note("next: superact prompt eval", quiet)


def _open(store: Warehouse, ref: str, data_root: Path, labels: str | None, roots: dict[str, Any]) -> Dataset:
    """The dataset, with the labels evaluated that the warehouse says, unless others are asked for."""
    from superact.datasets import open_dataset
    from superact.datasets.labels import evaluate_labels
    from superact.prompts.kept import published_rows

    if labels is not None:
        return open_dataset(ref, data_root, labels=labels, **roots)
    opened = open_dataset(ref, data_root, **roots)
    published = store.state().get("labels", dataset=opened.slug)
    if published is None:
        return opened
    rows = published_rows(store, published)
    chosen = set(rows.filter(rows["evaluated"])["label"]) & {label.name for label in opened.labels}
    return evaluate_labels(opened, sorted(chosen)) if chosen else opened


def _asked(dataset: Dataset, wanted: list[str] | None) -> tuple[str, ...]:
    """The evaluated labels that are asked about, in name order."""
    there = sorted((label.name for label in dataset.labels if label.evaluated), key=str.encode)
    unknown = [name for name in wanted or [] if name not in there]
    if unknown:
        raise BadInput(
            what=f"{dataset.name} has no evaluated label {unknown[0]!r}.",
            remedy=f"Use some of: {', '.join(there)}; --labels chooses which are evaluated.",
        )
    return tuple(name for name in there if not wanted or name in wanted)


def _backend(
    kind: str,
    model: str,
    name: str | None,
    modality: str,
    shared: dict[str, Any],
    loading: dict[str, Any],
    server: dict[str, Any],
) -> Backend:
    if kind == "http":
        if server["url"] is None:
            raise BadInput(
                what="--backend http needs to know where the server is.", remedy="Add --url http://host:port."
            )
        from superact.prompts.backends.openai import OpenAIBackend

        return OpenAIBackend(model, name=name, **shared, **server)
    if kind != "transformers":
        raise BadInput(what=f"--backend {kind!r} is unknown.", remedy="Use transformers or http.")
    if server["url"] is not None:
        raise BadInput(what="--url names a server, and the model runs in this process.", remedy="Add --backend http.")
    from superact.models.chat import load_chat
    from superact.prompts.backends.transformers import TransformersBackend

    return TransformersBackend(load_chat(model, modality=modality, **loading), name=name, **shared)


def _note_answers(done: Answered, max_tokens: int, quiet: bool) -> None:
    if done.asked < done.questions:
        there = done.questions - done.asked
        note(f"{there:,} of {done.questions:,} answers were there already", quiet)
    if done.dropped:
        what = "reply" if done.dropped == 1 else "replies"
        note(f"dropped {done.dropped:,} {what} of a wider run that was not finished", quiet)
    note(
        f"{done.questions:,} questions: {done.parse_rate:.1%} parsed ({done.unparsed:,} unparsed), "
        f"{done.yes_share:.1%} of those yes",
        quiet,
    )
    if done.cut:
        note(
            f"warning: {done.cut:,} {'reply was' if done.cut == 1 else 'replies were'} cut at {max_tokens:,} tokens, maybe "
            "before what was asked for; ask again with a larger --max-tokens and --replace",
            quiet,
        )
    if done.no_text:
        note(
            f"warning: {done.no_text:,} {'reply has' if done.no_text == 1 else 'replies have'} no text (refused, a tool call, "
            "or cut while the model was thinking): an answer without text is unparsed, a place without text points at nothing",
            quiet,
        )


def _map_places(store: Warehouse, dataset: str, model: str, tokens_of: list[str], quiet: bool) -> None:
    """Map places to the tokens of the models that are named, and of those they were mapped to before."""
    from superact.prompts.tokens import map_places

    before = [
        str(dict(p.partition.keys)["tokens_of"])
        for p in store.state().select("prompt_tokens", dataset=dataset, model=model)
    ]
    for other in dict.fromkeys([*(slug.lower() for slug in tokens_of), *before]):
        found = map_places(store, dataset, model, other)
        note(
            f"tokens of {other}: {found.tokens:,} in {found.places:,} places of {found.replies:,} replies; "
            f"{found.unparsed:,} replies unparsed, {found.lost:,} places not in their sample",
            quiet,
        )
