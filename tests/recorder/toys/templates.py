r"""Chat templates of text models that render what the published ones render, shortened.

Kept from the published behaviour: what writes BOS, trimming, the default system message, the roles
that are accepted and their order, thinking that is dropped, tools, the date.
"""

from __future__ import annotations

LLAMA3 = r"""
{{- bos_token }}
{%- set day = date_string if date_string is defined else '26 Jul 2024' %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set system = '' %}
    {%- set turns = messages %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}
{%- if tools is defined and tools %}{{- 'Environment: ipython\n' }}{%- endif %}
{{- 'Cutting Knowledge Date: December 2023\nToday Date: ' + day + '\n\n' + system + '<|eot_id|>' }}
{%- if tools is defined and tools %}
    {%- if not turns %}{{- raise_exception('Tools need a first user message.') }}{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\n\nThese functions can be called:\n\n' }}
    {%- for tool in tools %}{{- tool | tojson(indent=4) + '\n\n' }}{%- endfor %}
    {{- turns[0]['content'] | trim + '<|eot_id|>' }}
    {%- set turns = turns[1:] %}
{%- endif %}
{%- for message in turns %}
    {%- if message['role'] in ['tool', 'ipython'] %}
        {{- '<|start_header_id|>ipython<|end_header_id|>\n\n' }}
        {{- message['content'] if message['content'] is string else message['content'] | tojson }}
        {{- '<|eot_id|>' }}
    {%- elif message['tool_calls'] %}
        {%- if message['tool_calls'] | length != 1 %}
            {{- raise_exception('One tool call at a time.') }}
        {%- endif %}
        {%- set call = message['tool_calls'][0]['function'] %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "' + call['name'] }}
        {{- '", "parameters": ' + call['arguments'] | tojson + '}<|eot_id|>' }}
    {%- else %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""

MISTRAL = r"""
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{%- set users = turns | selectattr('role', 'equalto', 'user') | list %}
{%- set ns = namespace(index=0) %}
{%- for message in turns %}
    {%- if message['role'] != 'tool' and not message['tool_calls'] %}
        {%- if (message['role'] == 'user') != (ns.index % 2 == 0) %}
            {{- raise_exception('After the system message, user and assistant must alternate.') }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message['role'] == 'user' %}
        {%- if tools is defined and tools and message == users[-1] %}
            {{- '[AVAILABLE_TOOLS] ' + tools | tojson + '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {%- if loop.last and system is defined %}
            {{- '[INST] ' + system + '\n\n' + message['content'] + '[/INST]' }}
        {%- else %}
            {{- '[INST] ' + message['content'] + '[/INST]' }}
        {%- endif %}
    {%- elif message['tool_calls'] %}
        {{- '[TOOL_CALLS] [' }}
        {%- for call in message['tool_calls'] %}
            {%- if call['id'] is not defined or call['id'] | length != 9 %}
                {{- raise_exception('The id of a tool call has 9 characters.') }}
            {%- endif %}
            {{- '{"name": "' + call['function']['name'] + '", "arguments": ' }}
            {{- call['function']['arguments'] | tojson + ', "id": "' + call['id'] + '"}' }}
            {{- ', ' if not loop.last else ']' + eos_token }}
        {%- endfor %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] | trim + eos_token }}
    {%- elif message['role'] == 'tool' %}
        {{- '[TOOL_RESULTS] {"content": ' + message['content'] | tojson + ', "call_id": "' }}
        {{- message['tool_call_id'] + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception('Roles are user, assistant, tool and a first system message.') }}
    {%- endif %}
{%- endfor %}
"""

GEMMA2 = r"""
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{{- raise_exception('No system role.') }}{%- endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must alternate: user, assistant, user, assistant.') }}
    {%- endif %}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {{- '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{%- endif %}
"""

GEMMA3 = r"""
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- if messages[0]['content'] is string %}
        {%- set first = messages[0]['content'] + '\n\n' %}
    {%- else %}
        {%- set first = messages[0]['content'][0]['text'] + '\n\n' %}
    {%- endif %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set first = '' %}
    {%- set turns = messages %}
{%- endif %}
{%- for message in turns %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must alternate: user, assistant, user, assistant.') }}
    {%- endif %}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {{- '<start_of_turn>' + role + '\n' + (first if loop.first else '') }}
    {%- if message['content'] is string %}
        {{- message['content'] | trim }}
    {%- else %}
        {%- for part in message['content'] %}
            {%- if part['type'] == 'image' %}
                {{- '<start_of_image>' }}
            {%- elif part['type'] == 'text' %}
                {{- part['text'] | trim }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{%- endif %}
"""

QWEN3 = r"""
{%- set given = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}
{%- if tools %}
    {{- '<|im_start|>system\n' + (given + '\n\n' if given else '') }}
    {{- '# Tools\n\nYou may call these functions.\n<tools>' }}
    {%- for tool in tools %}{{- '\n' + tool | tojson }}{%- endfor %}
    {{- '\n</tools>\n\nA call is JSON within <tool_call></tool_call>.<|im_end|>\n' }}
{%- elif messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\n' + given + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(query=messages | length - 1) %}
{%- for message in messages %}
    {%- if message['role'] == 'user' and not message['content'].startswith('<tool_response>') %}
        {%- set ns.query = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message['content'] if message['content'] is string else '' %}
    {%- if message['role'] == 'user' or (message['role'] == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message['role'] + '\n' + content + '<|im_end|>\n' }}
    {%- elif message['role'] == 'assistant' %}
        {%- set thinking = '' %}
        {%- if message['reasoning_content'] is string %}
            {%- set thinking = message['reasoning_content'] %}
        {%- elif '</think>' in content %}
            {%- set thinking = content.split('</think>')[0].split('<think>')[-1] %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' }}
        {%- if loop.index0 > ns.query and (loop.last or thinking) %}
            {{- '<think>\n' + thinking.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {%- for call in message['tool_calls'] or [] %}
            {%- if content or not loop.first %}{{- '\n' }}{%- endif %}
            {%- set call = call['function'] if call['function'] else call %}
            {%- set arguments = call['arguments'] %}
            {{- '<tool_call>\n{"name": "' + call['name'] + '", "arguments": ' }}
            {{- arguments if arguments is string else arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message['role'] == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1]['role'] != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' + content + '\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""

DEEPSEEK = r"""
{%- set ns = namespace(system='', tool=false) %}
{%- for message in messages if message['role'] == 'system' %}
    {%- set ns.system = ns.system + ('\n\n' if ns.system else '') + message['content'] %}
{%- endfor %}
{{- bos_token + ns.system }}
{%- for message in messages %}
    {%- if message['role'] == 'tool' %}
        {%- if not ns.tool %}{{- '<｜tool▁outputs▁begin｜>' }}{%- endif %}
        {%- set ns.tool = true %}
        {{- '<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>' }}
        {%- if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}
            {{- '<｜tool▁outputs▁end｜>' }}
        {%- endif %}
    {%- elif message['role'] == 'user' %}
        {%- set ns.tool = false %}
        {{- '<｜User｜>' + message['content'] }}
    {%- elif message['role'] == 'assistant' %}
        {%- if not ns.tool %}{{- '<｜Assistant｜>' }}{%- endif %}
        {%- set ns.tool = false %}
        {{- (message['content'] or '').split('</think>')[-1] }}
        {%- for call in message['tool_calls'] or [] %}
            {%- if loop.first %}{{- '<｜tool▁calls▁begin｜>' }}{%- endif %}
            {{- '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' + call['function']['name'] }}
            {%- set arguments = call['function']['arguments'] %}
            {%- set arguments = arguments if arguments is string else arguments | tojson %}
            {{- '\n```json\n' + arguments + '\n```<｜tool▁call▁end｜>' }}
            {%- if loop.last %}{{- '<｜tool▁calls▁end｜>' }}{%- endif %}
        {%- endfor %}
        {{- eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt and not ns.tool %}{{- '<｜Assistant｜>' }}{%- endif %}
"""

GPT_OSS = r"""
{%- set effort = reasoning_effort if reasoning_effort is defined else 'medium' %}
{{- '<|start|>system<|message|>You are a language model.\nKnowledge cutoff: 2024-06\n' }}
{{- 'Current date: ' + strftime_now('%Y-%m-%d') + '\n\nReasoning: ' + effort }}
{{- '\n\n# Valid channels: analysis, commentary, final.<|end|>' }}
{%- if messages[0]['role'] in ['system', 'developer'] %}
    {%- set given = messages[0]['content'] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set given = '' %}
    {%- set turns = messages %}
{%- endif %}
{%- if given or tools %}
    {{- '<|start|>developer<|message|>' }}
    {%- if given %}{{- '# Instructions\n\n' + given + '\n\n' }}{%- endif %}
    {%- if tools %}
        {{- '# Tools\n\n## functions\n\nnamespace functions {\n\n' }}
        {%- for tool in tools %}
            {{- '// ' + tool['function']['description'] + '\ntype ' + tool['function']['name'] }}
            {{- ' = (_: ' + tool['function']['parameters'] | tojson + ') => any;\n\n' }}
        {%- endfor %}
        {{- '} // namespace functions' }}
    {%- endif %}
    {{- '<|end|>' }}
{%- endif %}
{%- set ns = namespace(tool=none) %}
{%- for message in turns %}
    {%- if message['role'] == 'assistant' %}
        {%- set content = message['content'] or '' %}
        {%- set thinking = message['thinking'] or '' %}
        {%- if '<|channel|>' in content or '<|channel|>' in thinking %}
            {{- raise_exception('Give the analysis as thinking and the answer as content.') }}
        {%- endif %}
        {%- if message['tool_calls'] %}
            {%- if content or thinking %}
                {{- '<|start|>assistant<|channel|>analysis<|message|>' }}
                {{- (content or thinking) + '<|end|>' }}
            {%- endif %}
            {%- set call = message['tool_calls'][0]['function'] %}
            {%- set ns.tool = call['name'] %}
            {{- '<|start|>assistant to=functions.' + call['name'] + '<|channel|>commentary json' }}
            {{- '<|message|>' + call['arguments'] | tojson + '<|call|>' }}
        {%- elif loop.last and not add_generation_prompt %}
            {%- if thinking %}
                {{- '<|start|>assistant<|channel|>analysis<|message|>' + thinking + '<|end|>' }}
            {%- endif %}
            {{- '<|start|>assistant<|channel|>final<|message|>' + content + '<|return|>' }}
        {%- else %}
            {{- '<|start|>assistant<|channel|>final<|message|>' + content + '<|end|>' }}
            {%- set ns.tool = none %}
        {%- endif %}
    {%- elif message['role'] == 'tool' %}
        {%- if ns.tool is none %}
            {{- raise_exception('A tool message needs a tool call before it.') }}
        {%- endif %}
        {{- '<|start|>functions.' + ns.tool + ' to=assistant<|channel|>commentary<|message|>' }}
        {{- message['content'] | tojson + '<|end|>' }}
    {%- elif message['role'] == 'user' %}
        {{- '<|start|>user<|message|>' + message['content'] + '<|end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}
"""

PHI3 = r"""
{%- for message in messages %}
    {%- if message['role'] in ['system', 'user', 'assistant'] %}
        {{- '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}
    {%- endif %}
{%- endfor %}
{{- '<|assistant|>\n' if add_generation_prompt else eos_token }}
"""

PHI4 = r"""
{%- for message in messages %}
    {%- if message['role'] in ['system', 'user', 'assistant'] %}
        {{- '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant<|im_sep|>' }}{%- endif %}
"""

OLMO2 = r"""
{{- bos_token }}
{%- for message in messages %}
    {{- '<|' + message['role'] + '|>\n' + message['content'] }}
    {%- if message['role'] == 'assistant' %}{{- eos_token }}{%- endif %}
    {%- if not (loop.last and message['role'] == 'assistant') %}{{- '\n' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{%- endif %}
"""

GRANITE = r"""
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set system = 'Knowledge Cutoff Date: April 2024.\nToday\'s Date: '
        + strftime_now('%B %d, %Y') + '.\nYou are a model that answers questions.' %}
    {%- set turns = messages %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system + '<|end_of_text|>\n' }}
{%- if tools %}
    {{- '<|start_of_role|>tools<|end_of_role|>' + tools | tojson(indent=4) + '<|end_of_text|>\n' }}
{%- endif %}
{%- for message in turns %}
    {%- set role = message['role'] %}
    {%- if role == 'assistant' and message['tool_calls'] %}
        {{- '<|start_of_role|>assistant<|end_of_role|><|tool_call|>' }}
        {{- message['tool_calls'] | map(attribute='function') | list | tojson }}
    {%- else %}
        {%- set role = 'tool_response' if role == 'tool' else role %}
        {{- '<|start_of_role|>' + role + '<|end_of_role|>' + message['content'] }}
    {%- endif %}
    {{- '<|end_of_text|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}
"""

SMOLLM = r"""
{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\nYou are a small assistant with a default message.<|im_end|>\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""
