"""What a request may say: OpenAI's fields, and those that vLLM adds to them.

Types are strict, as OpenAI's are: "1" is no number. A field that OpenAI does not know is an error;
one that says nothing here, such as `user`, is accepted. Numbers are finite and lists bounded.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_STOPS, MAX_CHOICES, MAX_PROMPTS = 16, 128, 2048
FIRST = Field(fail_fast=True)
"""One wrong item of a list is told, of which there may be a million."""
Text = Annotated[str, StringConstraints(strict=True)]
StopText = Annotated[str, StringConstraints(strict=True, max_length=1000)]
Texts = Annotated[list[Text], FIRST]
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Id = Annotated[int, Field(ge=0, lt=2**31)]
Ids = Annotated[list[Id], Field(min_length=1), FIRST]
SOME = Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True)
Prompts = Text | Ids | Annotated[list[Text], SOME] | Annotated[list[Ids], SOME]
Stop = StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS), FIRST] | None


class Body(BaseModel):
    """A table of a request."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class IgnoredFields(Body):
    """What OpenAI's clients may say that changes nothing here."""

    user: Text | None = None
    metadata: dict[str, Text] | None = None
    store: bool | None = None
    service_tier: Text | None = None
    safety_identifier: Text | None = None
    prompt_cache_key: Text | None = None
    prompt_cache_retention: Text | None = None


class StreamOptions(Body):
    """What a stream has beside the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class AnswerFields(IgnoredFields):
    """What may be said of any answer that is written."""

    model: Text
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def check_options(self) -> "AnswerFields":
        """Options of a stream need one."""
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is for stream=true; leave it out.")
        return self


class SamplingFields(AnswerFields):
    """How tokens are chosen."""

    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=1e-3, le=1e3)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    min_tokens: int | None = Field(None, ge=0)
    stop: Stop = None
    stop_token_ids: Annotated[list[int], Field(max_length=MAX_STOPS), FIRST] | None = None
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)


class CompletionRequest(SamplingFields):
    """Continue a prompt."""

    prompt: Prompts
    max_tokens: int | None = Field(None, ge=0)
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = Field(None, ge=1, le=MAX_CHOICES)
    suffix: Text | None = None


class ContentPart(Body):
    """A part of a message; what only parts without text have is refused with its type."""

    model_config = ConfigDict(extra="ignore")

    type: Text
    text: Text | None = None
    refusal: Text | None = None
    annotations: list[Any] | None = None
    """Of an answer that is sent back."""


Parts = Annotated[list[ContentPart], FIRST]


class CalledFunction(Body):
    """A function that the assistant called."""

    name: Text
    arguments: Text


class ToolCall(Body):
    """A call of a tool."""

    id: Text
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(Body):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Parts | None = None
    name: Text | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=128), FIRST] | None = None
    tool_call_id: Text | None = None
    refusal: Text | None = None
    annotations: list[Any] | None = None
    """Of an answer that is sent back."""
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def check_content(self) -> "ChatMessage":
        """Only an assistant's turn may say nothing, for it may call tools."""
        if self.role != "assistant" and self.content in (None, []):
            raise ValueError(f"a message of role {self.role} needs content.")
        return self


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=4096), FIRST]


class Function(Body):
    """A function that the assistant may call."""

    name: Name
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    """A tool that the assistant may call."""

    type: Literal["function"]
    function: Function


class FunctionName(Body):
    """The name of a function."""

    name: Text


class ToolChoice(Body):
    """The function that must be called."""

    type: Literal["function"]
    function: FunctionName


class JsonSchema(Body):
    """The schema of an answer."""

    name: Name
    description: Text | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def check_schema(self) -> "ResponseFormat":
        """A schema is needed for json_schema, and for nothing else."""
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("type=json_schema and the table json_schema need each other.")
        return self


