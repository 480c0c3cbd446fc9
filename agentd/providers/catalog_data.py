"""The table of known models. Prices in US dollars for a million tokens, limits in tokens.

Sources, as of 22 November 2026: the price tables of the packages litellm 1.109.1 (model_prices_and_context_window) and genai-prices
0.2.3, which cite the vendors' pages (developers.openai.com/api/docs/pricing, platform.claude.com/docs/en/about-claude/pricing,
api-docs.deepseek.com/quick_start/pricing, alibabacloud.com/help/en/model-studio/models for the international region); names of the
SDKs openai 3.54 and anthropic 2.12; GPT-6.2 by litellm's announcement (BerriAI/litellm, discussion 52347); what Ollama's models can
by their pages in ollama.com/library. List prices of the standard service: no batches, no priority. DeepSeek's are those of its peak
hours, which are twice the others. What writing to a vendor's cache costs on top is not in them. A price that no source has is
left out: nobody may take a guess for a price.

A row is a name with its family and prices (input, output, cached input, then those of long requests), or a pattern with a family
only, for the models that come after this table was written: they are like their sisters, except that their price is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Family = Mapping[str, Any]
Prices = tuple[float, float, float]
Long = tuple[int, float, float, float]
Row = tuple[str, Family] | tuple[str, Family, Prices] | tuple[str, Family, Prices, tuple[Long, ...]]

# --- families ------------------------------------------------------------------------------------------------------------------

_LMH = ("low", "medium", "high")
_SEES: Family = {"images": True, "files": True}

_GPT_3: Family = {"context": 16_385, "max_output": 4096}
_GPT_4: Family = {"context": 8192, "max_output": 4096}
_GPT_4_TURBO: Family = {"context": 128_000, "max_output": 4096, "images": True}
_GPT_4O: Family = {"context": 128_000, "max_output": 16_384, "schema": "native", **_SEES}
_GPT_4_1: Family = {"context": 1_047_576, "max_output": 32_768, "schema": "native", **_SEES}
_CHAT: Family = {"context": 128_000, "max_output": 16_384, "schema": "native", "quirks": ("no-temperature",), **_SEES}

_THINKS: Family = {"schema": "native", "thinking": True, "quirks": ("no-temperature",), **_SEES}
_O: Family = {"context": 200_000, "max_output": 100_000, "efforts": _LMH, **_THINKS}
_O_BLIND: Family = {**_O, "images": False, "files": False}
_GPT_5: Family = {"context": 400_000, "max_output": 128_000, "efforts": ("minimal", *_LMH), **_THINKS}
_GPT_5_PRO: Family = {**_GPT_5, "efforts": ("high",)}
_GPT_5_CODEX: Family = {**_GPT_5, "efforts": _LMH}
_GPT_5_1: Family = {**_GPT_5, "efforts": ("none", *_LMH)}
_GPT_5_2: Family = {**_GPT_5, "efforts": ("none", *_LMH, "xhigh")}
_GPT_5_2_PRO: Family = {**_GPT_5, "efforts": ("medium", "high", "xhigh")}
_GPT_5_3_CODEX: Family = {**_GPT_5, "efforts": (*_LMH, "xhigh")}
_GPT_5_4: Family = {**_GPT_5_2, "context": 1_050_000}
_GPT_5_4_PRO: Family = {**_GPT_5_2_PRO, "context": 1_050_000}
_GPT_6: Family = {**_GPT_5_4, "efforts": ("none", *_LMH, "xhigh", "max")}
_GPT_6_ALWAYS: Family = {**_GPT_5_4, "efforts": (*_LMH, "xhigh", "max")}

_CLAUDE: Family = {"context": 200_000, "max_output": 64_000, "prefill": True, **_SEES}
_CLAUDE_3: Family = {**_CLAUDE, "max_output": 4096, "files": False}
_CLAUDE_3_5: Family = {**_CLAUDE, "max_output": 8192}
_CLAUDE_OPUS_4: Family = {**_CLAUDE, "max_output": 32_000}
_CLAUDE_4_5: Family = {**_CLAUDE, "schema": "native"}
_CLAUDE_4_6: Family = {
    "context": 1_000_000,
    "max_output": 128_000,
    "schema": "native",
    "thinking": True,
    "efforts": (*_LMH, "max"),
    "quirks": ("adaptive-thinking",),
    **_SEES,
}
_CLAUDE_5: Family = {**_CLAUDE_4_6, "efforts": (*_LMH, "xhigh", "max"), "quirks": ("adaptive-thinking", "no-temperature")}
_CLAUDE_ALWAYS: Family = {**_CLAUDE_5, "quirks": (*_CLAUDE_5["quirks"], "always-thinking")}
_CLAUDE_UNFORCED: Family = {**_CLAUDE_5, "quirks": (*_CLAUDE_ALWAYS["quirks"], "no-forced-tools")}

_DEEPSEEK: Family = {
    "context": 1_000_000,
    "max_output": 393_216,
    "thinking": True,
    "efforts": (*_LMH, "max"),  # medium is another word for high there (api-docs.deepseek.com/guides/thinking_mode)
    "quirks": ("echo-reasoning", "thinking-type"),
}
_DEEPSEEK_SEES: Family = {**_DEEPSEEK, "images": True}

_QWEN: Family = {"context": 131_072, "max_output": 16_384, "quirks": ("enable-thinking",)}
_QWEN_LONG: Family = {**_QWEN, "context": 1_000_000, "max_output": 32_768}
_QWEN_MAX: Family = {"context": 32_768, "max_output": 8192}
_QWEN_3_MAX: Family = {**_QWEN, "context": 262_144, "max_output": 65_536}
_QWEN_3_7: Family = {**_QWEN_LONG, "max_output": 65_536, "schema": "native", "thinking": True}
_QWEN_3_7_SEES: Family = {**_QWEN_3_7, "images": True}
_QWEN_3_8: Family = {**_QWEN_3_7_SEES, "max_output": 131_072}
_QWEN_CODER: Family = {"context": 1_000_000, "max_output": 65_536}
_QWEN_VL: Family = {**_QWEN, "max_output": 32_768, "images": True}
_QWEN_VL_PLUS: Family = {**_QWEN_VL, "context": 262_144}
_QWEN_THINKS: Family = {"context": 131_072, "max_output": 32_768, "thinking": True, "quirks": ("always-thinking",)}
_QWEN_INSTRUCT: Family = {"context": 131_072, "max_output": 32_768}

# What is asked for, not what these models could hold: that is memory on somebody's own machine.
_OWN: Family = {"context": 32_768, "max_output": 8192, "schema": "native"}
_OWN_TEXT: Family = {**_OWN, "tools": "emulated"}
_OWN_SMALL: Family = {**_OWN_TEXT, "context": 8192, "max_output": 2048}
_OWN_SEES: Family = {**_OWN, "images": True}
_OWN_ONLY_SEES: Family = {**_OWN_TEXT, "images": True}
_OWN_THINKS: Family = {**_OWN, "thinking": True}
_OWN_ALL: Family = {**_OWN_THINKS, "images": True}
_GPT_OSS: Family = {**_OWN_THINKS, "efforts": _LMH, "quirks": ("always-thinking",)}

_EMBEDDED: Family = {
    "context": 4096,
    "max_output": 512,  # a model of this size wanders off long before
    "chars_per_token": 3.0,  # measured: English prose 4.4, Python 3.4 to 3.8, Polish 1.4, Chinese 0.5
    "family": "embedded",
    "tools": "emulated",
    "schema": "native",
    "prefill": True,
}

# --- models --------------------------------------------------------------------------------------------------------------------

_FREE = (0.0, 0.0, 0.0)


def _long(tokens: int, prices: Prices) -> tuple[Long, ...]:
    """OpenAI's rule: above so many tokens of input, input at twice and output at one and a half times the price."""
    return ((tokens, prices[0] * 2, prices[1] * 1.5, prices[2] * 2),)


