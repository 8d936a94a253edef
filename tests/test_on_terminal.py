"""Names from files do not drive the terminal."""

import logging

from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.cli.printing import say
from vitw_ray.inert import on_terminal
from vitw_ray.progress import log, set_up_logging

ESCAPE = "model\x1b]0;owned\x07\x9b2J\u202egpj"


@given(st.text())
def test_only_line_ends_and_tabs_of_control_characters_are_left(text):
    shown = on_terminal(text)
    assert all(c in "\n\t" or ord(c) >= 32 for c in shown)
    assert not any(0x7F <= ord(c) <= 0x9F for c in shown)


def test_what_a_person_can_read_stays_as_it_is():
    assert on_terminal("caf\u00e9 \u4e16\u754c\n\tx") == "caf\u00e9 \u4e16\u754c\n\tx"


def test_lines_and_logs_write_escapes_out(capsys):
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    try:
        set_up_logging()
        say(ESCAPE)
        log.info("read %s", ESCAPE)
    finally:
        log.handlers[:], log.level, log.propagate = handlers, level, propagate
        logging.getLogger("vitw_ray").setLevel(level)
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "\x1b" not in text
        assert "\x9b" not in text
        assert "u{1b}]0;owned" in text
