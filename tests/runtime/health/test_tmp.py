from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.health import callbacks
from resilient_runtime.health.cleanup import clean_tmp
from resilient_runtime.health.names import pattern_of
from resilient_runtime.health.tmp import File, Inventory, choose, held_files, is_own

KB = 1024


def write(path: Path, *, kilobytes: int = 8, age: float = 0) -> Path:
    """A file that looks as old as it is said to be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * kilobytes * KB)
    return path


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    """An environment whose /tmp had one file and one empty folder when it was fresh."""
    write(tmp_path / "model.bin")
    (tmp_path / "work").mkdir()
    found = Inventory(str(tmp_path))
    found.take(fresh=0)
    return found


def test_what_is_new_and_left_behind_is_removed(inventory: Inventory, tmp_path: Path) -> None:
    """New files go, what was there from the start stays."""
    for number in range(5):
        write(tmp_path / f"page-{number}.html")
    removed = clean_tmp(inventory, 10**9)
    assert (removed.files, removed.size) == (5, 5 * 8 * KB)
    assert {one.name for one in tmp_path.iterdir()} == {"model.bin", "work", ".resilient-environment"}


def test_no_more_is_removed_than_must_be_and_the_oldest_goes_first(
    inventory: Inventory, tmp_path: Path
) -> None:
    """Three of six files free enough: the last three stay."""
    for number in range(6):
        write(tmp_path / f"page-{number}.html")
        time.sleep(0.02)
    assert clean_tmp(inventory, 24 * KB).files == 3
    assert sorted(one.name for one in tmp_path.glob("page-*")) == [
        "page-3.html",
        "page-4.html",
        "page-5.html",
    ]


def test_a_file_that_is_open_or_mapped_stays(inventory: Inventory, tmp_path: Path) -> None:
    """What a process works with is not taken from under it."""
    import mmap

    opened = write(tmp_path / "page-1.html").open("rb")
    with write(tmp_path / "page-2.html").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    write(tmp_path / "page-3.html")
    assert clean_tmp(inventory, 10**9).files == 1
    assert {one.name for one in tmp_path.glob("page-*")} == {"page-1.html", "page-2.html"}
    opened.close()
    mapped.close()


def test_what_the_code_asked_to_keep_stays_after_a_recycle_too(
    inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """keep_in_tmp holds for a file or a folder, and the next interpreter knows."""
    monkeypatch.setattr(callbacks, "_kept", [])
    callbacks.keep_in_tmp(str(tmp_path / "cache"))
    write(tmp_path / "cache" / "a" / "one.bin")
    write(tmp_path / "cache-but-not-really.bin")
    assert clean_tmp(inventory, 10**9).files == 1
    monkeypatch.setattr(callbacks, "_kept", [])
    successor = Inventory(str(tmp_path))
    successor.recall()
    assert successor.known
    assert clean_tmp(successor, 10**9).files == 0
    assert (tmp_path / "cache" / "a" / "one.bin").exists()


def test_folders_that_are_left_empty_go_too_unless_they_were_there_first(
    inventory: Inventory, tmp_path: Path
) -> None:
    """A temporary folder goes with its last file; the handler's own work folder stays."""
    write(tmp_path / "tmpabcd1234" / "deep" / "page.html")
    write(tmp_path / "work" / "page.html")
    assert clean_tmp(inventory, 10**9).files == 2
    assert not (tmp_path / "tmpabcd1234").exists()
    assert (tmp_path / "work").is_dir()


def test_links_are_neither_followed_nor_removed(inventory: Inventory, tmp_path: Path) -> None:
    """A link out of /tmp takes nothing outside with it."""
    outside = write(tmp_path.parent / f"{tmp_path.name}-outside" / "precious.bin")
    (tmp_path / "link").symlink_to(outside.parent)
    (tmp_path / "file-link").symlink_to(outside)
    clean_tmp(inventory, 10**9)
    assert outside.exists()
    assert (tmp_path / "link").is_symlink()


def test_without_an_inventory_nothing_is_removed(tmp_path: Path) -> None:
    """Who does not know what was there before takes nothing away."""
    write(tmp_path / "page-1.html")
    assert clean_tmp(Inventory(str(tmp_path)), 10**9).files == 0


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"there": 1}', '{"there": [], "fresh": "x", "keep": []}', "\0"]
)
def test_a_spoilt_note_is_no_note(tmp_path: Path, text: str) -> None:
    """Whatever somebody wrote into the hidden file, it is not believed."""
    (tmp_path / ".resilient-environment").write_text(text)
    inventory = Inventory(str(tmp_path))
    inventory.recall()
    assert not inventory.known


def test_the_next_process_knows_what_the_first_one_found(inventory: Inventory, tmp_path: Path) -> None:
    """A crash ends the process and keeps /tmp: what it left behind is still new to the next one."""
    left = write(tmp_path / "page-1.html")
    successor = Inventory(str(tmp_path))
    successor.recall()
    assert [file.path for file in successor.new_files()] == [str(left)]


def test_a_machine_that_others_use_is_not_cleaned(tmp_path: Path) -> None:
    """Many processes in sight mean a machine; few, or the harness's word, an environment of one's own."""
    for pid in range(100):
        (tmp_path / str(pid)).mkdir()
    assert not is_own({}, proc=str(tmp_path))
    assert is_own({"RESILIENT_OWN_TMP": "1"}, proc=str(tmp_path))
    assert not is_own({}, proc=str(tmp_path / "nowhere"))
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "1").mkdir()
    assert is_own({}, proc=str(tmp_path / "few"))


def test_who_holds_what_is_told_for_this_process(tmp_path: Path) -> None:
    """An open file is among the held ones, also after it lost its name."""
    path = write(tmp_path / "page.html")
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        path.unlink()
        held = held_files(str(tmp_path))
        assert held is not None
        assert (found.st_dev, found.st_ino) in held


@given(
    st.lists(
        st.builds(
            File,
            path=st.sampled_from(
                [f"/tmp/page-{n}.html" for n in range(9)] + ["/tmp/model.bin", "/tmp/index.db"]
            ),
            key=st.tuples(st.just(1), st.integers(0, 20)),
            changed=st.floats(0, 100),
            size=st.integers(0, 100),
        ),
        unique_by=lambda file: file.path,
    ),
    st.sets(st.tuples(st.just(1), st.integers(0, 20))),
    st.integers(0, 500),
)
def test_what_is_chosen_is_free_enough_and_repeated_first(
    files: list[File], held: set[tuple[int, int]], enough: int
) -> None:
    """Never a held file, no more than needed, and a file that stands alone only after the repeated ones."""
    groups = {file.path: pattern_of(file.path) for file in files}
    chosen = choose(files, held, groups=groups, enough=enough)
    assert not any(file.key in held for file in chosen)
    assert sum(file.size for file in chosen[:-1]) < enough or not chosen
    free = [file for file in files if file.key not in held]
    repeated = [file for file in free if sum(groups[one.path] == groups[file.path] for one in free) >= 3]
    if any(file not in repeated for file in chosen):
        assert set(repeated) <= set(chosen)
