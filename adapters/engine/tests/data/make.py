#!/usr/bin/env python3
"""Makes the tiny models beside this file and what the reference implementation answers with them.

    python3 -m venv /tmp/make && /tmp/make/bin/pip install torch transformers gguf
    /tmp/make/bin/python make.py

The weights are random under fixed seeds; the answers are those of transformers, in F32 on the CPU.
"""

import json
from pathlib import Path

import gguf
import numpy
import torch
from transformers import (
    Glm4Config,
    Glm4ForCausalLM,
    GlmConfig,
    GlmForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

HERE = Path(__file__).parent
HIDDEN, HEADS, HEADS_KV, HEAD, FFN, LAYERS, WINDOW = 32, 4, 2, 8, 64, 2, 512
EPS, THETA = 1e-5, 10_000.0
ANSWER = 64

# Each has a seed under which no answer comes near a tie: rounding differs between implementations.
MARGIN = 5e-3

PROMPTS = [
    "the cart of a shop holds",
    "the cart of a shop is",
    "orders rise at noon and",
    "a queue grows when",
    "the cache was cold so the first page took a while and then it went fast again because",
    "why",
    "stock is low in the north",
    "the cart",
]

MERGES = ["t h", "th e", "Ġ the", "o r", "a n", "an d", "Ġ and", "i n", "e r", "Ġ a", "Ġ c", "a r", "ar t", "o p"]

SPECIAL = {
    "glm4": ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"],
    "chatglm": ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"],
    "llama": ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
    "qwen3": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
}

GLM_TEMPLATE = (
    "[gMASK]<sop>{% if tools %}<|system|>\nTools:{% for tool in tools %}\n{{ tool.function | tojson }}"
    "{% endfor %}{% endif %}{% for message in messages %}<|{{ 'observation' if message.role == 'tool'"
    " else message.role }}|>\n{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CHATML_TEMPLATE = (
    "{%- if tools %}<|im_start|>system\nTools, called as <tool_call>:{% for tool in tools %}\n"
    "{{ tool | tojson }}{% endfor %}<|im_end|>\n{% endif %}{% for message in messages %}<|im_start|>"
    "{{ message['role'] }}\n{{ message['content'].strip() }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
TEMPLATE = {"glm4": GLM_TEMPLATE, "chatglm": GLM_TEMPLATE, "qwen3": CHATML_TEMPLATE, "llama": None}


def byte_letters():
    """The letters that stand for bytes in byte-level vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {}, 0
    for byte in range(256):
        if byte in plain:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(256 + extra)
            extra += 1
    return letters


LETTERS = byte_letters()
TOKENS = [LETTERS[byte] for byte in range(256)] + [merge.replace(" ", "") for merge in MERGES]


def tokenize(text):
    """Words with the blank before them, merged in the order of the list."""
    words = text.replace(" ", "\0 ").split("\0")
    found = []
    for word in words:
        parts = [LETTERS[byte] for byte in word.encode()]
        for merge in MERGES:
            left, right = merge.split()
            at = 0
            while at + 1 < len(parts):
                if parts[at] == left and parts[at + 1] == right:
                    parts[at : at + 2] = [left + right]
                at += 1
        found += [TOKENS.index(part) for part in parts]
    return found


def model(kind, vocabulary, seed):
    torch.manual_seed(seed)
    common = {
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS_KV,
        "head_dim": HEAD,
        "max_position_embeddings": WINDOW,
        "rms_norm_eps": EPS,
        "tie_word_embeddings": False,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "attn_implementation": "eager",
    }
    rope = {"rope_type": "default", "rope_theta": THETA}
    half = {**rope, "partial_rotary_factor": 0.5}
    if kind == "glm4":
        made = Glm4ForCausalLM(Glm4Config(**common, attention_bias=True, rope_parameters=half))
    elif kind == "chatglm":
        made = GlmForCausalLM(GlmConfig(**common, attention_bias=True, rope_parameters=half))
    elif kind == "llama":
        made = LlamaForCausalLM(LlamaConfig(**common, rope_parameters=rope))
    else:
        made = Qwen3ForCausalLM(Qwen3Config(**common, rope_parameters=rope))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "norm" in name:
                weight.copy_(1 + 0.2 * torch.randn_like(weight))
            elif "embed" in name:
                weight.copy_(torch.randn_like(weight))
            elif "bias" in name:
                weight.copy_(0.3 * torch.randn_like(weight))
            else:
                weight.copy_(torch.randn_like(weight) * 1.6 / weight.shape[-1] ** 0.5)
        made.lm_head.weight.mul_(4)
        # No answer ends by itself.
        made.lm_head.weight[len(TOKENS) :] = 0
    return made.float().eval()


def answer(made, prompt, plain):
    """The greedy answer, or none when it is not fit for a test."""
    tokens, given = list(prompt), []
    for _ in range(ANSWER):
        with torch.no_grad():
            logits = made(torch.tensor([tokens]), use_cache=False).logits[0, -1]
        best = torch.topk(logits, 2)
        token = int(best.indices[0])
        if token >= plain or float(best.values[0] - best.values[1]) < MARGIN:
            return None
        tokens.append(token)
        given.append(token)
    return given


def interleave(weight, heads):
    """Rows of each head in the order in which Llama's rotation wants them."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def write(kind, made, path):
    special = SPECIAL[kind]
    out = gguf.GGUFWriter(path, kind)
    out.add_name(f"tiny random {kind}")
    out.add_context_length(WINDOW)
    out.add_embedding_length(HIDDEN)
    out.add_feed_forward_length(FFN)
    out.add_block_count(LAYERS)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS_KV)
    out.add_key_length(HEAD)
    out.add_value_length(HEAD)
    out.add_layer_norm_rms_eps(EPS)
    out.add_rope_freq_base(THETA)
    out.add_rope_dimension_count(HEAD // 2 if kind in ("glm4", "chatglm") else HEAD)
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    out.add_tokenizer_model("gpt2")
    pre = {"glm4": "glm4", "chatglm": "chatglm-bpe", "llama": "llama-bpe", "qwen3": "qwen2"}
    out.add_tokenizer_pre(pre[kind])
    out.add_token_list(TOKENS + special)
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    out.add_token_types([normal] * len(TOKENS) + [control] * len(special))
    out.add_token_merges(MERGES)
    at = {name: len(TOKENS) + number for number, name in enumerate(special)}
    ends = {"glm4": "<|user|>", "chatglm": "<|user|>", "llama": "<|end_of_text|>", "qwen3": "<|im_end|>"}
    out.add_eos_token_id(at[ends[kind]])
    out.add_add_bos_token(False)
    if TEMPLATE[kind]:
        out.add_chat_template(TEMPLATE[kind])
    for name, weight in tensors(kind, made.state_dict()):
        out.add_tensor(name, numpy.ascontiguousarray(weight))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def tensors(kind, state):
    state = {name: weight.numpy().astype(numpy.float32) for name, weight in state.items()}
    yield "token_embd.weight", state["model.embed_tokens.weight"]
    yield "output_norm.weight", state["model.norm.weight"]
    yield "output.weight", state["lm_head.weight"]
    for layer in range(LAYERS):
        there, here = f"model.layers.{layer}.", f"blk.{layer}."
        names = {
            "input_layernorm": "attn_norm",
            "self_attn.o_proj": "attn_output",
            "mlp.down_proj": "ffn_down",
            "post_attention_layernorm": "ffn_norm",
        }
        if kind == "glm4":
            names["post_self_attn_layernorm"] = "post_attention_norm"
            names["post_mlp_layernorm"] = "post_ffw_norm"
        if kind in ("glm4", "chatglm"):
            names["mlp.gate_up_proj"] = "ffn_up"
        else:
            names["mlp.gate_proj"] = "ffn_gate"
            names["mlp.up_proj"] = "ffn_up"
        if kind == "qwen3":
            names["self_attn.q_norm"] = "attn_q_norm"
            names["self_attn.k_norm"] = "attn_k_norm"
        for theirs, ours in names.items():
            yield f"{here}{ours}.weight", state[f"{there}{theirs}.weight"]
        for part in ("weight", "bias"):
            if f"{there}self_attn.q_proj.{part}" not in state:
                continue
            query, key, value = (state[f"{there}self_attn.{name}_proj.{part}"] for name in "qkv")
            if kind == "llama":
                query, key = interleave(query, HEADS), interleave(key, HEADS_KV)
            if kind == "chatglm":
                yield f"{here}attn_qkv.{part}", numpy.concatenate([query, key, value])
            else:
                for name, weight in (("q", query), ("k", key), ("v", value)):
                    yield f"{here}attn_{name}.{part}", weight


def main():
    for kind, special in SPECIAL.items():
        for seed in range(1, 10_000):
            made = model(kind, len(TOKENS) + len(special), seed)
            cases = []
            for text in PROMPTS:
                prompt = tokenize(text)
                given = answer(made, prompt, len(TOKENS))
                if given is None or len(set(given)) < 16:
                    break
                cases.append({"text": text, "prompt": prompt, "answer": given})
            if len(cases) == len(PROMPTS):
                break
        else:
            raise SystemExit(f"no seed is fit for {kind}")
        write(kind, made, HERE / f"{kind}.gguf")
        about = {"model": f"{kind}.gguf", "seed": seed, "cases": cases}
        (HERE / f"{kind}.json").write_text(json.dumps(about) + "\n")
        print(kind, "seed", seed)


main()