def _openai(name: str, family: Family, *prices: float) -> Row:
    listed = (prices[0], prices[1], prices[2])
    return name, family, listed, _long(272_000, listed)


OPENAI: tuple[Row, ...] = (
    ("gpt-3.5-turbo", _GPT_3, (0.5, 1.5, 0.5)),
    ("gpt-3.5-turbo-1106", _GPT_3, (1.0, 2.0, 1.0)),
    ("gpt-3.5-turbo-16k", _GPT_3, (3.0, 4.0, 3.0)),
    ("gpt-4", _GPT_4, (30.0, 60.0, 30.0)),
    ("gpt-4-turbo", _GPT_4_TURBO, (10.0, 30.0, 10.0)),
    ("gpt-4o", _GPT_4O, (2.5, 10.0, 1.25)),
    ("gpt-4o-2024-05-13", {**_GPT_4O, "max_output": 4096, "schema": "emulated"}, (5.0, 15.0, 5.0)),
    ("gpt-4o-mini", _GPT_4O, (0.15, 0.6, 0.075)),
    ("chatgpt-4o", _GPT_4O, (5.0, 15.0, 5.0)),
    ("gpt-4.1", _GPT_4_1, (2.0, 8.0, 0.5)),
    ("gpt-4.1-mini", _GPT_4_1, (0.4, 1.6, 0.1)),
    ("gpt-4.1-nano", _GPT_4_1, (0.1, 0.4, 0.025)),
    ("o1", _O, (15.0, 60.0, 7.5)),
    ("o1-pro", _O, (150.0, 600.0, 150.0)),
    ("o3", _O, (2.0, 8.0, 0.5)),
    ("o3-mini", _O_BLIND, (1.1, 4.4, 0.55)),
    ("o3-pro", _O, (20.0, 80.0, 20.0)),
    ("o3-deep-research", {**_O, "tools": "none"}, (10.0, 40.0, 2.5)),
    ("o4-mini", _O, (1.1, 4.4, 0.275)),
    ("o4-mini-deep-research", {**_O, "tools": "none"}, (2.0, 8.0, 0.5)),
    ("codex-mini", _O, (1.5, 6.0, 0.375)),
    ("gpt-5", _GPT_5, (1.25, 10.0, 0.125)),
    ("gpt-5-mini", _GPT_5, (0.25, 2.0, 0.025)),
    ("gpt-5-nano", _GPT_5, (0.05, 0.4, 0.005)),
    ("gpt-5-pro", {**_GPT_5_PRO, "max_output": 272_000}, (15.0, 120.0, 15.0)),
    ("gpt-5-codex", _GPT_5_CODEX, (1.25, 10.0, 0.125)),
    ("gpt-5-chat", _CHAT, (1.25, 10.0, 0.125)),
    ("gpt-5.1", _GPT_5_1, (1.25, 10.0, 0.125)),
    ("gpt-5.1-chat", _CHAT, (1.25, 10.0, 0.125)),
    ("gpt-5.1-codex", _GPT_5_CODEX, (1.25, 10.0, 0.125)),
    ("gpt-5.1-codex-max", _GPT_5_3_CODEX, (1.25, 10.0, 0.125)),
    ("gpt-5.1-codex-mini", _GPT_5_CODEX, (0.25, 2.0, 0.025)),
    ("gpt-5.2", _GPT_5_2, (1.75, 14.0, 0.175)),
    ("gpt-5.2-chat", _CHAT, (1.75, 14.0, 0.175)),
    ("gpt-5.2-codex", _GPT_5_3_CODEX, (1.75, 14.0, 0.175)),
    ("gpt-5.2-pro", _GPT_5_2_PRO, (21.0, 168.0, 21.0)),
    ("gpt-5.3-chat", _CHAT, (1.75, 14.0, 0.175)),
    ("gpt-5.3-codex", _GPT_5_3_CODEX, (1.75, 14.0, 0.175)),
    _openai("gpt-5.4", _GPT_5_4, 2.5, 15.0, 0.25),
    ("gpt-5.4-mini", _GPT_5_2, (0.75, 4.5, 0.075)),
    ("gpt-5.4-nano", _GPT_5_2, (0.2, 1.25, 0.02)),
    _openai("gpt-5.4-pro", _GPT_5_4_PRO, 30.0, 180.0, 30.0),
    _openai("gpt-5.5", _GPT_5_4, 5.0, 30.0, 0.5),
    _openai("gpt-5.5-pro", _GPT_5_4_PRO, 30.0, 180.0, 30.0),
    _openai("gpt-5.6", _GPT_5_4, 4.0, 20.0, 0.4),
    _openai("gpt-5.6-sol", _GPT_5_4, 4.0, 20.0, 0.4),
    _openai("gpt-5.6-terra", _GPT_5_4, 2.0, 12.0, 0.2),
    _openai("gpt-5.6-luna", _GPT_5_4, 0.2, 1.2, 0.02),
    _openai("gpt-5.6-cyber", _GPT_5_2, 12.5, 75.0, 1.25),
    _openai("gpt-daybreak-red", _GPT_5_2, 12.5, 75.0, 1.25),
    _openai("gpt-daybreak-blue", _GPT_5_4, 4.0, 20.0, 0.4),
    _openai("gpt-6-astra", _GPT_6_ALWAYS, 10.0, 50.0, 1.0),
    _openai("gpt-6-sol", _GPT_6, 2.0, 10.0, 0.2),
    _openai("gpt-6-luna", _GPT_6, 0.1, 0.5, 0.01),
    ("gpt-6-cyber", _GPT_6_ALWAYS, (20.0, 100.0, 2.0)),
    _openai("gpt-6-rosalind", _GPT_6_ALWAYS, 15.0, 75.0, 1.5),
    _openai("gpt-6.1-sol", _GPT_6_ALWAYS, 2.0, 10.0, 0.1),
    _openai("gpt-6.1-terra", _GPT_6, 1.0, 5.0, 0.05),
    _openai("gpt-6.2-astra", _GPT_6_ALWAYS, 8.0, 40.0, 0.4),
    _openai("gpt-6.2-sol", _GPT_6_ALWAYS, 2.0, 10.0, 0.1),
    ("gpt-3.5*", _GPT_3),
    ("gpt-4o*", _GPT_4O),
    ("gpt-4.1*", _GPT_4_1),
    ("gpt-5*", {**_GPT_5, "efforts": _LMH}),
    ("gpt-6*", _GPT_6_ALWAYS),
    ("gpt-rosalind*", _GPT_6_ALWAYS),
)

