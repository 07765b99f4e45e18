"""Chat templates, written after those of the models they are named for: the same branches, tools in fewer words."""

from tests.conftest import TEMPLATE

QWEN = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] }}
    {%- else %}{{- 'You are Qwen.' }}{%- endif %}
    {{- "\\n\\n# Tools\\n\\n<tools>" }}{%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools>\\n\\nEach call is {\\"name\\": <function-name>}<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first)
            or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for call in message.tool_calls %}{{- '\\n<tool_call>' + call.name + '</tool_call>' }}{%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\\n<tool_response>' + message.content + '</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
# Before a last reply it shows what was thought, and where thinking is off an empty thought, in the prompt already.
QWEN_3 = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
    {{- message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
"""
LLAMA_3 = """\
{%- for message in messages %}
    {%- set turn = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' %}
    {%- set turn = turn + message['content'] | trim + '<|eot_id|>' %}
    {%- if loop.index0 == 0 %}{%- set turn = bos_token + turn %}{%- endif %}
    {{- turn }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""
# Its system turn is there without a system line, and names the day.
LLAMA_3_2 = """\
{%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{{- bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + date_string + '\\n\\n' }}
{%- if messages[0]['role'] == 'system' %}
    {{- messages[0]['content'] | trim }}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- '<|eot_id|>' }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""
ALTERNATE = """\
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
{%- endfor %}
"""
MISTRAL = f"""\
{{{{- bos_token }}}}{ALTERNATE}
{{%- for message in messages %}}
    {{%- if message['role'] == 'user' %}}{{{{- '[INST] ' + message['content'] + ' [/INST]' }}}}
    {{%- else %}}{{{{- message['content'] + eos_token + ' ' }}}}{{%- endif %}}
{{%- endfor %}}
"""
# Takes a system line, but only before turns that alternate; blanks around everything that is said.
LLAMA_2 = f"""\
{{%- set line = '' %}}
{{%- if messages[0]['role'] == 'system' %}}
    {{%- set line = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}}
    {{%- set messages = messages[1:] %}}
{{%- endif %}}{ALTERNATE}
{{%- for message in messages %}}
    {{%- set content = line + message['content'] if loop.index0 == 0 else message['content'] %}}
    {{%- if message['role'] == 'user' %}}{{{{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}}}
    {{%- else %}}{{{{- ' ' + content.strip() + ' ' + eos_token }}}}{{%- endif %}}
{{%- endfor %}}
"""
GEMMA = f"""\
{{{{- bos_token }}}}
{{%- if messages[0]['role'] == 'system' %}}
    {{{{- raise_exception('System role not supported') }}}}
{{%- endif %}}{ALTERNATE}
{{%- for message in messages %}}
    {{%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}}
    {{{{- '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}}}
{{%- endfor %}}
{{%- if add_generation_prompt %}}{{{{- '<start_of_turn>model\\n' }}}}{{%- endif %}}
"""
DROPPING = TEMPLATE.replace(
    "{% for message in messages %}", "{% for message in messages if message['role'] != 'system' %}"
)
# Name of the model → template, beginning of a text, stop token.
TEMPLATES = {
    "demo": (TEMPLATE, None, "<|im_end|>"),
    "qwen2.5": (QWEN, None, "<|im_end|>"),
    "qwen3": (QWEN_3, None, "<|im_end|>"),
    "llama3": (LLAMA_3, "<|begin_of_text|>", "<|eot_id|>"),
    "llama3.2": (LLAMA_3_2, "<|begin_of_text|>", "<|eot_id|>"),
    "llama2": (LLAMA_2, "<s>", "</s>"),
    "mistral": (MISTRAL, "<s>", "</s>"),
    "gemma": (GEMMA, "<bos>", "<end_of_turn>"),
    "dropping": (DROPPING, None, "<|im_end|>"),
    "stripping": (TEMPLATE.replace("['content'] }}", "['content'] | trim }}"), None, "<|im_end|>"),
    "no newline": (TEMPLATE.replace("<|im_end|>\n{% endfor", "<|im_end|>{% endfor"), None, "<|im_end|>"),
}
WITHOUT_SYSTEM = ("mistral", "gemma", "dropping")
