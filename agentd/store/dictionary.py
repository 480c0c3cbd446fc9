"""What event bodies are mostly made of: the dictionary that LZ4 refers to, so that a body costs little more than what was said.

The databases out there cannot be read without it: a released dictionary is never edited (a test has its hash). A better one comes
behind it under the next number, and blob.py writes with that from then on. LZ4 takes in the whole dictionary for every body: these
10 KB cost 3 us, 32 KB would cost 6.
"""

from __future__ import annotations

from collections.abc import Mapping

# Ordinary words and the beginnings of ordinary sentences: a text of 300 characters takes 200-240 bytes with them, 290 without.
_ENGLISH = b"".join(
    (
        b" question answer problem because between another before without through should would could which where there their ",
        b"these those different important possible example information available following something everything anything nothing",
        b" together function variable argument parameter value result return number string list table column object class method",
        b" module package version release library language program process thread memory storage database query server client ",
        b"request response message connection network address socket protocol service daemon session model token prompt system ",
        b"machine kernel device password account user group permission security certificate key secret file directory folder ",
        b"path line character text code source script command output input error warning failure exception default option ",
        b"setting configuration environment variable install installed update upgrade remove change changes create created ",
        b"delete write written read reading open close start started stop stopped running check test tests build branch commit ",
        b"repository project document documentation install status report summary morning evening today tomorrow yesterday week ",
        b"month year minutes seconds hours people person company country city house family water money school children world ",
        b"history science language music book story picture weather interesting difficult beautiful simple small large great ",
        b"little better best right wrong true false first second third last next again always never often usually sometimes ",
        b"probably perhaps actually already still only also however therefore although instead rather almost enough several many",
        b" much more most less least about above after against along around behind below during except inside outside under ",
        b"until within please thank you I would like to know whether could you tell me how I can do this? Yes, of course. No, ",
        b"that is not possible. Here is what I found: Let me look at the next step is to make sure that you have the following: ",
        b"For example, if you want to use it with your own, you can do this by using the same as in the case of the one that is ",
        b"used to be able to get the most of them are not yet a number of which is the main reason why they were not the only ",
        b"way to go back to the beginning of the end of the day in order to find out what it does not have to be there has been ",
        b"will be done on the other hand, it is a good idea to have a look at the time when it was and then from there into that",
        b" would be the first thing, but this should also have been as well as some of these things into account. We need to ",
        b"take care of it, so that the result of this can be found under the name of each other. What do you think about it? ",
        b"There are two ways to do that: with or without any of the above. If that doesn't work, don't worry, I'm happy to help.",
        b" it's that's isn't can't won't you're there's what's make made take taken give given keep kept come came going work ",
        b"works working need needs want wants help find found show shows call called look looks seem feel try tried ask asked ",
        b"think thought believe expect expected remember understand explain describe compare consider choose decide depends ",
        b"because of the fact that the to of ",
    )
)

