"""Calls are matched as a whole or refused; nothing that a model writes is run in any other way."""

from __future__ import annotations

import ast
import inspect
import time

import pytest

from minillm.data import tool_calls
from minillm.data.tool_calls import REGISTER_FIELDS, Call, Register, is_call, parse_call, run_call

REGISTER = Register({"Viock": {"pet": "owl", "home": "on the beach"}, "today": {"day": "Monday"}})

HOSTILE = {
    "code": "call calculator: __import__('os').system('ls')",
    "code behind a sum": "call calculator: 1 + 1; import os",
    "code in a name": "call register: __class__, pet",
    "an attribute": "call register: Viock, __dict__",
    "a lambda": "call calculator: (lambda: 1)() + 1",
    "a shell": "call calculator: 1 + $(ls)",
    "a path": "call register: ../../etc/passwd, pet",
    "an absolute path": "call register: /etc/passwd, home",
    "a path of Windows": "call register: C:\\secret, home",
    "an address": "call register: http://example.com, pet",
    "a loop": "call calculator: while True: pass",
    "a comprehension": "call calculator: [0 for _ in range(9999)]",
    "many steps": "call calculator: 1 + 1 + 1 + 1",
    "a power": "call calculator: 9 ** 9999",
    "a power with a caret": "call calculator: 9 ^ 9999",
    "a huge number": "call calculator: " + "9" * 100_000 + " * 9",
    "a number too long by a digit": "call calculator: 10000 + 1",
    "a float": "call calculator: 1e9 * 1",
    "a point": "call calculator: 1.5 + 1",
    "a hexadecimal number": "call calculator: 0x10 + 1",
    "an underscore": "call calculator: 1_0 + 1",
    "a division": "call calculator: 1 / 0",
    "a bracket": "call calculator: (1 + 2) * 3",
    "nested brackets": "call calculator: " + "(" * 5_000 + "1" + ")" * 5_000 + " + 1",
    "Arabic digits": "call calculator: ٤٧ + ٣٨",
    "full-width digits": "call calculator: ４７ + 38",
    "a superscript": "call calculator: 4² + 1",
    "a minus that is a dash": "call calculator: 4 − 1",
    "a letter that looks like another": "call register: Vіock, pet",  # noqa: RUF001 - a Cyrillic letter
    "a long name": "call register: " + "a" * 21 + ", pet",
    "two names": "call register: Viock Trel, pet",
    "all names": "call register: *, pet",
    "a field that is none": "call register: Viock, password",
    "a line end behind": "call calculator: 1 + 1\n",
    "a line end and a call": "call calculator: 1 + 1\ncall register: Viock, pet",
    "a line end in front": "\ncall calculator: 1 + 1",
    "a zero byte": "call calculator: 1 + 1\0",
    "another tool": "call shell: ls",
    "capitals": "CALL CALCULATOR: 1 + 1",
    "no space": "call calculator:1+1",
    "words in front": "I call calculator: 1 + 1",
    "a forged result": "result: 42",
    "SQL": "call register: Viock'; DROP TABLE people; --, pet",
    "nothing": "call calculator: ",
    "empty": "",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.usefixtures("no_collection")
def test_hostile_calls_are_refused_at_once(name: str):
    started = time.process_time()
    assert parse_call(HOSTILE[name]) is None
    assert run_call(HOSTILE[name], REGISTER) == "result: error"
    assert time.process_time() - started < 1


def test_there_are_thirty_of_them():
    assert len(set(HOSTILE.values())) >= 30


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("call calculator: 47 + 38", "85"),
        ("call calculator: 8 - 30", "-22"),
        ("call calculator: 99 * 99", "9801"),
        ("call calculator: 9999 * 9999", "99980001"),
        ("call calculator: 007 + 1", "8"),
        ("call register: Viock, pet", "owl"),
        ("call register: VIOCK, home", "on the beach"),
        ("call register: today, day", "Monday"),
        ("call register: Viock, pet name", "unknown"),
        ("call register: Trel, pet", "unknown"),
    ],
)
def test_calls_are_run(call: str, result: str):
    assert is_call(call)
    assert run_call(call, REGISTER) == f"result: {result}"


def test_arguments_are_taken_apart():
    assert parse_call("call register: Viock, pet name") == Call("register", ("Viock", "pet name"))
    assert {
        call.arguments[1] for field in REGISTER_FIELDS if (call := parse_call(f"call register: A, {field}"))
    } == set(REGISTER_FIELDS)


def test_every_sum_is_right():
    signs = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    for left in range(0, 9999, 617):
        for right in range(0, 9999, 733):
            for sign, operation in signs.items():
                told = run_call(f"call calculator: {left} {sign} {right}", REGISTER)
                assert told == f"result: {operation(left, right)}"


def test_the_module_can_run_no_code_and_reach_no_file():
    tree = ast.parse(inspect.getsource(tool_calls))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"eval", "exec", "compile", "open", "__import__", "getattr", "globals", "locals"}
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert imported == {"__future__", "re", "collections.abc", "dataclasses", "types"}
    assert not any(isinstance(node, ast.While) for node in ast.walk(tree))