ANTHROPIC: tuple[Row, ...] = (
    ("claude-3-haiku", _CLAUDE_3, (0.25, 1.25, 0.03)),
    ("claude-3-sonnet", _CLAUDE_3, (3.0, 15.0, 0.3)),
    ("claude-3-opus", _CLAUDE_3, (15.0, 75.0, 1.5)),
    ("claude-3-5-haiku", _CLAUDE_3_5, (0.8, 4.0, 0.08)),
    ("claude-3-5-sonnet", _CLAUDE_3_5, (3.0, 15.0, 0.3)),
    ("claude-3-7-sonnet", _CLAUDE, (3.0, 15.0, 0.3)),
    ("claude-sonnet-4", _CLAUDE, (3.0, 15.0, 0.3)),
    ("claude-sonnet-4-0", _CLAUDE, (3.0, 15.0, 0.3)),
    ("claude-sonnet-4-5", _CLAUDE_4_5, (3.0, 15.0, 0.3), ((200_000, 6.0, 22.5, 0.6),)),
    ("claude-sonnet-4-6", _CLAUDE_4_6, (3.0, 15.0, 0.3)),
    ("claude-sonnet-5", _CLAUDE_5, (2.0, 10.0, 0.2)),
    ("claude-sonnet-5-5", _CLAUDE_UNFORCED, (2.0, 10.0, 0.1)),
    ("claude-haiku-4-5", _CLAUDE_4_5, (1.0, 5.0, 0.1)),
    ("claude-haiku-5-5", _CLAUDE_5, (0.1, 0.5, 0.01), ((100_000, 0.5, 2.5, 0.05),)),
    ("claude-opus-4", _CLAUDE_OPUS_4, (15.0, 75.0, 1.5)),
    ("claude-opus-4-0", _CLAUDE_OPUS_4, (15.0, 75.0, 1.5)),
    ("claude-opus-4-1", {**_CLAUDE_OPUS_4, "schema": "native"}, (15.0, 75.0, 1.5)),
    ("claude-opus-4-5", {**_CLAUDE_4_5, "efforts": _LMH}, (5.0, 25.0, 0.5)),
    ("claude-opus-4-6", _CLAUDE_4_6, (5.0, 25.0, 0.5)),
    ("claude-opus-4-7", _CLAUDE_5, (5.0, 25.0, 0.5)),
    ("claude-opus-4-8", _CLAUDE_5, (5.0, 25.0, 0.5)),
    ("claude-opus-5", _CLAUDE_5, (5.0, 25.0, 0.5)),
    ("claude-opus-5-5", _CLAUDE_UNFORCED, (4.0, 20.0, 0.2)),
    ("claude-fable-5", _CLAUDE_ALWAYS, (10.0, 50.0, 1.0)),
    ("claude-fable-5-1", _CLAUDE_UNFORCED, (10.0, 50.0, 0.25)),
    ("claude-fable-5-2", _CLAUDE_UNFORCED, (8.0, 40.0, 0.2)),
    ("claude-mythos-preview", _CLAUDE_ALWAYS, (10.0, 50.0, 1.0)),
    ("claude-mythos-5", _CLAUDE_ALWAYS, (10.0, 50.0, 1.0)),
    ("claude-mythos-5-1", _CLAUDE_UNFORCED, (10.0, 50.0, 0.25)),
    ("claude-mythos-5-2", _CLAUDE_UNFORCED, (8.0, 40.0, 0.2)),
    ("claude-3*", _CLAUDE_3),
    ("claude-*", _CLAUDE_UNFORCED),
)