# Bodies of all kinds as msgspec writes them (an attrs class's fields by name), with their usual values.
_BODIES = b"".join(
    (
        b'{"cwd":"/home/","environment":{"PATH":"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","HOME":"/root',
        b'","LANG":"en_US.UTF-8","LC_ALL":"C.UTF-8","SHELL":"/bin/bash","USER":"","LOGNAME":"","TZ":"Europe/","VIRTUAL_ENV":"',
        b'/.venv/bin:/.local/bin:"},"model":"local/smollm2-135m","parent":"","title":""}{"session":"',
        b'{"preferences":{"instructions":null,"max_steps":null,"model":null,"pinned":null},"variables":{"',
        b'{"parts":[{"call":"call_","is_error":false,"kind":"tool_result","parts":[{"kind":"text","text":"',
        b'"}]}],"role":"tool"}{"parts":[{"kind":"text","text":""}],"role":"user"}"}],"role":"assistant"}',
        b'{"attempt":1,"reason":{"code":"provider_down","message":"","retryable":true},"step":0,"turn":1}{"resumes":1,',
        b'"turn":1}{"input":1,"turn":1}',
        b'{"arguments_hash":"","arguments_json":"{\\"path\\": \\"/","call":"","expires_at":1800000000.0,"name":"","turn":1}',
        b'{"by":"local","call":"","decision":"allow","note":"","turn":1}{"by":"deadline","call":"","decision":"deny',
        b'"bytes":1,"head":"","kind":"blob","media":"text/plain"}]{"blob":"',
        b'","outcome":"error","outcome":"denied","outcome":"skipped","outcome":"unknown","parts":[],"seconds":0.0,"turn":1}',
        b'"outcome":"invalid_arguments","outcome":"not_executed","outcome":"cancelled","outcome":"interrupted',
        b'{"arguments_hash":"","arguments_json":"{\\"command\\": \\"","call":"call_","effect":"idempotent",',
        b'"name":"read_file","turn":1}',
        b'"arguments_json":"{}","call":"call_","effect":"read","name":"","effect":"once","name":"shell","turn":1}',
        b'{"call":"call_","outcome":"ok","parts":[{"kind":"text","text":""}],"seconds":0.0,"turn":1}{"call":"call_',
        b'{"denials":0,"error":{"code":"","message":"","retryable":false},"outcome":"failed","steps":1,"turn":1,"usage":{',
        b'{"delivery":"steer","input":1,"interactive":true,"max_steps":0,"model":"","parts":[{"kind":"text",',
        b'"text":"{"delivery":"interrupt',
        b'{"model":"deepseek/deepseek-{"model":"anthropic/claude-{"model":"ollama/qwen{"model":"local/smollm2-135m","parts":[',
        b'{"kind":"reasoning","text":"","vendor":null},{"kind":"text","text":""},{"arguments_json":"{\\"","id":"call_",',
        b'"kind":"tool_call",',
        b'"name":""}],"step":0,"stop":"tool_calls","turn":1,"usage":{"cached":"stop":"length","stop":"refused",',
        b'"stop":"interrupted","turn":',
        b'{"input":1,"model":"local/smollm2-135m","turn":1}{"input":1,"model":"openai/gpt-","turn":1}',
        b'{"delivery":"queue","input":1,"interactive":false,"max_steps":50,"model":"openai/gpt-","parts":[{"kind":"text",',
        b'"text":""}]}',
        b'{"denials":0,"error":null,"outcome":"done","steps":1,"turn":1,"usage":{"cached":0,"input":1,"output":1,"reasoning":0}}',
        b'{"model":"openai/gpt-","parts":[{"kind":"text","text":""}],"step":0,"stop":"end","turn":1,"usage":{"cached":0,"input":1,',
        b'"output":1,"reasoning":0}}',
    )
)

# What bodies have had since there are several models: prices, images, seams and answers that are sent back.
_MODELS = b"".join(
    (
        b'{"kind":"citation","quote":"","title":"","url":"https://www."},{"kind":"reasoning","text":"",',
        b'"vendor":{"provider":"openai",',
        b'"encrypted_content":"","id":"rs_"}},"vendor":{"provider":"anthropic","signature":"',
        b'{"blob":"","bytes":1,"kind":"image","media":"image/jpeg"},{"blob":"","bytes":1,"kind":"image",',
        b'"media":"image/png"},{"blob":"',
        b'","bytes":1,"kind":"file","media":"application/pdf","name":".pdf"}],"schema":{"additionalProperties":false,',
        b'"properties":{"',
        b'":{"type":"string"},"":{"type":"integer"}},"required":[""],"type":"object"}}',
        b'{"reason":"Your answer is not valid: it is no JSON (JSON is malformed: invalid character (byte 0)). ',
        b"Answer again with nothing ",
        b'but JSON that follows the schema.","turn":1}',
        b'{"attempt":1,"model":"openai/gpt-","reason":{"code":"provider_down","message":" cut the reply off before its end",',
        b'"retry_after"',
        b':null,"retryable":true},"step":0,"turn":1}{"code":"rate_limited","message":" answered 429: ","retry_after":',
        b'{"cost":0.0,"denials":0,"error":{"code":"","message":"","retry_after":null,"retryable":false},"outcome":"failed",',
        b'"steps":1,',
        b'{"delivery":"queue","input":1,"interactive":false,"max_cost":0.0,"max_steps":100,"model":"openai/gpt-",',
        b'"parts":[{"kind":"text"',
        b',"text":""}],"schema":null}{"cost":0.0,"denials":0,"error":null,"outcome":"done","steps":1,"turn":1,"usage":{"cached":0,',
        b'{"cost":0.00,"estimated":false,"model":"anthropic/claude-{"cost":null,"denials":0,"error":null,"outcome":"done",',
        b'"steps":1,',
        b'"turn":1,"usage":{"cached":0,"input":1,"output":1,"reasoning":0,"written":0}}{"cost":null,"estimated":true,',
        b'{"cost":null,"estimated":false,"model":"openai/gpt-","parts":[{"kind":"text","text":""}],"step":0,"stop":"end","turn":1,',
        b'"usage":{"cached":0,"input":1,"output":1,"reasoning":0,"written":0}}',
    )
)