class StructuredOutputs(Body):
    """Another form of an answer, named as vLLM does and here as in Sampling; one of them."""

    json_schema: dict[str, Any] | Text | None = Field(None, alias="json")
    regex: Text | None = None
    choices: Texts | None = Field(None, alias="choice")
    grammar: Text | None = None

    @model_validator(mode="after")
    def check_one(self) -> "StructuredOutputs":
        """One form, and not an empty one."""
        forms = [self.json_schema, self.regex, self.choices, self.grammar]
        given = [form for form in forms if form is not None]
        if len(given) != 1 or given[0] in ("", []):
            raise ValueError("give one of json, regex, choice and grammar, and not an empty one.")
        return self


class GroundingFields(Body):
    """What may be said of answers from documents."""

    grounded: bool | None = None
    """False: the model answers freely; default: from the documents if there are any."""
    only: Annotated[list[Text], Field(max_length=64), FIRST] | None = None
    """Patterns of the paths of the documents that are asked."""
    quotes: int | None = Field(None, ge=1, le=20)
    """How many at most; default: 3."""


class ChatRequest(SamplingFields, GroundingFields):
    """Answer a conversation."""

    messages: Messages
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: Annotated[list[Tool], Field(max_length=128), FIRST] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    reasoning_effort: Text | None = None
    verbosity: Text | None = None
    modalities: Annotated[list[Literal["text"]], FIRST] | None = None

    @property
    def callable_tools(self) -> list[Tool]:
        """The tools that the answer may call."""
        return [] if self.tool_choice == "none" else self.tools or []

    @model_validator(mode="after")
    def check_together(self) -> "ChatRequest":
        """Fields that need each other."""
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs=true.")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens are the same; give one.")
        if self.tool_choice not in (None, "none", "auto") and not self.tools:
            raise ValueError("tool_choice needs tools.")
        return self


class EmbeddingRequest(IgnoredFields):
    """Turn texts into vectors."""

    model: Text
    input: Prompts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1)


class TokenizeRequest(Body):
    """Turn a text or a conversation into ids."""

    model: Text | None = None
    prompt: Text | None = None
    messages: Messages | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def check_one(self) -> "TokenizeRequest":
        """One of both."""
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give one of prompt and messages.")
        return self


class DetokenizeRequest(Body):
    """Turn ids into a text."""

    model: Text | None = None
    tokens: Annotated[list[Id], FIRST]


class ResponseItem(Body):
    """What all items of a conversation may have when they are sent back."""

    id: Text | None = None
    status: Text | None = None


class ResponseMessage(ResponseItem):
    """A turn, as the responses API writes it; an output that is sent back too."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Parts
    phase: Text | None = None


class ResponseCall(ResponseItem, CalledFunction):
    """A call of a function that is sent back."""

    type: Literal["function_call"]
    call_id: Text


class ResponseCallOutput(ResponseItem):
    """What a function returned."""

    type: Literal["function_call_output"]
    call_id: Text
    output: Text | Parts


Item = ResponseMessage | ResponseCall | ResponseCallOutput
Items = Annotated[list[Item], Field(min_length=1, max_length=4096), FIRST]


class ResponseTool(Function):
    """A function, as the responses API names it."""

    type: Literal["function"]


class ResponseToolChoice(FunctionName):
    """The function that must be called, as the responses API names it."""

    type: Literal["function"]


class ResponseTextFormat(Body):
    """The form of an answer, as the responses API writes it."""

    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    description: Text | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseText(Body):
    """How the text of an answer is written."""

    format: ResponseTextFormat | None = None
    verbosity: Text | None = None


class ResponseRequest(AnswerFields, GroundingFields):
    """Answer, as the responses API asks for it."""

    input: Text | Items
    instructions: Text | None = None
    previous_response_id: Text | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: Annotated[list[ResponseTool], Field(max_length=128), FIRST] | None = None
    tool_choice: Literal["none", "auto", "required"] | ResponseToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: ResponseText | None = None
    include: Texts | None = None
    truncation: Literal["disabled", "auto"] | None = None
    reasoning: dict[str, Any] | None = None
    background: Literal[False] | None = None
    max_tool_calls: int | None = None