DEEPSEEK: tuple[Row, ...] = (
    ("deepseek-flash", _DEEPSEEK_SEES, (0.3, 1.2, 0.006)),
    ("deepseek-v4-flash", _DEEPSEEK_SEES, (0.3, 1.2, 0.006)),
    ("deepseek-v4-pro", _DEEPSEEK, (1.32, 3.96, 0.044)),
    ("deepseek-v4*", _DEEPSEEK),
    # Retired in July 2026; a server of one's own may still have models of these names.
    ("deepseek-chat", {"context": 131_072, "max_output": 8192}),
    ("deepseek-reasoner", {"context": 131_072, "max_output": 65_536, "thinking": True, "quirks": ("echo-reasoning",)}),
)

QWEN: tuple[Row, ...] = (
    ("qwen-plus", _QWEN_LONG, (0.4, 1.2, 0.4), ((256_000, 1.2, 3.6, 1.2),)),
    ("qwen-flash", _QWEN_LONG, (0.05, 0.4, 0.05), ((256_000, 0.25, 2.0, 0.25),)),
    ("qwen-turbo", _QWEN, (0.05, 0.2, 0.05)),
    ("qwen-max", _QWEN_MAX, (1.6, 6.4, 1.6)),
    ("qwen-coder", _QWEN_CODER, (0.3, 1.5, 0.3)),
    ("qwq-plus", {**_QWEN_THINKS, "max_output": 8192}, (0.8, 2.4, 0.8)),
    ("qwen3-max", _QWEN_3_MAX, (1.2, 6.0, 1.2), ((32_000, 2.4, 12.0, 2.4), (128_000, 3.0, 15.0, 3.0))),
    (
        "qwen3-coder-flash",
        _QWEN_CODER,
        (0.3, 1.5, 0.08),
        ((32_000, 0.5, 2.5, 0.12), (128_000, 0.8, 4.0, 0.2), (256_000, 1.6, 9.6, 0.4)),
    ),
    (
        "qwen3-coder-plus",
        _QWEN_CODER,
        (1.0, 5.0, 0.1),
        ((32_000, 1.8, 9.0, 0.18), (128_000, 3.0, 15.0, 0.3), (256_000, 6.0, 60.0, 0.6)),
    ),
    ("qwen3-vl-plus", _QWEN_VL_PLUS, (0.2, 1.6, 0.2), ((32_000, 0.3, 2.4, 0.3), (128_000, 0.6, 4.8, 0.6))),
    ("qwen3-vl-235b-a22b-instruct", {**_QWEN_INSTRUCT, "images": True}, (0.4, 1.6, 0.4)),
    ("qwen3-vl-235b-a22b-thinking", {**_QWEN_THINKS, "images": True}, (0.4, 4.0, 0.4)),
    ("qwen3-vl-32b-instruct", {**_QWEN_INSTRUCT, "images": True}, (0.16, 0.64, 0.16)),
    ("qwen3-vl-32b-thinking", {**_QWEN_THINKS, "images": True}, (0.16, 2.87, 0.16)),
    ("qwen3-next-80b-a3b-instruct", {**_QWEN_INSTRUCT, "context": 262_144}, (0.15, 1.2, 0.15)),
    ("qwen3-next-80b-a3b-thinking", {**_QWEN_THINKS, "context": 262_144}, (0.15, 1.2, 0.15)),
    ("qwen3.5-plus", {**_QWEN_3_7_SEES, "schema": "emulated"}, (0.4, 2.4, 0.4), ((256_000, 0.5, 3.0, 0.5),)),
    ("qwen3.7-plus", _QWEN_3_7_SEES, (0.4, 1.6, 0.08), ((256_000, 1.2, 4.8, 0.24),)),
    ("qwen3.7-max", _QWEN_3_7, (2.5, 7.5, 0.5)),
    ("qwen3.8-max", _QWEN_3_8, (2.0, 6.0, 0.25)),
    ("qwen3.8-flash", _QWEN_3_8, (0.15, 0.47, 0.016)),
    ("qwen3.8-omni-flash", _QWEN_3_8, (0.15, 0.47, 0.016)),
    ("qwen-vl*", {**_QWEN_VL, "max_output": 8192, "quirks": ()}),
    ("qwen2.5*", {"context": 131_072, "max_output": 8192}),
    ("qwen3-*", _QWEN),
    ("qwen3-coder*", {**_QWEN_CODER, "context": 262_144}),
    ("qwen3-vl*", _QWEN_VL),
    ("qwen3-*-thinking*", _QWEN_THINKS),
    ("qwen3-*-instruct*", _QWEN_INSTRUCT),
    ("qwen3.*", _QWEN_3_7),
    ("qwq*", _QWEN_THINKS),
)

