"""The two ways to a chat model: transformers in this process (tiny models of the real classes), and a real server process."""

from __future__ import annotations

import base64
import io
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chat_models import save_chat_mllama, save_chat_qwen, save_chat_text
from PIL import Image
from prompt_server_client import ServerProcess, running_server
from tiny import save_model

from superact.errors import BadInput, ModelUnavailable, ServerFailed
from superact.models.chat import load_chat
from superact.prompts.backends.base import Backend, Reply
from superact.prompts.backends.openai import OpenAIBackend, _retry_after
from superact.prompts.backends.transformers import TransformersBackend
from superact.prompts.questions import Picture, Request

Start = Callable[..., ServerProcess]


def ask(*texts: str) -> list[Request]:
    return [Request(text, None, f"sample {i}, label 'dog'") for i, text in enumerate(texts)]


def said(way: Backend, requests: list[Request]) -> list[str]:
    return [reply.text for reply in way.answer(requests)]


def pictures(*sizes: tuple[int, int]) -> list[Picture]:
    random = np.random.default_rng(3)
    return [Picture(Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8))) for w, h in sizes]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server with a script."""
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(running_server(tmp_path / "server", list(script)))


def backend(server: ServerProcess, **options: Any) -> OpenAIBackend:
    settings: dict[str, Any] = {"timeout": 30.0, "retry_for": 60.0, "first_pause": 0.001, "concurrency": 1}
    return OpenAIBackend("org/Tiny-Chat", server.url, **{**settings, **options})


# A server process


def test_replies_come_in_the_order_of_the_questions(start: Start) -> None:
    server = start()
    texts = [f"a {'fox' if i % 3 == 0 else 'dog'} number {i}" for i in range(20)]
    way = backend(server, concurrency=6, max_tokens=7)
    assert said(way, ask(*texts)) == [f"FINAL ANSWER: {'No' if i % 3 else 'Yes'}" for i in range(20)]
    log = server.log
    assert sorted(entry["messages"][0]["content"] for entry in log) == sorted(texts)
    first = {name: log[0][name] for name in ("model", "temperature", "max_tokens", "stream")}
    assert first == {"model": "org/Tiny-Chat", "temperature": 0, "max_tokens": 7, "stream": False}
    assert [message["role"] for message in log[0]["messages"]] == ["user"]
    assert way.identity == {"backend": "http", "model:served": "org/Tiny-Chat", "max_tokens": 7}
    assert (way.model.name, way.model.slug, way.model.source) == ("Tiny-Chat", "tiny-chat", "server:org/Tiny-Chat")
    assert way.retries == {}


def test_an_image_is_a_jpeg_in_a_data_url_and_no_side_is_under_28_pixels(start: Start) -> None:
    server = start()
    pixels = np.full((10, 40, 3), (200, 30, 30), np.uint8)
    picture = Picture(Image.fromarray(pixels))
    assert picture.image.size == (112, 28)
    backend(server).answer([Request("a fox", picture, "x")])
    image, text = server.log[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "a fox"}
    head, _, data = image["image_url"]["url"].partition(",")
    assert (image["type"], head) == ("image_url", "data:image/jpeg;base64")
    with Image.open(io.BytesIO(base64.b64decode(data))) as sent:
        assert (sent.format, sent.size) == ("JPEG", (112, 28))
        assert np.abs(np.asarray(sent).astype(int) - (200, 30, 30)).max() <= 4


PASSING = {
    "429": {"status": 429, "headers": {"Retry-After": "0"}, "body": '{"error": {"message": "slow down"}}'},
    "500": {"status": 500, "body": "boom"},
    "503": {"status": 503, "headers": {"Retry-After": "nonsense"}},
    "garbage": {"status": 200, "body": "<html>hello"},
    "a list": {"status": 200, "body": "[]"},
    "no choices": {"status": 200, "body": '{"choices": []}'},
    "no message": {"status": 200, "body": '{"choices": [{"text": "Yes"}]}'},
    "deep": {"status": 200, "body": '{"choices": ' + "[" * 100_000},
    "no gzip": {"status": 200, "headers": {"Content-Encoding": "gzip"}, "body": "{}"},
    "without end": {"endless": 200},
    "an error without end": {"endless": 503},
    "parts": {"status": 200, "body": '{"choices": [{"message": {"content": [1]}}]}'},
    "drop": {"drop": True},
}


@pytest.mark.parametrize("kind", PASSING)
def test_a_failure_that_passes_is_tried_again(start: Start, kind: str) -> None:
    server = start(PASSING[kind], PASSING[kind])
    way = backend(server)
    assert said(way, ask("a fox")) == ["FINAL ANSWER: Yes"]
    assert len(server.log) == 3
    assert sum(way.retries.values()) == 2 and way.provenance["retries"] == way.retries


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_a_server_that_hangs_is_given_up_after_the_time_limit_and_asked_again(start: Start, kind: str) -> None:
    server = start({kind: True})
    way = backend(server, timeout=0.5)
    assert said(way, ask("a fox")) == ["FINAL ANSWER: Yes"]
    # On a busy machine a good answer may be late, too.
    assert set(way.retries) == {"no answer within 0.5 s"} and len(server.log) == 1 + sum(way.retries.values())


def test_retry_after_is_waited_for(start: Start) -> None:
    server = start({"status": 429, "headers": {"Retry-After": "1"}})
    assert said(backend(server), ask("a fox")) == ["FINAL ANSWER: Yes"]
    first, second = (entry["at"] for entry in server.log)
    assert second - first >= 1


def test_retry_after_forms() -> None:
    assert (_retry_after(None), _retry_after("7"), _retry_after("-3"), _retry_after("soon")) == (0, 7, 0, 0)
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _retry_after("Wed, 21 Oct 2099 07:28:00 GMT") > 1e9


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"status": 500, "body": '{"error": {"message": "out of memory."}}'}, "HTTP 500: out of memory"),
        ({"status": 429, "headers": {"Retry-After": "3600"}}, "HTTP 429: no reason given"),
        ({"status": 200, "body": "{}"}, "an answer that is none: KeyError 'choices'"),
        ({"drop": True}, "the connection failed: RemoteProtocolError"),
        ({"endless": 200}, "an answer that is none: it is longer than 8 MiB"),
    ],
)
def test_a_server_that_keeps_failing_is_named(start: Start, step: Any, told: str) -> None:
    server = start(*[step] * 1000)
    with pytest.raises(ServerFailed) as error:
        backend(server, retry_for=0.5).answer(ask("a dog", "a fox"))
    text = str(error.value)
    assert text.startswith(f"{server.url} gave no answer to sample ") and told in text
    assert "run the same command again to go on" in text


@pytest.mark.parametrize("status", [400, 401, 404, 422, 302])
def test_what_will_not_pass_is_not_tried_again(start: Start, status: int) -> None:
    server = start({"status": status, "body": '{"error": {"message": "unknown\\n model"}}'})
    with pytest.raises(ServerFailed, match=f"sample 0, label 'dog': HTTP {status}: unknown model"):
        backend(server).answer(ask("a fox"))
    assert len(server.log) == 1


WITHOUT_TEXT = [
    {"message": {"content": None}},
    {"message": {"role": "assistant", "content": None, "refusal": "I will not."}, "finish_reason": "stop"},
    {"message": {"role": "assistant", "tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"},
    {"message": {"content": None, "reasoning_content": "Well, "}, "finish_reason": "length"},
]


def test_an_answer_without_words_is_an_answer(start: Start) -> None:
    server = start(*({"choice": choice} for choice in WITHOUT_TEXT), "Yes and No")
    found = backend(server).answer(ask("a", "b", "c", "d", "e"))
    assert found[:2] == [Reply("", "unknown"), Reply("", "stop")]
    assert found[2:] == [Reply("", "tool_calls"), Reply("", "length"), Reply("Yes and No", "stop")]
    assert len(server.log) == 5


def test_why_a_reply_ended_is_what_the_server_says(start: Start) -> None:
    told = ["length", "content_filter", None, 3, "two words", "x" * 41]
    server = start(*({"choice": {"message": {"content": "No"}, "finish_reason": reason}} for reason in told))
    found = backend(server).answer(ask(*"abcdef"))
    assert [reply.finish for reply in found] == ["length", "content_filter", *["unknown"] * 4]
    assert {reply.text for reply in found} == {"No"}


def test_half_a_character_can_be_stored(start: Start) -> None:
    server = start({"choice": {"message": {"content": "Yes \ud83d"}}})
    assert said(backend(server), ask("a fox")) == ["Yes ?"]


def test_a_refusal_without_end_is_read_in_part(start: Start) -> None:
    server = start({"endless": 404})
    with pytest.raises(ServerFailed, match="HTTP 404: no reason given"):
        backend(server).answer(ask("a fox"))
    assert len(server.log) == 1


def test_the_key_is_sent_and_shown_nowhere(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    server = start("Yes", {"status": 401, "body": '{"error": {"message": "bad key s3cret"}}'})
    way = backend(server, key_variable="MY_KEY")
    assert said(way, ask("a fox")) == ["Yes"]
    assert server.log[0]["key"] == "Bearer s3cret"
    with pytest.raises(ServerFailed, match="bad key \\*\\*\\*") as error:
        way.answer(ask("a fox"))
    for text in (str(error.value), repr(way.identity), repr(way.provenance), repr(way.model), repr(way)):
        assert "s3cret" not in text


def test_a_key_that_no_header_can_have_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("s3cret\rmore", "s3cr\u00e9t"):
        monkeypatch.setenv("MY_KEY", key)
        with pytest.raises(BadInput, match="The key in MY_KEY holds characters") as error:
            OpenAIBackend("m", "http://localhost:1", key_variable="MY_KEY")
        assert "s3cr" not in str(error.value)


def test_the_end_of_a_line_is_no_part_of_a_key(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret\r\n")
    server = start("Yes")
    assert said(backend(server, key_variable="MY_KEY"), ask("a fox")) == ["Yes"]
    assert server.log[0]["key"] == "Bearer s3cret"


def test_a_key_is_hidden_before_a_message_is_cut(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret" * 4)
    server = start({"status": 401, "body": json.dumps({"error": {"message": "x" * 290 + "s3cret" * 4}})})
    with pytest.raises(ServerFailed) as error:
        backend(server, key_variable="MY_KEY").answer(ask("a fox"))
    assert "s3c" not in str(error.value) and "x***" in str(error.value)


def test_a_password_with_a_number_sign_is_not_echoed() -> None:
    with pytest.raises(BadInput, match="is no URL") as error:
        OpenAIBackend("m", "http://user:pa#s3cret@host:80")
    assert "s3cret" not in str(error.value) and "pa" not in str(error.value).replace("path", "")


def test_credentials_in_the_url_are_sent_and_shown_nowhere(start: Start) -> None:
    server = start("Yes", {"status": 401})
    way = OpenAIBackend("m", server.url.replace("http://", "http://user:pa55@") + "/v1/", concurrency=1)
    assert said(way, ask("a fox")) == ["Yes"]
    assert server.log[0]["key"] == "Basic " + base64.b64encode(b"user:pa55").decode()
    with pytest.raises(ServerFailed) as error:
        way.answer(ask("a fox"))
    assert way.provenance["server"] == server.url
    for text in (str(error.value), repr(way.provenance), repr(way.identity), repr(way)):
        assert "pa55" not in text


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    way = OpenAIBackend("m", url, retry_for=600)
    with pytest.raises(ServerFailed, match="gave no answer to the first question: nothing listens there"):
        way.start()


def test_a_server_without_a_list_of_models_is_there(start: Start) -> None:
    backend(start()).start()


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "", "http://", "http://host/?key=s3cret"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(BadInput, match="Such as http://localhost:8000") as error:
        OpenAIBackend("m", url)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_urls_with_and_without_v1(tail: str) -> None:
    way = OpenAIBackend("m", f"https://host:81/prefix{tail}")
    assert (way._base, way.shown_url) == ("https://host:81/prefix",) * 2
    assert OpenAIBackend("m", f"http://host{tail}")._base == "http://host"


def test_a_served_path_and_a_name_of_ones_own() -> None:
    assert OpenAIBackend("/models/SmolLM2 Q4.gguf", "http://h").model.slug == "smollm2-q4.gguf"
    model = OpenAIBackend("default", "http://h", name="My Llama").model
    assert (model.name, model.slug) == ("My Llama", "my-llama")


# A network in this process


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chat_text(tmp_path_factory.mktemp("chat") / "Tiny-Chat")


def greedy(folder: Path, texts: list[str], n: int) -> list[str]:
    return [reply.text for reply in greedy_replies(folder, texts, n)]


def greedy_replies(folder: Path, texts: list[str], n: int) -> list[Reply]:
    """What transformers itself gives, one text at a time, token by token."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    replies = []
    for text in texts:
        ids = tokenizer(f"<s> {text} </s>a ", return_tensors="pt", add_special_tokens=False)["input_ids"]
        begun = ids.shape[1]
        finish = "length"
        for _ in range(n):
            with torch.no_grad():
                ids = torch.cat([ids, network(ids).logits[:, -1:].argmax(-1)], dim=1)
            if ids[0, -1] == tokenizer.eos_token_id:
                finish = "stop"
                break
        replies.append(Reply(tokenizer.decode(ids[0, begun:], skip_special_tokens=True), finish))
    return replies


