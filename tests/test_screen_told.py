"""The page and the card say what a screen leaves out, in one line, and nothing without a screen."""

from fake_tables import fake_tables, run_facts

from vitw_ray.config import LabelsConfig, ReleaseConfig
from vitw_ray.facts import screen_note
from vitw_ray.release import card
from vitw_ray.release.tables import values_frequencies, values_tree
from vitw_ray.report.page import render

TOLD = {"skipped": 5120, "loss_bound": 0.0187, "delta": 0.05}


def test_the_note_has_the_numbers_of_the_manifest():
    note = screen_note(TOLD, 9000)
    assert "5,120 of 9,000 conversations" in note
    assert "At most 1.9 %" in note
    assert "95 % confidence" in note


def test_where_nothing_was_left_out_there_is_no_note():
    assert screen_note(None, 9000) == screen_note(TOLD | {"skipped": 0}, 9000) == ""


def test_the_page_and_the_card_carry_the_note():
    tables, note = fake_tables(), screen_note(TOLD, 9000)
    for screen in (note, ""):
        facts = run_facts(screen=screen)
        released = values_frequencies(tables), values_tree(tables)
        pages = (
            render(tables, facts),
            card.render(facts, LabelsConfig(), ReleaseConfig(), *released),
        )
        assert all(("5,120 of 9,000" in page) == bool(screen) for page in pages)