OLLAMA: tuple[Row, ...] = (
    ("codellama*", _OWN_SMALL),
    ("command-r*", _OWN),
    ("deepseek-r1*", {**_OWN_THINKS, "quirks": ("always-thinking",)}),
    ("deepseek-v3.1*", _OWN_THINKS),
    ("devstral*", _OWN),
    ("gemma2*", _OWN_SMALL),
    ("gemma3*", _OWN_ONLY_SEES),
    ("gemma3n*", _OWN_TEXT),
    ("gemma4*", _OWN_ALL),
    ("gpt-oss*", _GPT_OSS),
    ("granite3*", _OWN),
    ("granite4*", _OWN),
    ("llama2*", {**_OWN_SMALL, "context": 4096, "max_output": 1024}),
    ("llama3", _OWN_SMALL),
    ("llama3:*", _OWN_SMALL),
    ("llama3.1*", _OWN),
    ("llama3.2*", _OWN),
    ("llama3.2-vision*", _OWN_ONLY_SEES),
    ("llama3.3*", _OWN),
    ("llama4*", _OWN_SEES),
    ("llava*", {**_OWN_ONLY_SEES, "context": 8192, "max_output": 2048}),
    ("magistral*", _OWN_THINKS),
    ("ministral*", _OWN_SEES),
    ("mistral*", _OWN),
    ("mistral-small3.1*", _OWN_SEES),
    ("mistral-small3.2*", _OWN_SEES),
    ("mixtral*", _OWN),
    ("phi3*", _OWN_TEXT),
    ("phi4*", {**_OWN_TEXT, "context": 16_384, "max_output": 4096}),
    ("phi4-mini*", _OWN),
    ("qwen2.5*", _OWN),
    ("qwen2.5vl*", _OWN_ONLY_SEES),
    ("qwen3*", _OWN_THINKS),
    ("qwen3-coder*", _OWN),
    ("qwen3-vl*", _OWN_ALL),
    ("qwen3.5*", _OWN_ALL),
    ("qwq*", {**_OWN_THINKS, "quirks": ("always-thinking",)}),
    ("smollm2*", {**_OWN_SMALL, "tools": "native"}),
)

LOCAL: tuple[Row, ...] = (("smollm2-135m", _EMBEDDED, _FREE),)

TABLES: Mapping[str, tuple[Row, ...]] = {
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "deepseek": DEEPSEEK,
    "qwen": QWEN,
    "ollama": OLLAMA,
    "local": LOCAL,
}

SAFE: Mapping[str, Family] = {
    "anthropic": {"images": True},
    "ollama": {**_OWN_TEXT, "context": 8192, "max_output": 2048},
    "local": _EMBEDDED,
}
"""What may be taken for granted of any model of these providers."""

OWN_MACHINE: frozenset[str] = frozenset(("ollama", "local"))
"""Providers whose models cost no money."""