TEXTS = ["the quick brown fox", "a dog", "all of it and then some more words here", "the dog laughs at the fox", "it"]


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_replies_are_the_greedy_ones_whatever_the_batch(text_folder: Path, concurrency: int) -> None:
    way = TransformersBackend(
        load_chat(text_folder, modality="text", device="cpu"), max_tokens=6, concurrency=concurrency
    )
    way.start()
    replies = said(way, ask(*TEXTS))
    assert replies == greedy(text_folder, TEXTS, 6)
    assert len(set(replies)) > 1


def test_a_reply_of_the_longest_length_without_an_end_is_cut(text_folder: Path) -> None:
    chat = load_chat(text_folder, modality="text", device="cpu")
    ended = []
    for n in (4, 6, 7, 9):
        found = TransformersBackend(chat, max_tokens=n, concurrency=3).answer(ask(*TEXTS))
        assert found == greedy_replies(text_folder, TEXTS, n)
        ended.append([reply.finish for reply in found].count("stop"))
    # None yet; one whose end token is the sixth and last; another one; and those that never end.
    assert ended == [0, 1, 2, 2]


def test_what_a_checkpoint_recommends_for_sampling_is_not_followed(text_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "Tiny-Chat"
    shutil.copytree(text_folder, folder)
    path = folder / "generation_config.json"
    settings = {"do_sample": True, "temperature": 5.0, "top_p": 0.9, "repetition_penalty": 9.0, "max_length": 3}
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    way = TransformersBackend(load_chat(folder, modality="text", device="cpu"), max_tokens=6)
    assert said(way, ask(*TEXTS)) == greedy(text_folder, TEXTS, 6)


def test_facts_of_a_text_model(text_folder: Path) -> None:
    way = TransformersBackend(load_chat(text_folder, modality="text", device="cpu"), max_tokens=6)
    model = way.model
    assert (model.name, model.slug, model.blocks, model.width) == ("Tiny-Chat", "tiny-chat", 3, 32)
    assert way.identity["backend"] == "transformers" and way.identity["max_tokens"] == 6
    assert len(str(way.identity["model:revision"])) == 64 and way.identity["model:dtype"] == "float32"
    assert way.provenance["concurrency"] == 8
    named = TransformersBackend(load_chat(text_folder, modality="text", device="cpu"), name="Other One")
    assert (named.model.name, named.model.slug) == ("Other One", "other-one")


def test_another_chat_template_is_another_identity(text_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "Tiny-Chat"
    shutil.copytree(text_folder, folder)
    template = folder / "chat_template.jinja"
    template.write_text("then " + template.read_text())
    one, other = (load_chat(path, modality="text", device="cpu").identity for path in (text_folder, folder))
    assert {name for name in one if one[name] != other[name]} == {"chat_template"}


def test_a_question_that_is_too_long_names_its_sample(tmp_path: Path) -> None:
    folder = save_chat_text(tmp_path / "Short", max_position_embeddings=16)
    way = TransformersBackend(load_chat(folder, modality="text", device="cpu"), max_tokens=6)
    long = " ".join(["fox"] * 20)
    with pytest.raises(BadInput, match="The question about sample 1, label 'dog' has 23 tokens; Short has room for 16"):
        way.answer(ask("a dog", long))


def test_a_model_without_a_chat_template(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "Base", "LlamaForCausalLM")
    with pytest.raises(ModelUnavailable, match="it has no chat template"):
        load_chat(folder, modality="text", device="cpu")


def test_a_body_without_a_head(tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = save_chat_text(tmp_path / "Whole")
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "Body")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "Body")
    with pytest.raises(ModelUnavailable, match=r"its weights lack 1 tensors, the first is lm_head\.weight"):
        load_chat(tmp_path / "Body", modality="text", device="cpu")


def test_a_model_that_cannot_be_asked(text_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"Tiny-Chat reads no images \(llama\)"):
        load_chat(text_folder, modality="image", device="cpu")
    folder = save_model(tmp_path / "Dino", "Dinov2Model")
    with pytest.raises(ModelUnavailable, match=r"it is no causal language model \(dinov2\)"):
        load_chat(folder, modality="text", device="cpu")
    with pytest.raises(BadInput, match="'float8' is not a dtype"):
        load_chat(text_folder, modality="text", dtype="float8")


def test_llama_vision_looks_at_the_picture(tmp_path: Path) -> None:
    chat = load_chat(save_chat_mllama(tmp_path / "Tiny-Vision"), modality="image", device="cpu")
    way = TransformersBackend(chat, max_tokens=5, concurrency=3)
    shown = pictures((60, 40), (90, 40), (120, 40), (12, 50))
    requests = [Request("the dog laughs", picture, "x") for picture in shown]
    together = said(way, requests)
    assert together == [said(way, [request])[0] for request in requests]
    # One text, several pictures: what differs comes from the pictures.
    assert len(set(together)) > 1


@pytest.mark.parametrize("dated", [True, False])
def test_the_date_goes_to_templates_that_show_one_and_never_to_the_processor(
    dated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, complaints = save_chat_mllama(tmp_path / "Tiny-Vision"), []
    template = folder / "chat_template.jinja"
    if dated:
        template.write_text("{{ date_string }} " + template.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr("transformers.processing_utils.logger.warning", lambda text, *_: complaints.append(text))
    chat = load_chat(folder, modality="image", device="cpu")
    assert chat.template_options == ({"date_string": "26 Jul 2024"} if dated else {})
    way = TransformersBackend(chat, max_tokens=2)
    lengths = [way._inputs([Request("the dog", picture, "x")])["input_ids"].shape[1] for picture in pictures((60, 40))]
    assert complaints == [] and (lengths[0] > 6) == dated


def test_llama_vision_is_asked_about_texts(tmp_path: Path) -> None:
    chat = load_chat(save_chat_mllama(tmp_path / "Tiny-Vision"), modality="text", device="cpu")
    way = TransformersBackend(chat, max_tokens=5)
    together = said(way, ask(*TEXTS))
    assert together == [said(way, [request])[0] for request in ask(*TEXTS)]
    assert len(set(together)) > 1


def test_qwen_vision_looks_at_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="transformers makes Qwen2.5-VL's processor with torchvision only")
    chat = load_chat(save_chat_qwen(tmp_path / "Tiny-Qwen"), modality="image", device="cpu")
    way = TransformersBackend(chat, max_tokens=5, concurrency=3)
    requests = [
        Request("the dog laughs", picture, "x") for picture in pictures((60, 40), (90, 40), (120, 40), (12, 50))
    ]
    together = said(way, requests)
    assert together == [said(way, [request])[0] for request in requests]
    assert len(set(together)) > 1