# What bodies have had since tools are judged by what they do, and sessions have jobs, lists and rules of their own.
_TOOLS = b"".join(
    (
        b'{"path":"/home/","sha256":"/.agentd/config.toml"}{"rule":"shell(git push *)","verdict":"deny"}{"rule":"write(",',
        b'"verdict":"ask"}',
        b'{"rule":"fetch(domain:","verdict":"allow"}{"rule":"shell(npm run *)","verdict":"allow"}{"rule":"read(/**)",',
        b'"verdict":"allow"}',
        b'{"todos":[{"state":"pending","text":""},{"state":"done","text":""},{"state":"in_progress","text":""}]}',
        b'{"call":"","command":"npm run dev","cwd":"/home/","number":1}{"bytes":0,"code":null,"number":1,"parts":[],',
        b'"state":"lost"}',
        b'{"bytes":0,"code":0,"number":1,"parts":[{"kind":"text","text":""}],"state":"done"}","state":"killed"}","state":"failed"}',
        b'"expires_at":1790000000.0,"name":"shell","proposes":["shell("],"turn":1,"why":"no rule knows the command "}',
        b"",
        b'"why":" is outside of the workspace"}"why":"it wants the network (sandbox.network)"}',
        b'"why":"it cannot be told what it would do: ',
        b'{"by":"local","call":"","decision":"allow","note":"","remember":"session","turn":1}"remember":"always","turn":1}',
        b'"instructions":null,"max_steps":null,"mode":"accept-edits","model":null,"pinned":null},"variables":{}}"mode":"plan"',
        b'[exit code 1]"}],"seconds":0.1,"turn":1}{"blob":"","bytes":1,"head":"","kind":"blob","media":"text/plain","tail":"',
        b'{"call":"","outcome":"error","parts":[{"kind":"text","text":"[exit code 0]"}],"seconds":0.01,"turn":1}',
        b'"arguments_json":"{\\"command\\":\\"git status\\"}","call":"","effect":"once","name":"shell",',
        b'"rule":"the built-in rule shell(',
        b') allows it","session":"","turn":1}{"accesses":[{"kind":"network","target":"*","words":[]}],"arguments_hash":"',
        b'{"accesses":[{"kind":"command","target":"","words":["git","status"]}],"arguments_hash":"","target":"","words":["npm","',
        b'{"accesses":[{"kind":"write","target":"/home/","words":[]}],"arguments_hash":"{"accesses":[],"arguments_hash":"',
        b'"arguments_json":"{\\"path\\":\\"","call":"","effect":"read","name":"read",',
        b'"rule":"it reads in the workspace, or of the system",',
        b'"session":"","turn":1}"name":"edit","rule":"it writes in the workspace","session":"",',
        b'"turn":1}{"accesses":[{"kind":"read",',
        b'"target":"/home/","words":[]}],"arguments_hash":"',
        b'{"call":"","turn":1}{"call":"","outcome":"ok","parts":[{"kind":"text","text":""}],"seconds":0.0,"turn":1}',
        b'{"input":1,"model":"openai/gpt-","turn":1}{"cost":0.0,"denials":0,"error":null,"outcome":"done","steps":1,"turn":1,',
        b'"usage":',
        b'{"cost":0.00,"estimated":false,"model":"openai/gpt-","parts":[{"arguments_json":"{\\"","id":"","kind":"tool_call",',
        b'"name":"shell"}]',
        b',"step":0,"stop":"tool_calls","turn":1,"usage":{"cached":0,"input":1,"output":1,"reasoning":0,"written":0}}',
        b'{"cost":null,"estimated":false,"model":"openai/gpt-","parts":[{"kind":"text","text":""}],"step":0,"stop":"end","turn":1,',
        b'"usage":{"cached":0,"input":1,"output":1,"reasoning":0,"written":0}}',
    )
)

DICTIONARIES: Mapping[int, bytes] = {
    2: _ENGLISH + _BODIES,
    3: _ENGLISH + _BODIES + _MODELS,
    4: _ENGLISH + _BODIES + _MODELS + _TOOLS,
}
"""By the mark of the rows that were written with them. What repeats most stands last."""

NEWEST = max(DICTIONARIES)
